"""Values that are sent ahead of the calls that use them, under each interpreter."""

import os
import pickle
import threading
import time

import pytest
from stub_process import CANCEL, DEADLINE, Failed, Stub, is_running

ONE_SHOT = 16
LIMIT = """
import resource
def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
"""


def begun(interpreter):
    stub = Stub(interpreter)
    stub.helper("helpers/values")
    stub.exec("def doubled(value):\n    return value * 2\n")
    return stub


@pytest.fixture
def pair(interpreter):
    """Two processes of one machine."""
    with begun(interpreter) as one, begun(interpreter) as other:
        one.until(lambda: one.hello)
        yield one, other


def aside(stub, name, *args):
    """Calls a function beside what runs, in a thread of its own."""
    return stub.start_call("helpers/values." + name, *args, thread=-1, flags=ONE_SHOT)


def keep(stub, name, *args):
    return stub.call("helpers/values." + name, *args)


def known(stub):
    return stub.eval("len(__import__('sys').modules['easycluster_values'].value.__globals__['values'])")


def kept(stub):
    """The descriptors and the mappings that a process has of memory that is shared."""
    pid = stub.hello["pid"]
    found = []
    for number in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, number)))
        except OSError:
            pass
    with open("/proc/%d/maps" % pid) as lines:
        found.extend(lines)
    return sum("memfd:easycluster" in each for each in found)


def shared_by(stub, number, value):
    """Has a process take a value for itself and others; where they read it."""
    return stub.wait(aside(stub, "share", number, [pickle.dumps(value, 3)], []))


def test_a_value_comes_once_and_is_read_by_others(pair):
    one, other = pair
    if one.hello["python"][0] < 3:
        # Clients send each process its own there.
        keep(one, "hold", 5, [1, 2])
        assert one.call("easycluster_values.value", 5) == [1, 2]
        return
    value = [b"\xff" * 300000, "text"]
    keep(other, "expect", 5)
    waiting = other.start_call("easycluster_values.value", 5)
    place = shared_by(one, 5, value)
    assert one.call("easycluster_values.value", 5) == value
    assert other.wait(aside(other, "adopt", 5, place)) is True
    assert other.wait(waiting) == value
    keep(one, "drop", 5)
    # Kept for others until the client says otherwise.
    assert kept(one)
    keep(one, "unshare", 5)
    keep(other, "drop", 5)
    deadline = time.monotonic() + DEADLINE
    while kept(one) or kept(other):
        one.eval("__import__('gc').collect()")
        other.eval("__import__('gc').collect()")
        assert time.monotonic() < deadline
    assert known(one) == known(other) == 0


def test_what_is_elsewhere_is_not_taken_for_the_value(pair):
    one, other = pair
    if one.hello["python"][0] < 3:
        return
    place = shared_by(one, 1, [1])
    pid, descriptor, key, sizes = place
    for wrong in (
        (pid, descriptor, b"x" * 16, sizes),
        (pid, descriptor, key, [sizes[0] + 64]),
        (pid, 0, key, sizes),
        (pid, 1000, key, sizes),
        (1 << 30, descriptor, key, sizes),
    ):
        assert other.wait(aside(other, "adopt", 1, wrong)) is False, wrong
    one.process.kill()
    one.process.wait()
    assert other.wait(aside(other, "adopt", 1, place)) is False
    assert known(other) == 0


def test_where_there_is_no_room_each_gets_its_own(pair):
    one, other = pair
    if one.hello["python"][0] < 3:
        return
    one.exec(LIMIT)
    one.call("limit")
    assert shared_by(one, 2, b"\xff" * 300000) is None
    assert one.call("easycluster_values.value", 2) == b"\xff" * 300000
    assert not kept(one)
    assert shared_by(one, 3, b"\xff" * 30000) is not None


def test_nothing_is_left_of_processes_that_are_killed(pair, tmp_path):
    one, other = pair
    if one.hello["python"][0] < 3:
        return
    place = shared_by(one, 1, [b"\xff" * 300000])
    assert other.wait(aside(other, "adopt", 1, place)) is True
    with open("/proc/%d/fd/%d" % (place[0], place[1]), "rb") as memory:
        inode = os.fstat(memory.fileno()).st_ino
        # It has no name anywhere; only those who have it open hold it.
        assert os.fstat(memory.fileno()).st_nlink == 0
    pids = [stub.hello["pid"] for stub in pair]
    one.process.kill()
    assert other.call("easycluster_values.value", 1) == [b"\xff" * 300000]
    other.process.kill()
    for stub, pid in zip(pair, pids):
        stub.process.wait(DEADLINE)
        deadline = time.monotonic() + DEADLINE
        while is_running(pid):
            assert time.monotonic() < deadline
    assert not holders(inode)


def holders(inode):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for number in os.listdir("/proc/%s/fd" % pid):
                path = "/proc/%s/fd/%s" % (pid, number)
                if "memfd:easycluster" in os.readlink(path) and os.stat(path).st_ino == inode:
                    found.append(pid)
        except OSError:
            pass
    return found


def test_a_call_that_waits_is_given_up(interpreter):
    with begun(interpreter) as stub:
        keep(stub, "expect", 9)
        for thread in (0, 3):
            waiting = stub.start_call("easycluster_values.value", 9, thread=thread)
            threading.Event().wait(0.05)
            stub.frame(CANCEL, waiting, thread, b"")
            with pytest.raises(Failed) as failed:
                stub.wait(waiting)
            assert failed.value.fields["kind"] == "cancelled"
        assert stub.call("doubled", 4) == 8


def test_a_value_that_does_not_come_says_why(interpreter):
    with begun(interpreter) as stub:
        keep(stub, "expect", 9)
        waiting = stub.start_call("easycluster_values.value", 9)
        stub.wait(aside(stub, "fail", 9, "ImportError: no such thing"))
        with pytest.raises(Failed, match="did not arrive: ImportError: no such thing"):
            stub.wait(waiting)
        with pytest.raises(Failed, match="value 7 was sent to other processes"):
            stub.call("easycluster_values.value", 7)


def test_what_is_dropped_before_it_comes_is_not_kept(interpreter):
    with begun(interpreter) as stub:
        keep(stub, "expect", 4)
        keep(stub, "drop", 4)
        assert known(stub) == 1
        stub.wait(aside(stub, "hold", 4, [1]))
        assert known(stub) == 0
        # One that comes before it is expected stays.
        stub.wait(aside(stub, "hold", 5, [2]))
        keep(stub, "expect", 5)
        assert stub.call("easycluster_values.value", 5) == [2]
        keep(stub, "drop", 5)
        assert known(stub) == 0
