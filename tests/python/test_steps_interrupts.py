"""Ctrl-C while steps are on their way and while something runs behind them: nothing is left there, and one message says so."""

import signal
import subprocess
import sys

import pytest
from support.machine import Machine
from support.processes import poll

SESAME = "open-Sesame-1"
SETUP = """
for user in alice nopass wtty; do useradd -m -s /bin/bash $user; echo $user:open-Sesame-1; done | chpasswd
printf '%s\\n' 'root ALL=(ALL) ALL' 'alice ALL=(ALL) ALL' 'nopass ALL=(ALL) NOPASSWD: ALL' 'wtty ALL=(ALL) ALL' \
    'Defaults:wtty requiretty, use_pty' >/etc/sudoers
chmod 440 /etc/sudoers; mkdir -p /srv/jail; mount --rbind / /srv/jail
"""
NAP = "sleep 98765"
NAPS = (NAP, "cat -")
NAPS = (NAP, "cat -")
WORK = "import subprocess; subprocess.call(['sleep', '98765'])"
# What never comes to the command behind it: one that reads its input, and one that does not.
READS = "run/sh -c 'exec cat - >/dev/null'"
READS_NOT = "run/sh -c 'exec sleep 98765'"


@pytest.fixture(scope="module")
def machine():
    with Machine(SETUP) as machine:
        yield machine


@pytest.fixture(scope="module")
def password(tmp_path_factory):
    file = tmp_path_factory.mktemp("password") / "file"
    file.write_text(SESAME + "\n")
    file.chmod(0o600)
    return str(file)


def interrupted(machine, *words):
    """Runs the words until the nap has begun there, interrupts them, and gives how they ended and what they said."""
    # The shell of a test in the background has SIGINT ignored, which is inherited.
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        begun = poll(lambda: any(found.command in NAPS for found in machine.session_processes()))
        process.send_signal(signal.SIGINT if begun else signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
        assert begun, said
    finally:
        process.kill()
    machine.wait_until_idle()
    return process.returncode, said


def program(*words):
    return (sys.executable, "-m", "easycluster", *words)


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("run", READS),
        ("run", "sudo," + READS),
        ("run", READS_NOT),
        ("run", "sudo," + READS_NOT),
        ("run", "tty," + READS_NOT),
        ("run", "sudo/alice,tty,sudo/alice," + READS_NOT),
        ("exec", READS),
        ("exec", "sudo," + READS_NOT),
        ("exec", "sudo,tty," + READS_NOT),
    ],
)
def test_the_program_while_steps_are_on_their_way(machine, password, command, steps):
    work = ("-c", "1") if command == "run" else ("--", "true")
    spec = machine.spec("nopass", "name=box", "then=" + steps)
    secret = ("--sudo-password-file", password) if "sudo" in steps else ()
    code, said = interrupted(machine, *program(command, spec, *secret, *work))
    assert (code, said) == (130, "error: box: interrupted\n")


@pytest.mark.parametrize(
    ("user", "steps"),
    [
        ("nopass", "sudo"),
        ("alice", "sudo"),
        ("wtty", "tty,sudo"),
        ("nopass", "sudo,chroot/srv/jail,sudo/alice,sudo"),
    ],
)
def test_the_program_while_something_runs_behind_steps(machine, password, user, steps):
    spec = machine.spec(user, "name=box", "then=" + steps)
    for work in (("run", spec, "-c", WORK), ("exec", spec, "--", NAP + "; true")):
        code, said = interrupted(machine, *program(*work[:2], "--sudo-password-file", password, *work[2:]))
        assert (code, said.splitlines()[-1]) == (130, "error: box: interrupted"), said


PYTHON = """
import sys
import easycluster

try:
    with easycluster.Client.from_spec(sys.argv[1], output=None) as client:
        client.eval("__import__('subprocess').call(['sleep', '98765'])")
except KeyboardInterrupt:
    print('interrupted')
"""


@pytest.mark.parametrize(
    "steps", [READS, "sudo," + READS_NOT, "sudo,tty," + READS_NOT, "sudo", "tty,sudo", "sudo,chroot/srv/jail"]
)
def test_a_python_program(machine, steps):
    spec = machine.spec("nopass", "then=" + steps)
    code, said = interrupted(machine, sys.executable, "-c", PYTHON, spec)
    assert (code, said) == (0, "interrupted\n")
