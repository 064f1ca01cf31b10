"""A signal handler raises at each step in turn while the items of a channel, a stream or a batch are read: whoever goes on misses none."""

from __future__ import annotations

import itertools
import sys
import threading

import pytest
from easycluster import read_ahead
from support.interrupted import Stop, all_the_steps
from support.processes import poll

FILES = ('_channels.py', '_streams.py', '_read_ahead.py', '_checked.py')
COUNT = 3
SOURCE = """
def pour(channel, raw):
    for number in range(%d):
        channel.send(b'%%d' %% number if raw else [number])
def numbers():
    for number in range(%d):
        yield [number]
""" % (COUNT, COUNT)


def of_channel(raw):
    def begun(client):
        channel = client.channel(raw)
        response = client.pour(channel, raw, nonblocking=True)
        # What calls is in C, so no handler comes between the item and whoever has it.
        return response, map(channel.receive, itertools.repeat(None))

    return begun


WAYS = {
    "channel": of_channel(False),
    "raw": of_channel(True),
    "stream": lambda client: (None, client.stream("numbers")),
    "read_ahead": lambda client: (None, read_ahead(client.numbers())),
}


def go_through(items, got):
    """Takes what there is. An item is in the list before a handler may run: iterators in C do both."""
    while True:
        count = len(got)
        try:
            got.extend(zip([None], items))
        except EOFError:
            return
        if len(got) == count:
            return


@pytest.mark.parametrize("way", WAYS)
def test_no_item_is_lost_or_comes_twice_whichever_step_a_handler_raises_at(client, way):
    client.execblock(SOURCE)
    for interruption in all_the_steps(1, FILES):
        response, items = WAYS[way](client)
        got = []
        with interruption:
            go_through(items, got)
        go_through(items, got)
        values = [item for _, item in got]
        assert (b"".join(values) == b"012") if way == "raw" else (values == [[0], [1], [2]]), (interruption.at, values)
        if response is not None:
            assert response.wait(timeout=60) is None


def test_an_item_that_was_given_back_comes_to_a_thread_that_waits_for_the_end(client):
    client.execblock("def one(channel, gate):\n    channel.send([1])\n    gate.receive()\n")
    channel, gate = client.channel(), client.channel()
    client.one(channel, gate, nonblocking=True)
    got = []
    thread = threading.Thread(target=lambda: got.extend(channel))

    def interrupted(pickled):
        del channel._read
        thread.start()
        # It waits for what comes behind the one that is in hand here.
        assert poll(lambda: sys._current_frames()[thread.ident].f_code.co_name == "receive")
        raise Stop

    channel._read = interrupted
    with pytest.raises(Stop):
        channel.receive(timeout=60)
    gate.send(None)
    thread.join(60)
    assert got == [[1]] and not thread.is_alive()
