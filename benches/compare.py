"""Compares with EasyCluster 0.22.3, execnet and Mitogen, in one run over the same sshd, each in its own default way.

    python benches/compare.py WHEEL [--rounds 3] [--only NAME] [--python PATH]

Makes a temporary virtual environment, installs the wheel and the others from PyPI into it, starts sshds of its own on the
loopback, and prints a table and the ratios. Each subject runs in a process of its own; the best of the rounds counts.

`echo` is one call beside what a Python answers over `ssh` that sends back each line it gets: what no call can save.
`hosts32` and `memory32` have 32 different addresses, so that no two share a connection. Memory is what one more connection
adds, child processes included, to a program that has one already.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tests'))

from goals import GOALS

OTHERS = ['EasyCluster==0.22.3', 'execnet==2.1.2', 'mitogen==0.3.54']
MEASURES = {
    # name: unit, and whether less is better
    'connect': ('ms', True),
    'call': ('us', True),
    'echo': ('us', True),
    'flight': ('/s', False),
    'up': ('MiB/s', False),
    'down': ('MiB/s', False),
    'hosts32': ('s', True),
    'memory32': ('MiB', True),
}

# How many addresses one server listens on; sshd has 16 at most.
ADDRESSES = 16

# What each subject's process runs: functions measure_NAME() -> number, given TARGETS (address, port, spec), SSH (arguments of
# ssh), USER, PYTHON and IDENTITY.
COMMON = r'''
import gc, json, os, sys, time
now = time.perf_counter
CALLS, FLIGHT, SIZE = 3000, 50000, 64 << 20

def children(pid):
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open('/proc/%s/stat' % name) as stat:
                    fields = stat.read().rpartition(')')[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(name))
                found.extend(children(int(name)))
    return found

def memory(pid):
    """Memory that is this process's own or its share, in MiB."""
    with open('/proc/%d/smaps_rollup' % pid) as rollup:
        for line in rollup:
            if line.startswith('Pss:'):
                return int(line.split()[1]) / 1024

def tree_memory():
    return sum(memory(pid) for pid in [os.getpid()] + children(os.getpid()))
'''

SUBJECTS = {
    'ours': r'''
import easycluster
from easycluster import Client, connect_multi

SPECS = [spec for _, _, spec in TARGETS]
SPEC = SPECS[0]

def measure_connect():
    start = now()
    client = Client.from_spec(SPEC)
    assert client.eval('1 + 1') == 2
    took = now() - start
    client.close()
    return took * 1000

def client():
    made = Client.from_spec(SPEC)
    made.execblock('def add(a, b):\n    return a + b\ndef echo(data):\n    return data\n')
    return made

def measure_call():
    rmt = client()
    add = rmt.add
    for _ in range(200):
        add(1, 2)
    start = now()
    for _ in range(CALLS):
        add(1, 2)
    took = now() - start
    rmt.close()
    return took / CALLS * 1e6

def measure_echo():
    return measure_call()

def measure_flight():
    rmt = client()
    add = rmt.add
    start = now()
    responses = [add(number, 2, nonblocking=True) for number in range(FLIGHT)]
    for response in responses:
        response.wait()
    took = now() - start
    assert responses[-1].wait() == FLIGHT + 1
    rmt.close()
    return FLIGHT / took

def measure_up():
    rmt = client()
    data = bytes(SIZE)
    start = now()
    assert rmt.len(data) == SIZE
    took = now() - start
    rmt.close()
    return SIZE / took / (1 << 20)

def measure_down():
    rmt = client()
    rmt.execblock('data = bytes(%d)' % SIZE)
    start = now()
    assert len(rmt.eval('data')) == SIZE
    took = now() - start
    rmt.close()
    return SIZE / took / (1 << 20)

def measure_hosts32():
    start = now()
    clients = connect_multi(SPECS)
    assert easycluster.eval_multi(clients, '1 + 1') == [2] * len(SPECS)
    took = now() - start
    for made in clients:
        made.close()
    return took

