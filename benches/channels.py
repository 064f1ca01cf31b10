"""Channels and streams, as ratios to results and lists over the same sshd in the same run.

    python benches/channels.py [--mib 1024]

Needs the package installed, from a release build. Prints a line for each figure, with its goal.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import threading
import time
from collections import deque
from pathlib import Path
from queue import SimpleQueue

import easycluster

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests'))

from goals import ALL, GOALS
from support.sshd import Sshd

PIECE = 1 << 20
# One result that is compared with, in bytes.
RESULT = 64 << 20
ITEMS = 100_000
# How far the far host is, there and back.
DISTANCE = 0.05

SOURCE = '''
def give(channel, count, size):
    piece = b'x' * size
    for _ in range(count):
        channel.send(piece)
def take(channel):
    return sum([len(piece) for piece in channel])
def result(size):
    return b'x' * size
def items(count):
    for number in range(count):
        yield number
'''


def seconds(work, *args):
    """How long something takes."""
    begun = time.monotonic()
    work(*args)
    return time.monotonic() - begun


def through_a_channel(client, size):
    """Bytes from there."""
    channel = client.channel(raw=True)
    response = client.give(channel, size // PIECE, PIECE, nonblocking=True, threadid=-1)
    came = sum(len(piece) for piece in channel)
    response.wait()
    assert came == size


def into_a_channel(client, size):
    """Bytes to there."""
    channel = client.channel(raw=True)
    response = client.take(channel, nonblocking=True, threadid=-1)
    piece = b'x' * PIECE
    for _ in range(size // PIECE):
        channel.send(piece)
    channel.end()
    assert response.wait() == size


def rates(client, size):
    """Of channels to results and arguments, both ways, each the median of three."""
    ways = (
        ('from there', through_a_channel, lambda: client.result(RESULT), 'a result'),
        ('to there', into_a_channel, lambda data=b'x' * RESULT: client.call('len', data), 'an argument'),
    )
    for way, channel, plain, name in ways:
        ratios = []
        for _ in range(3):
            rate = RESULT / statistics.median(seconds(plain) for _ in range(3))
            ratios.append(size / seconds(channel, client, size) / rate)
        print('%d MiB through a channel %s, to the rate of %s: %.2f (goal %.2f)' % (
            size >> 20, way, name, statistics.median(ratios), GOALS['channels'][ALL],
        ))  # fmt: skip


def small_calls_beside(client, size):
    """How long small calls take while a channel is full."""
    alone = [seconds(client.eval, '1') for _ in range(500)]
    done = threading.Event()

    def fill():
        through_a_channel(client, size)
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    took = []
    while not done.is_set():
        took.append(seconds(client.eval, '1'))
        done.wait(0.002)
    thread.join()
    took.sort()
    print('small calls beside it, milliseconds: median %.1f, 99 %% under %.1f, longest %.1f (goal 20); alone %.2f' % (
        statistics.median(took) * 1e3, took[len(took) * 99 // 100] * 1e3, took[-1] * 1e3, statistics.median(alone) * 1e3,
    ))  # fmt: skip


def items_of_a_stream(client):
    """What an item of a generator takes more than one of a list."""
    more = []
    for _ in range(5):
        listed = seconds(client.call, 'list', range(ITEMS))
        more.append((seconds(deque, client.stream('items', ITEMS), 0) - listed) / ITEMS)
    print(
        'an item of a stream of %d, more than one of a list: %.2f µs (goal 3)' % (ITEMS, statistics.median(more) * 1e6)
    )


class Relay:
    """Carries connections to a port of this machine, each piece of data so many seconds late."""

    def __init__(self, port, late):
        self._target, self._late = port, late
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(('127.0.0.1', self._target))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    late = SimpleQueue()
                    threading.Thread(target=self._take, args=(one, late), daemon=True).start()
                    threading.Thread(target=self._give, args=(late, other), daemon=True).start()

    def _take(self, one, late):
        data = b'-'
        while data:
            try:
                data = one.recv(1 << 16)
            except OSError:
                data = b''
            late.put((time.monotonic() + self._late, data))

    @staticmethod
    def _give(late, other):
        with contextlib.suppress(OSError):
            while True:
                due, data = late.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    other.shutdown(socket.SHUT_WR)
                    return
                other.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self._listener.close()


def far_away(server):
    """What a hundred items of a host far away take, in round trips."""
    with Relay(server.port, DISTANCE / 2) as relay:
        known = server.known_hosts.read_text('utf-8')
        server.known_hosts.write_text(known + known.replace(':%d' % server.port, ':%d' % relay.port), 'utf-8')
        spec = server.spec('rpython=' + sys.executable).replace(':%d:' % server.port, ':%d:' % relay.port)
        items_far_away(spec)


def items_far_away(spec):
    """The same of the host of a spec."""
    with easycluster.Client.from_spec(spec) as client:
        client.execblock(SOURCE)
        list(client.stream('items', 1))
        trips, plain = [], []
        for _ in range(9):
            trip = statistics.median(seconds(client.eval, '1') for _ in range(3))
            trips.append(seconds(list, client.stream('items', 100)) / trip)
        kept = client.call('items', 100)
        plain.append(seconds(list, kept) / trip)
    print('100 items at a distance of %d ms, in round trips: %.2f as a stream (goal 2), %.0f by a proxy' % (
        DISTANCE * 1e3, statistics.median(trips), plain[0],
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--mib', type=int, default=1024)
    size = parser.parse_args().mib << 20
    with Sshd() as server:
        spec = server.spec('rpython=' + sys.executable)
        with easycluster.ThreadedClient.from_spec(spec) as client:
            client.execblock(SOURCE)
            rates(client, size)
            small_calls_beside(client, size)
            items_of_a_stream(client)
        far_away(server)


if __name__ == '__main__':
    main()
