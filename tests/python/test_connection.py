"""Connection by itself, what clients say of wrong uses, and names that are not the server's."""

from __future__ import annotations

import copy
import pickle
import socket
import threading

import pytest
from easycluster import AsyncClient, Client, ConnectError, Connection, ThreadedClient, _native


@pytest.mark.parametrize('kind', [Connection, Client, ThreadedClient])
def test_a_closed_port_refuses(kind, closed_port):
    connection = kind(b'k' * 32)
    with pytest.raises(ConnectionRefusedError) as raised:
        connection.connect('127.0.0.1', closed_port)
    assert isinstance(raised.value, ConnectError) and raised.value.stage == 'connect'
    assert str(closed_port) in str(raised.value)
    assert not connection.connected and connection.remote_port == closed_port
    # As often as one likes.
    with pytest.raises(ConnectionRefusedError):
        connection.reconnect()


def test_a_closed_port_refuses_over_ssh_too(closed_port):
    with pytest.raises(ConnectionRefusedError):
        Client.from_spec('user@127.0.0.1:%d:config=none:batch=yes' % closed_port)


def test_what_does_not_answer_is_a_timeout():
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        with pytest.raises(TimeoutError) as raised:
            Client(b'k' * 32, '127.0.0.1', silent.getsockname()[1], timeout=0.2)
    assert isinstance(raised.value, ConnectError) and raised.value.timed_out


def test_a_connection_alone_connects_and_closes(sshd):
    connection = Connection(None)
    with pytest.raises(ValueError, match='key'):
        connection.connect('127.0.0.1')
    with pytest.raises(ValueError, match='reconnect'):
        connection.reconnect()
    connection.connect(_native.Spec.parse(sshd.spec()), ssh=True)
    assert connection.connected and connection.server_info['pid'] > 0
    assert repr(connection) == '<Connection %s>' % connection.peername
    connection.close()
    assert not connection.connected and connection.server_info is not None


@pytest.mark.parametrize('kind', [Connection, Client, ThreadedClient, AsyncClient])
def test_a_spec_in_the_place_of_the_key_is_told(kind):
    with pytest.raises(TypeError, match='from_spec'):
        kind('user@host')


def test_names_with_an_underscore_are_never_globals_of_the_server(client):
    client.execblock('def _private():\n    return "private"\ndef plain():\n    return "plain"\n')
    for name in ('_referencs', '_private', '_repr_html_', '_', '__wrapped__'):
        with pytest.raises(AttributeError, match=name):
            getattr(client, name)
        assert not hasattr(client, name)
    assert client.plain() == 'plain' and client.call('_private') == 'private'
    assert client.os._exit is not None


class Wrong(Client):
    declared: int

    @property
    def broken(self):
        raise AttributeError('from within')


def test_a_property_that_fails_is_not_looked_for_on_the_server(connect):
    client = connect(clientclass=Wrong)
    with pytest.raises(AttributeError):
        getattr(client, 'broken')  # noqa: B009  (what is raised counts)
    with pytest.raises(AttributeError):
        getattr(client, 'declared')  # noqa: B009
    assert client.eval('1') == 1


def test_a_client_is_not_pickled_or_copied(client):
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match='cannot be pickled or copied'):
            act(client)


def test_reconnecting_beside_calls_raises_nothing_but_that_it_is_not_connected(connect):
    client = connect()
    wrong = []
    done = threading.Event()

    def call():
        while not done.is_set():
            try:
                client.eval('1')
            except IOError:
                pass
            except BaseException as error:
                wrong.append(error)
                raise

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            client.reconnect()
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert wrong == [] and client.eval('2') == 2


def test_a_thread_that_sees_the_connection_sees_all_of_it(connect, monkeypatch):
    """The switch of threads forced where it hurts: as soon as the connection is there for others to see."""
    seen = []
    set_attribute = object.__setattr__

    def watched(self, name, value):
        set_attribute(self, name, value)
        if name == '_native' and value is not None:
            seen.append(self.eval('40 + 2'))

    monkeypatch.setattr(Connection, '__setattr__', watched, raising=False)
    client = connect()
    client.reconnect()
    assert seen == [42, 42]
