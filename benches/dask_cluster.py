"""Dask on the hosts of a cluster, compared with Dask's own SSHCluster over the same sshd in the same run.

    python benches/dask_cluster.py [--rounds 5]

Needs the package, from a release build, distributed, asyncssh, cryptography and numpy installed for the same Python, which is that of the
hosts as well. In every round each has its turn: it connects to three addresses, has a worker on each, and sends 200 MB from one to
another. What is compared are seconds of the same round; the first, in which everything is new to everybody, does not count. Beside the
way over the sessions stands what `ssh` takes for as much from one host through this machine to another.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import distributed
import easycluster

# Imported before anything is measured, as SSHCluster is.
import easycluster.dask  # noqa: F401
import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests'))

from goals import goal
from support.sshd import Sshd

HOSTS = ['127.0.0.%d' % number for number in (1, 2, 3)]
BYTES = 200_000_000


def made(count):
    return numpy.ones(count // 8)


@contextlib.contextmanager
def ssh_cluster(server):
    """Dask's own: workers and scheduler on the hosts, which reach each other by TCP."""
    options = {
        'port': server.port,
        'username': server.user,
        'client_keys': [str(server.key)],
        'known_hosts': None,
        'config': None,
    }
    with (
        distributed.SSHCluster(
            [HOSTS[0], *HOSTS],
            connect_options=options,
            worker_options={'nthreads': 1},
            scheduler_options={'port': 0, 'dashboard_address': '127.0.0.1:0'},
            remote_python=sys.executable,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def ours(server, traffic):
    specs = [server.spec('rpython=' + sys.executable, address=address) for address in HOSTS]
    with easycluster.Cluster(specs, output=None) as cluster:
        with cluster.dask(threads=1, traffic=traffic) as client:
            yield client


def by_ssh(server):
    """The seconds that as many bytes take from one host to another by two processes of ssh, of which one pipes into the other."""
    took = []
    for _ in range(3):
        begun = time.monotonic()
        sending = subprocess.Popen([*server.ssh(), 'head -c %d /dev/zero' % BYTES], stdout=subprocess.PIPE)
        receiving = subprocess.Popen([*server.ssh(), 'wc -c'], stdin=sending.stdout, stdout=subprocess.PIPE)
        assert sending.stdout is not None
        sending.stdout.close()
        assert int(receiving.communicate()[0]) == BYTES and sending.wait() == 0
        took.append(time.monotonic() - begun)
    return statistics.median(took)


def turn(cluster):
    """The seconds until three workers are up, and those that data takes from one to another."""
    begun = time.monotonic()
    with cluster as client:
        client.wait_for_workers(len(HOSTS))
        up = time.monotonic() - begun
        one, other = list(client.scheduler_info(n_workers=-1)['workers'])[:2]
        took = []
        for _ in range(3):
            data = client.submit(made, BYTES, workers=[one], pure=False)
            distributed.wait(data)
            begun = time.monotonic()
            assert client.submit(len, data, workers=[other], pure=False).result() == BYTES // 8
            took.append(time.monotonic() - begun)
    return up, statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    for name in ('asyncssh', 'distributed'):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter('ignore')
    seconds: dict[str, list[tuple[float, float]]] = {}
    pipes = []
    with Sshd(addresses=len(HOSTS), max_sessions=100) as server:
        for _ in range(rounds + 1):
            for name, cluster in (
                ('SSHCluster', ssh_cluster(server)),
                ('session', ours(server, 'session')),
                ('direct', ours(server, 'direct')),
            ):
                seconds.setdefault(name, []).append(turn(cluster))
            pipes.append(by_ssh(server))
    theirs = seconds.pop('SSHCluster')[1:]
    for place, what in ((0, 'three workers up'), (1, '200 MB from worker to worker')):
        for name, each in seconds.items():
            ratio = statistics.median(mine[place] / others[place] for mine, others in zip(each[1:], theirs))
            key = '%-30s %s' % (what, name)
            wanted = goal('dask', key)
            print('%-39s %.2f s, SSHCluster %.2f s: %.2f of it%s' % (
                key, statistics.median(mine[place] for mine in each[1:]),
                statistics.median(others[place] for others in theirs), ratio,
                '' if wanted is None else ' (goal %g)' % wanted,
            ))  # fmt: skip
    ratio = statistics.median(mine[1] / pipe for mine, pipe in zip(seconds['session'][1:], pipes[1:]))
    took = statistics.median(mine[1] for mine in seconds['session'][1:])
    print('%-30s %-8s %.2f s, two ssh %.2f s: %.2f of it' % (
        '200 MB from host to host', 'session', took, statistics.median(pipes[1:]), ratio,
    ))  # fmt: skip


if __name__ == '__main__':
    main()
