"""What the tests of the Python package share: a server, the interpreters, and clients of both kinds."""

from __future__ import annotations

import itertools
import sys

import easycluster
import pytest
from easycluster.server import spawn_local
from support.interpreters import interpreters
from support.sshd import Sshd


@pytest.fixture(scope="session")
def sshd():
    """One server for all tests; each connection is a session of its own."""
    with Sshd(max_sessions=100) as server:
        yield server
        server.wait_until_idle()


@pytest.fixture(params=interpreters(), ids=str)
def interpreter(request):
    """Every interpreter of this machine in turn."""
    return request.param


@pytest.fixture(params=["local", "ssh"])
def way(request):
    """Both ways to a server that need no server of ours."""
    return request.param


@pytest.fixture
def connect(sshd):
    """Makes clients, and closes them after the test: `connect('ssh', Client, rpython=...)`."""
    made = []

    def make(way="local", clientclass=easycluster.Client, rpython=sys.executable, **options):
        if way == "ssh":
            client = clientclass.from_spec(sshd.spec("rpython=%s" % rpython), **options)
        else:
            client = spawn_local(clientclass, rpython=rpython, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect):
    """A client of a local Python of this version."""
    return connect()


_numbers = itertools.count(1)


@pytest.fixture
def definitions():
    """The name of a definitions module of the test's own."""
    return "test_definitions_%d" % next(_numbers)


@pytest.fixture(params=[easycluster.Client, easycluster.ThreadedClient])
def prepared(connect, interpreter, request):
    """A client of each kind under every interpreter, which has run the SOURCE of the test's module."""
    made = connect(clientclass=request.param, rpython=interpreter.path)
    made.execblock(request.module.SOURCE)
    return made
