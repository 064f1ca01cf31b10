"""A program that runs alone, without a stub, under every interpreter: the shell line, the first stage and what runs the program."""

import os
import signal
import subprocess

import assemble
import pytest
from stub_process import is_running, wait_until
from test_children import METHODS, PROGRAM


class Alone:
    """A program that was started as the master starts it."""

    def __init__(self, interpreter, source, env=None, cwd=None, **options):
        if not isinstance(source, bytes):
            source = source.encode()
        command, control, self.marker = assemble.program(interpreter, source, **options)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )
        self.write(control)

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def line(self, text):
        """Sends a line of the control stream."""
        self.write(text.encode() + b"\n")

    def until_running(self):
        """Reads up to the sign that the program begins."""
        sign = (self.marker + "r\n").encode()
        seen = b""
        while not seen.endswith(sign):
            byte = self.process.stdout.read(1)
            assert byte, (seen, self.process.stderr.read())
            seen += byte
        return seen[: -len(sign)]

    def read_line(self):
        text = b""
        while not text.endswith(b"\n"):
            byte = self.process.stdout.read(1)
            assert byte, text
            text += byte
        return text

    def end(self):
        """Its status as a shell has it, what it printed to stdout, to stderr, and where it stood; with the input still open."""
        out = self.process.stdout.read()
        errors = self.process.stderr.read()
        status = self.process.wait()
        marker = self.marker.encode()
        out = out.split(marker + b"r\n")[-1]
        errors = errors.split(marker + b"r\n")[-1]
        errors, _, stood = errors.partition(marker + b"k\n")
        return (128 - status if status < 0 else status), out, errors, stood.decode()


@pytest.fixture
def start_program(interpreter):
    """Starts a program."""
    started = []

    def begin(source, **options):
        started.append(Alone(interpreter, source, **options))
        return started[-1]

    yield begin
    for alone in started:
        alone.process.stdin.close()
        try:
            os.killpg(alone.process.pid, signal.SIGKILL)
        except OSError:
            pass
        alone.process.stdout.close()
        alone.process.stderr.close()
        alone.process.wait()


def test_it_prints_and_ends_with_its_status(start_program):
    for source, output, errors, status in (
        ("print(1)", b"1\n", b"", 0),
        ("import sys\nsys.stderr.write('e')\nsys.exit(3)", b"", b"e", 3),
        ("import sys\nsys.exit('no more')", b"", b"no more\n", 1),
        ("import os\nos.kill(os.getpid(), 9)", b"", b"", 137),
        ("import sys\nprint(__name__ + ' ' + sys.argv[1])", b"__main__ a b\n", b"", 0),
    ):
        alone = start_program(source, argv=["x.py", "a b"])
        assert alone.end() == (status, output, errors, "")


def test_what_it_raises_is_printed_as_python_prints_it(start_program):
    alone = start_program("def f():\n    raise ValueError('no')\nf()\n")
    status, output, errors, stood = alone.end()
    text = errors.decode()
    assert (status, output, stood) == (1, b"", "")
    assert text.startswith("Traceback (most recent call last):\n") and "raise ValueError('no')" in text
    assert 'File "x.py", line 2, in f' in text and "easycluster" not in text


def test_what_it_is_given_is_there(start_program, tmp_path):
    source = (
        "import os, sys\nprint(os.environ['NAME'] + ' ' + os.getcwd() + ' ' + sys.stdin.read())\n"
        "left = [name for name in os.environ if name[:3] == 'ec_' or name == 'PYTHONSAFEPATH']\nassert not left, left\n"
    )
    folder = os.path.realpath(str(tmp_path))
    alone = start_program(source, environment={b"NAME": b"value"}, folder=folder.encode(), has_input=True)
    alone.write(b"5\ntyped0\n")
    assert alone.end() == (0, ("value %s typed\n" % folder).encode(), b"", "")


