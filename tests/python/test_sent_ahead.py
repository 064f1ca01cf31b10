"""Values that cross once to a host of several processes, which share them."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys

import easycluster
import pytest
from easycluster import Cluster
from support.counted import hosts_behind, relays_to
from support.interpreters import interpreters
from support.processes import poll

numpy = pytest.importorskip("numpy")
SLOTS = 3


@pytest.fixture
def relays(sshd):
    with relays_to(sshd, 2) as made:
        yield made


@pytest.fixture
def hosts(sshd, relays):
    return hosts_behind(sshd, relays)


def local(count=1, slots=SLOTS, rpython=sys.executable, **options):
    specs = [":local:rpython=%s:name=host%d" % (rpython, n) for n in range(count)]
    return Cluster(specs, output=None, slots=slots, **options)


def total(array, n):
    import os

    return float(array.sum()), os.getpid()


def totals(cluster, value, count=12):
    """What each process finds, by its number; no host is left out."""
    return {pid: found for found, pid in cluster.map(total, [value] * count, range(count), batch=1)}


def kept(cluster):
    """How many values each process keeps, and how many pieces of shared memory it has."""
    return [
        slot.client.eval(
            "(lambda s, o: (len(s.modules['easycluster_values'].value.__globals__['values']),"
            " sum('memfd:easycluster' in line for line in open('/proc/self/maps')),"
            " sum('memfd:easycluster' in o.readlink('/proc/self/fd/' + n) for n in o.listdir('/proc/self/fd')"
            " if o.path.lexists('/proc/self/fd/' + n))))(__import__('sys'), __import__('os'))"
        )
        for slot in cluster._slots_now(None)
    ]


def test_fifty_megabytes_cross_once_a_host_of_several_processes(hosts, relays):
    """Counted in bytes at the connection."""
    X = numpy.random.default_rng(0).random(((50 << 20) // 400, 50))
    with Cluster(hosts, output=None, slots=SLOTS) as cluster:
        before = [each.sent for each in relays]
        value = cluster.scatter(X)
        found = totals(cluster, value, 24)
        for slot in cluster._slots_now(None):
            assert slot.client.call("numpy.sum", value) == pytest.approx(X.sum())
        crossed = [each.sent - start for each, start in zip(relays, before)]
    assert set(found.values()) == {float(X.sum())}
    for size in crossed:
        assert X.nbytes <= size < 1.1 * X.nbytes, (crossed, X.nbytes)


def test_what_functions_do_to_a_shared_array_is_theirs_alone():
    X = numpy.zeros((1 << 18,))
    with local() as cluster:
        value = cluster.scatter(X)
        first, *others = [slot.client for slot in cluster._slots_now(None)]
        assert len(kept(cluster)) == SLOTS
        first.call("numpy.ndarray.fill", value, 7.0)
        assert first.call("numpy.sum", value) == 7 * X.size
        for other in others:
            assert other.call("numpy.sum", value) == 0
        assert all(maps for _, maps, _ in kept(cluster))


@pytest.mark.parametrize("drop_at_once", [True, False])
def test_a_shared_value_is_forgotten(drop_at_once):
    with local() as cluster:
        value = cluster.scatter(numpy.ones(1 << 18))
        if not drop_at_once:
            assert set(totals(cluster, value).values()) == {float(1 << 18)}
        calls = [slot.client.call("numpy.sum", value, nonblocking=True) for slot in cluster._slots_now(None)]
        del value
        gc.collect()
        assert [call.wait() for call in calls] == [1 << 18] * SLOTS
        poll(lambda: (cluster.eval("__import__('gc').collect()"), kept(cluster) == [(0, 0, 0)] * SLOTS)[1])


def test_a_killed_process_takes_the_value_from_no_other():
    X = numpy.ones(1 << 20)
    with local(allow_duplicates=True) as cluster:
        slots = cluster._slots_now(None)
        ahead = easycluster._cluster.ahead.Ahead(X, True)
        scattered = easycluster._cluster.slots.Scattered(ahead.number)
        ahead.send(slots[0])
        assert slots[0].client.call("numpy.sum", scattered) == X.size
        ahead.send(slots[1])
        assert slots[1].client.call("numpy.sum", scattered) == X.size
        pid = slots[0].client.eval("__import__('os').getpid()")
        os.kill(pid, signal.SIGKILL)
        poll(lambda: len(cluster._slots_now(None)) == SLOTS - 1)
        # What it shared is gone with it; the next one shares anew.
        ahead.send(slots[2])
        for slot in slots[1:]:
            assert slot.client.call("numpy.sum", scattered, call_timeout=60) == X.size
        ahead.drop()


def test_the_first_process_is_lost_on_the_way():
    X = numpy.ones(1 << 20)
    with local() as cluster:
        slots = cluster._slots_now(None)
        pids = [slot.client.eval("__import__('os').getpid()") for slot in slots]
        # Nothing comes to it any more, so the others wait for what it would share.
        os.kill(pids[0], signal.SIGSTOP)
        value = cluster.scatter(X)
        waiting = [slot.client.call("numpy.sum", value, nonblocking=True) for slot in slots[1:]]
        assert not waiting[0].have_response
        os.kill(pids[0], signal.SIGKILL)
        assert [each.wait(timeout=60) for each in waiting] == [X.size] * (SLOTS - 1)


def test_nothing_is_left_of_a_connection_that_is_cut(hosts, relays, tmp_path):
    """Neither a process, nor a file, nor memory."""
    with Cluster(hosts, output=None, slots=SLOTS, call_timeout=60) as cluster:
        value = cluster.scatter(numpy.ones(1 << 20))
        assert set(totals(cluster, value).values()) == {float(1 << 20)}
        pids = [slot.client.eval("__import__('os').getpid()") for slot in cluster._slots_now(None)]
        inodes = {inode for pid in pids for inode in memories(pid)}
        assert len(inodes) == len(relays)
        assert named(pids) == []
        for each in relays:
            each.close()
        poll(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids))
        left = {inode for pid in filter(str.isdigit, os.listdir("/proc")) for inode in memories(pid)}
        assert not left & inodes


def memories(pid):
    """The shared memory that a process has open."""
    found = set()
    try:
        for number in os.listdir("/proc/%s/fd" % pid):
            path = "/proc/%s/fd/%s" % (pid, number)
            if "memfd:easycluster" in os.readlink(path):
                found.add(os.stat(path).st_ino)
    except OSError:
        pass
    return found


def named(pids):
    """The ordinary files that processes have open for writing; those of the interpreter are not."""
    found = []
    for pid in pids:
        for number in os.listdir("/proc/%d/fd" % pid):
            path = os.readlink("/proc/%d/fd/%s" % (pid, number))
            if path.startswith("/") and os.path.isfile(path) and "memfd:" not in path:
                found.append(path)
    return found


def test_where_memory_has_no_room_each_process_gets_the_value(hosts, relays):
    X = numpy.random.default_rng(0).random(1 << 18)
    with Cluster(hosts, output=None, slots=SLOTS) as cluster:
        cluster.define("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))")
        cluster.barrier()
        before = [each.sent for each in relays]
        value = cluster.scatter(X)
        for slot in cluster._slots_now(None):
            assert slot.client.call("numpy.sum", value) == pytest.approx(X.sum())
        crossed = [each.sent - start for each, start in zip(relays, before)]
    for size in crossed:
        assert SLOTS * X.nbytes <= size < 1.2 * SLOTS * X.nbytes, (crossed, X.nbytes)


def test_values_of_any_kind_are_shared():
    value = {"text": "é" * (1 << 20), "list": list(range(100000)), "bytes": b"\xff" * 1000}
    with local() as cluster:
        scattered = cluster.scatter(value)
        for slot in cluster._slots_now(None):
            assert slot.client.call("dict", scattered) == value


def test_a_value_that_means_nothing_there_says_why():
    class Own:
        def __init__(self):
            self.data = b"x" * (1 << 21)

    Own.__module__ = "not_there"
    module = type(sys)("not_there")
    module.Own = Own
    Own.__qualname__ = "Own"
    sys.modules["not_there"] = module
    try:
        with local() as cluster:
            scattered = cluster.scatter(Own())
            for slot in cluster._slots_now(None):
                with pytest.raises(pickle.UnpicklingError, match="did not arrive.*not_there"):
                    slot.client.call("type", scattered, origexc="quiet", call_timeout=60)
    finally:
        del sys.modules["not_there"]


@pytest.mark.parametrize("interpreter", interpreters(), ids=str)
def test_each_version_shares_or_gets_its_own(interpreter):
    with local(rpython=interpreter.path) as cluster:
        scattered = cluster.scatter(["text"] * 10 + [b"\xff" * (1 << 21)])
        for slot in cluster._slots_now(None):
            assert slot.client.call("len", scattered) == 11
        assert list(cluster.map("len", [scattered] * 9)) == [11] * 9


class Interrupted:
    """A connection whose next request a signal handler interrupts, just behind its sending."""

    def __init__(self, native):
        self.native = native
        self.cancel = native.cancel

    def submit(self, *request):
        self.native.submit(*request)
        signal.raise_signal(signal.SIGUSR1)


@contextlib.contextmanager
def handler(kind):
    """Has SIGUSR1 raise something."""

    def handle(number, frame):
        raise kind("from the handler")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def interrupted_behind(monkeypatch, slot, name, kind=KeyboardInterrupt):
    """Has a signal handler raise once, behind the sending of a call of a function of `helpers/values.py`; gives what tells that."""
    client, happened = slot.client, []
    call, submit = client._call, client._submit

    def submit_one(native, *rest):
        happened.append(True)
        context.setattr(client, "_submit", submit)
        return submit(Interrupted(native), *rest)

    def call_one(called, *rest, **options):
        if called == "helpers/values." + name and not happened:
            context.setattr(client, "_submit", submit_one)
        return call(called, *rest, **options)

    with monkeypatch.context() as context, handler(kind):
        context.setattr(client, "_call", call_one)
        yield happened


@pytest.mark.parametrize("name", ["expect", "share"])
def test_what_a_signal_handler_leaves_on_its_way_is_forgotten_when_it_comes(monkeypatch, name):
    # So large that it takes a while to be read there.
    value = b"\xff" * (1 << 24)
    with local() as cluster:
        # So that each process can say how many it keeps.
        cluster.scatter(1)
        for _ in range(10):
            with (
                interrupted_behind(monkeypatch, cluster._slots_now(None)[0], name) as happened,
                pytest.raises(KeyboardInterrupt),
            ):
                cluster.scatter(value)
            assert happened
        assert poll(lambda: not any(map(any, kept(cluster))))
        assert set(cluster.call("len", cluster.scatter(value)).values()) == {len(value)}


# A finalizer has nobody to raise it to. A TimeoutError is an OSError, which a host that was lost raises too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError])
def test_what_a_signal_handler_keeps_from_being_forgotten_is_forgotten_the_next_time(monkeypatch, kind):
    value = b"\xff" * (1 << 21)
    with local() as cluster:
        scattered = cluster.scatter(value)
        assert set(cluster.call("len", scattered).values()) == {len(value)}
        with interrupted_behind(monkeypatch, cluster._slots_now(None)[1], "drop", kind) as happened:
            del scattered
        assert happened
        cluster.scatter(1)
        assert poll(lambda: not any(map(any, kept(cluster))))
