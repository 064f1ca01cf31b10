"""Signals at random moments, whose handlers raise anything, and callers with no room left: every answer is found afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import signal
import sys

import pytest
from easycluster import AsyncClient, CallTimeout, Client, Cluster, ThreadedClient, call_multi, eval_multi
from support.processes import poll

# What a handler raises while something is dropped, Python reports and ignores; the event loops that it ends leave their sockets.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning', 'ignore::ResourceWarning')

ROUNDS = 40

SOURCE = '''
import collections
class Thing(ServerObject):
    pass
things = [Thing() for _ in range(8)]
def value(number):
    if number % 5 == 0:
        return [number, things[number % 8]]
    if number % 5 == 1:
        raise LookupError(number)
    if number % 5 == 2:
        return collections.OrderedDict([(number, collections.deque([number]))])
    return number
'''


class Stop(Exception):
    """What a test's time limit raises."""


RAISED = [KeyboardInterrupt, Stop, SystemExit, MemoryError, RecursionError, TimeoutError, ValueError]


class Alarm:
    """Raises something at a moment within some milliseconds, once; `happened` says whether it did."""

    def __init__(self, kind, most):
        self.kind = kind
        self.most = most
        self.happened = False

    def _raise(self, number, frame):
        if frame.f_code is Alarm.__enter__.__code__:
            # Not within the block yet, where it would be caught.
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            return
        self.happened = True
        raise self.kind('from the handler')

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self._raise)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, self.most))
        return self

    def __exit__(self, kind, error, trace):
        # It may come just now.
        for _ in range(3):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, self.before)
                break
            except BaseException as late:
                error = error or late
        return error is not None and error.args == ('from the handler',)


def check(number, ask):
    """The outcome of a call by its number, whichever way it is asked for."""
    if number % 5 == 1:
        with pytest.raises(LookupError) as info:
            ask()
        assert info.value.args == (number,)
        return
    value = ask()
    if number % 5 == 0:
        assert value[0] == number and value[1].proxy_object_id
    elif number % 5 == 2:
        assert list(value) == [number]
    else:
        assert value == number


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_every_answer_is_found_after_signals_at_random(connect, kind):
    client = connect(clientclass=kind)
    client.execblock(SOURCE)
    happened = 0
    for turn in range(ROUNDS):
        responses = [client.value(number, nonblocking=True, origexc='quiet') for number in range(60)]
        alarm = Alarm(RAISED[turn % len(RAISED)], 0.02)
        with alarm:
            for response in responses:
                try:
                    response.wait()
                except LookupError:
                    pass
        happened += alarm.happened
        for number, response in enumerate(responses):
            check(number, lambda response=response: response.wait(timeout=60))
    assert happened
    assert client.eval('1') == 1


def test_plain_calls_are_given_up_and_leave_the_connection(connect):
    for kind in (Client, ThreadedClient):
        client = connect(clientclass=kind)
        client.execblock(SOURCE)
        for turn in range(ROUNDS):
            with Alarm(RAISED[turn % len(RAISED)], 0.01):
                for number in range(100):
                    check(number, lambda number=number: client.value(number, origexc='quiet'))
            for number in range(5):
                check(number, lambda number=number: client.value(number, origexc='quiet'))


def test_functions_on_many_clients_are_given_up_whole(connect):
    clients = [connect() for _ in range(3)]
    for client in clients:
        client.execblock(SOURCE)
    for turn in range(ROUNDS):
        alarm = Alarm(RAISED[turn % len(RAISED)], 0.01)
        with alarm:
            for _ in range(50):
                assert call_multi(clients, 'value', 3) == [3, 3, 3]
        assert eval_multi(clients, '1 + 1') == [2, 2, 2]


def test_a_handler_s_exception_is_not_taken_for_a_failure_of_one_host(connect):
    clients = [connect() for _ in range(2)]
    for client in clients:
        client.execblock(
            'import time\ndef nap():\n    end = time.time() + 60\n    while time.time() < end: time.sleep(0.01)\n'
        )
    with Alarm(Stop, 0.2) as alarm:
        call_multi(clients, 'nap', return_exceptions=True)
    assert alarm.happened
    # And none of the calls goes on.
    assert eval_multi(clients, '2') == [2, 2]


def test_awaited_calls_survive_signals_at_random(sshd):
    async def main(turn, opened):
        async with AsyncClient.open(sshd.spec()) as client:
            await client.execblock(SOURCE)
            opened.append(client)
            for number in range(200):
                try:
                    await client.value(number, origexc='quiet')
                except LookupError:
                    pass

    async def whole():
        async with AsyncClient.open(sshd.spec()) as client:
            await client.execblock(SOURCE)
            loop = asyncio.get_running_loop()
            reported = []
            loop.set_exception_handler(lambda loop, context: reported.append(context))
            for _ in range(20):
                futures = [client.value(number, origexc='quiet') for number in range(60)]
                # What a handler raises in a callback of the loop is reported by the loop, which goes on.
                loop.call_later(random.uniform(0.0001, 0.02), fail)
                for number, outcome in enumerate(
                    await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 60)
                ):
                    if number % 5 == 1:
                        assert isinstance(outcome, LookupError)
                    else:
                        assert not isinstance(outcome, BaseException)

    def fail():
        raise Stop('from the handler')

    asyncio.run(whole())
    for turn in range(4):
        opened = []
        # It ends the loop's run, in the middle of whatever it does; nothing hangs.
        with Alarm(KeyboardInterrupt, 0.4):
            asyncio.run(main(turn, opened))


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_answers_wait_for_callers_whose_stack_is_full(connect, kind):
    """Asked for at every depth near the limit."""
    client = connect(clientclass=kind)
    client.execblock(SOURCE)

    def deep(levels, ask):
        return ask() if levels == 0 else deep(levels - 1, ask)

    for number in (0, 1, 2, 3):
        for room in range(0, 60, 3):
            response = client.value(number, nonblocking=True, origexc='quiet')
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(400)
            try:
                deep(400 - room - depth() - 2, response.wait)
            except (RecursionError, LookupError):
                pass
            finally:
                sys.setrecursionlimit(limit)
            check(number, lambda response=response: response.wait(timeout=60))


