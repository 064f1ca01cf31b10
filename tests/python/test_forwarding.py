"""Modules of this program that remote code imports from here: what it gets, under every interpreter, and what it does not get."""

from __future__ import annotations

import importlib
import sys
import textwrap

import easycluster
import pytest
from easycluster import AsyncClient, Client
from easycluster._shipping import forwarding
from easycluster._shipping.forwarding import Forwarding
from easycluster.server import spawn_local

FILES = {
    '__init__.py': '''
        # -*- coding: latin-1 -*-
        """A package."""
        from ecfwd.base import BASE
        from . import inner
        LETTER = 'x'
    ''',
    'base.py': '''
        BASE = 20
        def fails(value):
            raise ValueError('wrong: %s' % value)  # told with its line
        class Point(object):
            def __init__(self, x):
                self.x = x
            def __eq__(self, other):
                return self.x == other.x
    ''',
    'inner/__init__.py': 'from .deep import depth\n',
    'inner/deep.py': '''
        from __future__ import absolute_import
        import json
        from .. import base
        def depth():
            return json.dumps([base.BASE])
    ''',
    'broken.py': 'import sys\nraise RuntimeError("half way")\n',
    'pieces/one.py': 'ONE = 1\n',
    'top.txt': 'at the top\n',
    'data/words.txt': 'some words\n',
    'data/more/bytes.bin': 'more\n',
    '.secret': 'not for others\n',
}
NAME = 'ecfwd'
PACKAGE_DATA = '''
import pkgutil
import ecfwd
def data(name):
    return pkgutil.get_data('ecfwd', name)
def names():
    return [each[1:] for each in pkgutil.iter_modules(ecfwd.__path__, 'ecfwd.')]
'''


