"""The stub that runs one program and nothing else, under every interpreter."""

import os
import pickle
import struct
import time

import pytest
from stub_process import CANCEL, CHUNK, CLOSE, CREDIT, OUTPUT, PING, Failed, is_running, wait_until
from test_children import METHODS, PROGRAM

RUN = "helpers/run_program.run_program"


@pytest.fixture
def start_program(start):
    """Starts a stub and gives it a program; the stub and the request's number."""

    def begin(source, given=None, argv=("-c",), name="x.py", **options):
        stub = start(first="program", parts=(), peer="rust", **options)
        if not isinstance(source, bytes):
            source = source.encode()
        return stub, stub.start_call(RUN, source, name, list(argv), given or {})

    return begin


def test_it_prints_and_ends_with_its_status(start_program):
    for source, output, errors, status in (
        ("print(1)", b"1\n", b"", 0),
        ("import sys\nsys.stderr.write('e')\nsys.exit(3)", b"", b"e", 3),
        ("import os\nos.kill(os.getpid(), 9)", b"", b"", 137),
        ("import sys\nprint(sys.argv[1:], __name__)", None, b"", 0),
    ):
        stub, number = start_program(source, argv=["x.py", "a b"])
        assert stub.wait(number) == status
        told = [(flag, data) for _, flag, data in stub.outputs]
        assert b"".join(data for flag, data in told if flag) == errors
        if output is not None:
            assert b"".join(data for flag, data in told if not flag) == output
        assert {request for request, _, _ in stub.outputs} <= {number}
        stub.frame(CLOSE, 0, 0, b"")
        stub.end()


def test_what_it_raises_is_printed_as_python_prints_it(start_program):
    stub, number = start_program("def f():\n    raise ValueError('no')\nf()\n")
    assert stub.wait(number) == 1
    text = stub.output.decode()
    assert text.startswith("Traceback (most recent call last):\n") and "raise ValueError('no')" in text
    assert 'File "x.py", line 2, in f' in text and "easycluster" not in text


def test_what_it_is_given_is_there(start_program, tmp_path):
    source = "import os, sys\nprint(os.environ['NAME'] + ' ' + os.getcwd() + ' ' + sys.stdin.read())"
    given = {"environment": {"NAME": b"value"}, "folder": str(tmp_path).encode(), "input": b"typed"}
    stub, number = start_program(source, given)
    assert stub.wait(number) == 0
    assert stub.output.decode() == "value %s typed\n" % os.path.realpath(str(tmp_path))


def test_a_long_program_comes_in_pieces(start_program):
    size = 5 * CHUNK
    stub, number = start_program("text = '''%s'''\nprint(len(text))" % ("x" * size))
    assert stub.wait(number) == 0
    assert stub.output == b"%d\n" % size
    # More than a quarter of the window is returned.
    assert stub.credits[0] > size - 262144


def test_no_more_is_printed_than_is_granted(start_program):
    stub, number = start_program("print('x' * 300000)", window=65536, credit=False)
    stub.until(lambda: len(stub.output) == 65536)
    assert number in stub.awaited
    # It still hears what comes.
    stub.frame(PING, 0, 0, b"there")
    stub.until(lambda: stub.pongs == [b"there"])
    assert len(stub.output) == 65536
    for _ in range(10):
        stub.frame(CREDIT, 0, 0, struct.pack(">I", 50000))
    assert stub.wait(number) == 0
    assert stub.output == b"x" * 300000 + b"\n"


SLOW = """
import os, sys, time
def waits():
    sys.stdout.write('%d\\n' % os.getpid())
    sys.stdout.flush()
    time.sleep(100)
waits()
"""


