"""A map of items of a millisecond over eight processes, compared with ipyparallel and Dask in batches made by hand.

    python benches/compare_maps.py [ROUNDS] [ITEMS]

Needs the package, ipyparallel, dask and distributed installed for the same Python; what is missing is left out. Each makes its eight
processes on this machine, which are started before anything is measured. In every round each has its turn, and what is compared are
seconds of the same round: to the ideal by the item as measured in those processes, and ours to each of the others.
"""

from __future__ import annotations

import contextlib
import importlib
import statistics
import sys
import time

import easycluster
from goals import ALL, GOALS

PROCESSES = 8
# What suits the others best, found by hand.
BATCH = 50


def item(n):
    import time

    time.sleep(0.001)
    return n


def batch(numbers):
    """What the others are given: items by hand."""
    import time

    for _ in numbers:
        time.sleep(0.001)
    return list(numbers)


def alone(count):
    """The seconds of one item there, without any calls in between."""
    import time

    begun = time.time()
    for _ in range(count):
        time.sleep(0.001)
    return (time.time() - begun) / count


def batches(items):
    return [range(n, min(n + BATCH, items)) for n in range(0, items, BATCH)]


@contextlib.contextmanager
def ours():
    specs = [':local:rpython=%s:name=p%d' % (sys.executable, n) for n in range(PROCESSES)]
    with easycluster.Cluster(specs) as cluster:
        yield cluster, lambda items: list(cluster.map(item, range(items)))


@contextlib.contextmanager
def ipyparallel():
    package = importlib.import_module('ipyparallel')
    with package.Cluster(n=PROCESSES, log_level=40) as client:
        client.wait_for_engines(PROCESSES, interactive=False)
        view = client.load_balanced_view()

        def run(items):
            return [n for part in view.map_sync(batch, batches(items)) for n in part]

        yield client, run


@contextlib.contextmanager
def dask():
    package = importlib.import_module('distributed')
    with package.LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None) as local:
        with package.Client(local) as client:
            client.wait_for_workers(PROCESSES)

            def run(items):
                # Each round is new to it; it would know the results of the last.
                return [n for part in client.gather(client.map(batch, batches(items), pure=False)) for n in part]

            yield client, run


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    seconds: dict[str, list[float]] = {}
    ideals = []
    with contextlib.ExitStack() as stack:
        cluster, run = stack.enter_context(ours())
        runs = {'easycluster': run}
        for make in (ipyparallel, dask):
            try:
                runs[make.__name__] = stack.enter_context(make())[1]
            except ImportError:
                print('%s is not installed' % make.__name__)
        for _ in range(rounds + 1):
            ideals.append(statistics.mean(cluster.call(alone, 300).values()) * items / PROCESSES)
            for name, run in runs.items():
                begun = time.monotonic()
                assert run(items) == list(range(items)), name
                seconds.setdefault(name, []).append(time.monotonic() - begun)
    # In the first round everything is new to everybody.
    for name, each in seconds.items():
        ideal = statistics.median(spent / best for spent, best in zip(each[1:], ideals[1:]))
        ratios = [mine / theirs for mine, theirs in zip(seconds['easycluster'][1:], each[1:])]
        shown = ', ours takes %.2f of it (goal %g)' % (statistics.median(ratios), GOALS['maps'][ALL])
        shown = '' if name == 'easycluster' else shown
        print('%-12s %.2f s, %.3f of the ideal%s' % (name, statistics.median(each[1:]), ideal, shown))


if __name__ == '__main__':
    main()