def test_bytes_that_are_no_text_are_there(start_program):
    source = (
        "import os, sys\nvalue = getattr(os, 'environb', os.environ)[b'NAME']\nassert value == b'\\xff\"\\\\\\n', value\n"
        "word = getattr(os, 'fsencode', str)(sys.argv[1])\nassert word == b'\\xc3\\xbc', word\n"
    )
    alone = start_program(source, argv=["x.py", "\u00fc"], environment={b"NAME": b'\xff"\\\n'})
    assert alone.end() == (0, b"", b"", "")


def test_a_folder_that_is_not_there(start_program):
    status, output, errors, _ = start_program("print(1)", folder=b"/no/where").end()
    assert (status, output) == (125, b"")
    assert errors == b"cannot run in /no/where: No such file or directory\n"


@pytest.mark.parametrize("size", [1000, 100000, 1000000])
def test_a_program_may_be_long(start_program, size):
    text = "text = '''%s'''\nimport os, sys\nprint(len(text))\nassert not sys.stdin.read()\n" % ("x" * size)
    # What carried it is no child of the program's, which may wait for any.
    text += "try:\n    os.wait()\nexcept OSError:\n    print('none')\n"
    assert start_program(text).end() == (0, b"%d\nnone\n" % size, b"", "")


def test_much_output_comes_whole(start_program):
    alone = start_program("import sys\nfor n in range(100):\n    sys.stdout.write('x' * 10000)\n")
    assert alone.end() == (0, b"x" * 1000000, b"", "")


SLOW = """
import os, sys, time
def waits():
    os.write(1, ('%d\\n' % os.getpid()).encode()); time.sleep(100)
waits()
"""


def test_it_is_interrupted_and_tells_where(start_program):
    alone = start_program(SLOW)
    alone.until_running()
    alone.read_line()
    alone.line("INT")
    status, _, errors, stood = alone.end()
    assert (status, errors) == (130, b"")
    assert "in waits" in stood and "time.sleep(100)" in stood and stood.endswith("KeyboardInterrupt\n")
    assert "easycluster" not in stood


def test_it_is_interrupted_as_soon_as_it_is_there(start_program):
    """However early that comes: nothing of it goes on."""
    alone = start_program("import time\ntime.sleep(100)")
    alone.until_running()
    alone.line("INT")
    status, output, errors, stood = alone.end()
    assert (status, output, errors) == (130, b"", b"") and stood.startswith(("Traceback", "KeyboardInterrupt"))


def test_what_its_own_handler_makes_of_it_is_its_end(start_program):
    # Not by print, in which Python 2 may be interrupted before it forgets that a blank is due.
    source = "import sys, time\ntry:\n    sys.stdout.write('1\\n')\n    sys.stdout.flush()\n    time.sleep(100)\n"
    alone = start_program(source + "except KeyboardInterrupt:\n    print(2)\n    sys.exit(5)\n")
    alone.until_running()
    alone.read_line()
    alone.line("INT")
    assert alone.end() == (5, b"2\n", b"", "")


def test_a_child_in_the_way_is_interrupted(start_program):
    alone = start_program("import os\nos.system('echo $$; exec sleep 100')\nprint('on')")
    alone.until_running()
    name = "/proc/%d/comm" % int(alone.read_line())

    def sleeps():
        with open(name) as file:
            return file.read() == "sleep\n"

    # A shell that is just about to start something may lose the signal.
    wait_until(sleeps)
    alone.line("INT")
    assert alone.end() == (0, b"on\n", b"", "")


STUBBORN = SLOW.replace("def waits", "import signal\nsignal.signal(2, signal.SIG_IGN)\ndef waits")


@pytest.mark.parametrize("has_input", [False, True], ids=["no input", "input"])
@pytest.mark.parametrize("source", [SLOW, STUBBORN], ids=["ordinary", "stubborn"])
def test_it_ends_with_the_connection(start_program, source, has_input):
    alone = start_program(source, has_input=has_input)
    alone.until_running()
    program = int(alone.read_line())
    alone.process.stdin.close()
    wait_until(lambda: not is_running(program))


