"""The manual's examples, from its first line to its last, against every interpreter, over SSH or locally."""

from __future__ import annotations

import threading

import easycluster
import pytest
from easycluster import (
    Client,
    ClientGroup,
    RemoteException,
    RemoteProxy,
    ThreadedClient,
    call_method_multi,
    call_multi,
    define_common,
    eval_multi,
    execblock_multi,
)

DEFINITIONS = """
def addvals(a, b):
    return a + b

def subvals(a, b):
    return a - b

class TestObject1(ServerObject):
    def __init__(self, val):
        self.val = val
    def getval(self):
        return self.val
    def newobj(self):
        return TestObject1(self.val + 1)

def get_object_vals(lst):
    return [obj.val for obj in lst]

class TestObject2(TestObject1):
    export_methods = ('getval',)
    export_attrs = ('val',)

class TestObject3Proxy(RemoteProxy):
    proxy_methods = ('getval',)
    proxy_attrs = ('val',)

class TestObject3(TestObject1):
    proxy_class = TestObject3Proxy

import array
make_server_class(array.array)

def fail(value):
    raise ValueError(value)
"""

define_common(DEFINITIONS)


@pytest.fixture
def rmt(share, way, interpreter):
    return share(way, rpython=interpreter.path)


def test_functions_of_a_definitions_block(rmt):
    assert rmt.addvals(3, 4) == 7
    assert rmt.subvals(15, 4) == 11
    assert rmt.subprocess.call(['/bin/echo', 'hello']) == 0


def test_the_block_is_importable_here():
    from easycluster.remote_code import addvals, subvals

    assert addvals(1, 2) == 3
    assert subvals(2, 1) == 1


def test_a_definitions_block_has_its_own_globals(rmt, definitions):
    client = rmt
    with pytest.raises(NameError, match='os_not_imported'):
        client.execblock(
            '''
def hello():
    os_not_imported.system('echo hello')
hello()
''',
            origexc='quiet',
        )


def test_exceptions_come_back_as_themselves(rmt, capsys):
    with pytest.raises(ValueError, match='foo'):
        rmt.fail('foo')
    reported = capsys.readouterr().err
    assert '*** Remote exception from %s:' % rmt.peername in reported
    assert "raise ValueError(value)" in reported and 'in fail' in reported

    with pytest.raises(ValueError, match='foo'):
        rmt.fail('foo', origexc='quiet')
    assert capsys.readouterr().err == ''

    with pytest.raises(RemoteException) as raised:
        rmt.fail('foo', origexc=False)
    assert capsys.readouterr().err == ''
    assert isinstance(raised.value.orig, ValueError)
    assert any('raise ValueError(value)' in line for line in raised.value.text)


def test_report_exception_can_be_overridden(connect, way, interpreter, capsys):
    reported = []

    class Quiet(Client):
        def report_exception(self, exc):
            reported.append(exc)

    client = connect(way, Quiet, rpython=interpreter.path)
    assert type(client) is Quiet
    with pytest.raises(ValueError):
        client.fail('foo')
    assert [type(exc.orig) for exc in reported] == [ValueError]
    assert capsys.readouterr().err == ''


def test_server_objects(rmt):
    obj1 = rmt.TestObject1(100)
    assert repr(obj1) == '<RemoteProxy for oid %d on %s>' % (obj1.proxy_object_id, rmt.peername)
    assert obj1.getval() == 100
    obj2 = obj1.newobj()
    assert obj2.proxy_object_id == obj1.proxy_object_id + 1
    assert obj2.getval() == 101
    assert rmt.get_object_vals([obj1, obj2]) == [100, 101]


def test_exports_and_proxy_classes(rmt):
    obj2 = rmt.TestObject2(200)
    assert obj2.val == 200
    assert obj2.getval() == 200
    with pytest.raises(AttributeError, match='non_existant_method'):
        obj2.non_existant_method()
    assert type(obj2).__name__ == 'dynamic_proxy_getval_val'
    obj3 = rmt.TestObject3(300)
    from easycluster.remote_code import TestObject3Proxy

    assert type(obj3) is TestObject3Proxy and isinstance(obj3, RemoteProxy)
    assert obj3.val == 300


def test_a_library_class_as_server_class(rmt):
    array = rmt.array.array('i', [1, 2, 34])
    assert isinstance(array, RemoteProxy)
    array.append(5)
    assert array.tolist() == [1, 2, 34, 5]


