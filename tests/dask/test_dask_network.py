"""Dask on three machines with addresses of their own, which have no Dask and one port open: that of sshd."""

from __future__ import annotations

import pytest
from support.network import run_beside
from support.wheels import FRAMES, bare_python, requirements

pytest.importorskip('distributed')

PROGRAM = '''
import os, sys
import easycluster
from support import dask_work
from support.network import left_in_tmp
from support.processes import poll

specs = [spec + ':rpython=' + sys.argv[1] for spec in sys.stdin.read().split()]
packages = easycluster.Environment(sys.argv[2:])
LISTENERS = "ss -ltnH | awk '{print $4}'"

with easycluster.Cluster(specs, output=None) as cluster:
    before = {host: set(done.stdout.split()) for host, done in cluster.command(LISTENERS).items()}
    client = cluster.dask(environment=packages, threads=1, dashboard=False)
    assert len(client.run(os.getpid)) == 3
    dask_work.group_and_shuffle('2024-01-15')
    # No port but those that there were, and loopback's.
    for host, done in cluster.command(LISTENERS).items():
        added = set(done.stdout.split()) - before[host]
        assert all(each.startswith(('127.0.0.1:', '[::1]:')) for each in added), (host, added)
    # More workers as there is work.
    dask_work.adapts(client, 4, lambda: poll(lambda: len(client.scheduler_info(n_workers=-1)['workers']) > 3, 60))
    # A worker is killed, and comes again.
    dask_work.survives(client, 60, lambda: dask_work.kill_a_worker(client))
    # A link is killed: that of a whole machine.
    kill = 'kill -9 $(ps -o ppid= -p $PPID)'
    dask_work.survives(client, 60, lambda: cluster['*77.0.2*'].command(kill, return_exceptions=True))
    assert cluster.lost
    client.close()
    assert len(cluster.eval('1')) == 2
print('all is well')
# The machines are as they were.
with easycluster.Cluster(specs, output=None) as cluster:
    left = lambda: left_in_tmp(cluster)
    assert poll(lambda: not any(left().values()), 60), left()
'''


@pytest.mark.xdist_group('wheels')
def test_three_machines_that_have_only_an_sshd(tmp_path, wheels):
    said = run_beside(3, PROGRAM, bare_python(), *requirements(FRAMES), TMPDIR=str(tmp_path), timeout=240, **wheels)
    assert 'all is well' in said
