"""The program that gives a step a terminal, under every Python: what goes where, and how it ends."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "bootstrap_py" / "helpers" / "terminal.py"
# As it is, but for how long it waits until it hangs up.
TEXT = PROGRAM.read_text().replace("GRACE = 10000", "GRACE = 500")
LEFT = "echo left >&2; "


def started(interpreter, script, on_terminal=False, asks=False):
    """The script behind the program, whose line behind the step is `left`."""
    words = [interpreter, "-ESc", TEXT, "01"[on_terminal], "01"[asks], "le", "ft", "/bin/sh", "-c", script]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(interpreter, script, data=b"", **options):
    with started(interpreter, script, **options) as process:
        out, err = process.communicate(data, timeout=60)
    return process.returncode, out, err


def until(stream, wanted):
    read = b""
    while wanted not in read:
        more = os.read(stream.fileno(), 4096)
        assert more, read
        read += more
    return read


def test_data_is_not_touched_and_the_terminal_is_standard_error(interpreter):
    data = bytes(bytearray(range(256))) * 1000
    script = "echo shown >/dev/tty; echo error >&2; exec cat"
    status, out, err = run(interpreter, script, data)
    assert (status, sorted(err.splitlines())) == (0, [b"error", b"shown"])
    assert out == data


@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("exec /no/such/command", 127), ("true", 0)]
)
def test_the_status_is_that_of_the_command(interpreter, script, status):
    assert run(interpreter, script)[0] == status


def test_a_command_that_is_not_there(interpreter):
    words = [interpreter, "-ESc", TEXT, "0", "0", "le", "ft", "no-such-command"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (127, b"no-such-command: command not found\n")


def test_answers_are_typed_and_all_that_follows_is_the_commands(interpreter):
    script = "printf 'Password: ' >/dev/tty; read word </dev/tty; echo \"got $word\" >&2; " + LEFT + "exec cat"
    with started(interpreter, script, asks=True) as process:
        assert until(process.stderr, b"Password: ") == b"Password: "
        process.stdin.write(b"secret\n")
        process.stdin.flush()
        # Nothing of what was typed comes back but what the command says.
        assert until(process.stderr, b"left\n") == b"got secret\nleft\n"
        out, err = process.communicate(b"data\n", timeout=60)
    assert (process.returncode, out, err) == (0, b"data\n", b"")


def test_standard_input_can_be_the_terminal_with_the_data_beside_it(interpreter):
    script = (
        "test -t 0 || exit 1; printf ? >&2; read word; " + LEFT + 'exec /bin/sh -c "echo $word; exec cat" 0<&3 3<&-'
    )
    with started(interpreter, script, on_terminal=True, asks=True) as process:
        until(process.stderr, b"?")
        process.stdin.write(b"word\n")
        process.stdin.flush()
        until(process.stderr, b"left\n")
        out, _ = process.communicate(b"data\n", timeout=60)
    assert out == b"word\ndata\n"


def test_the_end_of_input_while_something_asks_ends_it(interpreter):
    script = "trap '' PIPE; printf ? >/dev/tty; read word </dev/tty; sleep 100000"
    with started(interpreter, script, asks=True) as process:
        until(process.stderr, b"?")
        process.stdin.close()
        assert process.wait(timeout=60) == 129
        # The command had it, and is gone.
        assert os.read(process.stdout.fileno(), 1) == b""


def test_what_reads_nothing_is_hung_up_when_nobody_hears_it(interpreter):
    with started(interpreter, "echo $$; exec sleep 100000") as process:
        until(process.stdout, b"\n")
        process.stderr.close()
        process.stdin.close()
        assert process.wait(timeout=60) == 129
        assert os.read(process.stdout.fileno(), 1) == b""


def test_a_killed_program_takes_the_command_with_it(interpreter):
    with started(interpreter, "echo $$; exec sleep 100000") as process:
        until(process.stdout, b"\n")
        process.send_signal(signal.SIGKILL)
        assert os.read(process.stdout.fileno(), 1) == b""


def test_signals_that_python_ignores_are_as_they_were(interpreter):
    assert run(interpreter, "kill -PIPE $$; echo survived") == (141, b"", b"")
