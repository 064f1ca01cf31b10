"""Cancellation: of calls that are queued, that run, that wait, that end just then; and what must not be hit by it."""

import pickle
import struct

import pytest
from stub_process import (
    BUFFERS,
    CALL,
    CANCEL,
    CHUNK,
    CREDIT,
    DATA,
    MORE,
    ONE_SHOT,
    PING,
    STOP_THREAD,
    Failed,
    cancel,
    is_running,
    wait_until,
)

TELL = "import sys, time\ndef tell():\n    sys.stderr.write('started\\n')\n"


def started(stub, name, *args, thread=0):
    """Calls a function whose first act is tell(); the request's number once it has told."""
    before = len(stub.outputs)
    number = stub.start_call(name, *args, thread=thread)
    stub.until(lambda: any(entry[0] == number for entry in stub.outputs[before:]))
    return number


@pytest.mark.parametrize("thread", [0, 1])
def test_cancel_of_a_running_call(stub, thread):
    stub.define(
        TELL + "def busy():\n    tell()\n    while True:\n        time.sleep(0.001)\n"
        "def stubborn():\n    try:\n        busy()\n    except KeyboardInterrupt:\n        return 'caught'\n"
    )
    for _ in range(3):
        number = started(stub, "busy", thread=thread)
        queued = stub.start_call("abs", -4, thread=thread)
        stub.frame(CANCEL, number, thread, b"")
        with pytest.raises(Failed) as caught:
            stub.wait(number)
        assert caught.value.fields["kind"] == "cancelled" and "in busy" in str(caught.value)
        assert stub.wait(queued) == 4
    number = started(stub, "stubborn", thread=thread)
    stub.frame(CANCEL, number, thread, b"")
    assert stub.wait(number) == "caught"


def test_cancel_of_a_sleeping_main_thread(stub):
    stub.define(TELL + "def doze():\n    tell()\n    time.sleep(600)\n")
    cancel(stub, started(stub, "doze"))


def test_a_cancellation_needs_no_module_that_remote_code_may_be_importing(fresh_stub):
    # Of such a module the thread that reads would get what is there of it, and the connection would end with the error.
    fresh_stub.define(TELL + "def doze():\n    tell()\n    time.sleep(600)\n")
    fresh_stub.exec("sys.modules['signal'] = None")
    cancel(fresh_stub, started(fresh_stub, "doze"))
    assert fresh_stub.call("abs", -1) == 1


SLOW = """import sys, time
class Slow(object):
    def find_module(self, name, path=None):
        if name == 'ctypes':
            time.sleep(2.2)
    def find_spec(self, name, path=None, target=None):
        return self.find_module(name)
sys.meta_path.insert(0, Slow())
"""


def test_a_thread_is_interrupted_also_where_what_that_needs_takes_long_to_import(fresh_stub):
    # As on a busy host: longer than the thread that reads waits for it, and while more is cancelled.
    fresh_stub.define(TELL + "def doze():\n    tell()\n    while True:\n        time.sleep(0.01)\n")
    fresh_stub.exec(SLOW)
    dozing = [started(fresh_stub, "doze", thread=thread) for thread in (1, 2, 3)]
    for number in dozing:
        fresh_stub.frame(CANCEL, number, 0, b"")
    for number in dozing:
        with pytest.raises(Failed) as caught:
            fresh_stub.wait(number)
        assert caught.value.fields["kind"] == "cancelled"
    assert fresh_stub.call("abs", -1, thread=1) == 1


# Begins to print as soon as its interruption is under way, which goes on once it is amid writing.
PRINTS = (
    TELL
    + """
class Slow(object):
    def find_module(self, name, path=None):
        if name == 'ctypes':
            under_way.append(1)
            until = time.time() + 1
            while not amid and time.time() < until:
                time.sleep(0.001)
    def find_spec(self, name, path=None, target=None):
        return self.find_module(name)
under_way, amid, hit = [], [], []
sys.meta_path.insert(0, Slow())
def trace(frame, event, arg):
    if frame.f_code.co_filename == '<easycluster>/wire.py' and frame.f_code.co_name == 'write':
        sys.settrace(None)
        amid.append(1)
        try:
            until = time.time() + 1
            while time.time() < until:
                time.sleep(0.001)
        except KeyboardInterrupt:
            hit.append(1)
            raise
def prints():
    tell()
    while not under_way:
        time.sleep(0.001)
    sys.settrace(trace)
    sys.stdout.write('said\\n')
    while True:
        time.sleep(0.001)
"""
)


