"""Channels of the package: items and bytes both ways, their ends, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import sys
import threading

import pytest
from easycluster import AsyncClient, ConnectionLost
from easycluster.server import spawn_local

SOURCE = '''
import hashlib
def doubled(channel):
    for item in channel:
        channel.send([item, item])
    return 'over'
def digest(channel):
    made = hashlib.sha256()
    for piece in channel:
        made.update(piece)
    return made.hexdigest()
def give(channel, count, size):
    for number in range(count):
        channel.send(b'x' * size)
def raises(channel):
    channel.send(1)
    raise LookupError('there')
def leaves(channel):
    channel.close()
def told(channel):
    try:
        channel.receive()
    except EnvironmentError:
        import sys
        return str(sys.exc_info()[1])
'''


@pytest.fixture
def client(prepared):
    return prepared


def test_items_go_both_ways(client):
    channel = client.channel()
    response = client.doubled(channel, nonblocking=True, threadid=-1)
    items = [0, 'text', 2.5, [1, {'key': (None, True)}], 'x' * 300000]
    for item in items:
        channel.send(item)
    channel.end()
    assert list(channel) == [[item, item] for item in items]
    assert response.wait(timeout=60) == 'over'
    with pytest.raises(EOFError):
        channel.receive()
    with pytest.raises(OSError):
        channel.send(1)


def test_bytes_arrive_whole_however_they_are_cut(client):
    channel = client.channel(raw=True)
    response = client.digest(channel, nonblocking=True, threadid=-1)
    made = hashlib.sha256()
    for size in (0, 1, 100, 70000, 1 << 20, 3 << 20):
        piece = bytes(range(256)) * (size // 256 + 1)
        channel.send(memoryview(piece)[:size])
        made.update(piece[:size])
    channel.end()
    assert response.wait(timeout=60) == made.hexdigest()
    channel = client.channel(raw=True, window=16384)
    response = client.give(channel, 50, 30000, nonblocking=True, threadid=-1)
    assert b''.join(channel) == b'x' * 1500000
    response.wait(timeout=60)


def test_both_ends_know_of_an_end(client):
    channel = client.channel()
    response = client.raises(channel, nonblocking=True, threadid=-1, origexc='quiet')
    assert channel.receive() == 1
    with pytest.raises(ConnectionAbortedError, match='the call that had it failed'):
        channel.receive()
    with pytest.raises(LookupError):
        response.wait(timeout=60)
    channel = client.channel()
    client.leaves(channel)
    with pytest.raises(EOFError):
        channel.receive(timeout=60)
    with pytest.raises(BrokenPipeError):
        for number in range(100000):
            channel.send(number, timeout=60)
    # And the other end of ours.
    channel = client.channel()
    response = client.told(channel, nonblocking=True, threadid=-1)
    channel.fail('enough of it')
    assert 'enough of it' in response.wait(timeout=60)


def test_waits_have_limits_and_a_closed_connection_ends_them(connect):
    client = connect()
    client.execblock(SOURCE)
    channel = client.channel()
    with pytest.raises(TimeoutError):
        channel.receive(timeout=0.05)
    full = client.channel(window=16384)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            full.send('x' * 1000, timeout=0.05)
    raised = []

    def wait():
        try:
            channel.receive()
        except Exception as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    client.close()
    waiting.join(60)
    assert not waiting.is_alive() and isinstance(raised[0], OSError)


def test_what_is_no_argument_of_its_own_call_is_refused(connect):
    one, other = connect(), connect()
    one.execblock(SOURCE + 'class Thing(ServerObject): pass\ndef thing(): return Thing()')
    channel = one.channel()
    with pytest.raises(TypeError, match='belongs to'):
        other.call('repr', channel)
    with pytest.raises(pickle.PicklingError, match='argument of a call'):
        channel.send(channel)
    with pytest.raises(TypeError):
        channel.send(one.thing())
    # It is as good as new.
    response = one.doubled(channel, nonblocking=True)
    channel.send(1)
    assert channel.receive(timeout=60) == [1, 1]
    channel.end()
    assert response.wait(timeout=60) == 'over'


def test_many_channels_at_once(connect):
    client = connect()
    client.execblock(SOURCE)
    channels = [client.channel() for _ in range(40)]
    responses = [client.doubled(channel, nonblocking=True, threadid=-1) for channel in channels]
    for number in range(50):
        for place, channel in enumerate(channels):
            channel.send((number, place))
    for place, channel in enumerate(channels):
        channel.end()
        assert list(channel) == [[(number, place), (number, place)] for number in range(50)]
    assert [response.wait(timeout=60) for response in responses] == ['over'] * 40


def test_a_lost_connection_is_no_end_of_what_is_gone_through(connect):
    client = connect()
    client.execblock('def holds(channel):\n    channel.send(1)\n    channel.receive()\n')
    channel = client.channel()
    client.holds(channel, nonblocking=True)
    items = []
    with pytest.raises(ConnectionLost):
        for item in channel:
            items.append(item)
            client.close()
    assert items == [1]
    with pytest.raises(ConnectionLost):
        list(channel)

    async def main():
        async with spawn_local(AsyncClient) as client:
            await client.execblock(SOURCE)
            channel = client.channel()
            client.close()
            with pytest.raises(ConnectionLost):
                [item async for item in channel]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_awaited_channels():
    async def main():
        async with spawn_local(AsyncClient) as client:
            await client.execblock(SOURCE)
            async with client.channel() as channel:
                calling = asyncio.ensure_future(client.doubled(channel, threadid=-1))
                await channel.send('one')
                # One that is given up takes nothing.
                waiting = asyncio.ensure_future(channel.receive())
                await asyncio.sleep(0)
                waiting.cancel()
                assert await channel.receive() == ['one', 'one']
                await channel.send(2)
                channel.end()
                assert [item async for item in channel] == [[2, 2]]
                assert await calling == 'over'

    asyncio.run(asyncio.wait_for(main(), 60))


def test_each_item_goes_to_one_of_the_threads_that_receive(client):
    client.execblock('def pour(channel):\n    for number in range(5000):\n        channel.send([number])\n')
    channel = client.channel()
    response = client.call('pour', channel, nonblocking=True)
    taken: list[int] = []

    def take():
        taken.extend(number for (number,) in channel)

    before = sys.getswitchinterval()
    # So that threads take turns as often as Python lets them.
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert response.wait(timeout=60) is None
    assert sorted(taken) == list(range(5000))
