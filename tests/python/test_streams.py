"""Streams of the package: items of remote generators as they are made, their ends, and what stops them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from easycluster import AsyncClient, Client, ConnectionLost, define_common
from easycluster.server import spawn_local
from support.processes import poll

SOURCE = '''
state, closed = {'made': 0}, []
def numbers(count, size=0):
    try:
        for number in range(count):
            state['made'] += 1
            yield number, 'x' * size
    finally:
        closed.append(1)
def fails(count):
    for number in range(count):
        yield number
    raise LookupError('there')
def hangs():
    import time
    try:
        yield 1
        while True:
            time.sleep(0.01)
    finally:
        closed.append(1)
'''


@pytest.fixture
def client(prepared):
    return prepared


def test_items_come_in_order_beside_calls(client):
    came = []
    for number, text in client.stream('numbers', 5000, size=100):
        if number == 10:
            assert client.eval('6 * 7') == 42
        came.append(number)
    assert came == list(range(5000)) and text == 'x' * 100
    assert client.eval('len(closed)') == 1
    assert list(client.stream('list', 'abc')) == ['a', 'b', 'c']


def test_what_is_raised_comes_behind_the_items(client):
    stream = client.stream('fails', 3)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(LookupError, match='there'):
        next(stream)
    assert list(stream) == []
    with pytest.raises(TypeError):
        next(client.stream('len', 'abc'))
    with pytest.raises(AttributeError, match='not_there'):
        next(client.stream('not_there'))
    assert client.eval('1') == 1


@pytest.mark.parametrize('how', ['break', 'close', 'with', 'raise'])
def test_a_reader_that_stops_ends_the_generator_within_a_window(client, how):
    stream = client.stream('numbers', 10**7, size=1000, ahead=1 << 16)
    if how == 'break':
        for _ in stream:
            break
        del stream
    elif how == 'close':
        assert next(stream)[0] == 0
        stream.close()
        assert list(stream) == []
    elif how == 'with':
        with stream:
            next(stream)
    else:
        with pytest.raises(ZeroDivisionError), stream:
            next(stream)
            raise ZeroDivisionError
        del stream
    assert poll(lambda: client.eval('len(closed)') == 1)
    # A window, a batch that is being made, and one that waits to be sent.
    assert client.eval("state['made']") < 64 + 3 * 40


def test_a_reader_that_waits_lets_it_wait(client):
    with client.stream('numbers', 10**7, size=1000, ahead=1 << 16) as stream:
        next(stream)
        counts = [0]

        def stands():
            counts.append(client.eval("state['made']"))
            return counts[-1] == counts[-2]

        assert poll(stands) and counts[-1] < 64 + 3 * 40
        assert client.eval('len(closed)') == 0


def test_closing_interrupts_what_it_has_under_way(client):
    stream = client.stream('hangs')
    assert next(stream) == 1
    stream.close()
    assert poll(lambda: client.eval('len(closed)') == 1)


def test_items_come_though_the_next_one_takes_its_time(client):
    client.execblock(
        'def burst():\n    for part in "abc":\n        yield part\n    for last in hangs():\n        pass\n'
    )
    with client.stream('burst') as stream:
        assert [next(stream), next(stream), next(stream)] == ['a', 'b', 'c']


def test_a_lost_link_is_one_clear_error(connect, interpreter):
    client = connect(rpython=interpreter.path)
    client.execblock(SOURCE)
    stream = client.stream('hangs')
    assert next(stream) == 1
    client.os.kill(client.os.getpid(), 9, nonblocking=True)
    with pytest.raises(ConnectionLost):
        next(stream)


def test_a_function_of_this_program():
    def squares(count, *, power=2):
        for number in range(count):
            yield number**power

    with spawn_local(Client) as client:
        assert list(client.stream(squares, 4, power=3)) == [0, 1, 8, 27]


def test_definitions_of_that_name_are_called_all_the_same():
    define_common('def stream(a):\n    return a * 2\n', 'test_streams_own')
    with spawn_local(Client, definitions='test_streams_own') as client:
        assert client.stream(4) == 8


@pytest.mark.few_interpreters
def test_any_number_of_streams_of_an_event_loop(connect, interpreter):
    async def run():
        async with spawn_local(AsyncClient, rpython=interpreter.path) as client:
            await client.execblock(SOURCE)
            idle = [client.stream('hangs') for _ in range(20)]
            assert [await stream.__anext__() for stream in idle] == [1] * 20
            waiting = [asyncio.ensure_future(stream.__anext__()) for stream in idle]
            came = [number async for number, _ in client.stream('numbers', 1000, size=1000)]
            assert came == list(range(1000))
            # Those who wait hold nobody up, and an item is not lost where one gives up.
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            for stream in idle:
                await stream.aclose()
            with pytest.raises(LookupError, match='there'):
                async for _ in client.stream('fails', 3):
                    pass
            async with client.stream('numbers', 10**7, size=1000) as stream:
                async for _ in stream:
                    break
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()
            deadline = asyncio.get_running_loop().time() + 30
            while await client.eval('len(closed)') != 22:
                assert asyncio.get_running_loop().time() < deadline
            assert len([each for each in threading.enumerate() if each.name.startswith('asyncio')]) == 0

    asyncio.run(run())
