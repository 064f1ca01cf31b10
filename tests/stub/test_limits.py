"""What a connection must stand: large data, output, cancellation and time."""

import mmap
import os
import pickle
import struct
import threading

import pytest
from stub_process import (
    BUFFERS,
    CALL,
    CANCEL,
    CHUNK,
    CREDIT,
    DATA,
    DEFLATED,
    MORE,
    ONE_SHOT,
    OUTPUT,
    PING,
    RESULT,
    Failed,
)

MIB = 1 << 20


# Large data.


def send_in_window(stub, kind, data, thread=0, flags=0):
    """Sends a long request within the thread's window, as a client does; its number."""
    number = next(stub.numbers)
    for start in range(0, len(data), CHUNK):
        part = data[start : start + CHUNK]
        outstanding = 16 + len(part) + stub.sent.get(thread, 0)
        stub.until(lambda: outstanding - stub.credits.get(thread, 0) <= MIB or stub.ended)
        more = MORE if start + CHUNK < len(data) else 0
        stub.frame(kind if start == 0 else DATA, number, thread, part, (flags if start == 0 else 0) | more)
    return number


def test_large_argument_and_result(stub):
    data = os.urandom(MIB) * 24
    stub.define("def size(x):\n    return len(x)\ndef echo(x):\n    return x\n")
    assert stub.wait(send_in_window(stub, CALL, stub.dumps(("size", (data,), {})))) == len(data)
    assert stub.wait(send_in_window(stub, CALL, stub.dumps(("echo", (data,), {})))) == data
    assert all(length <= CHUNK for _, _, _, _, length in stub.log)