def measure_memory32():
    first = client()
    before = tree_memory()
    clients = connect_multi(SPECS[1:])
    assert easycluster.eval_multi(clients, '1 + 1') == [2] * len(clients)
    gc.collect()
    return (tree_memory() - before) / len(clients)
''',
    'EasyCluster': r'''
import easycluster
from easycluster import Client, define_common
define_common('def add(a, b):\n    return a + b\n')

def client(target=TARGETS[0]):
    return Client(None, target[0], port=target[1], ssh='ssh', user=USER, rpython=PYTHON, extra_args=SSH)

def measure_connect():
    start = now()
    made = client()
    assert made.eval('1 + 1') == 2
    took = now() - start
    made.close()
    return took * 1000

def measure_call():
    rmt = client()
    add = rmt.add
    for _ in range(200):
        add(1, 2)
    start = now()
    for _ in range(CALLS):
        add(1, 2)
    took = now() - start
    rmt.close()
    return took / CALLS * 1e6

def measure_flight():
    # More than a pipe holds blocks it forever, so 50 at a time.
    rmt = client()
    add = rmt.add
    add(1, 2)
    start = now()
    for _ in range(FLIGHT // 50):
        responses = [add(1, 2, nonblocking=True) for _ in range(50)]
        for response in responses:
            response.wait()
    took = now() - start
    rmt.close()
    return FLIGHT / took

def measure_hosts32():
    start = now()
    clients = [client(target) for target in TARGETS]
    assert easycluster.eval_multi(clients, '1 + 1') == [2] * len(clients)
    took = now() - start
    for made in clients:
        made.close()
    return took

def measure_memory32():
    first = client()
    before = tree_memory()
    clients = [client(target) for target in TARGETS[1:]]
    assert easycluster.eval_multi(clients, '1 + 1') == [2] * len(clients)
    return (tree_memory() - before) / len(clients)
''',
    'execnet': r'''
import execnet

def gateway(target=TARGETS[0]):
    address, port, _ = target
    return execnet.makegateway('ssh=%s %s@%s//python=%s' % (' '.join(SSH + ['-p', str(port)]), USER, address, PYTHON))

ECHO = 'while 1:\n    a, b = channel.receive()\n    channel.send(a + b)\n'

def measure_connect():
    start = now()
    made = gateway()
    assert made.remote_exec('channel.send(1 + 1)').receive() == 2
    took = now() - start
    made.exit()
    return took * 1000

def measure_call():
    channel = gateway().remote_exec(ECHO)
    for _ in range(200):
        channel.send((1, 2)); channel.receive()
    start = now()
    for _ in range(CALLS):
        channel.send((1, 2)); channel.receive()
    return (now() - start) / CALLS * 1e6

def measure_flight():
    channel = gateway().remote_exec(ECHO)
    channel.send((1, 2)); channel.receive()
    start = now()
    for number in range(FLIGHT):
        channel.send((number, 2))
    for number in range(FLIGHT):
        channel.receive()
    return FLIGHT / (now() - start)

def measure_up():
    channel = gateway().remote_exec('channel.send(0)\nchannel.send(len(channel.receive()))')
    channel.receive()
    data = bytes(SIZE)
    start = now()
    channel.send(data)
    assert channel.receive() == SIZE
    return SIZE / (now() - start) / (1 << 20)

def measure_down():
    channel = gateway().remote_exec('data = bytes(%d)\nchannel.send(0)\nchannel.receive()\nchannel.send(data)' % SIZE)
    channel.receive()
    start = now()
    channel.send(0)
    assert len(channel.receive()) == SIZE
    return SIZE / (now() - start) / (1 << 20)

def measure_hosts32():
    start = now()
    made = [gateway(target) for target in TARGETS]
    channels = [each.remote_exec('channel.send(1 + 1)') for each in made]
    assert [channel.receive() for channel in channels] == [2] * len(made)
    return now() - start

def measure_memory32():
    first = gateway()
    before = tree_memory()
    made = [gateway(target) for target in TARGETS[1:]]
    channels = [each.remote_exec('channel.send(1 + 1)') for each in made]
    assert [channel.receive() for channel in channels] == [2] * len(made)
    return (tree_memory() - before) / len(made)
''',
    'Mitogen': r'''
import logging
import mitogen.core, mitogen.master, mitogen.utils, mitogen.select
import compare_functions

def measured(function):
    def run():
        return mitogen.utils.run_with_router(function)
    return run

def context(router, target=TARGETS[0]):
    return router.ssh(hostname=target[0], port=target[1], username=USER, identity_file=IDENTITY, python_path=PYTHON,
                      check_host_keys='ignore', ssh_args=['-F', 'none', '-o', 'IdentityAgent=none'])

@measured
def measure_connect(router):
    start = now()
    made = context(router)
    assert made.call(compare_functions.add, 1, 1) == 2
    return (now() - start) * 1000

@measured
def measure_call(router):
    made = context(router)
    for _ in range(200):
        made.call(compare_functions.add, 1, 2)
    start = now()
    for _ in range(CALLS):
        made.call(compare_functions.add, 1, 2)
    return (now() - start) / CALLS * 1e6

@measured
def measure_flight(router):
    made = context(router)
    made.call(compare_functions.add, 1, 2)
    start = now()
    receivers = [made.call_async(compare_functions.add, number, 2) for number in range(FLIGHT)]
    for receiver in receivers:
        receiver.get().unpickle()
    return FLIGHT / (now() - start)

@measured
def measure_up(router):
    made = context(router)
    made.call(compare_functions.size, b'')
    data = bytes(SIZE)
    start = now()
    assert made.call(compare_functions.size, data) == SIZE
    return SIZE / (now() - start) / (1 << 20)

@measured
def measure_down(router):
    made = context(router)
    made.call(compare_functions.zeros, 1)
    start = now()
    assert len(made.call(compare_functions.zeros, SIZE)) == SIZE
    return SIZE / (now() - start) / (1 << 20)

@measured
def measure_hosts32(router):
    import concurrent.futures
    start = now()
    with concurrent.futures.ThreadPoolExecutor(len(TARGETS)) as pool:
        made = list(pool.map(lambda target: context(router, target), TARGETS))
    receivers = [each.call_async(compare_functions.add, 1, 1) for each in made]
    assert [receiver.get().unpickle() for receiver in receivers] == [2] * len(made)
    return now() - start

@measured
def measure_memory32(router):
    first = context(router)
    first.call(compare_functions.add, 1, 1)
    before = tree_memory()
    made = [context(router, target) for target in TARGETS[1:]]
    receivers = [each.call_async(compare_functions.add, 1, 1) for each in made]
    assert [receiver.get().unpickle() for receiver in receivers] == [2] * len(made)
    return (tree_memory() - before) / len(made)
''',
    'ssh': r'''
import subprocess

ECHO = 'import os\ndata = 1\nwhile data:\n data = os.read(0, 4096)\n os.write(1, data)'

def measure_echo():
    address, port, _ = TARGETS[0]
    command = ['ssh', *SSH, '-p', str(port), '%s@%s' % (USER, address), "exec %s -c '%s'" % (PYTHON, ECHO)]
    there = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    write, read = there.stdin.fileno(), there.stdout.fileno()
    line = b'x' * 63 + b'\n'
    for number in range(200 + CALLS):
        if number == 200:
            start = now()
        os.write(write, line)
        assert os.read(read, 4096) == line
    took = now() - start
    there.stdin.close()
    there.kill()
    return took / CALLS * 1e6
''',
}

FUNCTIONS = 'def add(a, b):\n    return a + b\n\ndef size(data):\n    return len(data)\n\ndef zeros(size):\n    return bytes(size)\n'


def environments(folder: Path, wheel: str) -> dict[str, str]:
    """An interpreter for each subject: ours in one environment, the others in another, as both have a package `easycluster`."""
    return {name: environment(folder / name, packages) for name, packages in [('ours', [wheel]), ('others', OTHERS)]}


def environment(folder: Path, packages: list[str]) -> str:
    """The interpreter of a new virtual environment with these packages."""
    venv.create(folder, with_pip=True)
    python = str(folder / 'bin' / 'python')
    subprocess.run([python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *packages], check=True)
    return python


def measure(python: str, subject: str, name: str, settings: str, folder: Path) -> float | None:
    """One measurement in a process of its own; None where the subject does not come to an end."""
    script = COMMON + settings + SUBJECTS[subject]
    script += "\nprint('RESULT', json.dumps(measure_%s()), flush=True)\nos._exit(0)\n" % name
    try:
        done = subprocess.run([python, '-c', script], capture_output=True, text=True, timeout=120, cwd=folder)
    except subprocess.TimeoutExpired:
        return None
    for line in done.stdout.splitlines():
        if line.startswith('RESULT '):
            return float(json.loads(line[7:]))
    print('%s, %s: %s' % (subject, name, done.stderr.strip().splitlines()[-1:]), file=sys.stderr)
    return None


def main() -> int:
    """Measures and prints; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('wheel')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', action='append', choices=MEASURES)
    parser.add_argument('--python', default=sys.executable, help='the remote interpreter; default: this one')
    options = parser.parse_args()
    from support.sshd import Sshd, public

    missed = 0
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Sshd(addresses=ADDRESSES)) for _ in range(2)]
        server = servers[0]
        folder = Path(temporary)
        (folder / 'compare_functions.py').write_text(FUNCTIONS)
        pythons = environments(folder, os.path.abspath(options.wheel))
        remote = options.python
        # One key and one file of host keys for both servers, because each subject is told of one.
        for other in servers[1:]:
            other.authorize(public(server.key))
            with open(server.known_hosts, 'a') as known:
                known.write(other.known_hosts.read_text())
        arguments = [part for part in server.ssh()[1:-1] if part not in ('-p', str(server.port))]
        targets = []
        for each in servers:
            for last in range(1, ADDRESSES + 1):
                address = '127.0.0.%d' % last
                log_in = 'identity=%s:known_hosts=%s' % (server.key, server.known_hosts)
                spec = '%s@%s:%d:%s:config=none:batch=yes:rpython=%s' % (
                    server.user,
                    address,
                    each.port,
                    log_in,
                    remote,
                )
                targets.append((address, each.port, spec))
        settings = 'TARGETS, USER, PYTHON, SSH, IDENTITY = %r\n' % (
            (targets, server.user, remote, arguments, str(server.key)),
        )
        print('%-10s %12s %12s %12s %12s %12s   %s' % ('', *SUBJECTS, 'ratio (goal)'))
        for name in options.only or MEASURES:
            unit, less = MEASURES[name]
            wanted = GOALS['package'][name]
            best: dict[str, float] = {}
            for _ in range(options.rounds):
                for subject in SUBJECTS:
                    if 'def measure_%s(' % name not in SUBJECTS[subject]:
                        continue
                    python = pythons['ours' if subject == 'ours' else 'others']
                    value = measure(python, subject, name, settings, folder)
                    if value is not None:
                        best[subject] = (min if less else max)(value, best.get(subject, value))
            rivals = [best[subject] for subject in best if subject != 'ours']
            if 'ours' not in best or not rivals:
                print('%-10s not measured' % name)
                missed += 1
                continue
            ratio = best['ours'] / (min if less else max)(rivals)
            met = ratio <= wanted if less else ratio >= wanted
            missed += not met
            cells = ['%12.4g' % best[subject] if subject in best else '%12s' % '-' for subject in SUBJECTS]
            print(
                '%-10s %s   %.2f (%s %.2f%s) %s'
                % (
                    name,
                    ' '.join(cells),
                    ratio,
                    'at most' if less else 'at least',
                    wanted,
                    '' if met else ', missed',
                    unit,
                ),
                flush=True,
            )
    return int(bool(missed))


if __name__ == '__main__':
    sys.exit(main())
