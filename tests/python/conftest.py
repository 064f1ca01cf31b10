"""What the tests of the Python package share: a server, the interpreters, and clients of both kinds."""

from __future__ import annotations

import itertools
import socket
import sys

import easycluster
import pytest
from easycluster.server import spawn_local
from support.failures import has_failed
from support.interpreters import interpreters, is_needed
from support.shared_clients import SharedClients
from support.sshd import Sshd


def pytest_collection_modifyitems(items):
    items[:] = filter(is_needed, items)


@pytest.fixture(scope="session")
def sshd():
    """One server for all tests; each connection is a session of its own."""
    with Sshd(max_sessions=100) as server:
        yield server
        server.wait_until_idle()


@pytest.fixture(scope="session", params=interpreters(), ids=str)
def interpreter(request):
    """Every interpreter of this machine, one after the other, so that tests can share what runs under it."""
    return request.param


@pytest.fixture(params=["local", "ssh"])
def way(request):
    """Both ways to a server that need no server of ours."""
    return request.param


@pytest.fixture(scope="session")
def new_client(sshd):
    """Makes a client, which whoever takes it closes."""

    def make(way="local", clientclass=easycluster.Client, rpython=sys.executable, **options):
        if way == "ssh":
            return clientclass.from_spec(sshd.spec("rpython=%s" % rpython), **options)
        return spawn_local(clientclass, rpython=rpython, **options)

    return make


@pytest.fixture
def connect(new_client):
    """Makes clients of the test's own, and closes them after it: `connect('ssh', Client, rpython=...)`."""
    made = []

    def make(*args, **options):
        client = new_client(*args, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def shared_clients(sshd):
    """What keeps the clients that tests share."""
    keeper = SharedClients()
    yield keeper
    keeper.end()


@pytest.fixture
def share(new_client, shared_clients, request):
    """Gives clients as `connect` does, which other tests use too: one that is changed or ended has another take its place.

    A test for which it matters what came before takes `connect`."""
    taken = []

    def take(way="local", clientclass=easycluster.Client, rpython=sys.executable, **options):
        client = shared_clients.take(new_client, way, clientclass, rpython, **options)
        assert client not in taken, "there is one of each kind"
        taken.append(client)
        return client

    yield take
    for client in taken:
        shared_clients.give_back(client, has_failed(request.node))


@pytest.fixture
def client(share):
    """A client of a local Python of this version."""
    return share()


@pytest.fixture
def there(share, interpreter):
    """A client of each interpreter in turn."""
    return share(rpython=interpreter.path)


@pytest.fixture
def closed_port():
    """A port of this machine where nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


_numbers = itertools.count(1)


@pytest.fixture
def definitions():
    """The name of a definitions module of the test's own."""
    return "test_definitions_%d" % next(_numbers)


@pytest.fixture(params=[easycluster.Client, easycluster.ThreadedClient])
def prepared(share, interpreter, request):
    """A client of one kind or the other under every interpreter, which has run the SOURCE of the test's module."""
    made = share(clientclass=request.param, rpython=interpreter.path)
    made.execblock(request.module.SOURCE)
    return made
