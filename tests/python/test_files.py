"""Files there and back: by clients that wait, by those that are awaited, and by clusters."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from pathlib import Path

import pytest
from easycluster import (
    AsyncClient,
    AsyncCluster,
    Client,
    Cluster,
    ClusterError,
    Copied,
    FilesError,
    ThreadedClient,
    define_common,
)
from easycluster.server import spawn_local
from support.processes import poll


@pytest.fixture
def here(tmp_path):
    """A folder with a file, a folder with a file that runs, and a link."""
    top = tmp_path / 'here'
    (top / 'sub').mkdir(parents=True)
    (top / 'index.html').write_text('hello', 'utf-8')
    (top / 'sub' / 'run.sh').write_text('#!/bin/sh\n', 'utf-8')
    (top / 'sub' / 'run.sh').chmod(0o750)
    (top / 'sub' / 'skip.pyc').write_text('x', 'utf-8')
    (top / 'link').symlink_to('index.html')
    return top


@pytest.fixture(params=[Client, ThreadedClient])
def client(request):
    with spawn_local(request.param) as client:
        yield client


def test_a_tree_goes_there_and_comes_back(client, here, tmp_path):
    there = tmp_path / 'there'
    copied = client.put(str(here) + '/', there, exclude=['*.pyc'])
    assert isinstance(copied, Copied)
    assert (copied.host, copied.files, copied.folders, copied.links) == (client.peername, 2, 2, 1)
    assert (there / 'index.html').read_text('utf-8') == 'hello'
    assert (there / 'sub' / 'run.sh').stat().st_mode & 0o777 == 0o750
    assert not (there / 'sub' / 'skip.pyc').exists()
    assert os.readlink(there / 'link') == 'index.html'
    again = client.put(str(here) + '/', there, exclude='*.pyc')
    assert (again.files, again.unchanged) == (0, 5)
    (there / 'more').write_text('x', 'utf-8')
    (here / 'index.html').write_text('changed', 'utf-8')
    told = client.compare(str(here) + '/', there, exclude=['*.pyc'])
    assert sorted(told) == [('content', 'index.html'), ('leftover', 'more')]
    assert client.put(str(here) + '/', there, delete=True, exclude=['*.pyc'], mode=0o640).deleted == 1
    assert (there / 'index.html').stat().st_mode & 0o777 == 0o640
    back = tmp_path / 'back'
    assert client.get([there / 'index.html', there / 'sub'], back).files == 2
    assert (back / 'index.html').read_text('utf-8') == 'changed'
    assert (back / 'sub' / 'run.sh').exists()


def test_progress_is_told_in_this_thread(client, here, tmp_path):
    (here / 'large').write_bytes(b'x' * 3_000_000)
    told = []
    client.put(here, tmp_path / 'there', progress=lambda progress: told.append((progress, threading.get_ident())))
    assert {ident for _, ident in told} == {threading.get_ident()}
    last = told[-1][0]
    assert (last.files, last.bytes) == (last.all_files, last.all_bytes) == (4, 3_000_016)

    def fail(progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.put(here, tmp_path / 'other', progress=fail)
    assert client.eval('1') == 1


def test_what_fails_is_named(client, here, tmp_path):
    there = tmp_path / 'there'
    (there / 'index.html').mkdir(parents=True)
    with pytest.raises(FilesError) as caught:
        client.put(str(here) + '/', there)
    ((path, reason),) = caught.value.problems
    assert path == 'index.html' and 'it is there' in reason
    assert (there / 'sub' / 'run.sh').exists()
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    with pytest.raises(FilesError, match='no such file'):
        client.get(tmp_path / 'no', tmp_path / 'x')
    with pytest.raises(FilesError, match='max_bytes'):
        client.get(here, tmp_path / 'x', max_bytes=3)
    for wrong in ({'links': 'x'}, {'mode': 'x'}, {'mode': 1 << 20}, {'exclude': ['[']}):
        with pytest.raises(ValueError):
            client.put(here, there, **wrong)
    with pytest.raises(ValueError, match='No such file'):
        client.put(tmp_path / 'no', there)
    with pytest.raises(TypeError):
        client.put(here)


def test_definitions_of_that_name_are_called_all_the_same():
    define_common('def put(a, b=1):\n    return a + b\ndef get(key):\n    return key\n', 'test_files_own')
    with spawn_local(Client, definitions='test_files_own') as client:
        assert client.put(1, b=2) == 3
        assert client.get('x', nonblocking=True).wait() == 'x'
        with pytest.raises(TypeError):
            client.compare('x')


def test_awaited_clients_copy_beside_other_calls(here, tmp_path):
    async def run():
        client = spawn_local(AsyncClient)
        async with client:
            told = []
            copy = asyncio.ensure_future(client.put(here, tmp_path / 'there', progress=told.append))
            assert await client.eval('2') == 2
            assert (await copy).files == 3
            assert told[-1].files == 3
            assert (await client.get(tmp_path / 'there', tmp_path / 'back')).files == 3
            assert await client.compare(here, tmp_path / 'there') == []
            # With a name alone it is the value of a global.
            assert await client.get('os.sep') == '/'
            os.mkfifo(here / 'pipe')
            with pytest.raises(FilesError, match='pipe'):
                await client.put(here, tmp_path / 'there')

    asyncio.run(run())


def test_a_cancelled_copy_is_given_up(tmp_path):
    large = tmp_path / 'large'
    with large.open('wb') as file:
        file.write(b'x' * (1 << 20))
        for _ in range(200):
            file.write(os.urandom(1 << 20))

    async def run():
        async with spawn_local(AsyncClient) as client:
            begun = asyncio.Event()
            copy = asyncio.ensure_future(
                client.put(large, tmp_path / 'there', resume=False, progress=lambda _: begun.set())
            )
            await begun.wait()
            copy.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copy
            assert await client.eval('3') == 3
            assert not (tmp_path / 'there').exists()

    asyncio.run(run())
    assert poll(lambda: sorted(os.listdir(tmp_path)) == ['large'])


HOSTS = [':local:name=one', ':local:name=two']


def test_a_cluster_copies_to_all_and_from_all(here, tmp_path):
    with Cluster(HOSTS) as cluster:
        copied = cluster.put(here, tmp_path / 'there')
        assert list(copied) == ['one', 'two'] and all(it.files <= 3 for it in copied.values())
        with pytest.raises(ValueError, match='{host}'):
            cluster.get(here, tmp_path / 'back')
        copied = cluster.get(here / 'index.html', '%s/back/{host}/' % tmp_path)
        assert [it.files for it in copied.values()] == [1, 1]
        for host in ('one', 'two'):
            assert (tmp_path / 'back' / host / 'index.html').read_text('utf-8') == 'hello'
        assert cluster.compare(here, tmp_path / 'there') == {'one': [], 'two': []}
        with pytest.raises(ClusterError) as caught:
            cluster.get(tmp_path / 'no', '%s/x/{host}/' % tmp_path)
        assert isinstance(caught.value.errors['one'], FilesError)
        found = cluster.get(tmp_path / 'no', '%s/x/{host}/' % tmp_path, return_exceptions=True)
        assert isinstance(found['two'], FilesError)


def test_hosts_that_share_a_folder_make_it_together(tmp_path):
    source = tmp_path / 'source'
    for name in range(20):
        (source / str(name) / 'below').mkdir(parents=True)
    # So large that its name while it arrives is the same for all.
    (source / 'large').write_bytes(bytes(300_000))
    with Cluster([':local:name=%d' % number for number in range(4)]) as cluster:
        for attempt in range(8):
            copied = cluster.put(source, tmp_path / 'made' / str(attempt))
            assert len(copied) == 4
            assert cluster.compare(source, tmp_path / 'made' / str(attempt))['0'] == []
        # Each removes what all of them find there.
        empty = tmp_path / 'empty' / 'source'
        empty.mkdir(parents=True)
        for attempt in range(8):
            cluster.put(empty, tmp_path / 'made' / str(attempt), delete=True)
            assert list((tmp_path / 'made' / str(attempt) / 'source').iterdir()) == []


def test_an_awaited_cluster_too(here, tmp_path):
    async def run():
        async with AsyncCluster(HOSTS) as cluster:
            assert sorted(await cluster.put(here, tmp_path / 'there')) == ['one', 'two']
            copied = await cluster.get(here, '%s/back/{host}' % tmp_path)
            assert [it.files for it in copied.values()] == [3, 3]
            assert await cluster.compare(here, tmp_path / 'there') == {'one': [], 'two': []}

    asyncio.run(run())
    assert Path(tmp_path / 'back' / 'one' / 'here' / 'index.html').exists()


def test_after_the_end_of_the_connection_it_says_so(here, tmp_path):
    client = spawn_local(Client)
    client.close()
    with pytest.raises(OSError, match='Not connected'):
        client.put(here, tmp_path / 'there')


def test_globals_that_a_block_makes_come_before_methods_of_their_names(connect):
    client = connect()
    client.execblock('def put(a, b):\n    return a + b\nfrom os import getpid as command\ncompare = len\n')
    assert client.put(1, 2) == 3
    assert client.command() == client.server_info['pid']
    assert client.compare([1, 2]) == 2
