"""The router and the comms of Dask's messages: order, credit, ends, and processes that do not keep to the rules."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import pytest

pytest.importorskip('distributed')
from distributed.comm.core import CommClosedError
from easycluster._native import Router
from easycluster.dask.comm import CREDIT, DATA, GONE, HEADER, MOST, OPEN, PATIENCE, WINDOW, EcComm, Hub
from support.processes import poll


class Net:
    """Processes of one router, all of them in this one."""

    def __init__(self, patience=PATIENCE):
        self.router = Router(MOST, GONE, patience)

    def end(self, number, patient=True):
        return socket.socket(fileno=self.router.attach_here(number, patient))

    async def hub(self, number):
        hub = await Hub.over(self.end(number), number)
        hub.arrived = asyncio.Queue()
        hub.handlers = hub.arrived.put_nowait
        return hub


@pytest.fixture
def net():
    net = Net()
    yield net
    net.router.close()
    assert poll(lambda: len(net.router) == 0, 30)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 60))


async def pair(net, one=1, other=2):
    hubs = [await net.hub(one), await net.hub(other)]
    comm = hubs[0].open(other)
    return hubs, comm, await hubs[1].arrived.get()


def test_messages_of_all_sizes_arrive_in_order_both_ways(net):
    async def main():
        hubs, one, other = await pair(net)
        chosen = random.Random(5)
        messages = [
            {'data': bytes(chosen.randrange(1 << chosen.randrange(24))), 'number': number} for number in range(60)
        ]

        async def send(comm):
            for message in messages:
                await comm.write(message)

        async def receive(comm):
            for message in messages:
                assert await comm.read() == message

        await asyncio.gather(send(one), send(other), receive(one), receive(other))
        for hub in hubs:
            hub.close()

    run(main())


def test_a_comm_that_nobody_reads_holds_up_no_other(net):
    async def main():
        hubs, full, unread = await pair(net)
        writing = asyncio.ensure_future(full.write({'data': bytes(4 * WINDOW)}))
        other = hubs[0].open(2)
        taken = await hubs[1].arrived.get()
        for number in range(100):
            await other.write({'number': number})
            assert await taken.read() == {'number': number}
        assert not writing.done()
        # It goes on as soon as somebody does.
        assert len((await unread.read())['data']) == 4 * WINDOW
        await writing
        for hub in hubs:
            hub.close()

    run(main())


def test_both_ends_know_of_an_end(net):
    async def main():
        hubs, one, other = await pair(net)
        await one.write({'last': 1})
        await one.close()
        assert one.closed()
        assert await other.read() == {'last': 1}
        with pytest.raises(CommClosedError):
            await other.read()
        with pytest.raises(CommClosedError):
            await other.write({'more': 1})
        # And of the end of a whole process, also who waits for credit or for a message.
        one = hubs[0].open(2)
        other = await hubs[1].arrived.get()
        reading = asyncio.ensure_future(one.read())
        writing = asyncio.ensure_future(one.write({'data': bytes(2 * WINDOW)}))
        await asyncio.sleep(0)
        hubs[1].close()
        for waiting in (reading, writing):
            with pytest.raises(CommClosedError):
                await waiting
        assert other.closed()
        # And whoever speaks to one that is not there.
        with pytest.raises(CommClosedError):
            await hubs[0].open(77).read()
        hubs[0].close()

    run(main())


@pytest.mark.parametrize(
    'frame',
    [
        pytest.param(HEADER.pack(3, 1, 1, 0, DATA, 4) + b'1234', id='in another name'),
        pytest.param(HEADER.pack(2, 1, 1, 0, DATA, 0xFFFFFFFF), id='too long'),
        pytest.param(HEADER.pack(2, 1, *HEADER.unpack(GONE)[2:]), id='that it is not there'),
    ],
)
def test_a_process_that_breaks_the_rules_is_cut_off(net, frame):
    end = net.end(2)
    end.sendall(frame)
    end.settimeout(30)
    assert end.recv(1) == b''
    assert poll(lambda: len(net.router) == 0, 30)
    end.close()


@pytest.mark.parametrize('seed', range(20))
def test_garbage_harms_no_other_process(net, seed):
    """Frames of one process with any content: others talk on."""

    async def main():
        chosen = random.Random(seed)
        hubs, one, other = await pair(net)
        end = net.end(3)
        for _ in range(200):
            length = chosen.randrange(40)
            header = HEADER.pack(3, 1, chosen.randrange(3), chosen.randrange(3), chosen.randrange(9), length)
            try:
                end.sendall(header + chosen.randbytes(length))
            except OSError:
                break
        await one.write({'number': seed})
        assert await other.read() == {'number': seed}
        end.close()
        for hub in hubs:
            hub.close()

    run(main())


def counts(*numbers):
    return struct.pack('>%dQ' % len(numbers), *numbers)


@pytest.mark.parametrize(
    'frames',
    [
        pytest.param([(1, DATA, counts(1 << 40))], id='too many parts'),
        pytest.param([(1, DATA, counts(0))], id='no part'),
        pytest.param([(1, DATA, counts(1, 1 << 62))], id='a part for which there is no memory'),
        pytest.param([(1, DATA, counts(1000, *[64 << 20] * 1000))], id='parts for which there is no memory'),
        pytest.param([(1, CREDIT, b'123')], id='credit that is no number'),
        pytest.param([(1, CREDIT, counts(1))], id='credit that is not owed'),
        pytest.param([(1, CREDIT, counts(1 << 63))], id='credit without end'),
        pytest.param([(1, OPEN, b'')], id='a stream that is open'),
        pytest.param([(number, OPEN, b'') for number in range(2, 6000)], id='too many streams'),
        pytest.param(
            [(1, DATA, counts(1, 2 * WINDOW)), *[(1, DATA, bytes(MOST))] * (WINDOW // MOST)], id='more than its credit'
        ),
    ],
)
def test_what_one_process_sends_wrongly_ends_its_own_streams(net, frames):
    """Not those of others to the same process, which come by the same socket."""

    async def main():
        hubs, one, other = await pair(net)
        end = net.end(3)
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(end, HEADER.pack(3, 1, 1, 0, OPEN, 0))
        its = await hubs[0].arrived.get()
        for stream, kind, payload in frames:
            await loop.sock_sendall(end, HEADER.pack(3, 1, stream, 0, kind, len(payload)) + payload)
        with pytest.raises(CommClosedError):
            # Nobody reads that is sent more than its credit.
            await (its.read() if len(frames) < 60 else its.write({'data': bytes(2 * WINDOW)}))
        await other.write({'number': 1})
        assert await one.read() == {'number': 1}
        # What has come before belongs to the socket, and the next of its number is another.
        await loop.sock_sendall(end, HEADER.pack(3, 1, 9000, 0, OPEN, 0))
        end.close()
        while 3 in hubs[0]._broken:
            await asyncio.sleep(0.005)
        for hub in hubs:
            hub.close()

    run(main())


def test_a_message_of_very_many_parts_takes_time_in_proportion(net):
    async def main():
        hubs, one, other = await pair(net)
        count = 1 << 19
        data = counts(count, *[1] * count) + bytes(count)
        for start in range(0, len(data), MOST):
            await one._send(data[start : start + MOST])
        while not other._messages:
            await asyncio.sleep(0.005)
        assert len(other._messages[0][0]) == count
        for hub in hubs:
            hub.close()

    run(main())


def test_a_process_that_ignores_credit_is_read_no_further(net):
    """What waits for one that reads nothing stays within limits, and whoever fills it is alone with that."""
    unread, flooding = net.end(2), net.end(3)
    flooding.settimeout(5)
    frame = HEADER.pack(3, 2, 1, 0, DATA, MOST) + bytes(MOST)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 30:
            sent += flooding.send(frame[sent % len(frame) :])
    assert sent < 300 << 20

    async def main():
        hubs, one, other = await pair(net, 4, 5)
        await one.write({'number': 1})
        assert await other.read() == {'number': 1}
        for hub in hubs:
            hub.close()

    run(main())
    # Its own end is noticed all the same.
    flooding.close()
    unread.close()


def test_a_number_is_taken_once(net):
    end = net.end(2)
    with pytest.raises(ValueError, match='process 2 is attached already'):
        net.router.attach_here(2)
    net.router.detach(2)
    assert poll(lambda: len(net.router) == 0, 30)
    assert end.recv(1) == b''
    end.close()
    net.end(2).close()


def test_messages_in_pieces_of_any_size_are_the_same():
    """What the socket gives at once is not what was sent at once."""

    async def main():
        sent = []

        class Sink(Hub):
            def send(self, key, kind, payload=b''):
                sent.append((key, kind, bytes(payload)))

        sender = Sink(1)
        comm = EcComm(sender, (2, 1, 0))
        comm._credit = 1 << 30
        messages = [{'data': bytes(size)} for size in (0, 1, 100, 70000, 300000)]
        for message in messages:
            await comm.write(message)
        stream = b''.join(
            HEADER.pack(1, 2, 1, 0, kind, len(payload)) + payload for _, kind, payload in sent if kind == DATA
        )
        for most in (1, 7, 1000, 65536):
            receiver = Sink(2)
            taken = EcComm(receiver, (1, 1, 1))
            receiver._comms[taken._key] = taken
            place = 0
            part = stream if most > 7 else stream[: len(stream) // 6]
            while place < len(part):
                buffer = receiver.get_buffer(-1)
                count = min(len(buffer), most, len(part) - place)
                buffer[:count] = part[place : place + count]
                receiver.buffer_updated(count)
                place += count
            for message in messages if most > 7 else messages[:3]:
                assert await taken.read() == message

    run(main())


def test_a_message_that_is_given_up_halfway_is_not_continued_by_the_next(net):
    async def main():
        hubs, one, other = await pair(net)
        writing = asyncio.ensure_future(one.write({'data': random.Random(1).randbytes(2 * WINDOW)}))
        while one._credit > MOST:
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        with pytest.raises(CommClosedError):
            await one.write('the next')
        with pytest.raises(CommClosedError):
            await asyncio.wait_for(other.read(), 20)
        for hub in hubs:
            hub.close()

    run(main())
