"""Channels at the stub's end: windows, ends, interruptions, and threads that share one."""

import pickle
import struct

import pytest
from stub_process import CANCEL, CHANNEL, CHANNEL_CREDIT, CHANNEL_OPEN, END, MORE, ONE_SHOT, REFERENCES, Failed

DEFINITIONS = """
import errno, sys, threading
def take(channel, size=-1):
    return len(channel.read(size))
def take_all(channel):
    return [len(piece) for piece in channel]
def pour(channel, size, times=1):
    for number in range(times):
        channel.send(b'x' * size)
    return 'poured'
def pour_others(channel):
    channel.send(bytearray(b'abc'))
    channel.write(getattr(sys.modules['builtins' if str is type(u'') else '__builtin__'], 'memoryview', bytes)(b'def'))
    try:
        channel.send(u'text')
    except TypeError:
        channel.send(b'ghi')
def items(channel):
    return list(channel)
def keep(channel):
    channel.keep()
    kept.append(channel)
kept = []
begun = []
def begin(channel, name, *args):
    begun.append(name)
    return globals()[name](channel, *args)
def error_of(name, channel, *args):
    try:
        getattr(channel, name)(*args)
    except EnvironmentError:
        return errno.errorcode[sys.exc_info()[1].errno], sys.exc_info()[1].strerror
def stubborn(channel):
    times = 0
    while times < 3:
        try:
            channel.receive()
        except KeyboardInterrupt:
            times += 1
    return times
def together(channel, size, count):
    threads = [threading.Thread(target=channel.send, args=([number] * size,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
def aside(channel):
    got = []
    thread = threading.Thread(target=lambda: got.extend(channel))
    thread.start()
    thread.join()
    return [len(piece) for piece in got]
"""


@pytest.fixture
def stub(stub):
    stub.define(DEFINITIONS)
    return stub


def call(stub, name, *args, thread=0, flags=0):
    return stub.start_call(name, *args, thread=thread, flags=flags | REFERENCES)


def begin(stub, name, channel, *args, **where):
    """Calls a function, and returns when it runs."""
    number = call(stub, "begin", channel, name, *args, **where)
    while not stub.eval("len(begun)", thread=3):
        pass
    return number


@pytest.mark.parametrize("thread,flags", [(0, 0), (7, 0), (-1, ONE_SHOT)])
def test_no_more_is_sent_than_the_window(stub, thread, flags):
    channel = stub.open(20000)
    number = call(stub, "pour", channel, 1000, 100, thread=thread, flags=flags)
    fits = 20000 // 1016
    stub.until(lambda: len(channel.came) == fits)
    assert stub.call("abs", -1, thread=5) == 1
    assert len(channel.came) == fits and number not in stub.answers
    stub.frame(CHANNEL_CREDIT, channel.number, 0, struct.pack(">I", 3 * 1016))
    stub.until(lambda: len(channel.came) == fits + 3)
    stub.frame(CHANNEL_CREDIT, channel.number, 0, struct.pack(">I", 1 << 20))
    assert stub.wait(number) == "poured"
    stub.until(lambda: channel.ended is not None)
    assert channel.ended == "" and channel.unread and sum(map(len, channel.came)) == 100000


def test_what_is_taken_is_returned_by_the_quarter(stub):
    channel = stub.open(40000)
    number = call(stub, "take", channel, 39000)
    for start in range(39):
        stub.frame(CHANNEL, channel.number, 0, b"x" * 1000)
    stub.until(lambda: channel.returned >= 30000)
    assert stub.wait(number) == 39000


def test_what_comes_before_the_request_waits_for_it(stub):
    channel = stub.open(raw=False)
    for item in (1, "two", [3.0, None]):
        stub.frame(CHANNEL, channel.number, 0, pickle.dumps(item, 2))
    data = pickle.dumps("long" * 100, 2)
    stub.frame(CHANNEL, channel.number, 0, data[:100], MORE)
    stub.frame(CHANNEL, channel.number, 0, data[100:])
    stub.frame(CHANNEL, channel.number, 0, b"", END)
    assert stub.wait(call(stub, "items", channel)) == [1, "two", [3.0, None], "long" * 100]
    assert stub.call("len", "abc") == 3


def test_a_channel_ends_with_the_request_that_brought_it(stub):
    returned, raised, kept = stub.open(), stub.open(), stub.open()
    stub.wait(call(stub, "pour", returned, 1))
    stub.until(lambda: returned.ended == "" and returned.unread)
    with pytest.raises(Failed):
        stub.wait(call(stub, "pour", raised, "no number"))
    stub.until(lambda: raised.ended is not None and raised.unread)
    assert "failed" in raised.ended
    stub.wait(call(stub, "keep", kept))
    stub.exec("kept[0].send(b'still here')")
    stub.until(lambda: kept.came == [b"still here"])
    assert kept.ended is None
    stub.exec("del kept[:]")
    stub.until(lambda: kept.ended == "" and kept.unread)