@pytest.fixture(scope='module')
def package(tmp_path_factory):
    """A package of this program: its folder, which only this process finds."""
    home = tmp_path_factory.mktemp('forwarded')
    for name, content in FILES.items():
        path = home / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content).lstrip())
    (home / NAME / 'fast.abi3.so').write_bytes(b'\x7fELF')
    (home / 'outside.py').write_text('SECRET = 1\n')
    (home / NAME / 'link.py').symlink_to(home / 'outside.py')
    sys.path.insert(0, str(home))
    importlib.invalidate_caches()
    yield home / NAME
    sys.path.remove(str(home))
    for name in [name for name in sys.modules if name.split('.')[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def remote(connect, interpreter, package):
    """A client of each interpreter, which may import the package from here."""
    return connect(rpython=interpreter.path, forward=[NAME])


class Counting(Forwarding):
    """Counts what it is asked."""

    def __init__(self, names):
        super().__init__(names)
        self.asked = []

    def serve(self, what, name, path=None):
        self.asked.append((what, name))
        return super().serve(what, name, path)


def test_a_package_is_imported_with_one_question(connect, interpreter, package):
    counting = Counting([NAME])
    client = connect(rpython=interpreter.path, forward=counting)
    assert client.call('ecfwd.inner.deep.depth') == '[20]'
    assert client.eval("__import__('ecfwd').LETTER") == 'x'
    assert counting.asked == [('index', NAME)]
    with pytest.raises(ImportError):
        client.execblock('import ecfwd.nowhere', origexc='quiet')
    with pytest.raises(ImportError):
        client.execblock('import ecfwd_other', origexc='quiet')
    assert counting.asked == [('index', NAME)]


def test_what_the_other_side_imports_is_not_imported_here(remote):
    assert remote.eval("__import__('ecfwd.pieces.one').pieces.one.ONE") == 1
    assert NAME not in sys.modules or 'ecfwd.pieces.one' not in sys.modules


def test_tracebacks_show_the_source(remote, package):
    with pytest.raises(easycluster.RemoteException) as raised:
        remote.call('ecfwd.base.fails', 3, origexc=False)
    text = ''.join(raised.value.text)
    assert '# told with its line' in text and str(package / 'base.py') in text, text
    assert "raise ValueError('wrong" in remote.eval(
        "__import__('inspect').getsource(__import__('ecfwd.base').base.fails)"
    )


def test_nothing_is_left_of_a_module_that_fails(remote):
    for _ in range(2):
        with pytest.raises(RuntimeError, match='half way'):
            remote.execblock('import ecfwd.broken', origexc='quiet')
        assert remote.eval("'ecfwd.broken' in __import__('sys').modules") is False


def test_instances_of_its_classes_arrive_there(remote, package):
    base = importlib.import_module('ecfwd.base')
    remote.execblock('def x_of(point):\n    return point.x')
    assert remote.x_of(base.Point(5)) == 5


def test_files_of_a_package(remote, interpreter):
    remote.execblock(PACKAGE_DATA)
    # Of 2.x it is `str`.
    assert remote.data('data/words.txt') == ('some words\n' if interpreter.version < (3,) else b'some words\n')
    for name in ('.secret', '../outside.py', 'data/../.secret', '/etc/passwd', 'nothing', 'base.py', 'fast.abi3.so'):
        with pytest.raises(EnvironmentError):
            remote.data(name, origexc='quiet')
    found = dict(remote.names())
    assert found['ecfwd.base'] is False and found['ecfwd.inner'] is True and found['ecfwd.pieces'] is True
    assert 'ecfwd.link' not in found


def test_resources_of_a_package(remote, interpreter):
    if interpreter.version >= (3, 10):
        remote.execblock('from importlib.resources import files')
        assert remote.eval("(files('ecfwd') / 'data' / 'words.txt').read_text()") == 'some words\n'
        assert remote.eval("[each.name for each in files('ecfwd').joinpath('data').iterdir()]") == ['more', 'words.txt']
    if interpreter.version >= (3, 7):
        remote.execblock('from importlib import resources')
        assert bytes(remote.eval("resources.open_binary('ecfwd', 'top.txt').read()")) == b'at the top\n'


def test_what_is_compiled_says_so(remote):
    with pytest.raises(ImportError, match='is compiled'):
        remote.execblock('import ecfwd.fast', origexc='quiet')


def test_a_function_of_it_goes_by_its_name(connect, interpreter, package):
    client = connect(rpython=interpreter.path, forward=[NAME])
    deep = importlib.import_module('ecfwd.inner.deep')
    assert client.run(deep.depth) == '[20]'
    base = importlib.import_module('ecfwd.base')
    client.execblock('import ecfwd.base')
    # By source it would be one of its own.
    client.execblock('ecfwd.base.BASE = 30')
    assert client.run(deep.depth) == '[30]'
    with pytest.raises(ValueError, match='wrong: 4'):
        client.run(base.fails, 4, origexc='quiet')


def test_definitions_may_import_it(package, definitions, interpreter):
    easycluster.define_common(
        'from ecfwd.base import BASE\ndef base():\n    return BASE\n', name=definitions, local=False
    )
    with spawn_local(Client, rpython=interpreter.path, definitions=definitions, forward=[NAME]) as client:
        assert client.base() == 20


def test_what_the_host_has_wins_unless_it_is_told(package, tmp_path):
    (tmp_path / 'ecfwd.py').write_text('LETTER = "of the host"\n')
    put = "__import__('sys').path.insert(0, %r)" % str(tmp_path)
    for names, letter in (([NAME], 'of the host'), ([NAME + '!'], 'x')):
        with spawn_local(Client, forward=names) as client:
            client.eval(put)
            assert client.eval("__import__('ecfwd').LETTER") == letter


def test_a_spec_says_it_too(sshd, package, interpreter):
    with Client.from_spec(sshd.spec('rpython=%s:forward=ecfwd' % interpreter.path)) as client:
        assert client.call('ecfwd.inner.deep.depth') == '[20]'


def test_a_part_of_a_package(package):
    with spawn_local(Client, forward=['ecfwd.inner.deep', 'ecfwd.base']) as client:
        with pytest.raises(ImportError):
            client.execblock('import ecfwd.pieces.one', origexc='quiet')


def test_awaited_clients_and_clusters(package):
    import asyncio

    async def awaited():
        async with AsyncClient.open(':local', forward=[NAME]) as client:
            return await client.call('ecfwd.inner.deep.depth')

    assert asyncio.run(awaited()) == '[20]'
    deep = importlib.import_module('ecfwd.inner.deep')
    with easycluster.Cluster([':local', ':local:name=b'], forward=[NAME]) as cluster:
        assert list(cluster.call('ecfwd.inner.deep.depth').values()) == ['[20]'] * 2
        assert list(cluster.call(deep.depth).values()) == ['[20]'] * 2
        cluster.execblock('import ecfwd.base\necfwd.base.BASE = 30')
        assert list(cluster.call(deep.depth).values()) == ['[30]'] * 2


@pytest.mark.parametrize(
    'name', ['os', '__main__', 'easycluster', '../ecfwd', 'ecfwd.', '', 'class', 'ecfwd_nowhere', 'json.decoder']
)
def test_names_that_cannot_be_forwarded(name, package):
    with pytest.raises(ValueError, match='forward'):
        Forwarding([name])


def test_a_text_is_no_list():
    with pytest.raises(TypeError):
        Forwarding('ecfwd')


def test_a_hostile_server_gets_nothing(package):
    forwarding = Forwarding([NAME])
    served = forwarding.serve
    names = [
        'os',
        'sys',
        '__main__',
        '../x',
        'outside',
        'ecfwd/../outside',
        'ecfwd..base',
        '',
        '.',
        'ecfwd.link',
        'ecfwd.fast',
    ]
    for name in names + ['ecfwd.' + name for name in names]:
        assert served('index', name) == ({}, {})
        assert served('source', name) is None
        assert served('data', name, '../outside.py') is None
        assert served('files', name) in ([], None)
    for path in ('../outside.py', '/etc/passwd', '.secret', 'data/../../outside.py', '', None, 'link.py', 'base.py'):
        assert served('data', NAME, path) is None
    for wrong in (None, 3, ['ecfwd'], {}):
        with pytest.raises(TypeError):
            served('source', wrong)
    modules, sources = served('index', NAME)
    assert 'ecfwd.link' not in modules and 'ecfwd.fast' not in sources
    assert not [name for name in modules if not name.startswith(NAME)]
    assert NAME + '.broken' in sources


def test_any_number_of_names_costs_bounded_memory(package):
    import tracemalloc

    forwarding = Forwarding([NAME])
    forwarding.serve('index', NAME)
    tracemalloc.start()
    try:
        # Kept, each would take far more than the ten bytes that there are for it.
        for number in range(100_000):
            assert forwarding.serve('source', 'ecfwd.m%d' % number) is None
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 1 << 20, grown


def test_both_ends_number_the_kinds_of_modules_alike():
    source = easycluster._native.stub_source('helpers/forward.py')
    there = next(line for line in source.splitlines() if line.startswith('MODULE, '))
    numbers = {}
    exec(there, numbers)
    for name in ('MODULE', 'PACKAGE', 'NAMESPACE', 'COMPILED'):
        assert getattr(forwarding, '_' + name) == numbers[name]
