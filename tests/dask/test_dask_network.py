"""Dask on three machines with addresses of their own, which have no Dask and one port open: that of sshd."""

from __future__ import annotations

import pytest
from support.network import run_beside
from support.wheels import FRAMES, bare_python, requirements

pytest.importorskip('distributed')

PROGRAM = '''
import os, signal, sys, threading
import dask, distributed, dask.dataframe, pandas
import easycluster
from support.processes import poll

specs = [spec + ':rpython=' + sys.argv[1] for spec in sys.stdin.read().split()]
packages = easycluster.Environment(sys.argv[2:])
LISTENERS = "ss -ltnH | awk '{print $4}'"

def one():
    return os.getpid()

def frame():
    return dask.datasets.timeseries('2024-01-01', '2024-01-15', freq='10min', partition_freq='1d', seed=3)

with easycluster.Cluster(specs, output=None) as cluster:
    before = {host: set(done.stdout.split()) for host, done in cluster.command(LISTENERS).items()}
    client = cluster.dask(environment=packages, threads=1, dashboard=False)
    assert len(client.run(one)) == 3
    # A group-by and a shuffle, compared with pandas here.
    wanted = frame().compute(scheduler='sync')
    means = frame().groupby('name').x.mean().compute()
    pandas.testing.assert_series_equal(means.sort_index(), wanted.groupby('name').x.mean().sort_index())
    with dask.config.set({'dataframe.shuffle.method': 'p2p'}):
        shuffled = frame().shuffle('name', npartitions=6)
        parts = shuffled.map_partitions(lambda part: part[['name']].drop_duplicates(), meta={'name': object}).compute()
        assert sorted(parts['name']) == sorted(wanted['name'].unique())
        assert len(shuffled) == len(wanted)
    # No port but those that there were, and loopback's.
    for host, done in cluster.command(LISTENERS).items():
        added = set(done.stdout.split()) - before[host]
        assert all(each.startswith(('127.0.0.1:', '[::1]:')) for each in added), (host, added)
    # More workers as there is work.
    client.cluster.adapt(minimum=3, maximum=6, interval='100ms', wait_count=2)
    futures = client.map(lambda number: threading.Event().wait(0.2) or number, range(200), pure=False)
    assert poll(lambda: len(client.scheduler_info(n_workers=-1)['workers']) > 3, 60)
    assert client.gather(futures) == list(range(200))
    client.cluster.adapt(minimum=3, maximum=3)
    # A worker is killed, and comes again.
    futures = client.map(lambda number: threading.Event().wait(0.05) or number, range(60), pure=False)
    # Some may be on their way out.
    killed = next(pid for pid in client.run(one, on_error='return').values() if isinstance(pid, int))
    os.kill(killed, signal.SIGKILL)
    assert client.gather(futures) == list(range(60))
    # A link is killed: that of a whole machine.
    futures = client.map(lambda number: threading.Event().wait(0.05) or number, range(60), pure=False)
    cluster['*77.0.2*'].command('kill -9 $(ps -o ppid= -p $PPID)', return_exceptions=True)
    assert client.gather(futures) == list(range(60))
    assert cluster.lost
    client.close()
    assert len(cluster.eval('1')) == 2
print('all is well')
# The machines are as they were.
with easycluster.Cluster(specs, output=None) as cluster:
    left = lambda: cluster.eval('__import__("os").listdir("/tmp")')
    assert poll(lambda: not any(left().values()), 60), left()
'''


@pytest.mark.xdist_group('wheels')
def test_three_machines_that_have_only_an_sshd(tmp_path, wheels):
    said = run_beside(3, PROGRAM, bare_python(), *requirements(FRAMES), TMPDIR=str(tmp_path), timeout=240, **wheels)
    assert 'all is well' in said