def test_definitions_after_connecting(rmt):
    define_common('def later_%d():\n    return "later"\n' % id(rmt))
    rmt.update_definitions()
    assert rmt.call('later_%d' % id(rmt)) == 'later'


def test_nonblocking_responses(rmt, connect, way, interpreter):
    rmt2 = connect(way, rpython=interpreter.path)
    r1 = rmt.addvals(5, 8, nonblocking=True)
    r2 = rmt2.addvals(14, 18, nonblocking=True)
    assert r1.wait() == 13
    assert r2.wait() == 32
    assert r1.have_response and r1.wait() == 13


def test_many_connections_at_once(rmt, connect, way, interpreter):
    rmt2 = connect(way, rpython=interpreter.path)
    both = [rmt, rmt2]
    assert call_multi(both, 'addvals', 2, 3) == [5, 5]
    assert eval_multi(both, '2 + 2') == [4, 4]
    assert execblock_multi(both, 'exec_return(6 * 7)') == [42, 42]
    assert call_method_multi([client.TestObject1(7) for client in both], 'getval') == [7, 7]


def test_completion_functions_run_when_responses_are_read(rmt):
    seen = []
    rmt.addvals(1, 2, oncomplete=seen.append)
    rmt.addvals(3, 4, oncomplete=(lambda value, *more: seen.append((value, more)), 'a', 'b'))
    assert seen == []
    while len(seen) < 2:
        assert rmt.read_response()
    assert seen == [3, (7, ('a', 'b'))]


def test_onerror(rmt):
    seen = []
    rmt.fail('x', oncomplete=lambda value: seen.append('wrong'), onerror=lambda exc: seen.append(exc))
    rmt.read_response()
    assert type(seen[0]) is RemoteException and isinstance(seen[0].orig, ValueError)
    # Without onerror, oncomplete is called in both cases.
    rmt.fail('y', oncomplete=lambda value: seen.append(value))
    rmt.read_response()
    assert type(seen[1]) is RemoteException and str(seen[1].orig) == 'y'


def test_client_group(rmt, connect, way, interpreter):
    rmt2 = connect(way, rpython=interpreter.path)
    seen = []
    group = ClientGroup((rmt,))
    group.add_client(rmt2)
    for number, client in enumerate((rmt, rmt2)):
        client.addvals(number, 10, oncomplete=(lambda value, number: seen.append((number, value)), number))
    group.read_responses(max=2)
    assert sorted(seen) == [(0, 10), (1, 11)]


def test_server_threads(rmt):
    r1 = rmt.addvals(101, 102, nonblocking=True, threadid=1)
    r2 = rmt.addvals(222, 333, nonblocking=True, threadid=2)
    r3 = rmt.addvals(555, 888, nonblocking=True, threadid=3)
    assert [r1.wait(), r2.wait(), r3.wait()] == [203, 555, 1443]
    idents = 'threading.current_thread().ident'
    rmt.import_module('threading')
    first = rmt.eval(idents, threadid=1)
    assert rmt.eval(idents, threadid=1) == first != rmt.eval(idents, threadid=2)
    assert rmt.eval(idents, threadid=easycluster.SINGLE) != rmt.eval(idents)
    rmt.set_default_thread(1)
    assert rmt.eval(idents) == first
    rmt.stop_remote_thread(1)


