"""Workers of Dask that do not start, at first or again: on which host, why, and what is done then."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from easycluster import Cluster
from support.processes import descendants, poll

pytest.importorskip('distributed')
import easycluster.dask.worker
from easycluster.dask import EasyCluster

pytestmark = pytest.mark.xdist_group('dask')

HERE = ':local:rpython=%s:name=host%%d' % sys.executable


@pytest.fixture(scope='module')
def cluster():
    with Cluster([HERE % number for number in range(2)], output=None) as made:
        yield made


def workers_of(client):
    return client.scheduler_info(n_workers=-1)['workers']


def worker_processes():
    return [process for process in descendants(os.getpid()) if 'descriptor' in process.command]


def test_a_host_that_is_lost_while_workers_start_costs_no_start(sshd):
    specs = [sshd.spec('rpython=%s' % sys.executable, 'name=lost'), HERE % 1]
    with Cluster(specs, output=None) as cluster:

        def lose():
            # The worker on the other host, and the one at the other end of the connection.
            poll(worker_processes)
            sshd.break_sessions()

        losing = threading.Thread(target=lose)
        losing.start()
        with cluster.dask(
            threads=1, dashboard=False, preload=['import threading; threading.Event().wait(2)']
        ) as client:
            losing.join()
            assert len(workers_of(client)) == 2
            assert list(cluster.lost) == ['lost']


def test_a_start_all_of_whose_hosts_are_lost_says_so(sshd):
    with Cluster([sshd.spec('rpython=%s' % sys.executable, 'name=lost')], output=None) as cluster:

        def lose(self, host):
            sshd.break_sessions()
            poll(lambda: cluster.lost)
            return {}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EasyCluster, '_variables', lose)
            with pytest.raises(RuntimeError, match='no host of the cluster is left for a worker of Dask: lost: '):
                cluster.dask(threads=1, dashboard=False)


def test_a_worker_that_a_host_cannot_start_is_told_with_the_host():
    with Cluster([HERE % 0], output=None) as cluster:
        cluster.execblock("import tempfile; tempfile.tempdir = '/nowhere'")
        with pytest.raises(RuntimeError, match="host0: the worker 0 does not run: .*No such file.*'/nowhere"):
            cluster.dask(threads=1, dashboard=False)


def test_a_worker_that_is_not_started_is_not_counted_as_one(cluster, monkeypatch):
    with cluster.dask(threads=1, dashboard=False) as client:

        def fail(self, host):
            raise OSError('the disk is full')

        with monkeypatch.context() as patch:
            patch.setattr(EasyCluster, '_variables', fail)
            client.cluster.scale(3)
            assert poll(lambda: len(client.cluster.worker_spec) == 2), client.cluster.workers
        client.cluster.scale(3)
        client.wait_for_workers(3, 60)


def test_a_worker_that_waits_for_its_next_start_ends_at_once(cluster, monkeypatch, caplog):
    monkeypatch.setattr(easycluster.dask.worker, '_FIRST', 30.0)
    client = cluster.dask(threads=1, dashboard=False)
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert poll(lambda: len(workers_of(client)) == 1)
    assert poll(lambda: 'was ended by SIGKILL, as where memory runs out; it is started again' in caplog.text), (
        caplog.text
    )
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 8


def test_scratch_files_go_though_what_started_the_worker_is_killed(sshd):
    specs = [sshd.spec('rpython=%s' % sys.executable, 'name=lost')]
    with Cluster(specs, output=None) as cluster, cluster.dask(threads=1, dashboard=False) as client:
        ((folder, parent),) = client.run(lambda: (os.environ['EASYCLUSTER_WORKER_FOLDER'], os.getppid())).values()
        assert os.listdir(folder)
        os.kill(parent, signal.SIGKILL)
        assert poll(lambda: not os.path.exists(folder)), os.listdir(folder)
