"""What people write who know other libraries, or take a word for another: the error has the right one."""

from __future__ import annotations

import sys
from pathlib import Path

import easycluster
import pytest
from easycluster import AsyncClient, Client, Cluster, ConnectError, HostLost

LOCAL = ':local:rpython=%s:name=here' % sys.executable


@pytest.mark.parametrize(
    ('ask', 'meant'),
    [
        (lambda client: client.run('uptime'), "client.command('uptime')"),
        (lambda client: client.exec_command('uptime'), "client.command('uptime')"),
        (lambda client: client.call('system', 'uptime'), "client.command('uptime')"),
        (lambda client: client.sudo('uptime'), "become='root' among the keywords of Client"),
        (lambda client: client.upload('file', 'folder'), "client.put('file', 'folder/')"),
        (lambda client: client.disconnect(), 'client.close()'),
    ],
)
def test_a_client_says_what_a_name_of_elsewhere_is_here(ask, meant, capsys):
    with Client.from_spec(LOCAL, output=None) as client, pytest.raises(AttributeError) as caught:
        ask(client)
    assert meant in capsys.readouterr().err
    if sys.version_info >= (3, 11):
        assert meant in '\n'.join(caught.value.__notes__)


def test_a_name_that_there_is_on_the_server_is_called():
    with Client.from_spec(LOCAL, output=None) as client:
        client.execblock('def upload(name): return name.upper()')
        assert client.upload('file') == 'FILE'


def test_an_awaited_client_says_so_too():
    async def main():
        async with AsyncClient.open(LOCAL) as client:
            await client.system('uptime')

    with pytest.raises(AttributeError) as caught:
        __import__('asyncio').run(main())
    assert sys.version_info < (3, 11) or "client.command('uptime')" in '\n'.join(caught.value.__notes__)


def test_clusters_and_their_parts_say_what_a_name_of_elsewhere_is_here():
    with Cluster([]) as cluster:
        with pytest.raises(AttributeError, match=r"Cluster has no .*'run'.*call\(function\).*command\('uptime'\)"):
            cluster.run('uptime')
        with pytest.raises(AttributeError, match=r"Part has no .*'sudo'.*become='root' among the keywords of Cluster"):
            cluster['a*'].sudo('uptime')
        with pytest.raises(AttributeError, match="^Cluster has no attribute 'frobnicate'$"):
            cluster.frobnicate()
        assert not hasattr(cluster, '_nothing')


@pytest.mark.parametrize('part', [False, True])
def test_no_hosts_answer_nothing_and_no_item_is_lost(part):
    with Cluster([] if not part else [LOCAL], output=None) as whole:
        cluster = whole['nobody*'] if part else whole
        assert cluster.call('os.getpid') == cluster.command('true') == cluster.eval('1') == {}
        assert list(cluster.each('os.getpid')) == [] and len(cluster) == 0
        assert list(cluster.map(abs, [])) == list(cluster.map(abs, iter(()))) == []
        with pytest.raises(HostLost, match='no host is there for abs: the cluster, or this part of it, has none'):
            list(cluster.map(abs, [1]))
        with cluster.executor() as executor, pytest.raises(HostLost, match='no host is there for abs'):
            executor.submit(abs, 1)


def test_a_file_in_place_of_its_hosts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('hosts.txt').write_text('one\n')
    meant = r"is a file of this machine.*Cluster\('all', inventory='[^']*hosts.txt'\)"
    with pytest.raises(easycluster.ClusterError, match=meant) as caught:
        Cluster('hosts.txt', retries=0)
    error = caught.value.errors['hosts.txt']
    assert isinstance(error, ConnectError) and error.hint in str(error) and 'spelling' not in str(error)
    for path in ('./hosts.txt', str(tmp_path / 'hosts.txt')):
        with pytest.raises(ValueError, match=meant):
            Cluster([path])
        with pytest.raises(ValueError, match=meant):
            easycluster.hosts(path)
    with pytest.raises(TypeError, match='not \'PosixPath\'\n.*' + meant):
        Cluster(Path('hosts.txt'))
    assert [spec.name for spec in easycluster.hosts('all', inventory='hosts.txt')] == ['one']


@pytest.mark.parametrize('hosts', [None, 3, b'web1', [None], [b'web1']])
def test_what_names_no_host(hosts):
    with pytest.raises(TypeError, match=r'not .(NoneType|int|bytes).$'):
        Cluster(hosts)
