"""Shell commands by a client: output, input, environment and end, under every interpreter."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time

import pytest
from easycluster import (
    AsyncClient,
    CallTimeout,
    Client,
    CommandError,
    CommandResult,
    command_multi,
    define_common,
)
from support.processes import all_processes


def with_command(command):
    return any(process.command == command for process in all_processes())


def test_a_line_and_words(client):
    result = client.command('echo "$HOME" | wc -l; echo err >&2; exit 3')
    assert isinstance(result, CommandResult)
    assert (result.stdout.strip(), result.stderr, result.returncode) == ('1', 'err\n', 3)
    assert (result.status, result.signal, result.ok, result.host) == (3, None, False, client.peername)
    result = client.command(['printf', '%s|', 'a b', '$HOME', "it's", 'two\nlines', '\xfc', b'\xff'], encoding=None)
    assert result.stdout == "a b|$HOME|it's|two\nlines|\xfc|".encode() + b'\xff|'
    killed = client.command('kill -9 $$')
    assert (killed.returncode, killed.status, killed.signal) == (-9, 137, 'SIGKILL')
    assert 'SIGKILL' in repr(killed)


def test_input_folder_and_environment(client):
    assert client.command('tr a-z A-Z', input='text').stdout == 'TEXT'
    large = bytes(range(256)) * 8000
    assert client.command('cat', input=large, encoding=None).stdout == large
    assert client.command('cat').stdout == ''
    # Not read, and it holds nothing that the shell around the command takes for an order.
    assert client.command('exec <&-; echo done', input='KILL\n' * 100000).stdout == 'done\n'
    result = client.command('pwd; printf %s "$ODD"', cwd='/usr/bin', env={'ODD': "a'b\\c!\n$x"})
    assert result.stdout == "/usr/bin\na'b\\c!\n$x"
    assert client.command('pwd', cwd='/no/where').returncode == 125
    with pytest.raises(ValueError, match='A=B'):
        client.command('true', env={'A=B': 'c'})
    with pytest.raises(ValueError, match='no words'):
        client.command([])
    with pytest.raises(ValueError, match='zero byte'):
        client.command('a\0b')


def test_a_failure_is_raised_where_that_is_asked_for(client):
    assert client.command('true', check=True).ok
    with pytest.raises(CommandError, match='exit status 4; it said: no luck') as raised:
        client.command('echo no luck >&2; exit 4', check=True)
    assert raised.value.result.returncode == 4
    copy = pickle.loads(pickle.dumps(raised.value))
    assert str(copy) == str(raised.value)


def test_a_time_limit_ends_all_of_it(client):
    with pytest.raises(CallTimeout, match='the command'):
        client.command('sleep 4801 & sleep 4802; true', timeout=0.5)
    deadline = time.monotonic() + 60
    while with_command('sleep 4801') or with_command('sleep 4802'):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert client.command('echo on').stdout == 'on\n'


def test_commands_run_side_by_side_and_beside_calls(client):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(client.command('read x; echo $x', input='in\n').stdout))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert client.os.getpid() > 0
    for thread in threads:
        thread.join()
    assert results == ['in\n'] * 4


def test_a_global_of_the_definitions_comes_first():
    define_common('def command(x, timeout=None):\n    return x, timeout\n', 'test_commands_own')
    client = Client.from_spec(':local', definitions='test_commands_own')
    try:
        assert client.command(3) == (3, None)
        assert client.command(x=4, timeout=5) == (4, 5)
    finally:
        client.close()


def test_many_at_once():
    clients = [Client.from_spec(':local:name=one'), Client.from_spec(':local:name=two')]
    try:
        results = command_multi(clients, 'echo $((1 + 2)); exit 1')
        assert [(result.host, result.stdout, result.returncode) for result in results] == [
            ('one', '3\n', 1),
            ('two', '3\n', 1),
        ]
        with pytest.raises(CommandError, match='one: exit status 1'):
            command_multi(clients, 'exit 1', check=True)
        failures = command_multi(clients, 'exit 1', check=True, return_exceptions=True)
        assert [type(failure) for failure in failures] == [CommandError] * 2
    finally:
        for client in clients:
            client.close()


def test_awaited_and_cancelled():
    async def work():
        async with AsyncClient.open(':local') as client:
            told = await asyncio.gather(*[client.command('echo %d' % number) for number in range(5)])
            assert [result.stdout for result in told] == ['%d\n' % number for number in range(5)]
            with pytest.raises(CommandError):
                await client.command(['false'], check=True)
            task = asyncio.ensure_future(client.command('sleep 4803; true'))
            while not with_command('sleep 4803'):
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while with_command('sleep 4803'):
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(work(), 120))
