"""What remote code logs, and how far it is: here, by logging and by a function."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from easycluster import AsyncClient, Client, Cluster, progress
from easycluster.server import spawn_local
from support.pages import run_python
from support.processes import poll

SOURCE = '''
import logging
def speak():
    log = logging.getLogger('work.part')
    log.debug('not this')
    log.info('so %s, so %d', 'many', 3)
    try:
        raise LookupError('there')
    except LookupError:
        log.exception('it failed')
    log.error('colours: \\x1b[31m')
    log.error('wrong %d', 'text')
def flood(count):
    for number in range(count):
        logging.getLogger('flood').error('x' * 10000)
def count(items):
    from easycluster import progress
    return sum(progress(items, desc='adding'))
def unknown():
    from easycluster import progress
    with progress(desc='steps') as told:
        told.update(2)
        told.update(3)
'''


@pytest.fixture
def client(prepared):
    return prepared


def test_records_are_logged_here(client, caplog):
    client.forward_logs('info')
    with caplog.at_level(logging.DEBUG):
        client.speak()
        assert poll(lambda: len(caplog.records) == 4)
    first, failed, coloured, wrong = caplog.records
    assert first.name == 'easycluster.%s.work.part' % client.peername and first.host == client.peername
    assert (first.levelname, first.getMessage(), first.funcName) == ('INFO', 'so many, so 3', 'speak')
    assert failed.exc_text.startswith('Traceback') and failed.exc_text.endswith('LookupError: there')
    assert '\x1b' not in coloured.getMessage()
    assert 'cannot be formatted' in wrong.getMessage()


def test_records_are_never_waited_for(client, caplog):
    caplog.set_level(logging.INFO)
    client.forward_logs()
    floods = itertools.count(1)

    def dropped():
        # More than its window holds, in one call; where this end reads meanwhile, there may be room for all of it.
        client.flood(400)
        next(floods)
        return poll(lambda: came('were dropped'), 1)

    def came(text='so many'):
        client.speak()
        return any(text in record.getMessage() for record in caplog.records)

    assert poll(dropped) and poll(came)
    arrived = sum(record.name.endswith('.flood') for record in caplog.records)
    assert 0 < arrived < 400 * (next(floods) - 1)
    # A second one takes the place of the first.
    client.forward_logs('ERROR')

    def only_errors():
        caplog.clear()
        client.speak()
        # Of what was logged before, some may come in between.
        assert poll(lambda: len(caplog.records) >= 3)
        return {record.levelname for record in caplog.records} == {'ERROR'}

    assert poll(only_errors)


def test_progress_is_told(client):
    # Nobody listens.
    assert client.count([1, 2, 3]) == 6
    told = []
    client.show_progress(told.append)
    assert client.count(list(range(100))) == 4950
    client.unknown()
    assert poll(lambda: [it.desc for it in told if it.finished] == ['adding', 'steps'])
    adding = [it for it in told if it.desc == 'adding'][-1]
    assert (adding.host, adding.done, adding.total) == (client.peername, 100, 100)
    assert (told[-1].done, told[-1].total) == (5, None)


def test_hosts_of_a_cluster_and_an_event_loop(caplog):
    caplog.set_level(logging.INFO)
    with Cluster([':local:name=one', ':local:name=two']) as cluster:
        told = []
        cluster.forward_logs()
        cluster.show_progress(told.append)
        cluster.define(SOURCE)
        cluster.call('count', [1, 2])
        cluster.call('speak')
        assert poll(lambda: {it.host for it in told if it.finished} == {'one', 'two'})
        assert poll(lambda: {record.host for record in caplog.records} == {'one', 'two'})

    async def run():
        async with spawn_local(AsyncClient) as client:
            finished = asyncio.Event()
            await client.show_progress(lambda it: finished.set() if it.finished else None)
            await client.execblock(SOURCE)
            assert await client.call('count', [1, 2]) == 3
            await asyncio.wait_for(finished.wait(), 60)

    asyncio.run(run())


AT_THE_END = '''
import threading
from easycluster import Client
def work(rows):
    from easycluster import progress
    return sum(progress(rows))
def show(it):
    threading.Event().wait(0.2)
    print(it.done, it.finished)
client = Client.from_spec(':local')
client.show_progress(show)
client.run(work, list(range(9)))
'''


def test_what_has_come_is_told_before_the_program_ends(tmp_path):
    assert run_python(AT_THE_END, tmp_path).split()[-2:] == ['9', 'True']


def test_progress_of_this_process(capsys):
    assert list(progress([1, 2])) == [1, 2]
    with progress(total=3) as told:
        told.update()
    assert capsys.readouterr().err == ''


def test_a_level_that_is_none():
    with spawn_local(Client) as client, pytest.raises(ValueError, match='no level'):
        client.forward_logs('LOUD')
