"""Connecting to many hosts, and from an event loop: no threads, and giving up does not wait for a silent host."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time

import pytest
from easycluster import AsyncClient, Client, ThreadedClient, connect_multi

# What the time limits of connecting to a silent host are well above.
SOON = 8.0


@pytest.fixture
def silent():
    """A host that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(64)
        listener.settimeout(30)
        yield listener


def spec_of(silent):
    return 'user@127.0.0.1:%d:config=none:batch=yes:timeout=60' % silent.getsockname()[1]


def is_closed(connection):
    """Whether the other side closes within the time limit of the wait."""
    with connection:
        connection.settimeout(30)
        while connection.recv(4096):
            pass
    return True


def test_ctrl_c_ends_connecting_to_a_silent_host(silent, sshd):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    accepted = []

    def interrupt():
        accepted.append(silent.accept()[0])
        signal.raise_signal(signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            connect_multi([spec_of(silent), sshd.spec()])
        assert time.monotonic() - start < SOON
    finally:
        signal.signal(signal.SIGINT, before)
        interrupter.join(30)
    assert is_closed(accepted[0])
    sshd.wait_until_idle()


def test_many_are_connected_without_a_thread_each(sshd, definitions):
    specs = [sshd.spec('rpython=%s' % sys.executable)] * 6
    started = []
    start = threading.Thread.start
    threading.Thread.start = lambda thread: (started.append(thread), start(thread))
    try:
        clients = connect_multi(specs, definitions=definitions, output=None)
    finally:
        threading.Thread.start = start
    assert not [thread for thread in started if 'connect' in thread.name.lower() or 'pool' in thread.name.lower()]
    assert len({client.os.getpid() for client in clients}) == 6
    for client in clients:
        assert client._definitions_name == definitions
        client.close()


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_a_failure_stands_in_its_place_or_is_raised(sshd, kind):
    good, malformed = sshd.spec('rpython=%s' % sys.executable), 'u@h:colour=1'
    nowhere = 'u@127.0.0.1:1:config=none:batch=yes'
    results = connect_multi([good, malformed, nowhere, good], kind, return_exceptions=True, call_timeout=30)
    assert [type(result) for result in results] == [kind, ValueError, type(results[2]), kind]
    assert isinstance(results[2], ConnectionRefusedError)
    for client in (results[0], results[3]):
        assert client._call_timeout == 30 and client.eval('6 * 7') == 42
        client.reconnect()
        assert client.eval('6 * 7') == 42
        client.close()
    sshd.wait_until_idle()
    with pytest.raises(ConnectionRefusedError):
        connect_multi([good, nowhere], kind)
    sshd.wait_until_idle()
    assert connect_multi([]) == []


def test_opening_that_is_given_up_keeps_no_loop(silent):
    async def main():
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await asyncio.wait_for(AsyncClient.open(spec_of(silent)), 0.2)

    threads = threading.active_count()
    start = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - start < SOON
    assert threading.active_count() == threads
    assert is_closed(silent.accept()[0])


def test_silent_hosts_do_not_hold_up_a_good_one(silent, sshd):
    async def main():
        stuck = [asyncio.ensure_future(AsyncClient.open(spec_of(silent))._connect()) for _ in range(40)]
        await asyncio.sleep(0)
        start = time.monotonic()
        async with AsyncClient.open(sshd.spec('rpython=%s' % sys.executable)) as client:
            assert await client.eval('6 * 7') == 42
        assert time.monotonic() - start < 2 * SOON
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    asyncio.run(main())


def test_opening_tells_why_there_is_no_connection():
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await AsyncClient.open('u@127.0.0.1:1:config=none:batch=yes')
        with pytest.raises(ValueError, match='colour'):
            await AsyncClient.open('u@h:colour=1')

    asyncio.run(main())
