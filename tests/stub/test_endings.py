"""How a connection to the stub ends: in order, with the client gone, and over what breaks the rules."""

import functools
import os
import pickle
import signal
import threading
import zlib

import pytest
from stub_process import (
    BUFFERS,
    CALL,
    CREDIT,
    DATA,
    DEFLATED,
    EVAL,
    EXEC,
    FATAL,
    HEADER,
    HELLO,
    PING,
    RESULT,
    Failed,
    Stub,
    is_running,
    wait_until,
)

MIB = 1 << 20


# The end.


@pytest.mark.parametrize(
    "source", ["time.sleep(100)", "__import__('os').system('sleep 100')", "[0 for i in iter(int, 1)]"]
)
def test_the_end_of_input_ends_everything(fresh_stub, source):
    pid = fresh_stub.hello["pid"]
    child = fresh_stub.exec("import subprocess, time\nexec_return(subprocess.Popen(['sleep', '100']).pid)")
    told = "[__import__('sys').stderr.write('started\\n'), %s]" % source
    fresh_stub.request(EVAL, (told, None))
    fresh_stub.request(EVAL, (told, None), 1)
    fresh_stub.until(lambda: fresh_stub.output.count(b"started") == 2)
    fresh_stub.process.stdin.close()
    wait_until(lambda: not is_running(pid) and not is_running(child))


def test_the_disappearance_of_the_reader_ends_everything(start):
    stub = start()
    pid = stub.hello["pid"]
    reader = os.pidfd_open(pid)
    os.close(reader)
    stub.exec(
        "import threading, time\ndef talk():\n    while 1:\n        print('x' * 1000)\n        time.sleep(0.01)\n"
        "threading.Thread(target=talk).start()"
    )
    # The reading end goes away while writing goes on; the writing end stays open.
    stub.process.send_signal(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), stub.process.stdout.fileno())
    wait_until(lambda: not is_running(pid))


def test_sigint_from_elsewhere_interrupts_nothing(fresh_stub):
    fresh_stub.define("import sys, time\ndef doze():\n    sys.stderr.write('started\\n')\n    time.sleep(0.3)\n")
    number = fresh_stub.start_call("doze")
    fresh_stub.until(lambda: b"started" in fresh_stub.output)
    os.kill(fresh_stub.hello["pid"], signal.SIGINT)
    assert fresh_stub.wait(number) is None
    os.kill(fresh_stub.hello["pid"], signal.SIGINT)
    assert fresh_stub.call("abs", -1) == 1
    with pytest.raises(Failed) as caught:
        fresh_stub.eval("(__import__('os').kill(__import__('os').getpid(), 2), 7)[1] / 0")
    assert caught.value.fields["type"] == "ZeroDivisionError"


# Clients that break the rules.


@pytest.mark.parametrize(
    "code,frame",
    [
        ("garbled", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("too-large", HEADER.pack(0x4543, CALL, 0, MIB + 1, 1, 0)),
        ("unknown-kind", HEADER.pack(0x4543, 0x33, 0, 0, 1, 0)),
        ("unknown-kind", HEADER.pack(0x4543, RESULT, 0, 0, 1, 0)),
        ("unknown-flag", HEADER.pack(0x4543, CALL, 0x80, 0, 1, 0)),
        ("unknown-flag", HEADER.pack(0x4543, PING, 1, 0, 1, 0)),
        ("unknown-flag", HEADER.pack(0x4543, CALL, DEFLATED, 3, 1, 0) + b"xyz"),
        ("malformed", HEADER.pack(0x4543, DATA, 0, 1, 9, 0) + b"x"),
        ("malformed", HEADER.pack(0x4543, CREDIT, 0, 3, 0, 0) + b"xxx"),
        ("malformed", HEADER.pack(0x4543, PING, 0, 65, 0, 0)),
        ("malformed", HEADER.pack(0x4543, HELLO, 0, 1, 0, 0) + b"x"),
        ("malformed", HEADER.pack(0x4543, CALL, BUFFERS, 2, 1, 0) + b"xx"),
    ],
)
def test_garbled_input_ends_with_its_code(fresh_stub, code, frame):
    fresh_stub.write(frame)
    fresh_stub.end()
    assert fresh_stub.fatal.startswith(code + ": "), fresh_stub.fatal
    assert not is_running(fresh_stub.hello["pid"])


def test_the_end_inside_a_frame(fresh_stub):
    fresh_stub.write(b"EC\x02")
    fresh_stub.process.stdin.close()
    fresh_stub.until(lambda: fresh_stub.ended)
    assert fresh_stub.fatal.startswith("truncated: ")


@functools.cache
def bomb():
    """The beginning of 200 MiB, deflated: the same block again and again, which is made once."""
    deflater = zlib.compressobj(9)
    first, *_, again = (deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH) for _ in range(3))
    return first + again * 199


