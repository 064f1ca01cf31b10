"""What the original got wrong, each as a test that fails on it."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys

import easycluster
import pytest
from easycluster import Client, RemoteProxy, call_multi, define_common, execblock_multi, parse_connection_spec
from support.interpreters import interpreters
from support.parts import need


def test_from_spec_connects(sshd):
    with Client.from_spec(sshd.spec()) as client:
        assert client.eval('6 * 7') == 42


@pytest.mark.parametrize('major', [2, 3])
def test_python_2_and_the_newest_python_3_are_served(connect, way, major):
    target = [entry for entry in interpreters() if entry.version[0] == major][-1:]
    (target,) = need('python2', target) if major == 2 else target
    client = connect(way, rpython=target.path)
    assert client.eval('1 + 1') == 2
    assert client.os.path.join('a', 'b') == 'a/b'
    assert client.server_info['python'][:2] == target.version


def test_300_unread_responses_do_not_block(connect, way):
    client = connect(way)
    responses = [client.call('len', 'x' * 1000, nonblocking=True) for _ in range(3000)]
    assert [response.wait() for response in responses] == [1000] * 3000


def test_large_arguments_do_not_block(connect, way):
    client = connect(way)
    data = bytes(64 << 20)
    client.execblock('def echo(data):\n    return data\n')
    # Both ways at once, and a small call beside it.
    large = [client.echo(data, nonblocking=True, threadid=1) for _ in range(2)]
    assert client.eval('1') == 1
    assert all(response.wait() == data for response in large)


@pytest.mark.parametrize('spec, host, user, port', [
    ('user@[2001:db8::2]', '2001:db8::2', 'user', None),
    ('[2001:db8::2]', '2001:db8::2', None, None),
    ('user@[2001:db8::2]:2222', '2001:db8::2', 'user', 2222),
    ('user@192.0.2.1:9999', '192.0.2.1', 'user', 9999),
    ('example.com:ssh=yes', 'example.com', None, None),
])  # fmt: skip
def test_specs_of_the_manual(spec, host, user, port):
    params = parse_connection_spec(spec)
    assert (params['host'], params['user'], params['port']) == (host, user, port)


def test_more_specs_of_the_manual(tmp_path, capsys):
    key = easycluster.generate_key()
    assert easycluster.write_key_file(tmp_path / 'secret.key', key)
    assert not easycluster.write_key_file(tmp_path / 'secret.key', key)
    assert easycluster.write_key_file(tmp_path / 'secret.key', key, overwrite=True)
    assert (tmp_path / 'secret.key').stat().st_mode & 0o777 == 0o600
    params = parse_connection_spec('example.com:kf=%s' % (tmp_path / 'secret.key'))
    assert params['key'] == key and params['ssh'] is False
    assert str(parse_connection_spec('example.com:ssh=/usr/local/bin/ssh')['ssh']) == '/usr/local/bin/ssh'
    assert parse_connection_spec('user@example.com:rpython=python2.7')['rpython'] == 'python2.7'
    assert parse_connection_spec('a@b:compress=1')['enable_compression'] is True
    assert capsys.readouterr().err == ''
    params = parse_connection_spec('example.com:9999:key=s3cret')
    assert params['key'] == easycluster.decode_key('s3cret') and params['port'] == 9999
    assert 'SECURITY WARNING' in capsys.readouterr().err
    parse_connection_spec('example.com:9999:key=s3cret', warn=False)
    assert capsys.readouterr().err == ''
    params, custom = parse_connection_spec('u@h:gpu=2', custom_options=['gpu'])
    assert custom == {'gpu': '2'} and params['host'] == 'h'
    with pytest.raises(ValueError):
        parse_connection_spec('u@h:gpu=2')
    with pytest.raises(ValueError):
        parse_connection_spec('u@h:compress=1:compress=1')


def test_execblock_multi(connect):
    clients = [connect(), connect()]
    assert execblock_multi(clients, 'exec_return(5)') == [5, 5]
    assert call_multi(clients, 'len', 'abc') == [3, 3]


def test_subclasses_have_proxies_of_their_own(client):
    client.execblock('''
class Parent(ServerObject):
    def parent(self):
        return 'parent'
class Child(Parent):
    export_methods = ('child',)
    export_attrs = ()
    def child(self):
        return 'child'
class OwnProxy(RemoteProxy):
    proxy_methods = ('own',)
class Owner(Parent):
    proxy_class = OwnProxy
''')  # fmt: skip
    define_common('class OwnProxy(RemoteProxy):\n    proxy_methods = ("own",)\n')
    parent = client.Parent()
    assert parent.parent() == 'parent'
    child = client.Child()
    assert type(child) is not type(parent) and child.child() == 'child'
    with pytest.raises(AttributeError):
        child.parent()
    from easycluster import remote_code

    assert type(client.Owner()) is remote_code.OwnProxy


def test_a_proxy_dropped_while_its_object_is_on_its_way_again(client):
    client.execblock('''
class Thing(ServerObject):
    def name(self):
        return 'thing'
thing = Thing()
''')  # fmt: skip
    for _ in range(200):
        first = client.thing.value
        # The answer is on its way while the only proxy goes.
        again = client.send_request(0, 'get_global', ('thing',), nonblocking=True)
        del first
        gc.collect()
        client.eval('1', nonblocking=True)
        assert again.wait().name() == 'thing'


def test_dropped_proxies_are_released(client):
    client.execblock('''
import weakref
alive = weakref.WeakSet()
class Thing(ServerObject):
    def __init__(self):
        alive.add(self)
''')  # fmt: skip
    things = [client.Thing() for _ in range(5)]
    assert client.eval('len(alive)') == 5
    kept = things[0]
    assert client.eval('1') == 1
    del things
    gc.collect()
    client.eval('1')
    assert client.eval('len(alive)') == 1
    assert isinstance(kept, RemoteProxy)


def test_the_same_object_is_the_same_proxy(client):
    client.execblock(
        'class Thing(ServerObject):\n    pass\nthings = [Thing(), Thing()]\ndef same(one, number):\n    return one is things[number]\n'
    )
    first, second = client.things.value
    assert client.things.value[0] is first and client.things.value[1] is second
    assert client.same(first, 0) and client.same(second, 1) and not client.same(first, 1)


def test_proxies_belong_to_their_connection(client, connect):
    client.execblock('class Thing(ServerObject):\n    def f(self):\n        return 1\n')
    thing = client.Thing()
    other = connect()
    with pytest.raises(TypeError, match='cannot send'):
        other.call('len', [thing])
    assert client.call('len', [thing]) == 1
    assert other.eval('1') == 1
    client.close()
    assert thing.proxy_connection is None
    with pytest.raises(IOError):
        thing.f()
    with pytest.raises(IOError):
        client.eval('1')
    with pytest.raises(TypeError):
        pickle.dumps(thing)


class Unpicklable:
    def __reduce__(self):
        raise TypeError('not this one')


class OnlyHere:
    pass


def test_what_cannot_be_pickled_fails_that_call_only(client):
    pending = client.eval('40 + 2', nonblocking=True)
    with pytest.raises(TypeError, match='not this one'):
        client.call('len', [Unpicklable()])
    with pytest.raises(pickle.UnpicklingError, match='cannot read the arguments'):
        client.call('repr', OnlyHere(), origexc='quiet')
    with pytest.raises(pickle.PicklingError, match='cannot send the result'):
        client.eval('lambda: 1', origexc='quiet')
    assert pending.wait() == 42
    assert client.eval('1') == 1


def test_exceptions_that_cannot_be_pickled_come_in_words(client):
    client.execblock('''
class Odd(Exception):
    def __init__(self, a, b):
        Exception.__init__(self, 'odd one')
        self.lock = __import__('threading').Lock()
def fail():
    raise Odd(1, 2)
''')  # fmt: skip
    with pytest.raises(Exception, match='odd one'):
        client.fail(origexc='quiet')
    assert client.eval('1') == 1


def test_a_remote_exit_ends_neither_side(client):
    with pytest.raises(easycluster.RemoteException) as raised:
        client.call('sys.exit', 3, origexc='quiet')
    assert isinstance(raised.value.orig, SystemExit)
    assert client.eval('1') == 1


def test_the_program_is_the_same_by_module(tmp_path):
    import easycluster._native

    program = [sys.executable, '-m', 'easycluster']
    done = subprocess.run(program + ['--version'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and easycluster.__version__ in done.stdout
    done = subprocess.run(program + ['-g', str(tmp_path / 'key')], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(easycluster.read_key_file(tmp_path / 'key')) == easycluster._native.KEY_SIZE