def test_the_end_waits_for_what_an_interrupted_program_still_does(start_program, tmp_path):
    mark = tmp_path / "done"
    source = SLOW[: SLOW.rindex("waits()")] + (
        "try:\n    waits()\nfinally:\n    time.sleep(0.3)\n    open(%r, 'w').close()\n" % str(mark)
    )
    alone = start_program(source)
    alone.until_running()
    program = int(alone.read_line())
    alone.process.stdin.close()
    wait_until(lambda: not is_running(program))
    assert mark.exists()


def test_what_it_leaves_behind_ends_with_the_connection(start_program):
    source = (
        "import subprocess, sys\nchild = subprocess.Popen(['sleep', '1000'], stdout=open('/dev/null'), stderr=open('/dev/null'))\n"
        "sys.stdout.write('%d' % child.pid)\nsys.stdout.flush()\nimport os\nos._exit(0)"
    )
    alone = start_program(source)
    alone.until_running()
    status, left, _, _ = alone.end()
    assert status == 0 and is_running(int(left))
    alone.process.stdin.close()
    wait_until(lambda: not is_running(int(left)))


def test_what_it_sends_to_its_process_group_does_no_harm(start_program):
    source = "import os, signal\nsignal.signal(2, signal.SIG_IGN)\nos.killpg(os.getpgrp(), 2)\nprint(1)"
    alone = start_program(source)
    assert alone.end() == (0, b"1\n", b"", "")


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_find_the_program(start_program, interpreter, method):
    if (
        method != "fork"
        and start_program("import sys\nsys.exit(hasattr(sys, 'flags') and sys.hexversion < 0x3040000)").end()[0]
    ):
        return
    alone = start_program(PROGRAM, argv=["of_a_test.py", method], filename="src/of_a_test.py")
    status, output, errors, _ = alone.end()
    assert (status, output, errors) == (7, b"", b"")


def test_a_program_that_closes_its_output_goes_on(start_program, tmp_path):
    mark = tmp_path / "done"
    source = "import os\nos.close(1)\nos.close(2)\nopen(%r, 'w').close()\nos._exit(4)" % str(mark)
    assert start_program(source).end()[0] == 4
    assert mark.exists()


def test_it_has_pythons_own_way_with_signals(start_program):
    source = (
        "import signal\nprint([signal.getsignal(n) in (0, signal.default_int_handler) for n in (2, signal.SIGCHLD)])"
    )
    assert start_program(source).end() == (0, b"[True, True]\n", b"", "")


def test_no_descriptor_of_ours_is_left_to_it(start_program):
    source = "import os\nopen_ones = []\nfor n in range(3, 64):\n    try:\n        os.fstat(n)\n        open_ones.append(n)\n    except OSError:\n        pass\n"
    source += "print(open_ones)\n"
    for more in ("", "#" * 100000):
        assert start_program(source + more).end() == (0, b"[]\n", b"", "")


def test_a_program_that_closes_every_descriptor_keeps_its_status(start_program):
    status, _, errors, stood = start_program("import os, sys\nos.closerange(0, 100)\nsys.exit(6)").end()
    assert (status, errors, stood) == (6, b"", "")


def test_exit_handlers_and_threads_come_to_their_end(start_program):
    source = (
        "import atexit, sys, threading, time\natexit.register(lambda: sys.stdout.write('at exit\\n'))\n"
        "def later():\n    time.sleep(0.2)\n    sys.stdout.write('thread\\n')\nthreading.Thread(target=later).start()\n"
    )
    assert start_program(source).end() == (0, b"thread\nat exit\n", b"", "")


def test_stray_modules_are_not_picked_up(start_program, tmp_path):
    for name in ("os", "zlib", "binascii", "io", "linecache"):
        (tmp_path / (name + ".py")).write_text("print('stray')\n")
    alone = start_program("import os\nprint(os.name)\nraise ValueError", cwd=str(tmp_path))
    status, output, errors, _ = alone.end()
    assert (status, output) == (1, b"posix\n") and b"stray" not in errors


def test_what_does_not_come_whole_does_not_run(interpreter):
    command, control, _ = assemble.program(interpreter, b"open('/nonexistent/x', 'w')")
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=control[: len(control) // 2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        timeout=60,
    )
    assert done.returncode == 255 and not done.stdout
