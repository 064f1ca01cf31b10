"""Functions of this program that remote code calls: what goes through, what does not, and that nothing waits for itself."""

from __future__ import annotations

import asyncio
import builtins
import gc
import json
import pickle
import threading
import weakref

import easycluster
import pytest
from easycluster import AsyncClient, AsyncCluster, Client, Cluster, callback
from easycluster.server import spawn_local
from support.processes import poll as until

SOURCE = '''
import errno, os, sys, threading
def call(function, *args, **kwargs):
    return function(*args, **kwargs)
def many(function, items):
    return [function(item) for item in items]
def caught(function):
    try:
        function()
    except Exception:
        error = sys.exc_info()[1]
        return type(error).__name__, str(error), [type(each).__name__ for each in type(error).__mro__]
def number_of(function):
    try:
        function()
    except EnvironmentError:
        return errno.errorcode[sys.exc_info()[1].errno]
def in_threads(function, count):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(function(threading.current_thread().name))) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return len(set(answers))
kept = []
def keep(function):
    kept.append(function)
def use(*args):
    return kept[0](*args)
def drop():
    del kept[:]
    import gc
    gc.collect()
def plus(value):
    return value + 1
def in_child(function):
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        try:
            function()
            told = 'called'
        except Exception:
            told = str(sys.exc_info()[1])
        os.write(sink, told.encode())
        os._exit(0)
    os.close(sink)
    os.waitpid(child, 0)
    return os.read(source, 1000).decode()
class Thing(object):
    def __init__(self):
        self.name = 'thing'
class Apart(Exception):
    def __init__(self, name, number):
        Exception.__init__(self, 'made there')
def parts(function):
    try:
        function()
    except Apart:
        error = sys.exc_info()[1]
        return str(error), error.name, error.number, hasattr(error, 'lock')
def position(function):
    try:
        function()
    except ValueError:
        error = sys.exc_info()[1]
        return type(error).__name__, getattr(error, 'pos', None)
'''


@pytest.fixture
def client(prepared):
    return prepared


@pytest.fixture
def newest(connect):
    """A client of this Python alone, for what does not depend on that of the other side."""
    made = connect()
    made.execblock(SOURCE)
    return made


def test_values_go_there_and_back(client):
    seen = []

    def take(*args, **kwargs):
        seen.append((args, kwargs))
        return [args, kwargs]

    handed = callback(take)
    assert client.call('call', handed, 1, 'text', [2.5, None], key={'a': (True,)}) == [
        (1, 'text', [2.5, None]),
        {'key': {'a': (True,)}},
    ]
    assert seen == [((1, 'text', [2.5, None]), {'key': {'a': (True,)}})]
    assert client.call('many', callback(lambda item: item * 2), list(range(100))) == list(range(0, 200, 2))
    large = 'x' * 3_000_000
    assert client.call('call', callback(lambda text: text + 'y'), large) == large + 'y'
    # Nested in other arguments, and given twice.
    assert client.call('call', callback(lambda given: sorted(given)), {'b': 1, 'a': 2}) == ['a', 'b']
    client.execblock('def both(pair):\n    return pair["one"][0](1), pair["two"](2)')
    assert client.call('both', {'one': [handed], 'two': handed}) == ([(1,), {}], [(2,), {}])


class Own(LookupError):
    """One that the other side does not have."""


def test_exceptions_travel(client):
    def fails(error):
        def function():
            raise error

        return callback(function)

    kind, said, _ = client.call('caught', fails(KeyError('here')))
    assert kind == 'KeyError' and 'here' in said
    kind, said, line = client.call('caught', fails(Own('mine')))
    assert kind == 'LookupError' and 'mine' in said
    assert client.call('number_of', fails(FileNotFoundError(2, 'not there'))) == 'ENOENT'
    with pytest.raises(ZeroDivisionError):
        client.call('call', callback(lambda: 1 / 0), origexc='quiet')
    with pytest.raises(Exception, match='pickle'):
        client.call('call', callback(lambda: threading.Lock()), origexc='quiet')
    # It goes on after all that.
    assert client.call('call', callback(lambda: 1)) == 1


