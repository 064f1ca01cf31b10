"""Compares steps with Mitogen's: sudo with and without a password, and chains of two, in one run over the same sshd.

    python benches/steps.py WHEEL [--rounds 7]

Makes a temporary virtual environment, installs the wheel and Mitogen from PyPI into it, and starts a machine of its own (see
tests/support/machine.py; as root). Measured is the time from nothing to the first result of a call, connection and end of the
program's part included; the subjects take turns, each in a process of its own, and the middle of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tests'))

from goals import ALL, GOALS

MITOGEN = 'mitogen==0.3.54'
SESAME = 'open-Sesame-1'
SETUP = """
for user in alice nopass bob; do useradd -m -s /bin/bash $user; echo $user:open-Sesame-1; done | chpasswd
printf '%s\\n' 'root ALL=(ALL) ALL' 'alice ALL=(ALL) ALL' 'nopass ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers; chmod 440 /etc/sudoers
"""

# What is measured: the account that logs in, and the users that are become one after the other, with a password or without, and
# on a terminal or without, which Mitogen's always have.
CASES = {
    'ssh alone': ('nopass', [], False, False),
    'sudo': ('nopass', ['root'], False, False),
    'sudo, password': ('alice', ['root'], True, False),
    'sudo, terminal': ('nopass', ['root'], False, True),
    'sudo, both': ('alice', ['root'], True, True),
    'two by sudo': ('nopass', ['root', 'bob'], False, False),
    'two by sudo, password': ('alice', ['root', 'bob'], True, False),
}

OURS = r"""
import json, os, sys, time
spec, port, user, key, users, password, terminal = json.loads(sys.argv[1])
import easycluster
steps = [easycluster.Sudo(name, password=password) for name in users]
if terminal:
    steps = [step for one in steps for step in (easycluster.Tty(), one)]
began = time.perf_counter()
with easycluster.Client.from_spec(spec, then=steps or None) as client:
    uid = client.os.getuid()
    took = time.perf_counter() - began
print(json.dumps([took, uid]))
"""

THEIRS = r"""
import json, os, sys, time
spec, port, user, key, users, password, _ = json.loads(sys.argv[1])
import mitogen.core, mitogen.master, mitogen.utils
mitogen.utils.log_to_file(path=os.devnull)
began = time.perf_counter()
@mitogen.utils.run_with_router
def main(router):
    context = router.ssh(hostname='127.0.0.1', port=port, username=user, identity_file=key, check_host_keys='ignore', python_path='/usr/bin/python3')
    for name in users:
        context = router.sudo(via=context, username=name, password=password, python_path='/usr/bin/python3')
    uid = context.call(os.getuid)
    print(json.dumps([time.perf_counter() - began, uid]), flush=True)
"""


def measure(python: Path, program: str, arguments: list) -> float:
    done = subprocess.run(
        [python, '-c', program, json.dumps(arguments)], stdout=subprocess.PIPE, timeout=120, check=True
    )
    took, uid = json.loads(done.stdout.splitlines()[-1])
    wanted = arguments[4][-1] if arguments[4] else arguments[2]
    assert (uid == 0) == (wanted == 'root'), (uid, wanted)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description='Compares steps with Mitogen.')
    parser.add_argument('wheel', type=Path)
    parser.add_argument('--rounds', type=int, default=7)
    options = parser.parse_args()
    from support.machine import Machine

    with tempfile.TemporaryDirectory() as folder, Machine(SETUP) as machine:
        venv.create(folder, with_pip=True)
        python = Path(folder) / 'bin/python'
        subprocess.run([python, '-m', 'pip', 'install', '-q', options.wheel, MITOGEN], check=True)
        print('%-24s %10s %10s %8s' % ('', 'ours, ms', 'Mitogen', 'ratio'))
        worst = 0.0
        for name, (user, users, with_password, terminal) in CASES.items():
            arguments = [
                machine.spec(user, 'rpython=/usr/bin/python3'), machine.port, user, str(machine.key), users,
                SESAME if with_password else None, terminal,
            ]  # fmt: skip
            times: dict[str, list[float]] = {OURS: [], THEIRS: []}
            for _ in range(options.rounds):
                for program, taken in times.items():
                    taken.append(measure(python, program, arguments))
            ours, theirs = (statistics.median(taken) for taken in times.values())
            worst = max(worst, ours / theirs)
            print('%-24s %10.0f %10.0f %8.2f' % (name, ours * 1e3, theirs * 1e3, ours / theirs), flush=True)
    most = GOALS['steps'][ALL]
    print('the goal is a ratio of at most %.2f: %s' % (most, 'met' if worst <= most else 'missed'))
    return 0 if worst <= most else 1


if __name__ == '__main__':
    assert os.geteuid() == 0, 'machines of their own need root'
    sys.exit(main())
