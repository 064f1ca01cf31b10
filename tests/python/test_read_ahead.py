"""Reading ahead: many items a request, in order, with none lost and errors where they belong."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import easycluster
import pytest
from easycluster import AsyncClient, ThreadedClient

SOURCE = '''
import time
told = []
def numbers(count):
    for number in range(count):
        told.append(number)
        yield number
def failing():
    yield 1
    yield 2
    raise ValueError('behind two')
def slow(count):
    for number in range(count):
        time.sleep(0.02)
        yield number
def texts(count, size):
    for number in range(count):
        yield chr(97 + number % 26) * size
'''


@pytest.fixture
def there(there):
    there.execblock(SOURCE)
    return there


def requests(client, action):
    """How many requests an action makes."""
    before = next(client._tickets)
    action()
    return next(client._tickets) - before - 1


def test_a_hundred_items_take_few_requests(there, tmp_path):
    got = []
    # Two for its beginning and its end; the others where the machine is so busy that a batch is full by time.
    count = requests(there, lambda: got.extend(easycluster.read_ahead(there.numbers(100), seconds=30)))
    assert got == list(range(100)) and count <= 4
    path = tmp_path / 'lines'
    path.write_text(''.join('line %d\n' % number for number in range(5000)))
    with there.call('open', str(path)) as file:
        count = requests(there, lambda: got.extend(easycluster.read_ahead(file, seconds=30)))
    assert got[100:] == ['line %d\n' % number for number in range(5000)] and count <= 4
    # Views, lists that stay there, and what is no proxy.
    assert list(easycluster.read_ahead(there.eval('{1: 2}.items()'))) == [(1, 2)]
    assert list(easycluster.read_ahead(there.eval('[1, 2]', keep=True))) == [1, 2]
    assert list(easycluster.read_ahead([1, 2])) == [1, 2]
    assert list(easycluster.read_ahead(there.eval('iter(())'))) == []


def test_a_batch_is_bounded_by_bytes_and_by_time(there):
    ahead = easycluster.read_ahead(there.texts(100, 10_000), size=50_000, seconds=60)
    assert next(ahead) == 'a' * 10_000
    assert len(ahead._state[1]) == 4
    assert ''.join(text[0] for text in ahead) == ''.join(chr(97 + number % 26) for number in range(1, 100))
    # One item of a slow source at a time.
    ahead = easycluster.read_ahead(there.slow(5))
    assert next(ahead) == 0 and len(ahead._state[1]) == 0
    assert list(ahead) == [1, 2, 3, 4]


def test_the_server_is_one_batch_ahead_and_no_more(there):
    ahead = easycluster.read_ahead(there.numbers(1000), size=800, seconds=60)
    assert there.eval('len(told)') == 0
    next(ahead)
    # 100 whole numbers count as 800 bytes.
    assert there.eval('len(told)') == 100
    for _ in range(99):
        next(ahead)
    assert there.eval('len(told)') == 100
    next(ahead)
    assert there.eval('len(told)') == 200


def test_what_is_raised_comes_behind_the_items(there):
    ahead = easycluster.read_ahead(there.failing())
    got = []
    with pytest.raises(ValueError, match='behind two') as info:
        for item in ahead:
            got.append(item)
    assert got == [1, 2]
    assert 'failing' in str(info.value.__cause__)
    assert list(ahead) == []


# Raised in a callback of the garbage collector, it reaches nobody.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.few_interpreters
def test_nothing_is_lost_where_reading_is_interrupted(connect, interpreter):
    """SIGINT at moments of all sorts; whoever goes on with next() sees every item once."""

    def interrupt(number, frame):
        # Up to 3.9 Python also looks for signals between the end of a `try` and the return behind it, which no iterator survives.
        if sys.version_info >= (3, 10) or not frame.f_code.co_filename.endswith('_read_ahead.py'):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    client = connect(rpython=interpreter.path)
    client.execblock(SOURCE)
    interruptions = 0
    try:
        ahead = easycluster.read_ahead(client.eval('(str(number) for number in range(3000))'), size=160, seconds=60)
        got = []
        timers = []
        done = False
        while not done:
            timer = threading.Timer(0.002 + 0.001 * (interruptions % 7), signal.raise_signal, [signal.SIGINT])
            timers.append(timer)
            try:
                timer.start()
                while True:
                    # The item is in the list before the next interruption is looked for: iterators in C do both.
                    count = len(got)
                    got.extend(zip([None], ahead))
                    if len(got) == count:
                        done = True
                        break
            except KeyboardInterrupt:
                interruptions += 1
            finally:
                timer.cancel()
                while True:
                    try:
                        timer.join(10)
                        break
                    except KeyboardInterrupt:
                        pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert [int(item) for _, item in got] == list(range(3000))
    assert interruptions
    assert client.eval('1') == 1


def test_other_clients(connect, sshd):
    threaded = connect(clientclass=ThreadedClient)
    threaded.execblock(SOURCE)
    assert list(easycluster.read_ahead(threaded.numbers(10))) == list(range(10))

    async def main():
        async with AsyncClient.open(sshd.spec()) as client:
            await client.execblock(SOURCE)
            assert [item async for item in easycluster.read_ahead(await client.numbers(10))] == list(range(10))
            got = []
            with pytest.raises(ValueError, match='behind two'):
                async for item in easycluster.read_ahead(await client.failing()):
                    got.append(item)
            assert got == [1, 2]

    asyncio.run(main())


def test_what_cannot_be_gone_through_says_so(connect):
    client = connect()
    with pytest.raises(TypeError, match='value'):
        easycluster.read_ahead(client.os.environ)
    with pytest.raises(TypeError, match='iterable'):
        next(easycluster.read_ahead(client.call('threading.Lock', keep=True)))
    proxy = client.eval('(1 for _ in ())')
    client.close()
    with pytest.raises(IOError):
        easycluster.read_ahead(proxy)
