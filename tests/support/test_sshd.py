"""The Python twin of the tests' sshd does what it promises."""

import subprocess

from support.interpreters import interpreters
from support.sshd import Sshd


def run(server: Sshd, command: str) -> str:
    done = subprocess.run(server.ssh(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, check=True)
    return done.stdout.decode()


def test_a_plain_server_runs_a_command_and_becomes_idle():
    with Sshd() as server:
        assert server.logins() == 0
        assert run(server, "echo $((6 * 7))") == "42\n"
        assert server.logins() == 1
        server.wait_until_idle()


def test_shell_greeting_home_and_environment():
    with Sshd(
        shell="/bin/tcsh", greeting="Welcome!\n", home={".tcshrc": "set own=1\n"}, environment={"A": "b c"}
    ) as server:
        assert run(server, "echo $0 $own $A") == "Welcome!\n/bin/tcsh 1 b c\n"


def test_its_end_takes_every_process_along_even_orphans():
    with Sshd(force_command="(setsid sleep 1000 >/dev/null 2>&1 </dev/null &) ; exec sleep 1001") as server:
        server.wait_until_idle()
        client = subprocess.Popen(server.ssh("true"))
        while len([process for process in server.session_processes() if process.command.startswith("sleep")]) < 2:
            assert client.poll() is None
        left = server.session_processes()
    client.wait()
    assert not [process for process in left if process in server.session_processes()]


def test_interpreters_are_found_each_once():
    paths = [interpreter.path for interpreter in interpreters()]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if "/shims/" in path]