class Apart(Exception):
    """One whose constructor takes something else than it has."""

    def __init__(self, name, number):
        super().__init__('%s has %d' % (name, number))
        self.name, self.number, self.lock = name, number, threading.Lock()


class Silent(Exception):
    def __str__(self):
        raise RuntimeError('no words')


def raises(error):
    def function():
        raise error

    return callback(function)


def test_an_exception_whose_constructor_takes_other_arguments_travels(client):
    there = type('Apart', (Apart,), {'__module__': 'easycluster.remote_code'})
    assert client.call('parts', raises(there('web', 3))) == ('web has 3', 'web', 3, False)
    name, position = client.call('position', callback(lambda: json.loads('{')))
    assert (name, position) == (('JSONDecodeError', 1) if name != 'ValueError' else ('ValueError', 1))


def test_what_an_exception_holds_does_not_hide_it(client):
    kind, said, _ = client.call('caught', raises(ValueError(Own('inside'))))
    assert kind == 'ValueError' and 'inside' in said
    error = KeyError('key')
    error.more = Own('inside')
    kind, said, _ = client.call('caught', raises(error))
    assert kind == 'KeyError' and 'key' in said
    kind, said, _ = client.call('caught', raises(Silent()))
    assert kind == 'Exception'
    # From 3.11 on.
    group = getattr(builtins, 'ExceptionGroup', None)
    if group:
        kind, said, _ = client.call('caught', raises(group('several', [Own('inside'), ValueError(3)])))
        assert kind == 'Exception' and 'several' in said


def test_the_traceback_of_here_is_shown(newest):
    with pytest.raises(easycluster.RemoteException) as raised:
        newest.call('call', callback(lambda: [].pop()), origexc=False)
    told = str(raised.value.orig.__cause__)
    assert 'pop from empty list' in told and 'test_callbacks.py' in told


@pytest.mark.few_interpreters
def test_a_callback_calls_its_own_client(client):
    def deeper(depth):
        return 0 if not depth else client.call('call', callback(deeper), depth - 1) + 1

    assert client.call('call', callback(deeper), 5) == 5
    assert client.call('many', callback(lambda item: client.plus(item)), [1, 2, 3]) == [2, 3, 4]


def test_callbacks_that_wait_for_each_other_fail_and_do_not_hang(newest):
    def endless(depth):
        return newest.call('call', handed, depth + 1, origexc='quiet')

    handed = callback(endless)
    with pytest.raises(RecursionError):
        newest.call('call', handed, 0, origexc='quiet', call_timeout=120)
    assert newest.call('call', callback(lambda: 1)) == 1


def test_threads_of_there_ask_at_once(client):
    met = threading.Barrier(20)

    def meet(name):
        met.wait(60)
        return name

    assert client.call('in_threads', callback(meet), 20) == 20


def test_more_than_run_at_once_take_turns(newest):
    assert newest.call('in_threads', callback(lambda name: name), 200) == 200


@pytest.mark.few_interpreters
def test_nobody_waits_where_that_is_said(client):
    got = []
    gate = threading.Event()

    def slowly(item):
        gate.wait(60)
        got.append(item)

    assert client.call('many', callback(slowly, wait=False), list(range(300))) == [None] * 300
    assert not got
    gate.set()
    until(lambda: len(got) == 300)
    assert got == list(range(300))


def test_what_nobody_waits_for_tells_the_hook(newest, monkeypatch):
    told = []
    monkeypatch.setattr(threading, 'excepthook', lambda args: told.append(args.exc_value))
    tried = []

    def own():
        try:
            newest.plus(1)
        except RuntimeError as error:
            tried.append(str(error))
            raise

    newest.call('call', callback(own, wait=False))
    until(lambda: told)
    assert 'wait=False' in tried[0] and isinstance(told[0], RuntimeError)