def test_it_is_interrupted_and_tells_where(start_program):
    stub, number = start_program(SLOW)
    stub.until(lambda: b"\n" in stub.output)
    stub.frame(CANCEL, number, 0, b"")
    with pytest.raises(Failed) as failed:
        stub.wait(number)
    assert failed.value.fields["kind"] == "cancelled"
    trace = "".join(failed.value.fields["traceback"])
    assert "in waits" in trace and trace.endswith("KeyboardInterrupt\n")
    stub.frame(CLOSE, 0, 0, b"")
    stub.end()


def test_it_is_interrupted_as_soon_as_it_is_there(start_program):
    """However early that comes: nothing of it goes on."""
    stub, number = start_program("import time\ntime.sleep(100)")
    stub.frame(CANCEL, number, 0, b"")
    with pytest.raises(Failed):
        stub.wait(number)


def test_what_its_own_handler_makes_of_it_is_its_end(start_program):
    # Not by print, in which Python 2 may be interrupted before it forgets that a blank is due.
    source = "import sys, time\ntry:\n    sys.stdout.write('1\\n')\n    sys.stdout.flush()\n    time.sleep(100)\n"
    stub, number = start_program(source + "except KeyboardInterrupt:\n    print(2)\n    sys.exit(5)\n")
    stub.until(lambda: b"1\n" in stub.output)
    stub.frame(CANCEL, number, 0, b"")
    assert stub.wait(number) == 5
    assert stub.output == b"1\n2\n"


def test_a_child_in_the_way_is_interrupted(start_program):
    # What the child prints says that it is there.
    stub, number = start_program("import os\nos.system('echo x; sleep 100')\nprint('on')")
    stub.until(lambda: stub.output)
    stub.frame(CANCEL, number, 0, b"")
    assert stub.wait(number) == 0
    assert stub.output == b"x\non\n"


STUBBORN = SLOW.replace("def waits", "import signal\nsignal.signal(2, signal.SIG_IGN)\ndef waits")


@pytest.mark.parametrize("ending", ["close", "end of input"])
@pytest.mark.parametrize("source", [SLOW, STUBBORN], ids=["ordinary", "stubborn"])
def test_it_ends_with_the_connection(start_program, source, ending):
    stub, _ = start_program(source)
    stub.until(lambda: b"\n" in stub.output)
    program = int(stub.output)
    begun = time.monotonic()
    if ending == "close":
        stub.frame(CLOSE, 0, 0, b"")
    else:
        stub.process.stdin.close()
    stub.end()
    wait_until(lambda: not is_running(program))
    # The limit for all of the end is two seconds.
    assert time.monotonic() - begun < 20


def test_the_end_waits_for_what_an_interrupted_program_still_does(start_program, tmp_path):
    mark = tmp_path / "done"
    source = SLOW[: SLOW.rindex("waits()")] + (
        "try:\n    waits()\nfinally:\n    time.sleep(0.3)\n    open(%r, 'w').close()\n" % str(mark)
    )
    stub, _ = start_program(source)
    stub.until(lambda: b"\n" in stub.output)
    stub.process.stdin.close()
    stub.end()
    assert mark.exists()


def test_what_it_leaves_behind_ends_with_the_connection(start_program):
    source = (
        "import subprocess, sys\nchild = subprocess.Popen(['sleep', '1000'])\n"
        "sys.stdout.write('%d' % child.pid)\nsys.stdout.flush()\nimport os\nos._exit(0)"
    )
    stub, number = start_program(source)
    assert stub.wait(number) == 0
    left = int(stub.output)
    assert is_running(left)
    stub.frame(CLOSE, 0, 0, b"")
    stub.end()
    wait_until(lambda: not is_running(left))


def test_what_it_sends_to_its_process_group_does_not_end_the_stub(start_program):
    source = "import os, signal\nsignal.signal(2, signal.SIG_IGN)\nos.killpg(os.getpgrp(), 2)\nprint(1)"
    stub, number = start_program(source)
    assert stub.wait(number) == 0
    assert stub.output == b"1\n"


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_find_the_program(start_program, interpreter, method):
    stub, number = start_program(PROGRAM, argv=["of_a_test.py", method], name="src/of_a_test.py")
    if method == "fork" or stub.hello["python"] >= (3, 4):
        assert stub.wait(number) == 7, stub.output
        assert not stub.output


