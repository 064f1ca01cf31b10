"""The program on many hosts at once, beside parallel-ssh, asyncssh and ssh by xargs, in one run over the same servers.

    python benches/many_hosts_program.py PROGRAM [--hosts 200] [--rounds 3] [--only NAME] [--at-once 200]
    python benches/many_hosts_program.py PROGRAM --hold [--hosts 200]
    python benches/many_hosts_program.py PROGRAM --stand-in [--hosts 5000]

PROGRAM is a build of `easycluster` of the profile `dist`. Starts sshds of its own on the loopback, 16 addresses each, so that each host
is an address of its own; makes a temporary virtual environment for the others from PyPI. Each subject has `print(1)` printed by a Python
on every host and ends when it has all lines; the best of the rounds counts. `exec` is the program too, without a Python of its own on
the hosts. Prints a table and the ratios to each of the others.

- wall: seconds from the start of the program to its end
- processor: seconds of processor time of the program and what it starts here; what sshd and the Pythons take is not in it
- memory: the most that the program and what it starts here had at once, in MiB, each page that they share counted once

`--hold` has every host wait until all are there, and prints the program's memory at that moment and how much each host adds.

`--stand-in` has `exec` work on 200 and on 5,000 hosts, which one server of ours plays (benches/stand_in.rs, built by cargo): all
connected at once, 200 at once, and as many as without `-j`. Prints processor time and memory for each host.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tests'))

from support.processes import poll
from support.sshd import Sshd

OTHERS = ['parallel-ssh', 'asyncssh']
# The program's own subjects.
OWN = ('easycluster', 'exec')

# How many addresses one server listens on; sshd has 16 at most.
ADDRESSES = 16

CODE = 'print(1)'

PARALLEL_SSH = r"""
import sys
from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig
key, user, at_once, command, *targets = sys.argv[1:]
pairs = [target.rsplit(':', 1) for target in targets]
client = ParallelSSHClient(
    [address for address, _ in pairs],
    host_config=[HostConfig(user=user, port=int(port), private_key=key) for _, port in pairs],
    pool_size=int(at_once), allow_agent=False, num_retries=1,
)
count = 0
for output in client.run_command(command):
    for line in output.stdout:
        count += line == '1'
assert count == len(targets), count
"""

ASYNCSSH = r"""
import asyncio, sys, asyncssh
key, user, at_once, command, *targets = sys.argv[1:]
limit = asyncio.Semaphore(int(at_once))
async def one(target):
    address, port = target.rsplit(':', 1)
    async with limit, asyncssh.connect(
        address, int(port), username=user, client_keys=[key], known_hosts=None, config=None, agent_path=None
    ) as connection:
        return (await connection.run(command, check=True)).stdout
async def main():
    lines = await asyncio.gather(*map(one, targets))
    assert lines == ['1\n'] * len(targets), lines
asyncio.run(main())
"""


def processes_below(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir('/proc'):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, 'stat').read_text().rpartition(')')[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def memory(pids: list[int]) -> float:
    """What these processes have, in MiB; pages that several share are counted once among them."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path('/proc/%d/smaps_rollup' % pid).read_text().splitlines():
                if line.startswith('Pss:'):
                    total += int(line.split()[1]) / 1024
    return total


class Measured:
    """Runs a command to its end."""

    def __init__(self, command: list[str], lines: int) -> None:
        self.memory = 0.0
        with tempfile.TemporaryFile() as output:
            begun = time.perf_counter()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
            watching = threading.Event()
            watcher = threading.Thread(target=self._watch, args=(process.pid, watching))
            watcher.start()
            _, status, usage = os.wait4(process.pid, 0)
            self.wall = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            watching.set()
            watcher.join()
            output.seek(0)
            printed = output.read().splitlines()
        self.processor = usage.ru_utime + usage.ru_stime
        if process.returncode != 0 or (lines and sum(line.endswith(b'1') for line in printed) != lines):
            raise AssertionError('%s: %d, %d lines' % (command[:3], process.returncode, len(printed)))

    def _watch(self, pid: int, ended: threading.Event) -> None:
        while not ended.wait(0.05):
            self.memory = max(self.memory, memory(processes_below(pid)))


