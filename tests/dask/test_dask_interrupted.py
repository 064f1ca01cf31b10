"""Dask's start and end, interrupted: what an exception of a signal handler or a cancelled task leaves behind, which is nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading

import pytest
from easycluster import Cluster
from support.processes import poll

pytest.importorskip('distributed')
import distributed
import psutil
from easycluster.dask import EasyCluster
from easycluster.dask.worker import HostWorker

pytestmark = pytest.mark.xdist_group('dask')

HERE = ':local:rpython=%s:name=host%%d' % sys.executable
SLOW = 'import threading; threading.Event().wait(60)'


class Alarm(Exception):
    """What the handlers of these tests raise."""


KINDS = pytest.mark.parametrize('kind', [KeyboardInterrupt, Alarm])


@pytest.fixture(scope='module')
def cluster():
    with Cluster([HERE % number for number in range(2)], output=None) as made:
        yield made


def worker_processes():
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if 'descriptor' in ' '.join(process.cmdline()):
                found.append(process.pid)
    return found


@pytest.fixture(autouse=True)
def nothing_left(cluster):
    """No thread, no process and no cluster of Dask's stays of what a test has interrupted."""
    before = set(threading.enumerate())
    yield

    def left():
        threads = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
        open_ones = [each for each in EasyCluster._instances if each.status.name not in ('closed', 'created')]
        return [*threads, *worker_processes(), *open_ones]

    assert poll(lambda: not left(), 20), left()


@contextlib.contextmanager
def interrupted(kind, when):
    """A signal whose handler raises, once `when` is true."""
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: throw(kind))
    main = threading.get_ident()
    over = threading.Event()

    def watch():
        if poll(lambda: over.is_set() or when(), 30) and not over.is_set():
            signal.pthread_kill(main, signal.SIGUSR1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(kind):
            yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, previous)


def throw(kind):
    raise kind


def held_up(monkeypatch):
    """Has the end of workers wait: an event that says that one does, and another that lets them end."""
    closing, raised = threading.Event(), threading.Event()
    real = HostWorker.close

    async def close(self):
        closing.set()
        while not raised.is_set():
            await asyncio.sleep(0.01)
        await real(self)

    monkeypatch.setattr(HostWorker, 'close', close)
    return closing, raised


@KINDS
def test_a_start_that_is_interrupted_leaves_nothing(cluster, kind):
    with interrupted(kind, worker_processes):
        cluster.dask(threads=1, dashboard=False, preload=[SLOW])
    assert cluster.eval('1') == {'host0': 1, 'host1': 1}


@KINDS
def test_an_end_that_is_interrupted_goes_on(cluster, kind, monkeypatch):
    """Also where nobody asks again."""
    client = cluster.dask(threads=1, dashboard=False)
    closing, raised = held_up(monkeypatch)
    made = client.cluster
    with interrupted(kind, closing.is_set):
        client.close()
    raised.set()
    assert poll(lambda: made.status.name == 'closed', 20), made.status


def test_an_end_that_is_interrupted_can_be_asked_for_again(cluster, monkeypatch):
    made = EasyCluster(cluster, threads=1, dashboard=False)
    closing, raised = held_up(monkeypatch)
    with interrupted(KeyboardInterrupt, closing.is_set):
        made.close()
    raised.set()
    made.close(timeout=20)
    assert made.status.name == 'closed'


def test_a_client_that_is_not_made_leaves_no_cluster(cluster, monkeypatch):
    def fail(self, *args, **kwargs):
        raise Alarm

    monkeypatch.setattr(distributed.Client, '__init__', fail)
    with pytest.raises(Alarm):
        cluster.dask(threads=1, dashboard=False)


@pytest.mark.parametrize('begin', [Cluster.dask, EasyCluster], ids=['client', 'cluster'])
def test_a_cancelled_start_of_an_asynchronous_one_leaves_nothing(cluster, begin):
    async def enter():
        async with begin(cluster, threads=1, dashboard=False, asynchronous=True, preload=[SLOW]):
            pytest.fail('it is not up')

    async def main():
        entering = asyncio.ensure_future(enter())
        while not worker_processes():
            await asyncio.sleep(0.02)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in others if 'easycluster' in repr(task)], others

    asyncio.run(main())


def test_a_cancelled_end_of_an_asynchronous_cluster_can_be_asked_for_again(cluster):
    async def main():
        made = await EasyCluster(cluster, threads=1, dashboard=False, asynchronous=True)
        closing = asyncio.ensure_future(made.close())
        while made.status.name != 'closing':
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.wait_for(made.close(), 20)
        assert made.status.name == 'closed'

    asyncio.run(main())


def test_packages_are_removed_where_the_start_ends_behind_them(cluster, monkeypatch):
    there = []

    class Packages:
        def send_to(self, host, client):
            there.append(host)
            return host

        def remove_from(self, client, folder):
            there.remove(folder)

    def fail(self, *args, **kwargs):
        assert sorted(there) == ['host0', 'host1']
        raise Alarm

    monkeypatch.setattr('easycluster.dask.cluster.check_versions', lambda *_: None)
    monkeypatch.setattr(distributed.SpecCluster, '__init__', fail)
    with pytest.raises(Alarm):
        cluster.dask(environment=Packages(), threads=1, dashboard=False)
    assert not there
