"""AsyncCluster: what Cluster does, awaited."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
import time

import easycluster
import pytest
from easycluster import AsyncCluster, ClusterError, HostLost
from easycluster._cluster import connecting


def square(n):
    return n * n


def local(count=3, **options):
    specs = [':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(count)]
    return AsyncCluster(specs, **options)


def run(function, *args):
    return asyncio.run(asyncio.wait_for(function(*args), 120))


def test_calls_on_all_hosts_are_awaited():
    async def main():
        async with local() as cluster:
            assert isinstance(cluster.clients['host1'], easycluster.AsyncClient)
            assert await cluster.clients['host1'].os.getpid() > 0
            assert list((await cluster.call('abs', -3)).items()) == [('host0', 3), ('host1', 3), ('host2', 3)]
            assert await cluster.call(square, 4) == {'host0': 16, 'host1': 16, 'host2': 16}
            assert await cluster.eval('1 + 1') == {'host0': 2, 'host1': 2, 'host2': 2}
            await cluster.define('number = 5')
            await cluster.execblock('number += 1')
            assert set((await cluster.eval('number')).values()) == {6}
            assert len({pid async for _, pid in cluster.each('os.getpid')}) == 3
            assert list(await cluster['host[12]'].call('abs', 1)) == ['host1', 'host2']
            assert list(await cluster.group('host*:!host1').call('abs', 1)) == ['host0', 'host2']
            value = cluster.scatter([1, 2, 3])
            assert await cluster.call('sum', value) == {'host0': 6, 'host1': 6, 'host2': 6}
            results = await cluster.command('echo $((6 * 7))')
            assert {result.stdout for result in results.values()} == {'42\n'}
            await cluster.barrier()

    run(main)


def test_calls_of_all_hosts_go_on_at_the_same_time():
    async def main():
        async with local() as cluster:
            begun = time.monotonic()
            await asyncio.gather(
                cluster.call('time.sleep', 0.5), *[cluster.eval('1', threadid=easycluster.SINGLE) for _ in range(20)]
            )
            assert time.monotonic() - begun < 60

    run(main)


def test_failures_hide_no_values():
    async def main():
        async with local() as cluster:
            await cluster.clients['host1'].execblock('def number():\n    return 1')
            with pytest.raises(ClusterError) as caught:
                await cluster.call('number')
            assert caught.value.results == {'host1': 1} and set(caught.value.errors) == {'host0', 'host2'}
            came = []
            with pytest.raises(ClusterError):
                async for host, value in cluster.each('number'):
                    came.append((host, value))
            assert came == [('host1', 1)]
            with pytest.raises(ClusterError, match='3 of 3'):
                await cluster.command('exit 3', check=True)

    run(main)


def test_a_map_gives_results_in_order():
    async def main():
        async with local() as cluster:
            assert [value async for value in cluster.map(square, range(1000))] == [n * n for n in range(1000)]
            pairs = [pair async for pair in cluster.map(square, range(50), ordered=False)]
            assert sorted(pairs) == [(n, n * n) for n in range(50)]
            with pytest.raises(ZeroDivisionError):
                async for _ in cluster.map(divmod, [1, 1], [1, 0]):
                    pass
            with pytest.raises(TimeoutError, match='not done within'):
                async for _ in cluster.map('time.sleep', [600], deadline=0.5):
                    pass
            taken = []
            async for value in cluster.map(square, itertools.count()):
                taken.append(value)
                if len(taken) == 50:
                    break
            assert taken == [n * n for n in range(50)]

    run(main)


def test_what_is_cancelled_is_given_up_there():
    async def main():
        async with local(2, output=None) as cluster:
            await cluster.define(
                'import time\nbegun = 0\ndef wait(n):\n    global begun\n    begun += 1\n    time.sleep(n)\n'
            )
            beginnings = [
                lambda: cluster.call('wait', 600),
                lambda: anything(cluster.map('wait', [600] * 4)),
                lambda: anything(cluster.each('wait', 600)),
            ]
            for number, begin in enumerate(beginnings, 1):
                waiting = asyncio.ensure_future(begin())
                while min((await cluster.eval('begun', threadid=easycluster.SINGLE)).values()) < number:
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                # Their main threads are free again.
                assert await cluster.call('abs', -1, call_timeout=60) == {'host0': 1, 'host1': 1}

    async def anything(iterator):
        async for _ in iterator:
            pass

    run(main)


def test_a_lost_host_is_noticed_and_costs_its_own_items():
    async def main():
        async with local(3, output=None) as cluster:
            await cluster.define('import os\ndef deadly(n):\n    if n == 7:\n        os._exit(3)\n    return n\n')
            values = [value async for value in cluster.map('deadly', range(200), batch=5, return_exceptions=True)]
            failed = [n for n, value in enumerate(values) if isinstance(value, HostLost)]
            assert 7 in failed and len(failed) <= 10
            end = time.monotonic() + 60
            while not cluster.lost and time.monotonic() < end:
                await asyncio.sleep(0.01)
            assert len(cluster.lost) == 1 and len(cluster) == 2
            assert list(await cluster.call('abs', 1)) == [
                name for name in ('host0', 'host1', 'host2') if name not in cluster.lost
            ]

    run(main)


def test_too_few_hosts_are_an_error_and_close_the_others():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]

    async def main():
        specs = [':local:name=good', '127.0.0.1:%d:ssh=yes:name=refused' % port]
        with pytest.raises(ClusterError, match='1 of 2'):
            await AsyncCluster(specs, retries=0)
        cluster = await AsyncCluster(specs, retries=0, quorum=1)
        assert list(cluster.clients) == ['good']
        client = cluster.clients['good']
        await cluster.close()
        assert not client.connected

    run(main)


def test_a_hanging_host_joins_no_more_than_it_holds_up():
    async def main():
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            hanging = '127.0.0.1:%d:ssh=yes:name=hanging' % listener.getsockname()[1]
            async with AsyncCluster([':local:name=good', hanging], quorum='any', deadline=6.0) as cluster:
                assert list(cluster.clients) == ['good']
                assert 'still connecting' in str(cluster.report)

    run(main)


def test_each_processor_of_a_host_works():
    async def main():
        async with AsyncCluster([':local:rpython=%s:name=one' % sys.executable], slots='cpus') as cluster:
            await cluster.define('import os, time\ndef pid(n):\n    time.sleep(0.01)\n    return os.getpid()\n')
            pids = {value async for value in cluster.map('pid', range(60))}
            assert len(pids) == len(os.sched_getaffinity(0))

    run(main)


def test_a_host_says_how_many_processes_it_gets_only_within_bounds(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match='web1 says'):
        assert connecting.told_slots('web1', 10**5000) == 512
    assert [connecting.told_slots('web1', told) for told in (4, 0, -1, True, '8', None, 2.0)] == [4, 1, 1, 1, 1, 1, 1]
    # Where it is asked, too.
    (tmp_path / 'sitecustomize.py').write_text('import os\nos.sched_getaffinity = lambda pid: range(10**6)\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setattr(connecting._native, 'MOST_PROCESSES_TOLD', 3)
    monkeypatch.setattr(connecting.warnings, 'warn', lambda *args, **options: None)

    async def main():
        async with AsyncCluster([':local:rpython=%s:name=one' % sys.executable], slots='cpus') as cluster:
            assert 1 <= len(cluster._hosts[0].slots) <= 3

    run(main)


def test_a_host_that_does_not_say_how_many_processors_it_has_holds_up_nobody(tmp_path, monkeypatch):
    (tmp_path / 'sitecustomize.py').write_text('import os, time\nos.sched_getaffinity = lambda pid: time.sleep(600)\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setattr(connecting._native, 'STUB_SECONDS', 0.5)

    async def main():
        async with AsyncCluster([':local:rpython=%s:name=one' % sys.executable], slots='cpus') as cluster:
            assert len(cluster._hosts[0].slots) == 1
            assert await cluster.call('abs', -1) == {'one': 1}

    run(main)
