"""Waiting, giving up, threads, descriptors, forks and output: what calls do beside returning."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time

import easycluster
import pytest
from easycluster import (
    CallCancelled,
    CallTimeout,
    Client,
    ClientGroup,
    ConnectError,
    ConnectionLost,
    RemoteException,
    ThreadedClient,
)
from support.definitions import SLEEPER
from support.processes import poll


@pytest.fixture
def sleeper(connect):
    client = connect()
    client.execblock(SLEEPER)
    return client


def test_a_time_limit_ends_the_call_and_shows_where_it_stood(sleeper):
    start = time.monotonic()
    with pytest.raises(CallTimeout) as raised:
        sleeper.nap(30, call_timeout=0.3)
    assert time.monotonic() - start < 25
    assert any('in nap' in line for line in raised.value.stack)
    assert isinstance(raised.value, TimeoutError)
    assert sleeper.eval('1') == 1


def test_a_keyword_of_the_name_timeout_goes_to_the_function(sleeper):
    sleeper.execblock('def given(timeout):\n    return timeout\n')
    assert sleeper.given(timeout=5) == 5


def test_a_time_limit_for_every_call(connect):
    client = connect(call_timeout=3)
    client.execblock(SLEEPER)
    with pytest.raises(CallTimeout):
        client.nap(30)
    assert client.nap(0.01, call_timeout=20) == 0.01


def test_waiting_with_a_limit_leaves_the_call_alone(sleeper):
    response = sleeper.nap(0.5, nonblocking=True)
    with pytest.raises(TimeoutError):
        response.wait(timeout=0.05)
    assert response.wait() == 0.5


def test_cancelling_a_running_and_a_queued_call(sleeper):
    running = sleeper.nap(30, nonblocking=True)
    queued = sleeper.nap(30, nonblocking=True)
    other = sleeper.eval('2', nonblocking=True, threadid=5)
    assert other.wait() == 2
    assert queued.cancel() and running.cancel()
    with pytest.raises(CallCancelled):
        running.wait()
    with pytest.raises(CallCancelled):
        queued.wait()
    assert not running.cancel()
    assert sleeper.eval('3') == 3


def test_select_and_poll_on_a_client(client):
    assert select.select([client], [], [], 0)[0] == []
    response = client.eval('5', nonblocking=True)
    assert select.select([client], [], [], 20)[0] == [client]
    assert not response.have_response
    assert client.read_response() and response.have_response and response.wait() == 5
    assert select.select([response], [], [], 0)[0] == []
    poller = select.poll()
    client.eval('6', oncomplete=lambda value: None)
    poller.register(client, select.POLLIN)
    assert poller.poll(20000)
    assert client.read_response(False)
    assert not client.read_response(False)


def test_a_group_ends_by_time_and_when_nothing_is_due(sleeper):
    group = ClientGroup([sleeper])
    group.read_responses()
    response = sleeper.nap(30, nonblocking=True)
    start = time.monotonic()
    group.read_responses(timeout=0.1)
    assert 0.05 < time.monotonic() - start < 25
    response.cancel()
    group.read_responses()
    assert response.have_response


def test_completion_functions_that_raise_lose_nothing(client):
    seen = []

    def fail(value):
        raise ZeroDivisionError

    client.eval('1', oncomplete=fail)
    client.eval('2', oncomplete=seen.append)
    response = client.eval('3', nonblocking=True)
    try:
        assert response.wait() == 3
    except ZeroDivisionError:
        assert response.wait() == 3
    assert seen == [2]


def test_many_threads_on_one_plain_client(client):
    results = []

    def work(number):
        for step in range(50):
            results.append(client.call('int', '%d' % (number * 100 + step)) == number * 100 + step)
            pending = [client.call('int', '7', nonblocking=True) for _ in range(5)]
            results.append([response.wait() for response in pending] == [7] * 5)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 1000 and all(results)


def test_server_threads_follow_client_threads_and_end_with_them(connect):
    client = connect(clientclass=ThreadedClient)
    client.import_module('threading')
    idents = {}
    here = client.call('threading.get_ident')

    def work(number):
        idents[number] = [client.call('threading.get_ident') for _ in range(3)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(set(found)) == 1 for found in idents.values())
    assert client.call('threading.get_ident') == here
    del threads
    gc.collect()
    # The main thread of the server, the one of this thread, and what the server keeps for itself.
    assert poll(
        lambda: not set(client.eval('list(threading._active)')) & {found[0] for found in idents.values()} - {here}
    )


def test_a_threaded_client_completes_at_once(connect):
    client = connect(clientclass=ThreadedClient)
    done = threading.Event()
    seen = []
    client.eval('8', oncomplete=lambda value: (seen.append((value, threading.current_thread())), done.set()))
    assert done.wait(20)
    assert seen[0][0] == 8 and seen[0][1] is not threading.current_thread()
    with pytest.raises(TypeError):
        client.read_response()
    failed = threading.Event()
    client.call('nothing_of_this_name', oncomplete=lambda value: None, onerror=lambda exc: failed.set())
    assert failed.wait(20)
    response = client.eval('9', nonblocking=True)
    assert poll(lambda: response.have_response) and response.wait() == 9 and response.wait() == 9


def test_closing_ends_calls_of_other_threads(connect):
    for kind in (Client, ThreadedClient):
        client = connect(clientclass=kind)
        client.execblock(SLEEPER)
        raised = []

        def call(client=client, raised=raised):
            try:
                client.nap(30)
            except IOError as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert poll(lambda client=client: client._native.outstanding())
        client.close()
        thread.join(20)
        assert len(raised) == 1 and 'Connection closed' in str(raised[0]), kind


@pytest.mark.parametrize('end', ['close', 'close with a reason', 'lost'])
def test_each_call_that_ends_with_its_connection_gets_an_exception_of_its_own(connect, end):
    """Raising one adds to its traceback, so that a shared one would grow without end."""
    client = connect()
    client.execblock(SLEEPER)
    waiting = [client.nap(100, nonblocking=True) for _ in range(20)]
    if end == 'lost':
        os.kill(client.server_info['pid'], signal.SIGKILL)
    elif end == 'close':
        client.close()
    else:
        client.close(easycluster.RemoteException(IOError('mine'), 'text'))
    raised = []
    for response in waiting:
        with pytest.raises(IOError) as caught:
            response.wait()
        raised.append(caught.value)
    assert len(set(map(id, raised))) == len(raised)
    depths = set()
    for error in raised:
        trace, depth = error.__traceback__, 0
        while trace:
            trace, depth = trace.tb_next, depth + 1
        depths.add(depth)
    assert len(depths) == 1, depths


def test_a_lost_server_is_told_to_every_call(connect):
    for kind in (Client, ThreadedClient):
        client = connect(clientclass=kind)
        pid = client.server_info['pid']
        client.execblock(SLEEPER)
        responses = [client.nap(30, nonblocking=True) for _ in range(3)]
        os.kill(pid, signal.SIGKILL)
        for response in responses:
            with pytest.raises(ConnectionLost):
                response.wait()
        with pytest.raises(IOError):
            client.eval('1')
        assert not client.connected
        client.reconnect()
        assert client.eval('1') == 1 and client.connected


def test_a_silent_server_is_noticed(connect):
    client = connect(clientclass=ThreadedClient, keep_alive_interval=0.2, keep_alive_timeout=4)
    pid = client.server_info['pid']
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConnectionLost, match='not responding'):
            client.eval('1')
    finally:
        # The child of a lost connection is ended by the client itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_connect_errors_name_the_host_and_the_stage(sshd, tmp_path):
    with pytest.raises(ConnectError) as raised:
        Client.from_spec('user@127.0.0.1:1:config=none:batch=yes')
    assert '127.0.0.1' in str(raised.value) and raised.value.stage == 'connect'
    with pytest.raises(ConnectError) as raised:
        Client.from_spec(sshd.spec('rpython=/no/such/python'))
    assert '/no/such/python' in str(raised.value) and raised.value.stage == 'interpreter'
    with pytest.raises(ValueError, match='key'):
        Client.from_spec('example.com')


def test_clients_are_context_managers(connect):
    with connect() as client:
        pid = client.server_info['pid']
        assert client.connected
    assert not client.connected

    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True

    assert poll(gone)


def test_output_is_shown_with_the_peers_name_before_the_answer(client, capsys):
    client.execblock('import sys\nprint("out")\nsys.stderr.write("err\\n")\nprint("half", end="")')
    shown = capsys.readouterr()
    assert shown.out == '[%s] out\n' % client.peername
    assert shown.err == '[%s] err\n' % client.peername
    client.close()
    assert capsys.readouterr().out == '[%s] half\n' % client.peername


def test_output_to_a_function_and_to_none(connect, capsys):
    seen = []
    client = connect(output=lambda stream, text: seen.append((stream, text)))
    client.execblock('print("hällo")')
    client.subprocess.call(['echo', 'from a child'])
    assert poll(lambda: ('stdout', 'from a child\n') in seen)
    assert ('stdout', 'hällo\n') in seen or seen[0][1].startswith('hällo')
    silent = connect(output=None)
    silent.execblock('print("x")')
    assert capsys.readouterr().out == ''


def run_script(text):
    return subprocess.run([sys.executable, '-c', textwrap.dedent(text)], capture_output=True, text=True, timeout=60)


def test_after_a_fork_the_child_makes_its_own():
    done = run_script('''
        import os, sys, warnings
        warnings.simplefilter('ignore')
        from easycluster.server import spawn_local
        client = spawn_local()
        assert client.eval('1') == 1
        child = os.fork()
        if not child:
            try:
                client.eval('2')
            except RuntimeError as error:
                assert 'parent process' in str(error), error
            else:
                os._exit(1)
            own = spawn_local()
            assert own.eval('3') == 3
            del client
            own.close()
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        assert client.eval('4') == 4
        print('fine')
    ''')
    assert done.stdout == 'fine\n', done.stderr


def test_a_program_ends_with_connections_open_and_threads_waiting():
    done = run_script('''
        import threading, time
        from easycluster import *
        from easycluster.server import spawn_local
        plain = spawn_local()
        client = spawn_local(ThreadedClient)
        client.execblock('import time')
        threading.Thread(target=lambda: client.call('time.sleep', 60, origexc='quiet'), daemon=True).start()
        client.eval('1', oncomplete=lambda value: None)
        plain.execblock('print("printed at the end")')
        while not client._native.outstanding():
            time.sleep(0.01)
    ''')
    assert done.returncode == 0, done.stderr
    assert 'printed at the end' in done.stdout
    assert 'Fatal' not in done.stderr and 'panic' not in done.stderr


def test_run_ships_the_source(client, connect):
    assert client.run(describe, 'x', number=3) == ('x', 3, os.sep)
    with pytest.raises(KeyError) as raised:
        client.run(broken, {}, origexc='quiet')
    assert raised.value.args == ('missing',)
    with pytest.raises(RemoteException) as failed:
        client.run(broken, {}, origexc=False)
    assert any(os.path.basename(__file__) in line for line in failed.value.text)
    assert any("return table['missing']" in line for line in failed.value.text)
    here = 5
    with pytest.raises(TypeError, match='lambda'):
        client.run(lambda: 1)

    def closure():
        return here

    with pytest.raises(TypeError, match='here'):
        client.run(closure)
    with pytest.raises(TypeError, match='describe'):
        client.run(uses_another)
    assert decorated(client, 20) == 21 and decorated.local(1) == 2
    assert client.run(describe, 'y', number=1, nonblocking=True).wait()[0] == 'y'


def describe(text, number=0):
    return text, number, os.sep


def broken(table):
    return table['missing']


def uses_another():
    return describe('z')


@easycluster.remote
def decorated(number):
    return number + 1


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_responses_that_are_not_asked_for_release_their_objects(connect, kind):
    client = connect(clientclass=kind)
    client.execblock('''
import weakref
alive = weakref.WeakSet()
class Thing(ServerObject):
    def __init__(self):
        alive.add(self)
''')
    for _ in range(300):
        client.Thing(nonblocking=True)
    assert poll(lambda: client.eval('len(alive)') == 0)


def test_threads_that_receive_the_same_new_class_and_object_at_once(connect):
    for _ in range(5):
        client = connect(clientclass=ThreadedClient)
        client.execblock('class Shared(ServerObject):\n    pass\nshared = Shared()\ndef get():\n    return shared\n')
        start = threading.Barrier(20)
        got = []

        def work(client=client, start=start, got=got):
            start.wait()
            got.append(client.get())

        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 20 and len({id(proxy) for proxy in got}) == 1
