"""What parts of a call and of a transfer cost: the steps of a call in this package, and what each cipher takes at both ends.

    python benches/inside.py [--rounds 5]

Needs the package, from a release build, installed for the same Python. Starts an sshd of its own. Steps are nanoseconds of this process,
the least of the rounds; ciphers are milliseconds of processor time for a MiB, the median of the rounds, of this process, of sshd and of the
Python behind it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import easycluster

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests'))

from support.processes import all_processes
from support.sshd import Sshd

CALLS = 20000
MIB = 64
CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes256-ctr']


def used(pid: int) -> float:
    """Milliseconds of processor time of a process, its threads that have ended not among them."""
    total = 0
    for thread in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/schedstat' % (pid, thread)) as stat:
            total += int(stat.read().split()[0])
    return total / 1e6


def least(work: Callable[[], Any], rounds: int) -> float:
    """Nanoseconds that one of CALLS takes in the quickest round."""
    best = float('inf')
    for _ in range(rounds):
        begun = time.perf_counter_ns()
        for _ in range(CALLS):
            work()
        best = min(best, (time.perf_counter_ns() - begun) / CALLS)
    return best


def steps(client: Any, rounds: int) -> None:
    """The steps of `client.add(1, 2)`."""
    client.execblock('def add(a, b):\n    return a + b\n')
    add = client.add
    message = ('add', (1, 2), {})
    answer = pickle.dumps(3, client._protocol)
    whole = least(lambda: add(1, 2), rounds)
    # With the native half replaced by nothing, what is left is what Python does before it.
    client._wait_for_call = lambda *request: None
    front = least(lambda: add(1, 2), rounds)
    del client._wait_for_call
    empty = least(lambda: None, rounds)
    pickled = least(lambda: pickle.dumps(message, client._protocol), rounds) - empty
    loaded = least(lambda: pickle.loads(answer), rounds) - empty
    print('one call %d ns: request made %d (of which pickled %d), answer unpickled %d, sent and waited for %d' % (
        whole, front - empty, pickled, loaded, whole - front - loaded))  # fmt: skip


def ends(client: Any) -> dict[str, int]:
    """The processes of a connection: this one, sshd's and the Python."""
    python = client.eval('__import__("os").getpid()')
    parents = {process.pid: process.parent for process in all_processes()}
    return {'here': os.getpid(), 'sshd': parents[python], 'there': python}


def cipher(server: Sshd, name: str, rounds: int, folder: str) -> None:
    """A line of what a cipher takes."""
    config = Path(folder) / 'config'
    config.write_text('Ciphers %s\n' % name)
    spec = server.spec('rpython=' + sys.executable).replace('config=none', 'config=%s' % config)
    with easycluster.Client.from_spec(spec) as client:
        client.execblock('data = bytes(%d << 20)' % MIB)
        data = bytes(MIB << 20)
        processes = ends(client)
        taken: dict[str, list[list[float]]] = {'up': [], 'down': []}
        for _ in range(rounds + 1):
            for way, work in (('up', lambda: client.len(data)), ('down', lambda: client.eval('data'))):
                before = [used(pid) for pid in processes.values()]
                work()
                taken[way].append([(used(pid) - then) / MIB for pid, then in zip(processes.values(), before)])
    for way, runs in taken.items():
        # The first of a connection touches memory for the first time.
        figures = [statistics.median(each) for each in zip(*runs[1:])]
        shown = '  '.join('%s %.2f' % pair for pair in zip(processes, figures))
        print('%-30s %-5s %s ms of processor time a MiB' % (name, way, shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    with Sshd() as server, tempfile.TemporaryDirectory() as folder:
        with easycluster.Client.from_spec(server.spec('rpython=' + sys.executable)) as client:
            steps(client, rounds)
        for name in CIPHERS:
            cipher(server, name, rounds, folder)


if __name__ == '__main__':
    main()
