"""Dask on the hosts of a cluster: real schedulers, real workers, and what remains when they are killed."""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import os
import signal
import sys
import threading
import warnings

import pytest
from easycluster import Cluster, Environment
from support.interpreters import interpreters
from support.parts import need
from support.processes import poll
from support.wheels import bare_python

pytest.importorskip('distributed')
import dask.array
import dask.bag
import distributed
import psutil
from easycluster.dask import EasyCluster

# In one process of the run, which shares the hosts and the workers.
pytestmark = pytest.mark.xdist_group('dask')

HERE = ':local:rpython=%s:name=host%%d' % sys.executable
VERSION = importlib.metadata.version('distributed')


@pytest.fixture(scope='module')
def cluster():
    with Cluster([HERE % number for number in range(2)], output=None) as made:
        yield made


@pytest.fixture
def client(cluster):
    with cluster.dask(threads=1, dashboard=False) as made:
        yield made


@pytest.fixture(scope='module')
def kept_client(cluster):
    """For tests that change nothing of it: each worker takes a second or two to import Dask."""
    with cluster.dask(threads=1, dashboard=False) as made:
        yield made


def workers_of(client):
    return client.scheduler_info(n_workers=-1)['workers']


def pids(client):
    return client.run(os.getpid)


def test_tasks_run_on_every_host_and_their_results_come(kept_client):
    client = kept_client
    assert client.gather(client.map(lambda number: number + 1, range(200))) == list(range(1, 201))
    assert len(set(pids(client).values())) == 2
    assert not set(pids(client).values()) & {os.getpid()}
    with pytest.raises(ZeroDivisionError):
        client.submit(divmod, 1, 0).result()
    with client.as_current():
        x = dask.array.ones((1000, 1000), chunks=(100, 100))
        assert (x + x.T).sum().compute() == 2 * 1000.0**2
        counted = dask.bag.from_sequence(range(100), npartitions=10).groupby(lambda number: number % 7)
        assert sorted((key, len(items)) for key, items in counted.compute()) == [
            (key, 15 if key < 2 else 14) for key in range(7)
        ]


def test_large_values_pass_between_workers_and_to_the_client(kept_client):
    client = kept_client
    one, other = workers_of(client)

    def make():
        import numpy

        return numpy.ones(4 << 20)

    made = client.submit(make, workers=[one])
    assert client.submit(lambda value: float(value.sum()), made, workers=[other]).result() == 4 << 20
    assert made.result().nbytes == 32 << 20


def test_workers_are_added_and_retired(client):
    client.cluster.scale(4)
    client.wait_for_workers(4, timeout=60)
    before = pids(client)
    client.cluster.scale(1)
    assert poll(lambda: len(workers_of(client)) == 1, 60), 'three workers are retired'
    kept = set(pids(client).values())
    assert poll(lambda: not any(map(psutil.pid_exists, set(before.values()) - kept)), 60), 'their processes end'
    assert client.submit(pow, 2, 5).result() == 32


def test_a_killed_worker_costs_no_task_and_is_started_again(client):
    futures = client.map(lambda number: threading.Event().wait(0.05) or number, range(60), pure=False)
    killed = next(iter(pids(client).values()))
    os.kill(killed, signal.SIGKILL)
    assert client.gather(futures) == list(range(60))
    client.wait_for_workers(2, timeout=60)
    assert killed not in pids(client).values()
    assert sum(worker.restarts for worker in client.cluster.workers.values()) == 1


def test_a_lost_host_costs_no_task(sshd):
    specs = [sshd.spec('rpython=%s' % sys.executable, 'name=lost'), HERE % 1]
    with Cluster(specs, output=None) as cluster, cluster.dask(threads=1, dashboard=False) as client:
        futures = client.map(lambda number: threading.Event().wait(0.05) or number, range(40), pure=False)
        sshd.break_sessions()
        assert client.gather(futures) == list(range(40))
        # Its worker is started on the other host.
        assert poll(lambda: len(workers_of(client)) == 2, 60)
        assert len(set(pids(client).values())) == 2


def test_nothing_listens_but_on_the_loopback(kept_client):
    for pid in [os.getpid(), *pids(kept_client).values()]:
        for connection in psutil.Process(pid).net_connections('inet'):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ('127.0.0.1', '::1'), connection