def test_a_bomb_is_not_inflated(start):
    stub = start(compress=True)
    assert len(bomb()) <= MIB
    stub.frame(CALL, 1, 0, bomb(), DEFLATED)
    stub.end()
    assert stub.fatal.startswith("too-large: "), stub.fatal


def test_the_first_frame_is_hello(start):
    stub = start(hello=False)
    stub.frame(CALL, 1, 0, b"")
    stub.end()
    assert stub.fatal.startswith("malformed: ")


def test_a_client_that_writes_before_it_reads(interpreter):
    """Both pipes full: the stub goes on reading while it cannot write (ME-11)."""
    with Stub(interpreter, reading=False) as stub:
        requests = b"".join(
            HEADER.pack(0x4543, CALL, 0, len(data), number, 0) + data
            for number, data in ((n, pickle.dumps(("abs", (-n,), {}), 2)) for n in range(1, 8001))
        )
        sender = threading.Thread(target=stub.write, args=(requests,))
        sender.start()
        sender.join(30)
        assert not sender.is_alive(), "the stub stopped reading"
        stub.begin_reading()
        for n in range(1, 8001):
            assert stub.wait(n) == n


def test_forked_children_stay_off_the_connection(fresh_stub):
    fresh_stub.define(
        "import os, sys\ndef fork(how):\n    pid = os.fork()\n    if not pid:\n        print('child')\n        if how == 'return':\n"
        "            return 5\n        if how == 'exit':\n            sys.exit(3)\n        raise ValueError\n"
        "    return os.waitpid(pid, 0)[1] >> 8\n"
    )
    assert fresh_stub.call("fork", "return") == 0
    assert fresh_stub.call("fork", "exit") == 1
    assert fresh_stub.call("fork", "raise", thread=1) == 1
    assert fresh_stub.call("abs", -1) == 1
    assert fresh_stub.output.count(b"child\n") == 3
    fresh_stub.exec("import multiprocessing\ndef double(x):\n    sys.stdout.write('%d\\n' % x)\n    return x * 2\n")
    fresh_stub.exec(
        "context = getattr(multiprocessing, 'get_context', lambda how: multiprocessing)('fork')\n"
        "pool = context.Pool(2)\ngot = pool.map(double, range(10))\npool.terminate()\nexec_return(got)\n"
    )
    assert fresh_stub.eval("got") == [n * 2 for n in range(10)]


def test_a_fault_of_the_stub_itself_ends_the_connection(start):
    """In one of its own threads too, which would leave the connection without a reader; told in full to a client that
    compresses."""
    stub = start(compress=True)
    stub.define(
        "import gc\ndef broken(things):\n    raise RuntimeError('no list ' + 'x' * 1000)\n"
        "def its_own(name):\n"
        "    return [o for o in gc.get_objects() if isinstance(o, type(gc)) and o.__name__ == 'easycluster_' + name]\n"
    )
    # What both the ticker and the reader thread call in each round, whichever of them is awake. They come with a call that lasts.
    stub.request(
        EXEC, ("while not its_own('ticker'): pass\nits_own('ticker')[0].list = broken\nwhile True: pass", None)
    )
    # A reader that waits for a request already has its next round behind it.
    wait_until(lambda: stub.start_call("sum", [1]) and stub.ended)
    assert stub.end() != 0
    assert stub.fatal.startswith("internal: Traceback") and "RuntimeError: no list x" in stub.fatal
    assert (FATAL, 0, 0, 0) in [entry[:4] for entry in stub.log], stub.log
