"""How long decoding takes, the decoder alone: a large bytes object, many numbers, a large array, many small results, and dates.

    python benches/decode.py            # the package that is installed
    PYTHONPATH=other python benches/decode.py

Prints the best of several runs, and how it compares with plain `pickle.loads` of the same in the same run, one by turns with the
other. Only the ratios can be compared between machines, and between a quiet and a busy one.
"""

from __future__ import annotations

import datetime
import pickle
import time

import numpy
from easycluster import _native
from easycluster._pickling import policy, unpickler

MIB = 1 << 20


def pickled(value):
    buffers: list = []
    data = pickle.dumps(value, 5, buffer_callback=buffers.append)
    return data, [bytearray(buffer.raw()) for buffer in buffers]


def decode(data, buffers, allowed):
    uses = _native.scan_pickle(data)
    if uses is None and not buffers:
        return pickle.loads(data)
    return unpickler.unpickle(data, buffers, uses or b'', allowed, None)


def best(functions, runs):
    """The shortest time of each, in milliseconds."""
    times = [[] for _ in functions]
    for _ in range(runs):
        for function, taken in zip(functions, times):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
    return [min(taken) * 1000 for taken in times]


def main():
    allowed = policy.Policy()
    print('%-28s %13s %13s' % ('', 'here', 'pickle.loads'))
    day = datetime.datetime(2020, 1, 2, 3, 4, 5)
    for name, value, times, runs in [
        ('64 MiB of bytes', b'x' * (64 * MIB), 1, 7),
        ('a million ints', list(range(1_000_000)), 1, 7),
        ('128 MiB array', numpy.zeros(128 * MIB, 'u1'), 1, 7),
        ('128 MiB array in the pickle', None, 1, 7),
        ('20,000 small results', (1, 'text', [2.5, None]), 20_000, 7),
        ('20,000 small arrays', numpy.arange(10), 20_000, 3),
        ('100,000 dates', [day] * 1, 1, 5),
    ]:
        if value is None:
            data, buffers = pickle.dumps(numpy.zeros(128 * MIB, 'u1'), 4), []
        elif name.endswith('dates'):
            data, buffers = pickle.dumps([day + datetime.timedelta(n) for n in range(100_000)], 4), []
        else:
            data, buffers = pickled(value)

        def run(data=data, buffers=buffers, times=times):
            for _ in range(times):
                decode(data, buffers, allowed)

        def plain(data=data, buffers=buffers, times=times):
            for _ in range(times):
                pickle.loads(data, buffers=buffers)

        ours, theirs = best((run, plain), runs)
        print('%-28s %10.2f ms %10.2f ms %8.1f times' % (name, ours, theirs, ours / theirs))


if __name__ == '__main__':
    main()