def test_closing_ends_the_workers_and_leaves_the_hosts(cluster):
    client = cluster.dask(dashboard=False)
    found = pids(client).values()
    client.close()
    assert poll(lambda: not any(map(psutil.pid_exists, found)), 60), 'the workers end'
    assert cluster.eval('1 + 1') == {'host0': 2, 'host1': 2}


def test_it_is_a_cluster_of_dask_s_of_its_own_hosts():
    with (
        EasyCluster([HERE % 0], workers=2, threads=1, dashboard=False) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len(pids(client)) == 2
        assert cluster.hosts.eval('1') == {'host0': 1}
    with pytest.raises(OSError, match='the cluster is closed'):
        cluster.hosts.eval('1')


def test_workers_come_as_there_is_work(client):
    client.cluster.scale(1)
    client.cluster.adapt(minimum=1, maximum=3, interval='100ms', wait_count=2)
    futures = client.map(lambda number: threading.Event().wait(0.2) or number, range(40), pure=False)
    assert poll(lambda: len(workers_of(client)) == 3, 60), 'workers are added'
    assert client.gather(futures) == list(range(40))
    assert poll(lambda: len(workers_of(client)) == 1, 60), 'they are retired'


def test_another_version_is_refused_before_anything_starts():
    other = need('python2', next((each for each in interpreters() if each.version[0] == 2), None))
    with Cluster([':local:rpython=%s:name=old' % other.path], output=None) as cluster:
        with pytest.raises(RuntimeError, match=r'old runs Python 2\.\d, and this program 3'):
            cluster.dask()


def test_packages_are_brought_along_and_removed():
    with Cluster([':local:rpython=%s:name=bare' % bare_python()], output=None) as bare:
        with pytest.raises(RuntimeError, match='bare has no dask.*Environment'):
            bare.dask()
        packages = Environment(['dask==%s' % importlib.metadata.version('dask'), 'distributed==%s' % VERSION])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with bare.dask(environment=packages, dashboard=False) as client:
                (place,) = client.run(lambda: distributed.__file__).values()
                assert 'easycluster-env-' in place and os.path.exists(place)
                assert client.submit(pow, 2, 10).result() == 1024
        assert not os.path.exists(place)


def test_a_worker_that_cannot_start_is_one_clear_error(cluster):
    with pytest.raises(Exception, match='host0|host1') as info:
        cluster.dask(dashboard=False, preload=['import nosuchmodule_xyz'])
    assert 'nosuchmodule' in str(info.value) or 'status' in str(info.value)


def test_options_that_cannot_be_sent_are_told(cluster):
    """No start waits for a worker that will never be."""
    with pytest.raises(TypeError, match='pickle'):
        cluster.dask(preload=threading.Lock(), dashboard=False)


def test_leaving_an_asynchronous_client_ends_the_workers(cluster):
    async def main():
        async with cluster.dask(threads=1, dashboard=False, asynchronous=True) as client:
            assert await client.submit(sum, [1, 2]) == 3
            scheduler = client.cluster
        assert scheduler.status == distributed.core.Status.closed
        # The last of them leaves as its link is read to its end, in a thread of the router's.
        assert poll(lambda: len(scheduler._router) == 0)

    asyncio.run(main())


def test_numbers_of_processes_come_round_again(client):
    """Past those of processes that still run."""
    cluster = client.cluster
    cluster._numbers = itertools.cycle(range(1, 4))
    cluster.scale(3)
    client.wait_for_workers(3, 60)
    assert cluster._taken == {1, 2, 3}
    cluster.scale(2)
    assert poll(lambda: len(cluster._taken) == 2, 60)


def test_two_clusters_share_an_event_loop(cluster):
    """Started at the same time, and one goes on when the other has ended."""

    async def main():
        clusters = [EasyCluster(cluster, threads=1, dashboard=False, asynchronous=True) for _ in range(2)]
        one, other = await asyncio.gather(*clusters)
        async with distributed.Client(one, asynchronous=True) as client:
            async with distributed.Client(other, asynchronous=True) as second:
                assert await client.gather(client.map(lambda number: number + 1, range(9))) == list(range(1, 10))
                assert await second.submit(sum, [1, 2]) == 3
                first, last = [set((await each.run(os.getpid)).values()) for each in (client, second)]
                assert len(first) == len(last) == 2 and not first & last
            await other.close()
            one.scale(3)
            await client.wait_for_workers(3, 60)
            assert await client.submit(sum, [1, 4]) == 5
        await one.close()

    asyncio.run(asyncio.wait_for(main(), 120))
