"""`timeout=` on every call: the call's time limit, but where a remote function takes a keyword of that name."""

from __future__ import annotations

import asyncio
import functools
import sys
import time

import easycluster
import pytest
from easycluster import (
    AsyncClient,
    CallTimeout,
    Client,
    ThreadedClient,
    call_method_multi,
    call_multi,
    define_common,
    eval_multi,
    execblock_multi,
)

define_common('''
import functools, time

def limit_nap(seconds):
    # In steps, because only the main thread of a Python can be interrupted within one sleep.
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.01)
    return seconds

def limit_own(timeout=None):
    return timeout

def limit_any(**keywords):
    return sorted(keywords.items())

def limit_wrapped(function):
    def wrapper(*args, **keywords):
        return function(*args, **keywords)
    return functools.wraps(function)(wrapper)

limit_decorated = limit_wrapped(limit_own)
limit_partial = functools.partial(limit_own)
limit_partial_nap = functools.partial(limit_nap, 30)

class LimitNapper(ServerObject):
    def __init__(self, seconds=0):
        limit_nap(seconds)
    def nap(self, seconds):
        return limit_nap(seconds)
    def own(self, timeout):
        return timeout
    def __call__(self, seconds):
        return limit_nap(seconds)
    @classmethod
    def of_class(cls, seconds):
        return limit_nap(seconds)
    @staticmethod
    def of_nobody(timeout):
        return timeout

class LimitTaker(ServerObject):
    def __init__(self, timeout):
        self.value = timeout

class LimitMaker(object):
    def __new__(cls, timeout=1):
        return timeout
    def __init__(self, value):
        pass

class LimitOld:
    def __init__(self, seconds):
        limit_nap(seconds)

class LimitCallable(object):
    def __call__(self, timeout):
        return timeout

limit_callable = LimitCallable()

class LimitTwin(object):
    class One(ServerObject):
        def wait(self, timeout):
            return timeout
    class Two(ServerObject):
        def wait(self, *nothing):
            limit_nap(30)

LimitTwin.One.__name__ = LimitTwin.Two.__name__ = 'Twin'
''')  # fmt: skip

LIMIT = 0.3


def ends_by_limit(call):
    start = time.monotonic()
    with pytest.raises(CallTimeout):
        call()
    assert time.monotonic() - start < 20


def test_it_is_the_limit_where_options_have_names(there):
    ends_by_limit(lambda: there.eval('limit_nap(30)', timeout=LIMIT))
    ends_by_limit(lambda: there.execblock('limit_nap(30)', timeout=LIMIT))
    ends_by_limit(lambda: there.raw_call('limit_nap', (30,), timeout=LIMIT))
    assert there.raw_call('limit_own', (), {'timeout': 5}, timeout=30) == 5
    ends_by_limit(lambda: there.send_request(0, 'call', ('limit_nap', (30,)), timeout=LIMIT))
    thing = there.LimitNapper()
    ends_by_limit(lambda: thing.raw_call_method('nap', (30,), timeout=LIMIT))
    assert thing.raw_call_method('own', (), {'timeout': 7}, timeout=30) == 7
    there.execblock(
        'class LimitSlow(ServerObject):\n    value = property(lambda self: limit_nap(30), lambda *x: limit_nap(30))\n'
    )
    slow = there.LimitSlow()
    ends_by_limit(lambda: slow.raw_get_attribute('value', timeout=LIMIT))
    ends_by_limit(lambda: slow.raw_set_attribute('value', 1, timeout=LIMIT))
    there.import_module('string', timeout=30)
    there.import_modules(['string'], timeout=30)
    there.update_definitions(timeout=30)
    ends_by_limit(lambda: there.eval('limit_nap(30)', nonblocking=True, timeout=LIMIT).wait())


