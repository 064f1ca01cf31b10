"""A signal handler raises at each step in turn while something is closed: whoever closes it again leaves nothing, and nobody waits."""

from __future__ import annotations

import sys

import pytest
from easycluster import Client, Cluster, ThreadedClient
from support.interrupted import all_the_steps
from support.processes import poll

EARLY = ":local:name=early:rpython=" + sys.executable
SOURCE = "import threading\ngate = threading.Event()\n"


@pytest.mark.parametrize("kind", [Client, ThreadedClient])
def test_a_client_that_is_closed_again_tells_every_call(kind):
    for interruption in all_the_steps(
        7, ("_connection.py", "_receiver.py", "_threaded.py"), but=("_tell_waiters", "__del__")
    ):
        client = kind.from_spec(EARLY, output=None)
        native = client._native
        client.execblock(SOURCE)
        told = []
        response = client.call("gate.wait", nonblocking=True)
        for number in range(3):
            client.call("gate.wait", oncomplete=told.append, onerror=(lambda error, place: told.append(place), number))
        with interruption:
            client.close()
        client.close()
        assert poll(lambda: not native.is_connected(), 5), interruption.at
        with pytest.raises(OSError):
            response.wait(timeout=10)
        assert poll(lambda: sorted(told) == [0, 1, 2], 5), (interruption.at, told)


def test_a_cluster_that_is_closed_again_ends_all_of_it():
    for interruption in all_the_steps(3, ("connecting.py", "cluster.py", "_connection.py")):
        cluster = Cluster([EARLY, EARLY.replace("early", "other")])
        clients = list(cluster.clients.values())
        with interruption:
            cluster.close()
        cluster.close()
        assert poll(lambda: not any(client.connected for client in clients), 5), interruption.at
        thread = cluster._pump._reader
        assert poll(lambda: not thread.is_alive(), 5), interruption.at