def system_has_huge_pages():
    """Asked by asking for one, because /sys, which says it, is not everywhere."""
    with mmap.mmap(-1, 4 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            return False
    return True


def test_a_very_large_argument_lies_in_huge_pages(fresh_stub):
    # Only from 3.8 on does Python unpickle straight into the argument's own memory.
    stub = fresh_stub
    known = system_has_huge_pages() and stub.hello["pickle"] >= 5
    stub.define(
        "def asked(x):\n    with open('/proc/self/smaps') as smaps:\n        return len(x), len([1 for line in smaps"
        " if line.startswith('VmFlags:') and 'hg' in line.split()]) > 0\n"
    )
    size = (64 << 20) + 1
    number = send_in_window(stub, CALL, stub.dumps(("asked", (bytes(size),), {})))
    assert stub.wait(number) == (size, known)


def test_large_data_both_ways_at_once(stub):
    data = os.urandom(MIB) * 12
    stub.define("def echo(x):\n    return x\n")
    numbers = {}

    def go(thread):
        numbers[thread] = send_in_window(stub, CALL, stub.dumps(("echo", (data,), {})), thread)

    senders = [threading.Thread(target=go, args=(thread,)) for thread in (0, 1, 2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for thread in senders and (0, 1, 2):
        assert stub.wait(numbers[thread]) == data


def test_small_calls_beside_a_large_result(stub):
    stub.define("def large():\n    return bytearray(100 << 20) and b'x' * (100 << 20)\n")
    stub.call("abs", -1, thread=1)
    large = stub.start_call("large")
    stub.until(lambda: large in stub.parts)
    beside = 0
    while large not in stub.answers:
        assert stub.call("abs", -1, thread=1) == 1
        beside += 1
    assert len(stub.wait(large)) == 100 << 20
    # Before 3.8 a pickle is made in one go, and small answers wait for it.
    assert beside >= (5 if stub.hello["python"] >= (3, 8) else 1), beside


def test_many_small_objects(stub):
    value = [{"n": n, "t": "text %d" % n} for n in range(50000)]
    stub.define("def echo(x):\n    return x\n")
    assert stub.wait(send_in_window(stub, CALL, stub.dumps(("echo", (value,), {})))) == value


def test_a_message_in_odd_chunks(stub):
    data = stub.dumps(("len", ("x" * 5000,), {}))
    cuts = [0, 0, 1, 2, 100, 100, len(data) - 1, len(data), len(data)]
    number = next(stub.numbers)
    for index, (start, stop) in enumerate(zip(cuts, cuts[1:])):
        last = index == len(cuts) - 2
        stub.frame(CALL if index == 0 else DATA, number, 4, data[start:stop], 0 if last else MORE)
    assert stub.wait(number) == 5000


def test_buffers_out_of_band(stub):
    if stub.hello["pickle"] < 5:
        return
    blob = bytearray(os.urandom(300000))
    buffers = []
    data = pickle.dumps(("total", (pickle.PickleBuffer(blob),), {}), 5, buffer_callback=buffers.append)
    raws = [buffer.raw() for buffer in buffers]
    head = struct.pack(">IQ%dQ" % len(raws), len(raws), len(data), *[raw.nbytes for raw in raws])
    stub.define(
        "def total(x):\n    x[0] = 7\n    return type(x).__name__, sum(x)\n"
        "import pickle\ndef back(n):\n    return [pickle.PickleBuffer(bytearray(n)), pickle.PickleBuffer(b'xy')]\n"
    )
    number = send_in_window(stub, CALL, b"".join([head, data] + raws), 0, BUFFERS)
    assert stub.wait(number) == ("bytearray", sum(blob) - blob[0] + 7)
    value = stub.call("back", 200000)
    assert bytes(value[0]) == bytes(200000) and bytes(value[1]) == b"xy"
    assert [flags for kind, flags, *_ in stub.log if kind == RESULT and flags & BUFFERS]


def test_a_failed_reading_leaves_the_stream_in_order(stub):
    data = b"\x80\x02cno_such_module\nthing\n" + b"x" * 700000
    with pytest.raises(Failed) as caught:
        stub.wait(send_in_window(stub, CALL, data, 2))
    assert caught.value.fields["kind"] == "unpickle"
    assert stub.call("abs", -1, thread=2) == 1


def test_compression(start):
    import zlib

    stub = start(compress=True)
    data = zlib.compress(stub.dumps(("len", ("x" * 10000,), {})))
    number = next(stub.numbers)
    stub.frame(CALL, number, 0, data, DEFLATED)
    assert stub.wait(number) == 10000
    assert stub.eval("'y' * 100000") == "y" * 100000
    sizes = [length for kind, flags, _, _, length in stub.log if kind == RESULT and flags & DEFLATED]
    assert sizes and sizes[0] < 1000
    # Short payloads, and what does not get shorter, go as they are.
    stub.log.clear()
    assert stub.eval("'z' * 200") == "z" * 200
    # Of 2.x this arrives as text, which does get shorter.
    assert len(stub.eval("__import__('os').urandom(100000)")) == 100000
    flags = [entry[1] & DEFLATED for entry in stub.log if entry[0] == RESULT]
    assert flags == ([0, DEFLATED] if stub.hello["python"][0] == 2 else [0, 0])


def test_credit_returns_what_was_taken(stub):
    size = 0
    for n in range(40):
        data = stub.dumps(("len", ("x" * 50000,), {}))
        size += 16 + len(data)
        stub.wait(stub.send_message(CALL, data, 5))
    assert 0 <= size - stub.credits[5] < MIB // 4
    stub.frame(20, 0, 5, b"")
    stub.until(lambda: stub.credits[5] == size)


def test_the_window_is_held(start):
    stub = start()
    stub.start_call("time.sleep", 60, thread=1)
    for _ in range(9):
        stub.send_message(CALL, b"x" * CHUNK, 1)
    stub.end()
    assert stub.fatal.startswith("window: "), stub.fatal


# Output.


def test_output_comes_before_the_answer_and_in_order(stub):
    stub.define(
        "import sys, os\ndef talk(n):\n    sys.stdout.write('a%d ' % n)\n    sys.stdout.flush()\n"
        "    os.system('printf b%d' % n)\n    sys.stdout.write('c%d\\n' % n)\n    os.write(1, b'd')\n    sys.stderr.write('e')\n"
    )
    for n in range(5):
        number = stub.start_call("talk", n)
        stub.wait(number)
        outputs = [entry for entry in stub.outputs if not entry[1]]
        assert b"".join(entry[2] for entry in outputs) == b"".join(b"a%d b%dc%d\nd" % (k, k, k) for k in range(n + 1))
        assert (number, True, b"e") in stub.outputs
        at = [index for index, entry in enumerate(stub.log) if entry[0] == RESULT][-1]
        assert all(entry[0] != OUTPUT for entry in stub.log[at:])


def test_streams_are_usual_files(stub):
    stub.define(
        "import sys, io\ndef f():\n    print('\\u20ac' if sys.version_info > (3,) else 'e')\n"
        "    sys.stdout.writelines(['x', 'y\\n'])\n"
        "    getattr(sys.stdout, 'buffer', sys.stdout).write(b'\\xff\\n')\n"
        "    return [sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty(), sys.stdout.encoding.lower(), "
        "sys.stdin.read()]\n"
    )
    assert stub.call("f") == [1, 2, False, "utf-8", ""]
    assert stub.output.endswith(b"xy\n\xff\n")
    stub.exec("import subprocess\nsubprocess.call(['echo', 'child'], stdout=sys.stdout)")
    assert stub.output.endswith(b"child\n")
    stub.exec("import logging\nlogging.basicConfig()\nlogging.warning('careful')")
    assert b"careful" in stub.output
    if stub.hello["python"][0] == 2:
        stub.exec("print 'a',\nprint 'b'")
        assert stub.output.endswith(b"a b\n")


def test_much_output_of_a_child(stub):
    assert stub.call("os.system", "head -c 3000000 /dev/zero") == 0
    assert len(stub.output) == 3000000


def test_output_of_a_child_in_the_background(stub):
    assert stub.call("os.system", "(sleep 0.3; echo late) &") == 0
    stub.until(lambda: b"late" in stub.output)


def test_output_waits_for_the_client(start):
    stub = start(window=1000, credit=False)
    stub.define("import sys\ndef talk():\n    sys.stdout.write('x' * 5000)\n    return 1\n")
    number = stub.start_call("talk")
    stub.until(lambda: len(stub.output) == 1000)
    # Meanwhile others are served.
    for n in range(20):
        assert stub.call("abs", -n, thread=1) == n
    assert number not in stub.answers and len(stub.output) == 1000
    for _ in range(4):
        stub.frame(CREDIT, 0, 0, struct.pack(">I", 1000))
    assert stub.wait(number) == 1 and len(stub.output) == 5000
    stub.define("def line():\n    sys.stdout.write('x' * 4999 + '\\n')\n")
    number = stub.start_call("line")
    stub.frame(CANCEL, number, 0, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(number)
    assert caught.value.fields["kind"] == "cancelled"
    # What is printed without an end of line waits behind the end of the code; the answer is its result then.
    number = stub.start_call("talk")
    stub.frame(CANCEL, number, 0, b"")
    try:
        assert stub.wait(number) == 1
    except Failed as failed:
        assert failed.fields["kind"] == "cancelled"
    stub.frame(CREDIT, 0, 0, struct.pack(">I", 100000))
    assert stub.call("talk") == 1


def test_remote_code_may_close_its_output(stub):
    stub.exec("import os\nos.close(1)")
    assert stub.call("abs", -1) == 1
    for n in range(50):
        assert stub.call("abs", -n, thread=n % 2) == n


# Long calls beside short ones.


def test_ping_beside_a_long_call(stub):
    stub.define("done = []\ndef spin():\n    while not done:\n        pass\n")
    number = stub.start_call("spin")
    for n in range(10):
        stub.frame(PING, 0, 0, b"%d" % n)
        stub.until(lambda: len(stub.pongs) == n + 1)
    assert stub.pongs == [b"%d" % n for n in range(10)]
    assert number not in stub.answers
    stub.call("done.append", 1, thread=1)
    stub.wait(number)


def test_a_finished_result_does_not_wait_for_the_next_call(stub):
    stub.define("import time\ndone = []\ndef doze():\n    while not done:\n        time.sleep(0.01)\n")
    first = stub.start_call("abs", -1)
    second = stub.start_call("doze")
    assert stub.wait(first) == 1
    assert second not in stub.answers
    stub.call("done.append", 1, thread=1)
    stub.wait(second)


def test_calls_of_many_threads_at_once(stub):
    stub.define(
        "import time\nhere = []\ndef meet():\n    here.append(1)\n    while len(here) < 50:\n        time.sleep(0.01)\n"
    )
    numbers = [stub.start_call("meet", thread=n) for n in range(1, 51)]
    for number in numbers:
        stub.wait(number)
    # And after the storm, calls are quick again and threads still found.
    for n in range(100):
        assert stub.call("abs", -n, thread=n % 7) == n


def test_a_mix_of_everything(stub):
    """Every thread has calls of all lengths, in flight together; nothing is lost, nothing stands still."""
    stub.define(
        "import time\ndef work(n):\n    if n % 10 == 0:\n        time.sleep(0.004 * (n % 5))\n    return 'x' * (n % 7 * 3000)\n"
    )
    expected = {}
    for n in range(3000):
        thread = -1 - n if n % 11 == 0 else n % 6
        number = stub.request(CALL, ("work", (n,), {}), thread, ONE_SHOT if thread < 0 else 0)
        expected[number] = "x" * (n % 7 * 3000)
        if n % 400 == 399:
            stub.until(lambda: len(expected) - len(stub.answers) < 200)
    for number, value in expected.items():
        assert stub.wait(number) == value


def test_a_childs_standard_error_waits_for_the_client(start):
    stub = start(window=100000, credit=False)
    number = stub.start_call("os.system", "head -c 1000000 /dev/zero 1>&2; echo done", thread=1)
    stub.until(lambda: len(stub.output) == 100000)
    assert number not in stub.answers
    stub.frame(CREDIT, 0, 0, struct.pack(">I", 2000000))
    assert stub.wait(number) == 0
    assert sum(len(data) for _, stderr, data in stub.outputs if stderr) == 1000000
    assert b"".join(data for _, stderr, data in stub.outputs if not stderr) == b"done\n"
    # Both streams at once, and a stream that remote code has closed.
    number = stub.start_call("os.system", "head -c 5000 /dev/zero >&2 & head -c 50000 /dev/zero; wait")
    assert stub.wait(number) == 0
    assert stub.exec("import os\nos.close(2)\nos.system('echo still')") is None
    assert stub.output.endswith(b"still\n")
