"""Servers that ask for what they were not handed, in the wrong form, or without end."""

from __future__ import annotations

import threading

import pytest
from easycluster import callback
from support.processes import poll as until

# What a stub of another make could send: straight into the channel that asks go through.
HOSTILE = '''
import pickle, struct, threading
kept = []
def keep(function):
    kept.append(function)
def call(function):
    return function()
def of(function):
    ask, number, wait, timeout = function._ask
    return ask.__self__, number
def raw(function, *items):
    asks, number = of(function)
    for head, rest, end in items:
        asks.line.turn(asks.line.sending)
        try:
            asks.line.send(struct.pack(">%dI" % len(head), *[number if each is None else each for each in head]) + rest + end)
        finally:
            asks.line.over(asks.line.sending)
def other(function, number, wait=True):
    asks, own = of(function)
    return asks.ask(own if number is None else number, wait, 10, ((), {}))
def content(function, value):
    """An ask with another content than arguments."""
    asks, own = of(function)
    return asks.ask(own, True, 10, value)
def flood(function, count, size):
    """Asks again and again, and waits for nothing."""
    asks, number = of(function)
    data = pickle.dumps((("x" * size,), {}), 2)
    for each in range(1, count + 1):
        raw(function, ((1000000 + each, None), data, b"\\1"))
'''


@pytest.fixture
def client(connect):
    made = connect()
    made.execblock(HOSTILE)
    return made


def test_a_server_calls_what_it_was_handed_and_nothing_else(client):
    called = []
    handed = callback(lambda *args: called.append(args))
    silent = callback(lambda *args: called.append(args), wait=False)
    client.keep(handed)
    client.keep(silent)
    client.execblock('handed, silent = kept')
    for number in (999, 0xFFFFFFFF):
        with pytest.raises(LookupError, match='was not given'):
            client.eval('other(handed, %d)' % number, origexc='quiet')
    with pytest.raises(LookupError):
        client.eval('other(silent, None)', origexc='quiet')
    for value in ('None', '((), {}, 1)', '([], {})', '((), [])', '((), {1: 2})', '"text"'):
        with pytest.raises(Exception, match='something else than arguments'):
            client.eval('content(handed, %s)' % value, origexc='quiet')
    assert called == []
    # What is no ask, no pickle, or no list of numbers: passed over or refused, and nobody waits for the answer.
    for item in (
        '(), b"", b""', '(), b"", b"\\1"', '(5,), b"", b"\\1"', '(7, None), b"", b"\\1"', '(7, None), b"garbage", b"\\1"',
        '(7, None), b"\\x80\\2cos\\nsystem\\n.", b"\\1"', '(0, 0, 4000, 4001), b"xyz", b"\\1"', '(3, 0), b"", b"\\1"',
        '(0, None), b"", b"\\1"', '(0, 999), b"", b"\\1"', '(7, None), b"x" * 300000, b"\\0"',
    ):  # fmt: skip
        client.execblock('raw(handed, (%s))' % item)
    assert client.eval('handed(1)') is None
    assert called == [(1,)]


def test_a_server_that_asks_without_end_is_held_back(client):
    gate = threading.Event()
    done = []
    handed = callback(lambda data: done.append(gate.wait(60)))
    client.keep(handed)
    client.execblock('handed = kept[0]')
    small = client.eval('flood(handed, 5000, 300)', nonblocking=True, threadid=5)
    asked = client._asked
    until(lambda: len(asked._running) >= 63)
    with pytest.raises(TimeoutError):
        small.wait(timeout=1)
    assert len(asked._running) + len(asked._waiting) <= 64
    gate.set()
    small.wait(timeout=60)
    until(lambda: len(done) == 5000 and not asked._running)
    gate.clear()
    large = client.eval('flood(handed, 40, 1000000)', nonblocking=True, threadid=5)
    until(lambda: len(asked._running) >= 9)
    with pytest.raises(TimeoutError):
        large.wait(timeout=1)
    # Of 8 MiB and one more.
    assert len(asked._running) + len(asked._waiting) <= 10
    gate.set()
    large.wait(timeout=60)
    assert client.call('call', callback(lambda: 'on')) == 'on'
