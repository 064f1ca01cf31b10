"""Work that is given to Dask on any machines: what comes of it is compared with this machine's, whichever way its workers talk."""

from __future__ import annotations

import os
import signal
import threading

import dask
import dask.datasets
import pandas


def frame(until):
    """A table of every day until then."""
    return dask.datasets.timeseries('2024-01-01', until, freq='10min', partition_freq='1d', seed=3)


def group_and_shuffle(until):
    """A group-by, and a shuffle from worker to worker."""
    wanted = frame(until).compute(scheduler='sync')
    means = frame(until).groupby('name').x.mean().compute()
    pandas.testing.assert_series_equal(means.sort_index(), wanted.groupby('name').x.mean().sort_index())
    with dask.config.set({'dataframe.shuffle.method': 'p2p'}):
        shuffled = frame(until).shuffle('name', npartitions=6)
        parts = shuffled.map_partitions(lambda part: part[['name']].drop_duplicates(), meta={'name': object}).compute()
        assert sorted(parts['name']) == sorted(wanted['name'].unique())
        assert len(shuffled) == len(wanted)


def submitted(client, count, seconds):
    """Calls that take so long each."""
    return client.map(lambda number: threading.Event().wait(seconds) or number, range(count), pure=False)


def survives(client, count, kill):
    """What is under way is done although `kill` ends some of those that do it."""
    futures = submitted(client, count, 0.05)
    kill()
    assert client.gather(futures) == list(range(count))


def kill_a_worker(client):
    """Some may be on their way out."""
    killed = next(pid for pid in client.run(os.getpid, on_error='return').values() if isinstance(pid, int))
    os.kill(killed, signal.SIGKILL)


def adapts(client, most, grown):
    """There are more workers as there is work: up to `most`, until `grown` says so; then as many as at first."""
    count = 240
    client.cluster.adapt(minimum=3, maximum=most, interval='100ms', wait_count=2)
    futures = submitted(client, count, 0.2)
    assert grown()
    assert client.gather(futures) == list(range(count))
    client.cluster.adapt(minimum=3, maximum=3)
