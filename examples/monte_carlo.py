"""Estimates pi on many machines: a map over batches of random points, with a bar where tqdm is installed.

python examples/monte_carlo.py web1 web2 db1
"""

from __future__ import annotations

import sys

import easycluster

try:
    from tqdm import tqdm
except ImportError:

    def tqdm(iterable, total=None):
        """Without it there is no bar."""
        return iterable


BATCHES = 200
POINTS = 20_000


def inside(seed):
    """How many of the points fall into the quarter of the circle. Runs on whichever host is free."""
    import random

    source = random.Random(seed)
    return sum(source.random() ** 2 + source.random() ** 2 <= 1 for _ in range(POINTS))


def main():
    with easycluster.Cluster(sys.argv[1:], quorum='any', slots='cpus') as cluster:
        print(cluster.report, file=sys.stderr)
        hits = 0
        # The order does not matter, so no result waits for another. A batch may run twice, so lost hosts cost nothing.
        results = cluster.map(inside, range(BATCHES), ordered=False, retries=1)
        for _, count in tqdm(results, total=BATCHES):
            hits += count
    print('pi is about %.3f' % (4 * hits / (BATCHES * POINTS)))


if __name__ == '__main__':
    main()
