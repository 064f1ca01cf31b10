"""Completions on their way to the waiting thread: none is lost, whatever is raised wherever, and every time limit holds."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback

import pytest
from easycluster import AsyncClient, Client, ClientGroup, Cluster, RemoteException, ThreadedClient, _kinds
from easycluster._receiver import Receiver
from support import interrupted
from support.interrupted import Stop
from support.processes import poll

TRACED = ('_receiver.py', '_client.py', '_answers.py', 'unpickler.py', 'references.py', '_threaded.py')
TRACED += ('_responses.py', 'executor.py', 'mapping.py', 'outcomes.py')


def all_the_steps(step):
    """Interruptions in those files, but where completions are given back."""
    return interrupted.all_the_steps(step, TRACED, ('_keep_readable', '_give_back', '_end_given_back', '__del__'))


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_no_response_is_lost_to_what_a_signal_handler_raises(connect, kind):
    client = connect(clientclass=kind)
    client.execblock('class Thing(ServerObject):\n    pass\nthing = Thing()\ndef fail():\n    raise ValueError("no")\n')
    for interruption in all_the_steps(3):
        plain = [client.call('int', str(number), nonblocking=True) for number in range(3)]
        thing = client.send_request(0, 'get_global', ('thing',), nonblocking=True)
        failing = client.call('fail', nonblocking=True, origexc='quiet')
        # All of them have come when the first one is asked for.
        assert poll(lambda: client._native.outstanding() == 0)
        with interruption:
            plain[2].wait()
            thing.wait()
            with pytest.raises(ValueError):
                failing.wait()
        assert [response.wait(timeout=20) for response in plain] == [0, 1, 2]
        assert thing.wait(timeout=20).proxy_connection is client
        with pytest.raises(ValueError):
            failing.wait(timeout=20)


def test_no_completion_function_is_lost_or_called_twice(connect):
    # Its own: an interruption between the two halves of `with`, where Python has none, leaves a lock taken.
    client = connect()
    for interruption in all_the_steps(3):
        seen = []
        for number in range(3):
            client.call('int', str(number), oncomplete=seen.append)
        last = client.eval('3', nonblocking=True)
        with interruption:
            last.wait()
        assert last.wait(timeout=20) == 3
        while len(seen) < 3:
            assert client.read_response()
        assert seen == [0, 1, 2]


GATED = '''
import threading
gate = threading.Event()
def gated(value):
    if value:
        gate.wait()
    return value
'''


def begun_map(cluster):
    results = cluster.map('gated', range(3))
    assert next(results) == 0
    return results


def begun_calls(cluster):
    futures = [cluster.executor().submit('gated', value) for value in (1, 2)]
    return (future.result(timeout=30) for future in futures)


WAYS = {
    'map': begun_map,
    'executor': begun_calls,
    'each': lambda cluster: (value for _, value in cluster.each('gated', 1)),
}


@pytest.mark.parametrize('way', ['map', 'executor', 'each'])
def test_no_outcome_of_a_cluster_is_lost_where_the_program_reads_it(way):
    begin = WAYS[way]
    with Cluster([':local:name=host:rpython=' + sys.executable], slots=1) as cluster:
        cluster.define(GATED)
        client = cluster.clients['host']
        for interruption in all_the_steps(1):
            cluster.call('gate.clear')
            outcomes = begin(cluster)
            held, released = threading.Event(), threading.Event()
            # The cluster's own thread, behind what it has to send.
            cluster._soon(lambda held=held, released=released: (held.set(), released.wait()))
            assert held.wait(30)
            with interruption:
                client.call('gate.set', threadid=1)
                assert poll(lambda: client._native.outstanding() == 0)
                while client.read_response(False):
                    pass
            released.set()
            client.call('gate.set', threadid=1)
            assert list(outcomes) == ([1] if way == 'each' else [1, 2]), interruption.left


def test_a_receipt_is_counted_once_although_decoding_starts_again(connect):
    # Its own: an interruption between the two halves of `with`, where Python has none, leaves a lock taken.
    client = connect()
    client.execblock('''
import weakref
alive = weakref.WeakSet()
class Thing(ServerObject):
    def __init__(self):
        alive.add(self)
class Holder(object):
    pass
def make():
    holder = Holder()
    holder.things = [Thing(), Thing()]
    return holder.things + [holder.things[0]]
''')
    for interruption in all_the_steps(5):
        response = client.make(nonblocking=True)
        with interruption:
            response.wait()
        first, second, again = response.wait(timeout=20)
        assert first is again
        assert client._references._refs[first.proxy_object_id].times == 2
        assert client._references._refs[second.proxy_object_id].times == 1
        del first, second, again, response
        gc.collect()
        client.eval('1')
        assert client.eval('len(alive)') == 0


# What a handler raises while Python ends an object, or calls back for one that has ended, is lost; Python only warns of it.
@pytest.mark.filterwarnings(r'ignore:(?s).*\bStop\b:pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_three_thousand_calls_survive_an_interruption(connect, kind):
    """With a real signal."""
    before = signal.signal(signal.SIGALRM, stop)
    try:
        client = connect(clientclass=kind)
        for delay in (0.001, 0.01, 0.03):
            responses = [client.call('int', str(number), nonblocking=True) for number in range(3000)]
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                for response in responses:
                    response.wait()
                # Where the signal has come already and Python was ending an object just then, what the handler raised is lost.
                poll(lambda: not signal.getitimer(signal.ITIMER_REAL)[0])
            except Stop:
                pass
            assert [response.wait(timeout=30) for response in responses] == list(range(3000))
            assert client.eval('1') == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stop(number, frame):
    raise Stop


def test_a_handler_that_raises_anything_gives_the_call_up(client):
    client.execblock(
        'import time\ndef nap():\n    end = time.time() + 60\n    while time.time() < end:\n        time.sleep(0.01)\n'
    )
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Stop):
            client.nap()
    finally:
        signal.signal(signal.SIGALRM, before)
    start = time.monotonic()
    assert client.eval('1') == 1
    assert time.monotonic() - start < 30


def test_what_was_taken_keeps_the_descriptor_readable(client):
    seen = []

    def fail(value):
        raise ZeroDivisionError

    responses = []
    client.eval('1', oncomplete=fail)
    client.eval('2', oncomplete=seen.append)
    responses = [client.eval('3', nonblocking=True), client.eval('4', nonblocking=True)]
    assert poll(lambda: client._native.outstanding() == 0)
    with pytest.raises(ZeroDivisionError):
        responses[1].wait()
    # They are with this side now, and not delivered yet.
    assert seen == [] and select.select([client], [], [], 0)[0] == [client]
    ClientGroup([client]).read_responses()
    assert seen == [2] and [response.wait() for response in responses] == [3, 4]
    assert select.select([client], [], [], 0)[0] == []


def test_a_time_limit_holds_while_another_thread_delivers(client, monkeypatch):
    """Another thread has taken the completion and does not come to deliver it."""
    stuck = threading.Event()
    go_on = threading.Event()
    decode = Receiver._decode

    def slow(self, *args):
        if self is client:
            stuck.set()
            assert go_on.wait(60)
        return decode(self, *args)

    client.execblock('class Thing(ServerObject):\n    pass\nthing = Thing()\n')
    response = client.send_request(0, 'get_global', ('thing',), nonblocking=True)
    monkeypatch.setattr(Receiver, '_decode', slow)
    thread = threading.Thread(target=response.wait)
    thread.start()
    try:
        assert stuck.wait(60)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            response.wait(timeout=0.2)
        assert 0.1 < time.monotonic() - start < 30
    finally:
        go_on.set()
        thread.join(60)
    # Where it does not end, what the others do says why.
    stacks = [''.join(traceback.format_stack(frame)) for frame in sys._current_frames().values()]
    assert not thread.is_alive(), '\n'.join(stacks)
    assert response.wait(timeout=20) is not None


def test_a_completion_function_blocks_no_other_thread(client):
    begun = threading.Event()
    go_on = threading.Event()

    def busy(value):
        begun.set()
        assert go_on.wait(60)

    client.execblock('import threading\ngo = threading.Event()\n')
    responses = [client.call('go.wait', nonblocking=True)]
    # One thread waits for each; the first of them takes all that comes, and is in the function then.
    responses += [client.eval(str(number), nonblocking=True) for number in range(100)]
    client.eval('1', oncomplete=busy)
    responses += [client.eval(str(number), nonblocking=True) for number in range(100, 200)]
    values = [None] * len(responses)

    def wait(number):
        values[number] = responses[number].wait(timeout=60)

    threads = [threading.Thread(target=wait, args=(number,)) for number in (0, 1, 50, 99, 101, 150, 200)]
    for thread in threads:
        thread.start()
    try:
        opened = client.eval('go.set()', threadid=1, nonblocking=True)
        assert begun.wait(60)
        # All but the thread that is in the function.
        assert poll(lambda: sum(thread.is_alive() for thread in threads) == 1, patience=30)
        assert client.eval('3') == 3 and opened.wait(timeout=30) is None
    finally:
        go_on.set()
        for thread in threads:
            thread.join(60)
    assert [values[number] for number in (0, 1, 50, 99, 101, 150, 200)] == [True, 0, 49, 98, 100, 149, 199]


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_an_answer_that_cannot_be_decoded_is_that_calls_alone(connect, kind):
    client = connect(clientclass=kind)
    client.execblock('def bad():\n    raise ValueError(10 ** 5000)\n')
    good = [client.call('int', '1', nonblocking=True)]
    bad = client.bad(nonblocking=True, origexc=False)
    good.append(client.call('int', '2', nonblocking=True))
    assert [response.wait(timeout=20) for response in good] == [1, 2]
    with pytest.raises(RemoteException):
        bad.wait(timeout=20)
    failed = []
    done = threading.Event()
    client.bad(oncomplete=lambda value: failed.append(value) or done.set())
    client.eval('5', oncomplete=failed.append)
    if kind is Client:
        client.read_response()
        client.read_response()
    assert poll(lambda: len(failed) == 2) and isinstance(failed[0], RemoteException) and failed[1] == 5


def test_the_answer_of_a_response_that_is_dropped_is_taken_though_nothing_else_comes(connect):
    client = connect(clientclass=ThreadedClient)
    done = threading.Event()
    client.eval('1', oncomplete=lambda value: done.set())
    assert done.wait(20)
    response = client.call('int', '2', nonblocking=True)
    native = client._native
    assert poll(lambda: native.outstanding() == 0)
    del response
    gc.collect()
    # What it refers to on the server is given back by who takes it.
    assert poll(lambda: native.ready_count() == 0)


def test_each_call_ends_with_an_exception_of_its_own(connect):
    client = connect()
    client.import_module('time')
    responses = [client.time.sleep(60, nonblocking=True) for _ in range(3)]
    client.close()
    raised = []
    for response in responses:
        with pytest.raises(IOError) as failure:
            response.wait()
        raised.append(failure.value)
    assert len({id(error) for error in raised}) == 3


def test_a_dropped_threaded_client_ends_its_remote_python(connect):
    from easycluster.server import spawn_local

    client = spawn_local(ThreadedClient)
    pid = client.server_info['pid']
    done = threading.Event()
    client.eval('1', oncomplete=lambda value: done.set())
    assert done.wait(20)
    del client
    gc.collect()

    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True

    assert poll(gone)


def test_many_definitions_are_one_response_for_every_kind(connect, definitions):
    import easycluster

    for kind in (Client, ThreadedClient):
        client = connect(clientclass=kind, definitions=definitions)
        for number in range(3):
            easycluster.define_common('value_%d = %d\n' % (number, number), definitions)
        client.update_definitions(nonblocking=True).wait(timeout=30)
        assert client.eval('value_2') == 2


def test_a_completion_function_that_raises_stops_no_other_of_the_loop(sshd):
    async def main():
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        async with AsyncClient.open(sshd.spec('rpython=%s' % sys.executable)) as client:
            seen = []

            def fail(value):
                raise ZeroDivisionError

            await client.eval('1')
            client.send_request(0, 'get_global', ('len',), oncomplete=fail)
            for _ in range(3):
                client.send_request(0, 'get_global', ('len.__name__',), oncomplete=seen.append)
            assert await asyncio.wait_for(client.eval('2'), 20) == 2
            assert len(seen) == 3 and len(reported) == 1

    asyncio.run(main())


class Full:
    """A list that there is no memory for."""

    def append(self, entry):
        raise MemoryError


def test_what_there_is_no_memory_for_is_taken_later(connect, tmp_path):
    client = connect()
    native = client._connected_native()
    # Takes the answers to definitions that all clients of this process get.
    assert client.eval('0') == 0
    mark = tmp_path / 'mark'
    # No answer comes before all are asked for, because asking takes what is there.
    until = "[0 for _ in iter(lambda: __import__('os').path.exists(%r), True)]" % str(mark)
    waiting = [client.eval(code, nonblocking=True) for code in (until, '1', '2')]
    mark.touch()
    assert poll(lambda: native.ready_count() == 3)
    with pytest.raises(MemoryError):
        native.take(Full(), None, 16, 60.0, True)
    # The one whose turn it was says so; the others have their values.
    with pytest.raises(Exception, match='no memory'):
        waiting[0].wait()
    assert [each.wait() for each in waiting[1:]] == [1, 2]


def test_an_answer_that_is_asked_for_by_number_is_not_lost_to_a_lack_of_memory(connect):
    native = connect()._connected_native()
    ticket = 1 << 40
    native.submit(ticket, _kinds.EVAL, 0, pickle.dumps(('1', None), 2), slot=True)
    with pytest.raises(MemoryError):
        native.take_slot(Full(), ticket, 60.0, True)
    taken = []
    native.take_slot(taken, ticket, 60.0, True)
    assert [(entry[0], entry[1]) for entry in taken] == [(ticket, _kinds.REFUSED)]
