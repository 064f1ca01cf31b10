"""Processes of a Dask cluster that mean harm to it, or are broken: what is held for them stays within limits, and others go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time

import pytest

pytest.importorskip('distributed')
import dask
import distributed
import psutil
from easycluster import Cluster
from easycluster._native import Router
from easycluster.dask.backend import number_of
from easycluster.dask.comm import DATA, GONE, HEADER, MOST, OPEN, PATIENCE, Hub
from support.processes import poll

pytestmark = pytest.mark.xdist_group('dask')
HERE = ':local:rpython=%s:name=host%%d' % sys.executable
MIB = 1 << 20


class Net:
    """Processes of one router, all of them in this one."""

    def __init__(self, patience=PATIENCE):
        self.router = Router(MOST, GONE, patience)
        self.ends = []

    def end(self, number, patient=True):
        end = socket.socket(fileno=self.router.attach_here(number, patient))
        self.ends.append(end)
        return end

    def close(self):
        self.router.close()
        for end in self.ends:
            end.close()
        assert poll(lambda: len(self.router) == 0, 30)


@pytest.fixture
def net():
    made = Net()
    yield made
    made.close()


async def talk(router, one, other, times):
    """Two processes talk: the longest that an answer took."""
    ends = [socket.socket(fileno=router.attach_here(number)) for number in (one, other)]
    hubs = [await Hub.over(end, number) for end, number in zip(ends, (one, other))]
    arrived = asyncio.Queue()
    hubs[1].handlers = arrived.put_nowait
    comm = hubs[0].open(other)
    taken = await arrived.get()
    longest = 0
    for number in range(times):
        begun = time.monotonic()
        await comm.write({'number': number})
        assert await taken.read() == {'number': number}
        longest = max(longest, time.monotonic() - begun)
    for hub in hubs:
        hub.close()
    return longest


def memory():
    return psutil.Process().memory_info().rss


def flood(end, block, most):
    """Sends blocks until `most` bytes went, nothing goes any more, or too much memory is taken; how much memory it took."""
    end.settimeout(3)
    before, sent = memory(), 0
    with memoryview(block) as view:
        while sent < most and memory() - before < 1500 * MIB:
            try:
                sent += end.send(view[sent % len(view) :])
            except TimeoutError:
                break
    return memory() - before


def test_many_small_frames_that_nobody_reads_take_no_more_memory_than_large_ones(net):
    net.end(2)
    taken = flood(net.end(3), HEADER.pack(3, 2, 1, 0, 9, 0) * 16384, 64 * MIB)
    assert taken < 250 * MIB, taken
    assert asyncio.run(asyncio.wait_for(talk(net.router, 4, 5, 10), 60)) < 30


def test_who_is_told_that_nobody_is_there_and_does_not_read_takes_no_memory(net):
    block = b''.join(HEADER.pack(3, number, 1, 0, OPEN, 0) for number in range(1000, 17384))
    taken = flood(net.end(3), block, 32 * MIB)
    assert taken < 100 * MIB, taken
    assert asyncio.run(asyncio.wait_for(talk(net.router, 4, 5, 10), 60)) < 30


def test_a_small_frame_that_waits_keeps_no_more_than_itself(net):
    """Not all of what came together with it."""
    net.end(2)
    reader = net.end(4)
    reading = threading.Thread(target=lambda: [None for _ in iter(lambda: reader.recv(MIB), b'')])
    reading.start()
    large = HEADER.pack(3, 4, 1, 0, DATA, MOST - 4 * HEADER.size) + bytes(MOST - 4 * HEADER.size)
    block = HEADER.pack(3, 2, 1, 0, DATA, HEADER.size) + bytes(HEADER.size) + large
    taken = flood(net.end(3), block, 512 * MIB)
    net.router.detach(4)
    reading.join()
    assert taken < 300 * MIB, taken


def test_who_floods_a_process_holds_up_no_other_that_speaks_to_it(net):
    """Each has its turn."""
    target, other = net.end(5), net.end(6)
    flooding, sender = net.end(3), net.end(4)
    flooding.sendall(HEADER.pack(3, 5, 9, 0, DATA, 0) * (8 * MIB // HEADER.size))
    sender.sendall(HEADER.pack(4, 5, 1, 0, DATA, 0) + HEADER.pack(4, 6, 1, 0, DATA, 0))
    # Both are where they wait.
    other.settimeout(60)
    assert HEADER.unpack(other.recv(HEADER.size, socket.MSG_WAITALL))[0] == 4
    target.settimeout(60)
    before = 0
    while HEADER.unpack(target.recv(HEADER.size, socket.MSG_WAITALL))[0] != 4:
        before += HEADER.size
    assert before < 2 * MIB, before


@pytest.fixture
def impatient():
    made = Net(patience=0.5)
    yield made
    made.close()


LARGE = HEADER.pack(3, 2, 1, 0, DATA, MOST) + bytes(MOST)
"""From process 3 to process 2."""


def test_a_process_that_takes_nothing_of_very_much_is_ended_and_who_sent_it_goes_on(impatient):
    stuck, sender = impatient.end(2, patient=False), impatient.end(3)
    sender.settimeout(30)
    for _ in range((300 * MIB) // MOST):
        sender.sendall(LARGE)
    assert poll(lambda: len(impatient.router) == 1, 30)
    told = HEADER.unpack(sender.recv(HEADER.size, socket.MSG_WAITALL))
    assert (told[0], told[2:]) == (2, HEADER.unpack(GONE)[2:])
    stuck.close()
    assert asyncio.run(asyncio.wait_for(talk(impatient.router, 4, 5, 10), 60)) < 30


def test_a_process_that_takes_a_little_at_a_time_goes_on(impatient):
    slow, sender = impatient.end(2, patient=False), impatient.end(3)
    slow.settimeout(30)
    count = (270 * MIB) // MOST
    sending = threading.Thread(target=lambda: [sender.sendall(LARGE) for _ in range(count)])
    sending.start()
    got, pause = 0, threading.Event()
    while got < count * len(LARGE):
        more = len(slow.recv(MIB))
        assert more, 'it has been ended'
        got += more
        if got < 20 * MIB:
            pause.wait(0.1)
    sending.join()
    assert len(impatient.router) == 2


@pytest.mark.parametrize('address', ['ec://65536', 'ec://-1', 'ec://', 'ec://x', 'ec://²', 'ec://' + '9' * 5000])
def test_an_address_of_no_process_is_refused(address):
    with pytest.raises(ValueError, match='is no address of a process of this cluster'):
        number_of(address)


def attack_of():
    """What runs in a worker, by value: it has its stream say what none says."""

    def attack(what, other):
        """`what` is an expression: bytes, or how many seconds which bytes are sent, and whether the stream ends then."""
        import sys
        import threading
        import time

        ((hub,),) = sys.modules['easycluster_dask.backend']._hubs.values()
        comm = sys.modules['easycluster_dask.comm']
        me, out = hub.number, hub._transport

        def frame(kind, payload=b'', target=0, stream=1, role=0, length=None, source=me):
            return comm.HEADER.pack(source, target, stream, role, kind, length or len(payload)) + payload

        data = eval(what, dict(vars(comm), frame=frame, me=me, other=other))
        if isinstance(data, bytes):
            hub.loop.call_soon_threadsafe(out.write, data)
            return
        seconds, block, ends = data

        def run():
            until, pause = time.monotonic() + seconds, threading.Event()
            while time.monotonic() < until:
                if out.get_write_buffer_size() < 1 << 20:
                    hub.loop.call_soon_threadsafe(out.write, block)
                pause.wait(0.001)
            hub.loop.call_soon_threadsafe(out.write, block)
            if ends:
                hub.loop.call_soon_threadsafe(out.close)

        threading.Thread(target=run, daemon=True).start()

    return attack


ATTACKS = {
    'frames that are too long': 'frame(DATA, length=0xFFFFFFFF)',
    'the name of another': 'frame(DATA, b"x", source=other)',
    'the name of the master': 'frame(END, target=me, source=0)',
    'that it is not there': 'frame(HEADER.unpack(GONE)[4])',
    'kinds that there are not': 'b"".join(frame(kind, b"x" * 9) for kind in range(6, 256))',
    'addresses that there are not': 'b"".join(frame(OPEN, target=n) for n in range(1000, 60000))',
    'streams without end': 'b"".join(frame(OPEN, stream=n) for n in range(9000, 59000))',
    'a stream that is open': 'frame(OPEN, stream=9000) * 2',
    'streams that say what is no message': 'b"".join(frame(OPEN, stream=n) + frame(DATA, b"x" * 64, stream=n) for n in range(9000, 9200))',
    'streams that say nothing more': 'b"".join(frame(OPEN, stream=n) for n in range(9000, 9500))',
    'small frames for the master': '(4, frame(DATA, stream=77) * 8192, False)',
    'small frames for the other worker': '(4, frame(DATA, stream=77, target=other) * 8192, False)',
    'an end in the middle of a frame': '(0, frame(DATA, b"1234", length=1000), True)',
}


@pytest.fixture(scope='module')
def cluster(sshd):
    with Cluster([sshd.spec('rpython=' + sys.executable, 'name=bad'), HERE % 1], output=None) as made:
        yield made


@pytest.fixture(scope='module')
def client(cluster):
    with cluster.dask(threads=1, dashboard=False) as made:
        yield made


@pytest.mark.parametrize('what', ATTACKS.values(), ids=ATTACKS)
def test_a_worker_that_means_harm_stops_no_other(client, what):
    """The other does its work meanwhile, and there are two again."""
    client.wait_for_workers(2, timeout=60)
    before = memory()
    bad, good = sorted(client.scheduler_info(n_workers=-1)['workers'], key=number_of)
    client.run(attack_of(), what, number_of(good), workers=[bad], on_error='return')
    futures = client.map(lambda number: number + 1, range(50), workers=[good], pure=False)
    assert client.gather(futures) == list(range(1, 51))
    value = client.submit(lambda: bytes(8 << 20), workers=[good], pure=False)
    assert len(value.result(timeout=60)) == 8 << 20

    def all_work():
        workers = list(client.scheduler_info(n_workers=-1)['workers'])
        if len(workers) < 2:
            return False
        done = client.run(os.getpid, workers=workers, on_error='return')
        return len([each for each in done.values() if isinstance(each, int)]) == 2

    assert poll(all_work, 60)
    assert memory() - before < 300 * MIB


def test_a_worker_that_takes_longer_to_come_back_than_dask_waits_is_started_again_all_the_same(cluster, monkeypatch):
    monkeypatch.setattr('easycluster.dask.worker._FIRST', 3.0)
    with dask.config.set({'distributed.deploy.lost-worker-timeout': '100ms'}):
        with cluster.dask(threads=1, dashboard=False) as client:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            assert poll(lambda: len(client.scheduler_info(n_workers=-1)['workers']) == 1, 60)
            client.wait_for_workers(2, timeout=60)
            assert len(client.cluster.workers) == 2


@pytest.mark.parametrize('sent', [0, 40 * MIB], ids=['idle', 'with much on its way to it'])
def test_a_worker_that_stands_still_ends_with_the_client(cluster, sent):
    """Though it hears of nothing."""
    client = cluster.dask(threads=1, dashboard=False)
    stuck, pid = next(iter(client.run(os.getpid).items()))
    os.kill(pid, signal.SIGSTOP)
    if sent:
        data = bytes(sent)

        def send():
            # Its end comes first.
            with contextlib.suppress(distributed.comm.core.CommClosedError):
                client.scatter(data, workers=[stuck])

        threading.Thread(target=send, daemon=True).start()
    client.close()
    try:
        assert poll(lambda: not psutil.pid_exists(pid), 60)
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