def test_all_that_is_bytes_is_sent(stub):
    channel = stub.open()
    stub.wait(call(stub, "pour_others", channel))
    stub.until(lambda: channel.ended is not None)
    assert channel.came == [b"abc", b"def", b"ghi"]


def test_a_channel_that_is_over_is_no_longer_known(stub):
    channel = stub.open()
    stub.frame(CHANNEL, channel.number, 0, b"", END)
    assert stub.wait(call(stub, "take", channel)) == 0
    with pytest.raises(Failed) as caught:
        stub.wait(call(stub, "take", channel))
    assert caught.value.fields["type"] == "ReferenceError"
    # What was on its way meanwhile.
    stub.frame(CHANNEL_CREDIT, channel.number, 0, b"\0\0\0\5")
    stub.frame(CHANNEL_OPEN, channel.number, 0, struct.pack(">I", 20000))
    stub.frame(CHANNEL, channel.number, 0, b"again")
    channel.ended = None
    assert stub.wait(call(stub, "take", channel, 5)) == 5


def test_errors_say_what_happened(stub):
    channel = stub.open()
    stub.frame(CHANNEL_CREDIT, channel.number, 0, b"\0\0\0\0")
    assert stub.wait(call(stub, "error_of", "send", channel, b"x"))[0] == "EPIPE"
    channel = stub.open()
    stub.frame(CHANNEL, channel.number, 0, b"the disk is full", END)
    assert stub.wait(call(stub, "error_of", "read", channel)) == ("ECONNABORTED", "the disk is full")
    channel = stub.open()
    assert stub.wait(call(stub, "error_of", "receive", channel, 0.05))[0] == "ETIMEDOUT"


@pytest.mark.parametrize("thread,flags", [(0, 0), (7, 0), (-1, ONE_SHOT)])
@pytest.mark.parametrize("name,args", [("take", ()), ("pour", (1 << 20,)), ("items", ())])
def test_a_cancelled_request_waits_no_longer(stub, thread, flags, name, args):
    channel = stub.open(20000)
    number = begin(stub, name, channel, *args, thread=thread, flags=flags)
    stub.frame(CANCEL, number, thread, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(number)
    assert caught.value.fields["kind"] == "cancelled"
    stub.until(lambda: channel.ended is not None and channel.unread)
    assert "interrupted" in channel.ended
    assert stub.call("abs", -2, thread=max(thread, 0)) == 2


@pytest.mark.parametrize("thread", [0, 7])
def test_a_cancelled_request_does_not_wait_again(stub, thread):
    channel = stub.open()
    number = begin(stub, "stubborn", channel, thread=thread)
    stub.frame(CANCEL, number, thread, b"")
    assert stub.wait(number) == 3
    assert stub.call("abs", -2, thread=thread) == 2


def test_threads_of_the_function_share_a_channel(stub):
    channel = stub.open(1 << 24, raw=False)
    stub.wait(call(stub, "together", channel, 30000, 8))
    stub.until(lambda: channel.ended is not None)
    items, parts = [], b""
    for entry, payload in zip((e for e in stub.log if e[0] == CHANNEL and not e[1] & END), channel.came):
        parts += payload
        if not entry[1] & MORE:
            items.append(pickle.loads(parts))
            parts = b""
    assert sorted(item[0] for item in items) == list(range(8))
    assert all(item == [item[0]] * 30000 for item in items)


def test_a_thread_that_serves_no_request_waits_too(stub):
    channel = stub.open()
    number = begin(stub, "aside", channel)
    stub.frame(CHANNEL, channel.number, 0, b"one")
    stub.frame(CHANNEL, channel.number, 0, b"two")
    stub.frame(CHANNEL, channel.number, 0, b"", END)
    assert stub.wait(number) == [3, 3]


@pytest.mark.parametrize("name", ["take", "pour", "aside"])
def test_the_end_of_input_ends_who_waits(stub, name):
    channel = stub.open(20000)
    begin(stub, name, channel, *([1 << 20] if name == "pour" else []))
    stub.process.stdin.close()
    stub.end()


def test_more_than_the_window_of_a_channel_ends_the_connection(stub):
    channel = stub.open(16384)
    for start in range(17):
        stub.frame(CHANNEL, channel.number, 0, b"x" * 1000)
    stub.end()
    assert stub.fatal.startswith("window:")


def test_a_channel_before_its_part_ends_the_connection(start):
    stub = start(parts=("requests", "calls", "control"))
    stub.open()
    stub.end()
    assert stub.fatal.startswith("malformed:")