def test_threaded_client(connect, way, interpreter):
    tc1 = connect(way, ThreadedClient, rpython=interpreter.path)
    tc2 = connect(way, ThreadedClient, rpython=interpreter.path)
    printed = []

    def client_thread(id, a, b):
        printed.append((id, 1, tc1.addvals(a, b)))
        printed.append((id, 2, tc2.addvals(a, b)))

    threads = [threading.Thread(target=client_thread, args=args) for args in [(1, 200, 500), (2, 300, 600)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(printed) == [(1, 1, 700), (1, 2, 700), (2, 1, 900), (2, 2, 900)]


def test_global_values_and_chains(rmt):
    rmt.execblock('counter = 5')
    assert rmt.counter.value == 5
    rmt.counter.value = 7
    assert rmt.eval('counter') == 7
    assert rmt.os.path.join('a', 'b') == 'a/b'
    assert rmt.call('os.path.basename', '/x/y') == 'y'
    rmt.import_modules(['string', 'json'])
    assert rmt.eval('json.dumps([1])') == '[1]'


def test_generators_files_and_modules_come_as_proxies(rmt, tmp_path):
    rmt.execblock('def gen():\n    yield 1\n    yield 2\n')
    assert list(rmt.gen()) == [1, 2]
    file = rmt.open(str(tmp_path / 'test.txt'), 'w')
    print('foo', 'bar', file=file)
    file.close()
    assert (tmp_path / 'test.txt').read_text() == 'foo bar\n'
    module = rmt.sys.value
    assert isinstance(module, RemoteProxy)
    assert module.platform == rmt.server_info['platform']


def test_singletons(rmt):
    rmt.execblock(
        'class L(list):\n    pass\nthe_list = L()\nmake_singleton(the_list)\ndef get_list():\n    return the_list\n'
    )
    for _ in range(2):
        remote = rmt.call('get_list')
        assert isinstance(remote, RemoteProxy)
        remote.append(3)
        del remote
    assert rmt.eval('len(the_list)') == 2


def test_attributes_of_default_proxies(rmt):
    obj = rmt.TestObject1(1)
    obj.val = 150
    assert obj.getval() == 150
    obj.newval = 1234
    obj.raw_set_attribute('newval2', 9999)
    assert obj.raw_get_attribute('__dict__') == {'val': 150, 'newval': 1234, 'newval2': 9999}
    del obj.newval
    assert 'newval' not in obj.raw_get_attribute('__dict__')
    assert not hasattr(obj, 'nothing_of_this_name')


def test_reconnect(rmt):
    obj = rmt.TestObject1(100)
    assert obj.proxy_connection is rmt
    rmt.reconnect()
    assert obj.proxy_connection is None
    with pytest.raises(IOError):
        obj.getval()
    assert rmt.addvals(1, 1) == 2


def test_options_of_a_program(tmp_path, capsys):
    import argparse
    import optparse

    easycluster.write_key_file(tmp_path / 'secret.key', easycluster.generate_key())
    for parser in (optparse.OptionParser(), argparse.ArgumentParser()):
        easycluster.add_key_options(parser)
        opts = parser.parse_args(['-k', str(tmp_path / 'secret.key')])
        opts = opts[0] if isinstance(opts, tuple) else opts
        key = easycluster.key_from_options(opts)
        assert key == easycluster.read_key_file(tmp_path / 'secret.key')
        params = easycluster.parse_connection_spec('host1:1234', default_key=key)
        assert params == {
            'host': 'host1', 'port': 1234, 'key': key, 'ssh': False, 'user': None, 'enable_compression': False,
        }  # fmt: skip
    assert capsys.readouterr().err == ''


def test_the_module_has_every_name_of_the_manual():
    star = {}
    exec('from easycluster import *', star)
    for name in '''AutoThreadingClient ThreadedClient Client ClientGroup Connection DefaultRemoteProxy RemoteException RemoteProxy
            SelfIterProxy ServerObject add_key_options call_method_multi call_multi decode_key define_common definitions_module
            eval_multi exec_return execblock_multi generate_key key_from_options make_server_class make_singleton read_key_file
            write_key_file parse_connection_spec'''.split():
        assert name in star
    assert easycluster.AutoThreadingClient is ThreadedClient
    assert easycluster.SINGLE == -1 and easycluster.DEFAULT_PORT == 11998 and easycluster.VERSION >= '0.22'
    import easycluster.server as server

    for name in 'spawn_local run_server server_main server_check_runner Server QuietServer'.split():
        assert hasattr(server, name)


def test_options_by_position_as_in_the_original(client):
    client.execblock(
        'class Thing(ServerObject):\n    def __init__(self):\n        self.value = 1\n    def get(self):\n        return self.value\n'
    )
    thing = client.Thing()
    assert thing.raw_call_method('get', (), {}, True).wait() == 1
    assert thing.raw_get_attribute('value', True).wait() == 1
    assert thing.raw_set_attribute('value', 2, True).wait() is None
    seen = []
    client.raw_call('len', ('abc',), {}, False, seen.append, None, 5, 'quiet')
    client.read_response()
    assert seen == [3]
    assert client.eval('1 + 1', True).wait() == 2
    assert client.send_request(0, 'get_global', ('len',), {}, True, None, None, None, False).request_id


def test_two_versions():
    from importlib.metadata import version

    from easycluster.server import spawn_local

    numbers = [int(number) for number in easycluster.VERSION.split('.')]
    assert [0, 22] <= numbers < [0, 23]
    assert easycluster.__version__ == version('easycluster-native')
    with spawn_local() as client:
        assert client.server_version == easycluster.VERSION
