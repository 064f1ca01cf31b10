"""Hosts that are killed in the middle of a long map: which items that costs, and none that it does not."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest
from easycluster import ClientGroup, Cluster, HostLost
from easycluster.server import spawn_local
from support.processes import poll

COUNT = 10_000
KILLED = ('host2', 'host5')
SOURCE = 'import time\ndef work(n):\n    time.sleep(0.001)\n    return n\n'


class Watched:
    """What a slot was sent and has not answered."""

    def __init__(self, slot):
        self.slot = slot
        self.open = {}
        slot.ask = self.ask

    def ask(self, name, args, done, failed, limit=None):
        if name == 'batch':
            batch = args[1]
            self.open[batch] = [n for (n,) in args[2]]
            inner = done

            def arrived(value):
                self.open.pop(batch, None)
                inner(value)

            done = arrived
        return type(self.slot).ask(self.slot, name, args, done, failed, limit)

    @property
    def items(self):
        return {n for items in self.open.values() for n in items}


@pytest.mark.parametrize('retries', [1, 0])
def test_two_of_eight_hosts_are_killed_half_way(retries):
    hosts = [':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(8)]
    with Cluster(hosts, output=None) as cluster:
        cluster.define(SOURCE)
        watched = {slot.host: Watched(slot) for slot in cluster._slots_now(None)}
        pids = cluster.call('os.getpid')
        results = {}
        # Without an order, so that it is known how far it is.
        for place, value in cluster.map('work', range(COUNT), retries=retries, ordered=False, return_exceptions=True):
            assert place not in results
            results[place] = value
            if len(results) == COUNT // 2:
                for host in KILLED:
                    os.kill(pids[host], signal.SIGKILL)
        assert sorted(results) == list(range(COUNT))
        failed = {place for place, value in results.items() if isinstance(value, HostLost)}
        assert {place: value for place, value in results.items() if place not in failed} == {
            place: place for place in range(COUNT) if place not in failed
        }
        first, second = (watched[host].items for host in KILLED)
        assert first | second
        # What was tried again on the other that was killed has no third host.
        assert failed == (first & second if retries else first | second)
        for place in failed:
            assert set(results[place].hosts) <= set(KILLED)
        assert poll(lambda: sorted(cluster.lost) == sorted(KILLED))


def test_a_host_killed_in_the_middle_costs_no_order():
    hosts = [':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(8)]
    with Cluster(hosts, output=None) as cluster:
        cluster.define(SOURCE)
        pids = cluster.call('os.getpid')
        results = []
        for value in cluster.map('work', range(COUNT), retries=1):
            results.append(value)
            if len(results) == COUNT // 2:
                for host in KILLED:
                    os.kill(pids[host], signal.SIGKILL)
        assert results == list(range(COUNT))


class Unreadable:
    """Pickling it reads a file that is not there."""

    def __reduce__(self):
        open('/no/such/file')


def test_an_argument_that_raises_an_os_error_costs_itself_and_no_host():
    with Cluster([':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(2)]) as cluster:
        values = list(cluster.map('len', ['a', Unreadable(), 'bc'], return_exceptions=True))
        assert (values[0], type(values[1]), values[2]) == (1, FileNotFoundError, 2)
        with cluster.executor() as executor:
            for _ in range(3):
                with pytest.raises(FileNotFoundError):
                    executor.submit('len', Unreadable()).result(timeout=60)
            assert executor.submit('len', 'abc').result(timeout=60) == 3
        assert cluster.lost == []


def test_calls_and_executors_of_a_cluster_without_hosts_say_so():
    with Cluster([':local:rpython=%s:name=host' % sys.executable]) as cluster:
        os.kill(cluster.call('os.getpid')['host'], signal.SIGKILL)
        assert poll(lambda: cluster.lost == ['host'])
        with cluster.executor() as executor, pytest.raises(HostLost, match='no host of the cluster is left'):
            executor.submit('len', 'abc')
        for call in (
            lambda: cluster.call('len', 'abc'),
            lambda: cluster.command('true'),
            lambda: dict(cluster.each('len', 'abc')),
        ):
            with pytest.raises(HostLost, match='no host of the cluster is left; lost: host'):
                call()


@pytest.mark.parametrize('kind', [OSError, EOFError])
def test_what_a_completion_function_raises_costs_no_host(kind, monkeypatch):
    told = []
    monkeypatch.setattr(threading, 'excepthook', lambda hooked: told.append(hooked.exc_type))

    def fails(value):
        raise kind('of the completion function')

    with Cluster([':local:rpython=%s:name=host' % sys.executable]) as cluster:
        cluster._connected()[0][1].call('len', 'abc', oncomplete=fails)
        assert poll(lambda: told == [kind])
        assert cluster.lost == []
        assert cluster.call('len', 'abc') == {'host': 3}
    with spawn_local() as client:
        group = ClientGroup([client])
        client.call('len', 'abc', oncomplete=fails)
        with pytest.raises(kind):
            group.read_responses()
        assert list(group.clients.values()) == [client]