def test_it_is_the_limit_of_what_takes_no_such_keyword(there):
    thing = there.LimitNapper(0, timeout=30)
    for call in [
        lambda: there.limit_nap(30, timeout=LIMIT),
        lambda: there.call('limit_nap', 30, timeout=LIMIT),
        lambda: there.limit_nap(30, nonblocking=True, timeout=LIMIT).wait(),
        lambda: there.limit_partial_nap(timeout=LIMIT),
        lambda: there.LimitNapper(30, timeout=LIMIT),
        lambda: there.LimitOld(30, timeout=LIMIT),
        lambda: there.LimitNapper.of_class(30, timeout=LIMIT),
        lambda: thing.nap(30, timeout=LIMIT),
        lambda: thing(30, timeout=LIMIT),
        lambda: thing.of_class(30, timeout=LIMIT),
        # Written in C, without anything to say what it takes but that it takes no keywords.
        lambda: there.time.sleep(30, timeout=LIMIT),
    ]:
        ends_by_limit(call)
    assert there.limit_nap(0.01, timeout=30) == 0.01
    assert there.limit_nap(0.01, timeout=None) == 0.01
    assert there.os.path.join('a', 'b', timeout=30) == 'a/b'
    assert there.abs(-3, timeout=30) == 3


def test_it_goes_to_what_takes_it(there):
    thing = there.LimitNapper()
    assert there.limit_own(timeout=5) == 5
    assert there.call('limit_own', timeout=5) == 5
    assert there.limit_own(timeout=None) is None
    assert there.limit_own(timeout=(1, 2)) == (1, 2)
    assert there.limit_any(timeout=0.5, other=1) == [('other', 1), ('timeout', 0.5)]
    assert there.limit_decorated(timeout=6) == 6
    assert there.limit_partial(timeout=7) == 7
    assert there.LimitTaker(timeout=8).value == 8
    assert there.LimitMaker(timeout=9) == 9
    assert there.limit_callable(timeout=10) == 10
    assert thing.own(timeout=11) == 11
    assert thing.of_nobody(timeout=12) == 12
    assert there.dict(timeout=13) == {'timeout': 13}
    # Not a second time a limit: the function goes on for longer than what it is given.
    there.execblock('def limit_both(timeout):\n    return limit_nap(1)\n')
    assert there.limit_both(timeout=0.1) == 1


def test_a_limit_beside_it(there):
    there.execblock('def limit_both(timeout):\n    return limit_nap(timeout)\n')
    ends_by_limit(lambda: there.limit_both(timeout=30, call_timeout=LIMIT))
    assert there.limit_both(timeout=0.01, call_timeout=30) == 0.01
    with pytest.raises(TypeError, match='keyword'):
        there.limit_nap(1, timeout=30, call_timeout=30, origexc='quiet')
    with pytest.raises(TypeError, match='one of them'):
        there.eval('1', timeout=1, call_timeout=1)
    with pytest.raises(TypeError, match='keyword'):
        there.limit_nap(1, timeout='soon', origexc='quiet')


def test_classes_that_share_a_name_are_told_apart(there):
    one, two = there.eval('[LimitTwin.One(), LimitTwin.Two()]')
    assert type(one) is type(two)
    assert one.wait(timeout=3) == 3
    ends_by_limit(lambda: two.wait(timeout=LIMIT))
    assert one.wait(timeout=3) == 3


def test_names_of_builtins_in_definitions_do_not_confuse_it(connect, interpreter):
    client = connect(rpython=interpreter.path)
    client.execblock('''
def wrong(*args, **keywords):
    return False
type = getattr = isinstance = issubclass = len = range = staticmethod = str = bool = wrong
''')
    assert client.limit_own(timeout=5) == 5
    ends_by_limit(lambda: client.limit_nap(30, timeout=LIMIT))