def test_a_flood_that_nobody_waits_for_is_held_back(newest):
    """What the other side sends ahead stays there: here is no more than what may be in hand."""
    gate = threading.Event()
    got = []

    def slowly(data):
        gate.wait(60)
        got.append(len(data))

    newest.execblock(
        'def flood(function):\n    for number in range(200):\n        function("x" * 200000)\n    return "done"'
    )
    response = newest.call('flood', callback(slowly, wait=False), nonblocking=True)
    until(lambda: newest._asked._entries)
    entry = next(iter(newest._asked._entries.values()))
    until(lambda: len(entry.notes) > 10)
    with pytest.raises(TimeoutError):
        response.wait(timeout=1)
    assert len(entry.notes) <= 64
    gate.set()
    assert response.wait(timeout=60) == 'done'
    until(lambda: len(got) == 200)


def test_time_limits(client):
    gate = threading.Event()
    try:
        assert client.call('number_of', callback(lambda: gate.wait(60), timeout=0.3)) == 'ETIMEDOUT'
        # The limit of the call ends the wait too.
        with pytest.raises(easycluster.CallTimeout):
            client.call('call', callback(lambda: gate.wait(60)), call_timeout=0.3)
    finally:
        gate.set()
    assert client.call('call', callback(lambda: 1)) == 1


def test_an_interrupted_ask_leaves_the_next_ones_whole(client):
    """Interrupted in the middle of a large argument, for which there was no room."""
    gate = threading.Event()
    client.execblock('def large(function):\n    while True:\n        function("x" * 3000000)')
    stuck = callback(lambda text: gate.wait(60), wait=False)
    try:
        with pytest.raises(easycluster.CallTimeout):
            client.call('large', stuck, call_timeout=1.5)
    finally:
        gate.set()
    assert client.call('call', callback(lambda *args: args), 1, 2) == (1, 2)


def test_they_are_kept_as_long_as_there(newest):
    handed = callback(lambda value: value + 1)
    gone = weakref.ref(handed)
    newest.keep(handed)
    del handed
    assert newest.use(5) == 6
    gc.collect()
    assert gone() is not None
    newest.drop()
    for _ in range(40):
        # What is let go of is told of now and then.
        newest.call('call', callback(lambda: None))
    until(lambda: gc.collect() is not None and gone() is None)
    assert len(newest._asked._entries) < 40


def test_they_end_with_the_client(newest):
    newest.keep(callback(lambda: 1))
    newest.reconnect()
    newest.execblock(SOURCE)
    with pytest.raises(IndexError):
        newest.use(origexc='quiet')
    gate = threading.Event()
    response = newest.call('call', callback(lambda: gate.wait(60)), nonblocking=True)
    until(lambda: newest._asked._running)
    newest.close()
    with pytest.raises(OSError):
        response.wait(timeout=60, origexc='quiet')
    gate.set()


def test_a_client_that_is_dropped_is_closed():
    def used():
        client = spawn_local(Client)
        client.execblock(SOURCE)
        assert client.call('call', callback(lambda: client.connected)) is True
        return weakref.ref(client._native)

    native = used()
    until(lambda: gc.collect() is not None and native() is None)
    assert native() is None


def test_what_they_cannot_be(newest, connect):
    for wrong in (None, 'name', callback(len)):
        with pytest.raises(TypeError):
            callback(wrong)
    with pytest.raises(ValueError):
        callback(len, timeout=-1)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(callback(len))

    async def awaited():
        return 1

    with pytest.raises(TypeError, match='AsyncClient'):
        newest.call('call', callback(awaited))
    with pytest.raises(pickle.PicklingError, match='only be called'):
        newest.execblock('def back(function):\n    return function')
        newest.call('back', callback(len), origexc='quiet')
    assert callback(len)([1, 2]) == 2