def test_what_must_not_be_interrupted_is_not_while_that_takes_long_to_set(fresh_stub):
    # Half a frame would be the end of the connection.
    fresh_stub.define(PRINTS)
    cancel(fresh_stub, started(fresh_stub, "prints", thread=1), 1)
    assert fresh_stub.eval("hit") == []
    assert fresh_stub.call("abs", -1, thread=1) == 1


def test_cancel_of_a_queued_call(stub):
    stub.exec("ran = []\nimport threading\ngate = threading.Event()")
    first = stub.start_call("gate.wait", thread=1)
    second = stub.start_call("ran.append", 1, thread=1)
    third = stub.start_call("ran.append", 2, thread=1)
    stub.frame(CANCEL, second, 1, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(second)
    assert caught.value.fields["kind"] == "cancelled"
    assert first not in stub.answers
    stub.call("gate.set")
    stub.wait(first)
    stub.wait(third)
    assert stub.eval("ran") == [2]
    stub.frame(CANCEL, 999999, 1, b"")
    assert stub.call("abs", -1, thread=1) == 1


@pytest.mark.parametrize("thread", [0, 1])
def test_cancellation_races_with_the_end_of_calls(stub, thread):
    stub.define("import sys\ndef short(n):\n    for i in range(n % 37):\n        sys.stdout.write('.')\n    return n\n")
    numbers = []
    for n in range(600):
        number = stub.start_call("short", n, thread=thread)
        numbers.append(number)
        if n % 3 == 0:
            stub.frame(CANCEL, numbers[max(0, n - n % 5)], thread, b"")
        if n % 50 == 49:
            stub.until(lambda: number in stub.answers)
    for n, number in enumerate(numbers):
        try:
            assert stub.wait(number) == n
        except Failed as failed:
            assert failed.fields["kind"] == "cancelled", failed
    assert stub.call("short", 3, thread=thread) == 3
    assert stub.call("short", 4, thread=1 - thread) == 4


def test_cancel_of_a_message_under_way(stub):
    data = stub.dumps(("len", ("x" * 400000,), {}))
    for thread in (0, 3):
        number = next(stub.numbers)
        stub.frame(CALL, number, thread, data[:CHUNK], MORE)
        stub.frame(DATA, number, thread, data[CHUNK : 2 * CHUNK], MORE)
        # What is behind it is read when the answer comes.
        stub.frame(PING, 0, 0, b"read")
        stub.until(lambda: len(stub.pongs) == (2 if thread else 1))
        stub.frame(CANCEL, number, thread, b"")
        with pytest.raises(Failed) as caught:
            stub.wait(number)
        assert caught.value.fields["kind"] == "cancelled"
        assert stub.call("abs", -1, thread=thread) == 1
    # What was dropped counts as taken: nothing of it is outstanding when the thread ends.
    sent = 2 * (CHUNK + 16) + 16 + len(stub.dumps(("abs", (-1,), {})))
    stub.frame(STOP_THREAD, 0, 3, b"")
    stub.until(lambda: stub.credits.get(3, 0) >= sent)
    assert stub.call("abs", -1) == 1 and stub.credits[3] == sent


def test_what_is_cancelled_before_it_runs_leaves_the_window_whole(stub):
    """All of a long request that has arrived counts as taken, however it is over; else little by little nothing could be sent."""
    for thread in (0, 3):
        stub.exec("import threading\ngate = threading.Event()")
        # In the queue of its thread.
        first = stub.start_call("gate.wait", thread=thread)
        number = stub.start_call("len", "x" * 600000, thread=thread)
        stub.frame(PING, 0, 0, b"read")
        stub.until(lambda: stub.pongs and stub.pongs.pop())
        cancel(stub, number, thread)
        stub.call("gate.set", thread=5)
        stub.wait(first)
        # As its thread takes it.
        ahead = next(stub.numbers)
        stub.frame(CANCEL, ahead + 1, thread, b"")
        with pytest.raises(Failed) as caught:
            stub.call("len", "x" * 600000, thread=thread)
        assert caught.value.fields["kind"] == "cancelled"
    assert stub.sent[3] > 1200000
    stub.frame(STOP_THREAD, 0, 3, b"")
    stub.until(lambda: stub.credits.get(3, 0) == stub.sent[3], 20)


def test_cancel_of_buffers_under_way(stub):
    """What is missing of them is no fault of the client."""
    if tuple(stub.hello["python"]) < (3, 8):
        return
    buffers = [pickle.PickleBuffer(b"x" * 300000) for _ in range(2)]
    data = pickle.dumps(("len", (buffers[0], buffers[1]), {}), 5, buffer_callback=lambda buffer: False)
    head = struct.pack(">IQ2Q", 2, len(data), 300000, 300000) + data
    whole = head + b"x" * 600000
    for turn in range(20):
        # In the middle of each part of it.
        cut = [len(head) // 2, len(head), len(head) + 100000, len(head) + 400000, len(whole) - 1][turn % 5]
        for thread, flags in ((0, 0), (3, 0), (-1, ONE_SHOT)):
            number = next(stub.numbers)
            first = BUFFERS | MORE | flags
            for start in range(0, cut, CHUNK):
                stub.frame(CALL if not start else DATA, number, thread, whole[start : min(start + CHUNK, cut)], first)
                first = MORE
            if turn >= 10:
                # It waits for more by then.
                stub.frame(PING, 0, 0, b"read")
                stub.until(lambda: stub.pongs and stub.pongs.pop())
            stub.frame(CANCEL, number, thread, b"")
            with pytest.raises(Failed) as caught:
                stub.wait(number)
            assert caught.value.fields["kind"] == "cancelled", caught.value
            assert stub.call("abs", -1, thread=max(thread, 0)) == 1


@pytest.mark.parametrize("thread", [0, 1])
def test_a_call_that_fails_by_itself_before_the_interruption_arrives(stub, thread):
    """What waits in C code takes no notice until it returns, here with an exception of its own."""
    stub.define(
        TELL
        + "import socket\ndef wait():\n    tell()\n    one, other = socket.socketpair()\n    one.settimeout(0.3)\n    one.recv(1)\n"
        "def spin():\n    tell()\n    int('7' * 40000 + 'x')\n"
        "def import_slowly():\n    import sys\n    real = __import__('ctypes')\n"
        "    class Slow(object):\n        def __getattr__(self, name):\n            time.sleep(0.2)\n"
        "            return getattr(real, name)\n    sys.modules['ctypes'] = Slow()\n"
        "def fail():\n    tell()\n    time.sleep(0.1)\n    raise LookupError('mine')\n"
    )
    for name in ("wait", "wait", "spin", "fail"):
        number = started(stub, name, thread=thread)
        stub.frame(CANCEL, number, thread, b"")
        with pytest.raises(Failed) as caught:
            stub.wait(number)
        assert caught.value.fields["kind"] in ("cancelled", "exception")
        assert stub.call("abs", -1, thread=thread) == 1
    # The interruption is under way for so long that the code's exception arrives in between.
    stub.call("import_slowly")
    number = started(stub, "fail", thread=thread)
    stub.frame(CANCEL, number, thread, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(number)
    for n in range(20):
        assert stub.call("abs", -n, thread=thread) == n


@pytest.mark.parametrize("thread", [0, 1])
def test_the_next_call_is_not_hit(start, thread):
    """The code is done, and what it printed waits for the client when the cancellation comes."""
    stub = start(window=1000, credit=False)
    stub.define(
        "import sys\ndef talk():\n    sys.stdout.write('x' * 5000)\n    return 1\n"
        "def line():\n    sys.stdout.write('y\\n')\n    return 2\n"
    )
    number = stub.start_call("talk", thread=thread)
    stub.until(lambda: len(stub.output) == 1000)
    stub.frame(CANCEL, number, thread, b"")
    try:
        assert stub.wait(number) == 1
    except Failed as failed:
        assert failed.fields["kind"] == "cancelled"
    stub.frame(CREDIT, 0, 0, struct.pack(">I", 100000))
    for _ in range(3):
        assert stub.call("line", thread=thread) == 2


def test_a_python_that_cannot_interrupt_threads(fresh_stub):
    """Without ctypes, as in small installations: the call goes on, and so does everything else. What was imported before would do."""
    stub = fresh_stub
    stub.define(
        TELL + "sys.modules['ctypes'] = None\nfree = []\nrunning = []\ndef doze():\n    tell()\n    time.sleep(60)\n"
        "def busy():\n    running.append(1)\n    while not free:\n        time.sleep(0.005)\n    return 'done'\n"
    )
    # It does not print, because printing raises by itself what it held off.
    number = stub.start_call("busy", thread=1)
    wait_until(lambda: stub.eval("running"))
    stub.frame(CANCEL, number, 1, b"")
    for n in range(20):
        assert stub.call("abs", -n) == n
    assert number not in stub.answers
    stub.exec("free.append(1)")
    assert stub.wait(number) == "done"
    assert stub.call("abs", -1, thread=1) == 1
    # The main thread is interrupted by a signal.
    cancel(stub, started(stub, "doze"))


CHILDREN = (
    "import os, subprocess, sys, time\n"
    # Told from a child, so that there is one.
    "LINE = 'echo started >&2; sleep 100'\n"
    "def system():\n    os.system(LINE)\n"
    "def several():\n    os.system('sleep 0.01; (' + LINE + '); true')\n"
    "def call():\n    subprocess.call(['sh', '-c', LINE])\n"
    "def wait():\n    subprocess.Popen(['sh', '-c', LINE]).wait()\n"
    "def output():\n    subprocess.Popen(['sh', '-c', LINE], stdout=subprocess.PIPE).communicate()\n"
    "def popen():\n    os.popen(LINE).read()\n"
)


def with_child(stub, name, thread):
    """Calls a function; the request's number once its child process has told."""
    stub.output = b""
    number = stub.start_call(name, thread=thread)
    stub.until(lambda: b"started" in stub.output)
    return number


def interrupted(stub, number, thread):
    """Cancels a request whose child process then ends."""
    stub.frame(CANCEL, number, thread, b"")
    if thread and stub.hello["python"] < (3,):
        # Threads of 2.x look for exceptions from elsewhere every hundred steps only; it may be done before that.
        stub.until(lambda: number in stub.answers)
        return
    with pytest.raises(Failed) as caught:
        stub.wait(number)
    # That of subprocess itself, of some versions, over the child that has gone.
    assert caught.value.fields["kind"] == "cancelled" or caught.value.fields["type"] == "ProcessLookupError"


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("name", ["system", "several", "call", "wait", "output", "popen"])
def test_children_in_the_way_are_interrupted(stub, name, thread):
    """What waits for them in C code, some of it with interruptions ignored, does not go on for as long as they do."""
    stub.define(CHILDREN)
    number = with_child(stub, name, thread)
    interrupted(stub, number, thread)
    assert stub.call("abs", -1, thread=thread) == 1


@pytest.mark.parametrize("thread", [0, 1])
def test_children_that_are_to_go_on_do(stub, thread):
    """Those of calls before, those of other threads, and those in sessions of their own."""
    stub.define(CHILDREN + "def begin():\n    return subprocess.Popen(['sleep', '100']).pid\n")
    before = stub.call("begin", thread=thread)
    # Processes are as old as the system's clock says, in steps of 10 ms.
    stub.call("time.sleep", 0.1, thread=thread)
    elsewhere = with_child(stub, "system", 2)
    stub.define(
        "def own():\n    p = subprocess.Popen(['sh', '-c', 'exec sleep 100'], preexec_fn=os.setsid)\n"
        "    said.append(p.pid)\n    os.system(LINE)\nsaid = []\n"
    )
    interrupted(stub, with_child(stub, "own", thread), thread)
    own = stub.eval("said[0]")
    assert is_running(before) and is_running(own) and elsewhere not in stub.answers
    stub.exec("os.kill(%d, 9)" % own)


def test_a_program_that_is_run_is_interrupted_once(stub):
    """It may take its time to end, and what it waits for is interrupted with it."""
    for name in ("program", "main", "main_seldom", "process", "seldom"):
        stub.helper("helpers/run_" + name)
    for source in (
        "import sys, time\ntry:\n    sys.stderr.write('started\\n')\n    time.sleep(100)\nfinally:\n    time.sleep(0.7)\n"
        "    sys.stderr.write('cleaned\\n')\n",
        "import os, sys\nos.system('echo started >&2; sleep 100')\nsys.stderr.write('cleaned\\n')\n",
    ):
        stub.output = b""
        number = stub.start_call("helpers/run_program.run_program", source.encode(), "x.py", ["x.py"])
        stub.until(lambda: b"started" in stub.output)
        stub.frame(CANCEL, number, 0, b"")
        stub.until(lambda: number in stub.answers)
        assert stub.output == b"started\ncleaned\n", stub.output


def test_a_thread_that_mostly_sleeps_is_interrupted_at_its_next_step(stub):
    """In 2.x a thread looks for an interruption once in a hundred steps, which this one takes in half a minute."""
    stub.define(
        "import sys, time\ndef slowly(seconds=0.5):\n    while True:\n        time.sleep(seconds)\n"
        "def interval():\n    return sys.version_info < (3,) and sys.getcheckinterval()\n"
    )
    before = stub.call("interval")
    for _ in range(3):
        number = stub.start_call("slowly", thread=3)
        stub.call("interval")
        stub.frame(CANCEL, number, 0, b"")
        with pytest.raises(Failed):
            stub.wait(number, 10)
    assert stub.call("interval", thread=3) == before
    # Of several, the last one too.
    numbers = [stub.start_call("slowly", thread * 0.4, thread=thread) for thread in (1, 2, 3, 4)]
    stub.call("time.sleep", 0.2)
    for number in numbers:
        stub.frame(CANCEL, number, 0, b"")
    for number in numbers:
        with pytest.raises(Failed):
            stub.wait(number, 7)
    assert stub.call("interval", thread=3) == before