def test_it_takes_one_program_and_nothing_else(start):
    for kind, content in ((2, ("abs", (-1,), {})), (4, ("1", None)), (20, b""), (26, struct.pack(">I", 65536))):
        stub = start(first="program", parts=())
        payload = content if isinstance(content, bytes) else pickle.dumps(content, 2)
        stub.frame(kind, 1, 1, payload)
        stub.end()
        assert stub.fatal.startswith("malformed: frame 0x"), stub.fatal


def test_garbled_frames_end_it(start):
    stub = start(first="program", parts=())
    stub.write(b"x" * 16)
    stub.end()
    assert stub.fatal.startswith("garbled: ")


def test_it_ends_where_nothing_was_asked(start):
    for end in (lambda stub: stub.frame(CLOSE, 0, 0, b""), lambda stub: stub.process.stdin.close()):
        stub = start(first="program", parts=())
        end(stub)
        stub.end()


def test_a_program_that_closes_its_output_goes_on(start_program, tmp_path):
    mark = tmp_path / "done"
    source = "import os\nos.close(1)\nos.close(2)\nopen(%r, 'w').close()\nos._exit(4)" % str(mark)
    stub, number = start_program(source)
    assert stub.wait(number) == 4
    assert mark.exists()


def test_output_comes_before_the_answer(start_program):
    stub, number = start_program("import os\nfor n in range(50):\n    os.write(1 + n % 2, b'x' * 1000)")
    assert stub.wait(number) == 0
    kinds = [kind for kind, _, request, _, _ in stub.log if request == number]
    assert kinds[-1] != OUTPUT and len(stub.output) == 50000


def test_it_has_pythons_own_way_with_signals(start_program):
    source = (
        "import signal\nprint([signal.getsignal(n) in (0, signal.default_int_handler) for n in (2, signal.SIGCHLD)])"
    )
    stub, number = start_program(source)
    assert stub.wait(number) == 0
    assert stub.output == b"[True, True]\n"


NO_PROCESS = """
import os
def fork():
    raise OSError(11, 'Resource temporarily unavailable')
os.fork = fork
"""


@pytest.fixture
def without_processes(start_program, tmp_path):
    """Starts programs where no process can be started."""
    (tmp_path / "sitecustomize.py").write_text(NO_PROCESS)
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    return lambda source: start_program(source, env=env)


def test_it_runs_where_no_process_can_be_started(without_processes):
    stub, number = without_processes("import sys\nprint(1)\nsys.stderr.write('e')\nsys.exit(3)")
    assert stub.wait(number) == 3
    assert sorted(data for _, _, data in stub.outputs) == [b"1\n", b"e"]
    stub.frame(CLOSE, 0, 0, b"")
    stub.end()


def test_it_is_interrupted_where_no_process_can_be_started(without_processes):
    stub, number = without_processes(SLOW)
    stub.until(lambda: b"\n" in stub.output)
    stub.frame(PING, 0, 0, b"there")
    stub.until(lambda: stub.pongs)
    stub.frame(CANCEL, number, 0, b"")
    with pytest.raises(Failed) as failed:
        stub.wait(number)
    assert "in waits" in "".join(failed.value.fields["traceback"])


def test_it_ends_with_the_connection_where_no_process_can_be_started(without_processes):
    stub, _ = without_processes(STUBBORN)
    stub.until(lambda: b"\n" in stub.output)
    stub.process.stdin.close()
    stub.end()


def test_a_program_that_closes_every_descriptor_keeps_its_status(start_program):
    stub, number = start_program("import os, sys\nos.closerange(0, 100)\nsys.exit(6)")
    assert stub.wait(number) == 6
    assert b"Traceback" not in stub.output
