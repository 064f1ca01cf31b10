"""AsyncClient: awaited calls over a real server."""

from __future__ import annotations

import asyncio
import sys

import pytest
from easycluster import AsyncClient, RemoteException, define_common
from support.interpreters import interpreters

define_common('''
class AsyncThing(ServerObject):
    def __init__(self, value):
        self.value = value
    def get(self):
        return self.value
def async_fail():
    raise ValueError('no')
''')  # fmt: skip


def test_calls_proxies_values_and_errors(sshd):
    async def main():
        async with AsyncClient.open(sshd.spec('rpython=%s' % sys.executable)) as client:
            assert await client.call('len', 'abc') == 3
            assert await client.os.path.join('a', 'b') == 'a/b'
            assert await asyncio.gather(*[client.call('int', str(number)) for number in range(100)]) == list(range(100))
            thing = await client.AsyncThing(5)
            assert await thing.raw_call_method('get', ()) == 5
            assert await thing.raw_get_attribute('value') == 5
            await client.set('answer', 42)
            assert await client.get('answer') == 42
            assert await client.eval('answer') == 42
            with pytest.raises(ValueError):
                await client.async_fail(origexc='quiet')
            with pytest.raises(RemoteException):
                await client.async_fail(origexc=False)
        assert not client.connected

    asyncio.run(main())


def test_the_loop_goes_on_and_cancelled_tasks_cancel_calls(sshd):
    async def main():
        client = await AsyncClient.open(sshd.spec('rpython=%s' % sys.executable))
        await client.execblock('import time\ndef nap():\n    for _ in range(3000):\n        time.sleep(0.01)\n')
        task = asyncio.ensure_future(client.nap())
        ticks = 0
        while ticks < 5:
            await asyncio.sleep(0.01)
            ticks += 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(client.eval('1'), 20) == 1
        client.close()

    asyncio.run(main())


def test_many_hosts_at_once(sshd):
    async def main():
        specs = [sshd.spec('rpython=%s' % entry.path) for entry in interpreters()]
        clients = await asyncio.gather(*[AsyncClient.open(spec) for spec in specs])
        versions = await asyncio.gather(*[client.eval('__import__("sys").version_info[0]') for client in clients])
        assert versions == [entry.version[0] for entry in interpreters()]
        for client in clients:
            client.close()

    asyncio.run(main())


def test_a_lost_connection_is_told(sshd):
    async def main():
        client = await AsyncClient.open(sshd.spec('rpython=%s' % sys.executable))
        pending = client.call('time.sleep', 60, origexc='quiet')
        sshd.break_sessions()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pending, 20)
        client.close()

    asyncio.run(main())