def test_functions_that_are_no_callbacks_are_refused_with_what_to_do(newest):
    def of_here():
        pass

    for value in (lambda: 1, of_here, threading.Lock()):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)) as caught:
            newest.call('repr', [value])
        text = str(caught.value)
        assert text.startswith('%s: cannot send the arguments: ' % newest._peername), text
        assert 'easycluster.callback(function)' in text and 'pickle' in str(caught.value.__cause__)


def test_a_forked_child_cannot_ask(client):
    assert 'forked' in client.call('in_child', callback(lambda: 1))


def test_objects_of_there_may_be_arguments(client):
    client.execblock(
        'import easycluster\neasycluster.make_server_class(Thing)\ndef given(function):\n    return function(Thing())'
    )
    # It would ask the main thread, which waits.
    assert client.call('given', callback(lambda thing: thing.raw_get_attribute('name'))) == 'thing'


def test_what_is_refused_of_results_is_refused_of_arguments(newest):
    newest.execblock('import subprocess\ndef hostile(function):\n    return function(subprocess.Popen)')
    called = []
    with pytest.raises(Exception, match='Popen'):
        newest.call('hostile', callback(called.append), origexc='quiet')
    assert not called


@pytest.mark.few_interpreters
def test_on_an_event_loop(interpreter):
    async def main():
        loop = asyncio.get_running_loop()
        async with AsyncClient.open(':local:rpython=%s' % interpreter.path) as client:
            await client.execblock(SOURCE)

            async def nested(depth):
                assert asyncio.get_running_loop() is loop
                return 0 if not depth else await client.call('call', callback(nested), depth - 1) + 1

            assert await client.call('call', callback(nested), 4) == 4
            assert await client.call('call', callback(lambda: asyncio.get_running_loop() is loop)) is True

            async def fails():
                raise KeyError('there')

            with pytest.raises(KeyError):
                await client.call('call', callback(fails), origexc='quiet')
            got = []
            all_of_them = asyncio.Event()

            async def note(item):
                await asyncio.get_running_loop().run_in_executor(None, int)
                got.append(item)
                if len(got) == 100:
                    all_of_them.set()

            await client.call('many', callback(note, wait=False), list(range(100)))
            await asyncio.wait_for(all_of_them.wait(), 60)
            assert got == list(range(100))

    asyncio.run(main())


def test_on_clusters():
    seen = []

    def note(name, value):
        seen.append((name, value))
        return value * 2

    handed = callback(note)
    with Cluster([':local:name=a', ':local:name=b'], slots=2) as cluster:
        cluster.define('def twice(f, name, x):\n    return f(name, x)')
        assert cluster.call('twice', handed, 'name', 3) == {'a': 6, 'b': 6}
        assert list(cluster.map('twice', [handed] * 20, ['n'] * 20, range(20))) == [2 * x for x in range(20)]

        def asks_again(name, x):
            return sum(cluster.call(len, [1, 2, 3]).values()) + x

        assert cluster.call('twice', callback(asks_again), 'n', 1) == {'a': 7, 'b': 7}
    assert len(seen) == 22


def test_on_async_clusters():
    async def main():
        async with AsyncCluster([':local:name=a', ':local:name=b']) as cluster:

            async def note(x):
                await asyncio.get_running_loop().run_in_executor(None, int)
                return x + 1

            await cluster.define('def through(f, x):\n    return f(x)')
            assert await cluster.call('through', callback(note), 3) == {'a': 4, 'b': 4}

    asyncio.run(main())


@pytest.mark.few_interpreters
def test_an_ask_that_is_too_long_is_an_error_there(client):
    with pytest.raises(ValueError, match='takes 8388599'):
        client.execblock('def long(function):\n    function("x" * 9000000)')
        client.call('long', callback(len), origexc='quiet')
    assert client.call('call', callback(lambda: 1)) == 1


def test_handing_over_takes_no_round_trip_and_no_part_before_it(newest):
    assert newest._asked is None
    newest.call('plus', 1)
    assert newest._asked is None