def test_what_is_not_there_says_so(client):
    with pytest.raises(AttributeError, match='no_such_function'):
        client.no_such_function(timeout=5, origexc='quiet')
    with pytest.raises(AttributeError, match='no_such_method'):
        client.LimitNapper().raw_call_method('no_such_method', (), timeout=5, origexc='quiet')
    thing = client.LimitNapper()
    client.close()
    with pytest.raises(IOError):
        thing.nap(1, timeout=5)
    with pytest.raises(IOError):
        client.limit_nap(1, timeout=5)
    with pytest.raises(IOError):
        call_method_multi([thing], 'nap', 1, timeout=5)


def test_asking_waits_for_no_other_call_and_runs_no_completion_function(client):
    seen = []
    client.eval('1', oncomplete=seen.append)
    busy = client.limit_nap(30, nonblocking=True)
    assert client.limit_own(timeout=2, nonblocking=True, threadid=3).wait is not None
    assert seen == [] and not busy._have_response
    busy.cancel()
    while not seen:
        client.read_response()
    assert seen == [1]


def test_it_is_asked_once(client):
    asked = []
    ask = client._ask

    def counted(*args):
        asked.append(args)
        return ask(*args)

    client._ask = counted
    thing = client.LimitNapper()
    for _ in range(3):
        client.limit_own(timeout=1)
        client.limit_nap(0, timeout=30)
        thing.own(timeout=1)
        client.eval('1', timeout=30)
        client.limit_nap(0)
    assert len(asked) == 3
    # What a name stands for may be another thing behind new definitions.
    client.execblock('def limit_nap(seconds, timeout):\n    return timeout\n')
    assert client.limit_nap(0, timeout=4) == 4


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_on_many_connections(connect, kind):
    both = [connect(clientclass=kind), connect(clientclass=kind)]
    assert call_multi(both, 'limit_own', timeout=5) == [5, 5]
    ends_by_limit(lambda: call_multi(both, 'limit_nap', 30, timeout=LIMIT))
    ends_by_limit(lambda: call_multi(both, 'limit_nap', 30, call_timeout=LIMIT))
    ends_by_limit(lambda: eval_multi(both, 'limit_nap(30)', timeout=LIMIT))
    ends_by_limit(lambda: execblock_multi(both, 'limit_nap(30)', timeout=LIMIT))
    things = [client.LimitNapper() for client in both]
    assert call_method_multi(things, 'own', timeout=5) == [5, 5]
    ends_by_limit(lambda: call_method_multi(things, 'nap', 30, timeout=LIMIT))
    # All other keywords are the function's, as they always were.
    assert call_multi(both, 'limit_any', threadid=1) == [[('threadid', 1)]] * 2


def test_functions_of_the_program(client, interpreter, connect):
    rmt = connect(rpython=interpreter.path)
    ends_by_limit(lambda: rmt.run(napping, 30, timeout=LIMIT))
    assert rmt.run(waiting, timeout=5) == 5
    assert rmt.run(waiting, timeout=5, call_timeout=30) == 5
    ends_by_limit(lambda: limited(rmt, 30))
    assert limited(rmt, 0, timeout=30) == 0


def napping(seconds):
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.01)
    return seconds


def waiting(timeout):
    return timeout


@easycluster.remote(timeout=LIMIT)
def limited(seconds):
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.01)
    return seconds


def test_awaited_calls(sshd):
    async def main():
        async with AsyncClient.open(sshd.spec('rpython=%s' % sys.executable)) as client:
            thing = await client.LimitNapper()
            for make in [
                functools.partial(client.limit_nap, 30),
                functools.partial(client.call, 'limit_nap', 30),
                functools.partial(thing.raw_call_method, 'nap', (30,)),
                functools.partial(client.eval, 'limit_nap(30)'),
                functools.partial(client.run, napping, 30),
            ]:
                for _ in range(2):
                    with pytest.raises(CallTimeout):
                        await make(timeout=LIMIT)
            assert await client.limit_own(timeout=5) == 5
            assert await client.limit_own(timeout=5) == 5
            task = client.limit_nap(30, timeout=30)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.eval('1', timeout=20) == 1

    asyncio.run(main())