def depth():
    frame = sys._getframe(1)
    count = 0
    while frame is not None:
        count += 1
        frame = frame.f_back
    return count


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_an_answer_waits_for_memory_and_not_for_ever(connect, kind, monkeypatch):
    client = connect(clientclass=kind)
    client.execblock(SOURCE)
    left = [2]
    references = type(client._references)
    find = references.find

    def scarce(self, pid):
        if left[0]:
            left[0] -= 1
            raise MemoryError('no room')
        return find(self, pid)

    monkeypatch.setattr(references, 'find', scarce)
    response = client.value(0, nonblocking=True)
    other = client.value(3, nonblocking=True)
    for _ in range(2):
        with pytest.raises(MemoryError):
            response.wait(timeout=60)
    assert response.wait(timeout=60)[0] == 0 and other.wait(timeout=60) == 3
    # One that never fits is that call's failure in the end, and holds up nobody else.
    left[0] = 1000
    response = client.value(0, nonblocking=True)
    other = client.value(3, nonblocking=True)
    for _ in range(20):
        try:
            response.wait(timeout=60)
        except MemoryError:
            continue
        except Exception as error:
            assert 'no room' in str(error)
            break
    else:
        raise AssertionError('it is asked for again for ever')
    assert other.wait(timeout=60) == 3


@pytest.fixture
def cluster():
    specs = [':local:rpython=%s:name=host%d' % (sys.executable, number) for number in range(2)]
    with Cluster(specs, output=None, slots=2) as made:
        # Its source is read now: CPython's parser says SystemError in place of what a handler raises while it makes its tree.
        made.call(square, 1)
        yield made


def square(number):
    return number * number


def test_maps_and_calls_on_clusters_are_given_up_and_no_host_with_them(cluster):
    """What a handler raises, a TimeoutError for instance, is not taken for the loss of a host or for a call's failure."""
    happened = 0
    for turn in range(ROUNDS):
        alarm = Alarm(RAISED[turn % len(RAISED)], 0.03)
        with alarm:
            for _ in range(5):
                assert list(cluster.map(square, range(200))) == [number * number for number in range(200)]
                assert cluster.call(square, 3) == {'host0': 9, 'host1': 9}
                assert dict(cluster.each(square, 4)) == {'host0': 16, 'host1': 16}
                assert cluster.eval('1 + 1') == {'host0': 2, 'host1': 2}
        happened += alarm.happened
        assert list(cluster.map(square, range(20))) == [number * number for number in range(20)]
    assert happened and not cluster.lost


def test_every_future_is_done_after_signals_at_random(cluster):
    with cluster.executor() as executor:
        happened = 0
        for turn in range(ROUNDS):
            submitted = []
            alarm = Alarm(RAISED[turn % len(RAISED)], 0.003)
            with alarm:
                for number in range(100):
                    submitted.append(executor.submit(square, number))
            happened += alarm.happened
            # One whose submit() was interrupted is none of them.
            assert [future.result(60) for future in submitted] == [number * number for number in range(len(submitted))]
        assert happened
    # And the executor has come to its end.


def test_scattered_values_are_forgotten_after_signals_at_random(cluster):
    value, happened = b'\xff' * (1 << 21), 0
    for turn in range(ROUNDS // 2):
        alarm = Alarm(RAISED[turn % len(RAISED)], 0.02)
        with alarm:
            for _ in range(5):
                scattered = cluster.scatter(value)
                assert set(cluster.call('len', scattered).values()) == {len(value)}
        happened += alarm.happened
        scattered = cluster.scatter(value)
        for slot in cluster._slots_now(None):
            assert slot.client.call('len', scattered, call_timeout=60) == len(value)
    assert happened
    del scattered
    kept = "len(__import__('sys').modules['easycluster_values'].value.__globals__['%s'])"
    for name in ('values', 'shared'):
        assert poll(lambda name=name: not any(slot.client.eval(kept % name) for slot in cluster._slots_now(None)))


@pytest.mark.parametrize('thread', [0, 5, None])
def test_a_large_array_is_given_up_on_its_way_and_the_connection_stays(client, thread):
    # Sent beside its pickle, as arrays are.
    array = pickle.PickleBuffer(b'x' * (1 << 24))
    options = {} if thread is None else {'threadid': thread}
    for turn in range(ROUNDS):
        alarm = Alarm(RAISED[turn % len(RAISED)], 0.02)
        with alarm:
            for _ in range(10):
                assert client.call('len', array, **options) == 1 << 24
        for limit in (0.001, 0.01):
            with contextlib.suppress(CallTimeout):
                client.call('len', array, call_timeout=limit, origexc='quiet', **options)
    assert client.call('len', array, **options) == 1 << 24
