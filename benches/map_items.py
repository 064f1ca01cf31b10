"""A map of 10,000 items of a millisecond over eight processes, as a ratio to the ideal by the item as measured there.

    python benches/map_items.py [ROUNDS]

Needs the package installed. Processes are children of this machine: what is measured is the balancing and the calls, not a network.
Items sleep, so that the number of processors does not matter.
"""

from __future__ import annotations

import statistics
import sys
import time

import easycluster

PROCESSES = 8
ITEMS = 10_000


def item(n):
    import time

    time.sleep(0.001)
    return n


def alone(count):
    """The seconds of one item there, without any calls in between."""
    import time

    begun = time.time()
    for _ in range(count):
        time.sleep(0.001)
    return (time.time() - begun) / count


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    specs = [":local:rpython=%s:name=p%d" % (sys.executable, n) for n in range(PROCESSES)]
    ratios = []
    with easycluster.Cluster(specs) as cluster:
        for _ in range(rounds):
            # All at once, as the items of the map are.
            an_item = statistics.mean(cluster.call(alone, 500).values())
            ideal = an_item * ITEMS / PROCESSES
            begun = time.monotonic()
            assert list(cluster.map(item, range(ITEMS))) == list(range(ITEMS))
            ratios.append((time.monotonic() - begun) / ideal)
    shown = ", ".join("%.3f" % ratio for ratio in ratios)
    print("map of %d items over %d processes, to the ideal: %s (goal 1.08)" % (ITEMS, PROCESSES, shown))


if __name__ == "__main__":
    main()
