"""Threads of the stub that meet where one looks first and acts second, each meeting forced."""

import json
import os
import struct
import subprocess
import sys

import assemble
import pytest
from stub_process import EXEC, REFERENCES, RELEASE, Stub, cancel, wait_until

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_races.py")


def test_forced_meetings(interpreter, tmp_path):
    sources = dict((name[:-3], assemble.read(name)) for name in assemble.names())
    (tmp_path / "sources.json").write_text(json.dumps(sources))
    done = subprocess.run([interpreter, RUNNER, str(tmp_path)], stdout=subprocess.PIPE, timeout=120)
    assert done.returncode == 0
    failed = json.loads(done.stdout.decode())
    assert not failed, "\n".join(failed)


NO_THREADS = """
try:
    import _thread as thread
except ImportError:
    import thread
def refused(*args):
    raise thread.error('no thread available')
thread.start_new_thread = refused
"""


def test_a_system_without_threads_is_served(interpreter, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_THREADS)
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    with Stub(interpreter, env=env) as stub:
        assert stub.call("abs", -1) == 1
        assert stub.eval("[n * n for n in range(3)]") == [0, 1, 4]
        stub.exec("import sys\nsys.stdout.write('said\\n')")
        assert stub.output == b"said\n"
        number = stub.start_call("abs", -2, thread=1)
        with pytest.raises(Exception, match="cannot start another thread"):
            stub.wait(number)
        assert stub.call("abs", -3) == 3


# As a login script's last program may leave them.
NOT_WAITING = (
    "import fcntl, os, sys\n"
    "for descriptor in (0, 1):\n"
    "    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)\n"
    "    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)\n"
    "os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])\n"
)


def test_descriptors_that_do_not_wait_are_made_to(interpreter):
    with Stub(interpreter, command=lambda line: [sys.executable, "-c", NOT_WAITING, line]) as stub:
        assert stub.call("abs", -1) == 1
        # More than the pipe holds, both ways.
        assert stub.call("len", b"x" * 900_000) == 900_000
        assert len(stub.eval("b'x' * 3000000")) == 3_000_000


def test_descriptors_that_stop_waiting_later_are_waited_for(fresh_stub):
    fresh_stub.exec(
        "import fcntl, os\n"
        "for name in os.listdir('/proc/self/fd'):\n"
        "    try:\n"
        "        flags = fcntl.fcntl(int(name), fcntl.F_GETFL)\n"
        "        fcntl.fcntl(int(name), fcntl.F_SETFL, flags | os.O_NONBLOCK)\n"
        "    except EnvironmentError:\n"
        "        pass\n"
    )
    assert fresh_stub.call("abs", -1) == 1
    assert len(fresh_stub.eval("b'x' * 3000000")) == 3_000_000


HANDLER = """
import signal, sys
said = []
def handler(*args):
    said.append(1)
    sys.stdout.write('tick\\n')
def talk():
    sys.stdout.write('first\\n')
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    lines = 0
    try:
        while len(said) < 200:
            lines += 1
            sys.stdout.write('tock\\n')
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return len(said), lines
"""


def test_a_signal_handler_prints_amid_printing(fresh_stub):
    """What it prints comes behind, and waits for nobody."""
    fresh_stub.define(HANDLER)
    said, lines = fresh_stub.call("talk")
    assert set(fresh_stub.output.split(b"\n")) == {b"", b"first", b"tick", b"tock"}
    assert (fresh_stub.output.count(b"tick\n"), fresh_stub.output.count(b"tock\n")) == (said, lines)


AMID = """
import sys, time
amid = []
def trace(frame, event, arg):
    if frame.f_code.co_filename == '<easycluster>/output.py' and frame.f_code.co_name == 'pump':
        sys.settrace(None)
        amid.append(1)
        until = time.time() + 20
        while time.time() < until:
            time.sleep(0.001)
def talk():
    sys.stdout.write('one ')
    sys.settrace(trace)
    sys.stdout.write('two\\n')
"""


@pytest.mark.parametrize("thread", [0, 1])
def test_an_interruption_amid_printing_loses_nothing_that_was_printed_before(fresh_stub, thread):
    fresh_stub.define(AMID)
    number = fresh_stub.start_call("talk", thread=thread)
    wait_until(lambda: fresh_stub.eval("amid", thread=5))
    cancel(fresh_stub, number, thread)
    assert fresh_stub.output.startswith(b"one "), fresh_stub.output


COUNTING = """
import sys, time
amid, lines = [], []
class Held(ServerObject):
    pass
def trace(frame, event, arg):
    if frame.f_code.co_name != 'add' or frame.f_code.co_filename != '<easycluster>/references.py':
        return None
    lines.append(event)
    # Behind the line that takes the lock.
    if lines.count('line') == 2:
        sys.settrace(None)
        amid.append(1)
        until = time.time() + 1
        while time.time() < until:
            time.sleep(0.001)
    return trace
def give(channel):
    sys.settrace(trace)
    channel.send([Held()])
"""


@pytest.mark.parametrize("thread", [0, 1])
def test_an_interruption_amid_the_counting_of_objects_keeps_no_lock(fresh_stub, thread):
    fresh_stub.define(COUNTING)
    number = fresh_stub.start_call("give", fresh_stub.open(raw=False), thread=thread, flags=REFERENCES)
    wait_until(lambda: fresh_stub.eval("amid", thread=5))
    cancel(fresh_stub, number, thread)
    held = fresh_stub.call("Held", thread=thread)
    fresh_stub.frame(RELEASE, 0, 0, struct.pack(">QI", held.oid, 1))
    assert fresh_stub.call("abs", -1, thread=thread) == 1


def test_two_threads_make_one_definitions_module(fresh_stub, tmp_path):
    (tmp_path / "slow_parent").mkdir()
    (tmp_path / "slow_parent" / "__init__.py").write_text("import time\ntime.sleep(0.5)\n")
    fresh_stub.exec("import sys\nsys.path.insert(0, %r)" % str(tmp_path))
    numbers = [
        fresh_stub.request(EXEC, ("%s = 1" % name, "slow_parent.late"), thread=thread)
        for thread, name in ((1, "one"), (2, "two"))
    ]
    for number in numbers:
        fresh_stub.wait(number)
    assert fresh_stub.eval("sorted(vars(sys.modules['slow_parent.late']))")[-2:] == ["one", "two"]
    assert fresh_stub.eval("sys.modules['slow_parent'].late is sys.modules['slow_parent.late']")