class Hosts:
    """So many addresses on servers of our own."""

    def __init__(self, count: int, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.targets: list[tuple[str, Sshd]] = []
        self._folder = folder
        while len(self.targets) < count:
            server = self._stack.enter_context(
                Sshd(addresses=min(ADDRESSES, count - len(self.targets)), lines=('LogLevel ERROR',), log_in=False)
            )
            self.targets += [('127.0.0.%d' % (n + 1), server) for n in range(server._addresses)]
        # All servers take the first one's key.
        first = self.targets[0][1]
        for server in {id(server): server for _, server in self.targets}.values():
            server.authorize(Path(str(first.key) + '.pub').read_text().strip())
        self.key = str(first.key)
        self.user = first.user

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def file(self) -> str:
        path = self._folder / 'hosts'
        lines = [
            '%s@%s:%d:identity=%s:hostkey=off:config=none:batch=yes:rpython=%s:name=host%04d'
            % (self.user, address, server.port, self.key, sys.executable, number)
            for number, (address, server) in enumerate(self.targets)
        ]
        path.write_text('\n'.join(lines) + '\n')
        return str(path)

    def pairs(self) -> list[str]:
        return ['%s:%d' % (address, server.port) for address, server in self.targets]


def commands(program: str, python: str, hosts: Hosts, at_once: int) -> dict[str, list[str]]:
    remote = "%s -c '%s'" % (sys.executable, CODE)
    script = 'exec ssh -F none -T -p "${1##*:}" -i "$2" '
    options = '-oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oIdentitiesOnly=yes -oIdentityAgent=none '
    script += options + '-oBatchMode=yes -oLogLevel=ERROR "$3@${1%:*}" "$4"'
    inner = 'exec xargs -P %d -I TARGET sh -c "$0" one TARGET "$1" "$2" "$3" < "$4"' % at_once
    listing = hosts._folder / 'pairs'
    listing.write_text('\n'.join(hosts.pairs()) + '\n')
    others = [hosts.key, hosts.user, str(at_once), remote, *hosts.pairs()]
    return {
        'easycluster': [program, 'run', '-f', hosts.file(), '-j', str(at_once), '-c', CODE],
        'exec': [program, 'exec', '-f', hosts.file(), '-j', str(at_once), '--', remote],
        'parallel-ssh': [python, '-c', PARALLEL_SSH, *others],
        'asyncssh': [python, '-c', ASYNCSSH, *others],
        'xargs ssh': ['sh', '-c', inner, script, hosts.key, hosts.user, remote, str(listing)],
    }


def measure(arguments: argparse.Namespace, hosts: Hosts, python: str) -> None:
    subjects = commands(arguments.program, python, hosts, arguments.at_once)
    if arguments.only:
        subjects = {name: command for name, command in subjects.items() if name in arguments.only}
    best: dict[str, dict[str, float]] = {}
    for round_number in range(arguments.rounds):
        for name, command in subjects.items():
            # The others count them by themselves.
            count_lines = name in (*OWN, 'xargs ssh')
            done = Measured(command, len(hosts.targets) if count_lines else 0)
            now = {'wall': done.wall, 'processor': done.processor, 'memory': done.memory}
            known = best.setdefault(name, now)
            best[name] = {key: min(known[key], now[key]) for key in now}
            print('round %d: %-13s %s' % (round_number + 1, name, shown(now)), flush=True)
    print('\n%d hosts, %d at once, best of %d' % (len(hosts.targets), arguments.at_once, arguments.rounds))
    for name, figures in best.items():
        print('%-13s %s' % (name, shown(figures)))
    for own in OWN:
        for name in best:
            if own in best and name not in OWN:
                ratios = ('%s %.2f' % (key, best[own][key] / value) for key, value in best[name].items())
                print('%s / %-13s %s' % (own, name, '  '.join(ratios)))


def shown(figures: dict[str, float]) -> str:
    return 'wall %6.2f s  processor %6.2f s  memory %7.1f MiB' % tuple(figures.values())


HOLD = r"""
import os, sys, time
open(os.path.join(sys.argv[1], str(os.getpid())), 'w').close()
while not os.path.exists(sys.argv[2]):
    time.sleep(0.5)
"""


def hold(arguments: argparse.Namespace, hosts: Hosts, folder: Path) -> None:
    """The program's memory while all hosts are connected and at work."""
    script = folder / 'hold.py'
    script.write_text(HOLD)
    figures = {}
    for count in (1, len(hosts.targets)):
        there, go = folder / ('there%d' % count), folder / ('go%d' % count)
        there.mkdir()
        some = folder / ('hosts%d' % count)
        some.write_text(''.join(Path(hosts.file()).read_text().splitlines(keepends=True)[:count]))
        command = [arguments.program, 'run', '-f', str(some), '-j', str(count), '--', str(script), str(there), str(go)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            if not poll(lambda: len(list(there.iterdir())) == count, 600):
                raise AssertionError('not all hosts are there')
            rss = Path('/proc/%d/status' % process.pid).read_text()
            fields = dict(line.split(':', 1) for line in rss.splitlines() if line.startswith('Vm'))
            figures[count] = int(fields['VmRSS'].split()[0]) / 1024
            peak = int(fields['VmHWM'].split()[0]) / 1024
            print('%d hosts at work: %.1f MiB now, %.1f MiB at most' % (count, figures[count], peak), flush=True)
        finally:
            go.touch()
            if process.wait() != 0:
                raise AssertionError('the program failed')
    first, last = min(figures), max(figures)
    print('each host more: %.0f KiB' % ((figures[last] - figures[first]) * 1024 / (last - first)))


class StandIn:
    """A server that plays any number of hosts."""

    def __init__(self, folder: Path, together: int) -> None:
        self.key = folder / 'key'
        if not self.key.exists():
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(self.key)], check=True)
        command = ['cargo', 'bench', '-q', '--locked', '--bench', 'stand_in', '--', str(self.key), str(together)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def spec(self, number: int) -> str:
        options = 'identity=%s:hostkey=off:config=none:batch=yes' % self.key
        return 'me%d@127.0.0.1:%d:%s:name=host%04d' % (number, self.port, options, number)


def with_stand_in(arguments: argparse.Namespace, folder: Path) -> None:
    most = arguments.hosts
    # The server needs a descriptor for each.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for at_once in (32, 200, most):
        for count in (200, most):
            # Where all may be there at once, nobody answers before they are.
            with StandIn(folder, count if at_once >= count else 1) as server:
                hosts = folder / 'hosts'
                hosts.write_text(''.join(server.spec(number) + '\n' for number in range(count)))
                command = [arguments.program, 'exec', '-f', str(hosts), '-j', str(at_once), '--', 'echo 1']
                done = Measured(command, count)
                now = {'wall': done.wall, 'processor': done.processor, 'memory': done.memory}
                each = 'each %5.2f ms, %6.1f KiB' % (done.processor * 1000 / count, done.memory * 1024 / count)
                print('%5d hosts, %5d at once: %s  %s' % (count, at_once, shown(now), each), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    parser.add_argument('--hosts', type=int)
    parser.add_argument('--at-once', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', action='append')
    parser.add_argument('--hold', action='store_true')
    parser.add_argument('--stand-in', action='store_true')
    arguments = parser.parse_args()
    arguments.hosts = arguments.hosts or (5000 if arguments.stand_in else 200)
    if arguments.stand_in:
        with tempfile.TemporaryDirectory() as name:
            with_stand_in(arguments, Path(name))
        return
    with tempfile.TemporaryDirectory() as name, Hosts(arguments.hosts, Path(name)) as hosts:
        if arguments.hold:
            hold(arguments, hosts, Path(name))
            return
        folder = Path(name) / 'venv'
        venv.create(folder, with_pip=True)
        python = str(folder / 'bin' / 'python')
        subprocess.run([python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *OTHERS], check=True)
        measure(arguments, hosts, python)


if __name__ == '__main__':
    main()
