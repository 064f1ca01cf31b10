"""A signal handler raises at each line in turn, while values are sent ahead and their answers come in the thread that waits."""

from __future__ import annotations

import itertools
import signal
import sys

import pytest
from easycluster import Client
from easycluster._cluster import ahead as ahead_module
from easycluster._cluster import slots as slots_module
from easycluster._cluster.ahead import Ahead
from easycluster._cluster.slots import Scattered, Slot
from easycluster._responses import Retold
from support.processes import poll

VALUE = b"\xff" * (1 << 20)
KEPT = "sum(map(len, [__import__('sys').modules['easycluster_values'].value.__globals__[name] for name in ('values', 'shared')]))"


class Stop(Exception):
    """What the handler raises."""


class Raising:
    """While one of its blocks lasts, counts the calls, lines and returns in the two modules, and has a signal handler raise at the one of
    that number; `happened` says whether it came so far."""

    def __init__(self, number):
        self.left = number
        self.happened = False

    def _handle(self, number, frame):
        raise Stop

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename not in (ahead_module.__file__, slots_module.__file__):
            return None
        self.left -= 1
        if self.left < 0 and not self.happened:
            self.happened = True
            signal.raise_signal(signal.SIGUSR1)
        return self._trace

    def __enter__(self):
        self.before = signal.signal(signal.SIGUSR1, self._handle)
        self.traced = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind, error, trace):
        sys.settrace(self.traced)
        signal.signal(signal.SIGUSR1, self.before)
        return kind is Stop


def read(clients):
    """Reads all that is still to come, until a round brings nothing."""
    for _ in range(2):
        for client in clients:
            while client._native.outstanding():
                client.read_response()
            while client.read_response(False):
                pass


@pytest.fixture
def clients():
    made = []
    for number in range(2):
        made.append(Client.from_spec(":local:rpython=%s:name=host%d" % (sys.executable, number), output=None))
    yield made
    for client in made:
        client.close()


@pytest.mark.parametrize("gone", [False, True])
def test_values_come_and_go_whichever_line_a_handler_raises_at(clients, gone):
    """With `gone` the place where the first one has put it is no more when the second one is told of it."""
    slots = [Slot("host", client) for client in clients]
    for slot in slots:
        slot.hold(0, None)
        slot.drop(0, True, False)
    read(clients)
    for number in itertools.count():
        ahead = Ahead(VALUE, True)
        value = Scattered(ahead.number)
        sent = []
        raising = Raising(number)
        with raising:
            for slot in slots:
                ahead.send(slot)
                sent.append(slot)
            if gone:
                slots[0].unshare(ahead.number)
            read(clients)
        read(clients)
        if len(sent) == len(slots):
            # What was raised fell to whoever read the answers; the value is there all the same.
            calls = [client.call("len", value, nonblocking=True, call_timeout=60) for client in clients]
            read(clients)
            assert [call.wait() for call in calls] == [len(VALUE)] * 2, number
        # What is raised while a value is dropped is made up for the next time.
        with raising:
            ahead.drop()
        ahead.drop()
        with raising:
            read(clients)
        read(clients)
        for client in clients:
            assert poll(lambda client=client: client.eval(KEPT) == 0, 5), (number, len(sent))
        if not raising.happened:
            break
    assert number > 40


def test_what_may_be_told_again_is_not_where_it_fails_by_itself(clients):
    told = []

    def fail(value):
        told.append(value)
        raise LookupError(value)

    clients[0].call("abs", -3, oncomplete=Retold(fail))
    with pytest.raises(LookupError):
        clients[0].read_response()
    assert clients[0].call("abs", -4) == 4 and not clients[0].read_response(False)
    assert told == [3]
