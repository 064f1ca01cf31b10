"""Load for hours: 50 threads on one connection, every kind of call, and the memory of both ends must stay flat.

    python benches/soak.py [--minutes 60] [--threads 50] [--spec user@host]

Prints a line a minute. After the first minute and at the end the load pauses, and the memory of both ends is taken. Ends with 1 if
a call went wrong, or if there is more at the end than after the first minute: more than a tenth of what either end has in use, or
more than a fifth of the master's resident memory. That has a wider limit, and the server's is shown only, because the GNU C library
keeps freed memory in pools for the threads, up to eight a core, which fill up over many minutes. With MALLOC_ARENA_MAX=2 in the
environment there are two of them, and the resident memory of both ends stays as it is.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time

from easycluster import CallTimeout, ThreadedClient, define_common
from easycluster.server import spawn_local

define_common('''
import os

class SoakThing(ServerObject):
    def __init__(self, value):
        self.value = value
    def get(self):
        return self.value
    def other(self):
        return SoakThing(self.value + 1)

def soak_fail(value):
    raise ValueError(value)

def soak_echo(value):
    return value

def soak_numbers(count):
    for number in range(count):
        yield number

def soak_memory():
    """Resident memory of this process in bytes."""
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

def soak_used():
    """What is in use: of the C library's memory, and of Python's for small objects at 64 bytes each."""
    import ctypes, gc, sys
    gc.collect()
    fields = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split()
    members = {'_fields_': [(name, ctypes.c_size_t) for name in fields]}
    try:
        information = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        # Another C library, or an older one; Python's objects tell the most of it.
        return 64 * sys.getallocatedblocks()
    information.restype = type('mallinfo2', (ctypes.Structure,), members)
    found = information()
    return found.uordblks + found.hblkhd + 64 * sys.getallocatedblocks()

def soak_spin():
    while True:
        pass
''')  # fmt: skip


from easycluster.remote_code import soak_memory, soak_used  # noqa: E402  (just defined)


def plain(client, chance):
    """A call and its value."""
    value = chance.random()
    assert client.soak_echo(value) == value


def pipelined(client, chance):
    """Calls in flight."""
    responses = [client.soak_echo(number, nonblocking=True) for number in range(100)]
    assert [response.wait() for response in responses] == list(range(100))


def proxies(client, chance):
    """Objects that come and go."""
    thing = client.SoakThing(1)
    assert thing.other().other().get() == 3 and thing.value == 1
    assert list(client.soak_numbers(5)) == [0, 1, 2, 3, 4]


def errors(client, chance):
    """Exceptions."""
    try:
        client.soak_fail('x', origexc='quiet')
    except ValueError:
        return
    raise AssertionError('no exception came')


def large(client, chance):
    """Up to a megabyte each way."""
    data = bytes(chance.randrange(1 << 20))
    assert client.soak_echo(data) == data


def given_up(client, chance):
    """Time limits and cancellation."""
    try:
        client.soak_spin(timeout=0.05)
    except CallTimeout:
        return
    raise AssertionError('no time limit was met')


def forgotten(client, chance):
    """Responses that are not asked for."""
    for _ in range(10):
        client.SoakThing(2, nonblocking=True)


KINDS = [plain] * 20 + [pipelined] * 5 + [proxies] * 5 + [errors] * 5 + [large] * 3 + [forgotten] * 2 + [given_up]


class Load:
    """The threads, and what became of their calls."""

    def __init__(self, client, threads):
        self.client = client
        self.wrong = []
        self.counts = [0] * threads
        self.end = 0.0

    def work(self, number):
        """Is one thread."""
        chance = random.Random(time.monotonic() + number)
        while time.monotonic() < self.end and not self.wrong:
            try:
                chance.choice(KINDS)(self.client, chance)
            except BaseException as error:
                self.wrong.append(error)
                raise
            self.counts[number] += 1

    def run(self, seconds, first_minute):
        """Runs the load for that long, with a line a minute; then all threads are gone."""
        self.end = time.monotonic() + seconds
        threads = [threading.Thread(target=self.work, args=(number,)) for number in range(len(self.counts))]
        for thread in threads:
            thread.start()
        minute = first_minute
        while not self.wrong and self.end - time.monotonic() > 0.1:
            here, there = [], []
            until = min(self.end, time.monotonic() + 60)
            while not self.wrong and time.monotonic() < until:
                time.sleep(min(2, max(0, until - time.monotonic())))
                here.append(soak_memory())
                there.append(self.client.soak_memory())
            print('minute %3d: %9d rounds, %6.1f MiB here, %6.1f MiB there (medians)' % (
                minute, sum(self.counts), mib(statistics.median(here)), mib(statistics.median(there))), flush=True)  # fmt: skip
            minute += 1
        for thread in threads:
            thread.join()

    def pause(self):
        """The memory of both ends without load: what is in use here and there, and what is resident here."""
        used = soak_used(), self.client.soak_used()
        taken = soak_memory(), self.client.soak_memory()
        print('a pause: %.1f MiB here, of which %.1f MiB are in use, %.1f MiB there, of which %.1f MiB are in use' % (
            mib(taken[0]), mib(used[0]), mib(taken[1]), mib(used[1])), flush=True)  # fmt: skip
        return (*used, taken[0])


def mib(size):
    """Bytes as MiB."""
    return size / 2**20


def main() -> int:
    """Runs the load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--threads', type=int, default=50)
    parser.add_argument('--spec')
    options = parser.parse_args()
    seconds = options.minutes * 60
    # A shorter run, to see whether the script works, has a shorter first part.
    first = min(60, seconds / 2)
    client = ThreadedClient.from_spec(options.spec) if options.spec else spawn_local(ThreadedClient)
    load = Load(client, options.threads)
    taken = []
    for part, minute in ((first, 1), (seconds - first, 2)):
        load.run(part, minute)
        if load.wrong:
            print('failed: %r' % load.wrong[0])
            client.close()
            return 1
        taken.append(load.pause())
    client.close()
    here, there, resident = [(after / before - 1) * 100 for before, after in zip(*taken)]
    print('in use here %+.1f %%, there %+.1f %%; resident here %+.1f %%' % (here, there, resident))
    return int(max(here, there) > 10 or resident > 20)


if __name__ == '__main__':
    sys.exit(main())
