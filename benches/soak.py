"""Load for hours: 50 threads on one connection, every kind of call, and the memory of both ends must stay flat.

    python benches/soak.py [--minutes 60] [--threads 50] [--spec user@host]

Prints a line a minute. Ends with 1 if a call went wrong, or if either end's memory grew by more than a tenth
between the first quarter and the last.
"""

from __future__ import annotations

import argparse
import os
import random
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
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
''')  # fmt: skip


def memory() -> int:
    """This process's resident memory in bytes."""
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


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
        client.eval('any(0 for _ in iter(int, 1))', call_timeout=0.05)
    except CallTimeout:
        return
    raise AssertionError('no time limit was met')


def forgotten(client, chance):
    """Responses that nobody asks for."""
    for _ in range(10):
        client.SoakThing(2, nonblocking=True)


KINDS = [plain] * 20 + [pipelined] * 5 + [proxies] * 5 + [errors] * 5 + [large] * 3 + [forgotten] * 2 + [given_up]


def main() -> int:
    """Runs the load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--threads', type=int, default=50)
    parser.add_argument('--spec')
    options = parser.parse_args()
    client = ThreadedClient.from_spec(options.spec) if options.spec else spawn_local(ThreadedClient)
    end = time.monotonic() + options.minutes * 60
    wrong = []
    counts = [0] * options.threads

    def work(number):
        chance = random.Random(number)
        while time.monotonic() < end and not wrong:
            # Threads come and go too.
            for _ in range(200):
                if time.monotonic() >= end:
                    return
                try:
                    chance.choice(KINDS)(client, chance)
                except BaseException as error:
                    wrong.append(error)
                    raise
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(options.threads)]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(60, max(1, options.minutes * 60 / 20)))
        if wrong or time.monotonic() >= end:
            break
        samples.append((memory(), client.soak_memory()))
        print('%9d rounds, %6.1f MiB here, %6.1f MiB there' % (
            sum(counts), samples[-1][0] / 2**20, samples[-1][1] / 2**20), flush=True)  # fmt: skip
    for thread in threads:
        thread.join()
    client.close()
    if wrong:
        print('failed: %r' % wrong[0])
        return 1
    quarter = max(1, len(samples) // 4)
    grew = False
    for place, name in enumerate(['here', 'there']):
        first = max(sample[place] for sample in samples[quarter : 2 * quarter] or samples)
        last = max(sample[place] for sample in samples[-quarter:])
        print('%s: %.1f MiB early, %.1f MiB late' % (name, first / 2**20, last / 2**20))
        grew = grew or last > first * 1.1
    return int(grew)


if __name__ == '__main__':
    sys.exit(main())
