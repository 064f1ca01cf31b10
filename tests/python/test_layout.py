"""The layout of the package: imports go one way, and every name of a client is declared in the class that it belongs to."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import easycluster
import pytest
from easycluster import AsyncClient, Client, ClientGroup, Connection, ThreadedClient
from easycluster._caller import SpecOptions

PACKAGE = Path(easycluster.__file__).parent

# From the bottom to the top. A module imports from those before it, and no others (ARCHITECTURE.md, "The Python package").
ORDER = [
    '_native',
    '_kinds',
    '_process',
    '_shared',
    '_errors',
    '_checked',
    '_options',
    '_spec',
    '_hosts',
    '_steps',
    '_output',
    '_responses',
    '_habits',
    '_pickling.settled',
    '_pickling.tables',
    '_pickling.standard',
    '_pickling.trust',
    '_pickling.keys',
    '_pickling.made',
    '_pickling.contents',
    '_pickling.attributes',
    '_pickling.classes',
    '_pickling.exceptions',
    '_pickling.members',
    '_pickling.iterators',
    '_pickling.makers',
    '_pickling.named_tuples',
    '_pickling.arrays',
    '_pickling.policy',
    '_pickling.refusals',
    '_pickling.unpickler',
    '_pickling.references',
    '_pickling.sent_exceptions',
    '_pickling.encode',
    '_shipping.annotations',
    '_shipping.globals',
    '_shipping.source',
    '_shipping.definitions',
    '_shipping.forwarding',
    '_shipping.functions',
    '_answers',
    '_waiting',
    '_channels',
    '_callbacks',
    '_streams',
    '_reports',
    '_timeouts',
    '_commands',
    '_files',
    '_global_proxy',
    '_connection',
    '_receiver',
    '_asker',
    '_caller',
    '_client',
    '_threaded',
    '_async',
    '_read_ahead',
    '_group',
    '_multi',
    '_environments',
    '_cluster.report',
    '_cluster.slots',
    '_cluster.ahead',
    '_cluster.outcomes',
    '_cluster.mapping',
    '_cluster.pump',
    '_cluster.future',
    '_cluster.tasks',
    '_cluster.executor',
    '_cluster.members',
    '_cluster.calls',
    '_cluster.connecting',
    '_cluster.cluster',
    '_cluster.async_cluster',
    '__init__',
    'server',
    'joblib',
    'dask.comm',
    'dask.backend',
    'dask.worker_main',
    'dask.versions',
    'dask.direct',
    'dask.keys',
    'dask.worker',
    'dask.cluster',
    'dask.__init__',
    '__main__',
]


@functools.cache
def modules():
    """Names and trees."""
    named = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path for path in sorted(PACKAGE.rglob('*.py'))}
    return [
        (name, ast.parse(path.read_text('utf-8')))
        for name, path in named.items()
        if name not in ('_pickling.__init__', '_shipping.__init__', '_cluster.__init__')
    ]


def is_for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING'


def imports(tree):
    """The import statements that run, and whether they stand in a function."""
    waiting = [(tree, False)]
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, inside
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        children = node.orelse if is_for_types(node) else ast.iter_child_nodes(node)
        waiting.extend((child, inside) for child in children)


def targets(name, node):
    """The modules of the package that a statement imports from."""
    if isinstance(node, ast.Import):
        return [alias.name.partition('.')[2] for alias in node.names if alias.name.startswith('easycluster.')]
    if node.level:
        folder = name.split('.')[: -node.level]
        base = folder + (node.module.split('.') if node.module else [])
    elif node.module and node.module.split('.')[0] == 'easycluster':
        base = node.module.split('.')[1:]
    else:
        return []
    found = []
    for alias in node.names:
        inner = '.'.join(base + [alias.name])
        found.append(inner if inner in ORDER else '.'.join(base))
    return found


def test_every_module_has_its_place():
    assert sorted(name for name, _ in modules()) == sorted(set(ORDER) - {'_native'})


def test_the_architecture_names_every_module():
    page = (Path(__file__).resolve().parents[2] / 'ARCHITECTURE.md').read_text('utf-8')
    files = (name.rpartition('.')[2] for name in ORDER)
    assert not [name for name in files if name != '__init__' and not re.search(r'`(\w+/)*%s(\.py)?`' % name, page)]


def test_imports_go_one_way():
    wrong = []
    for name, tree in modules():
        for node, _ in imports(tree):
            for target in targets(name, node):
                if ORDER.index(target or '__init__') >= ORDER.index(name):
                    wrong.append('%s:%d imports %s' % (name, node.lineno, target))
    assert not wrong


def test_no_import_hides_in_a_function():
    wrong = ['%s:%d' % (name, node.lineno) for name, tree in modules() for node, inside in imports(tree) if inside]
    assert not wrong


def test_what_is_found_here_would_be_found():
    """The two tests above could not fail if nothing were found."""
    tree = ast.parse('from . import _client\nfrom .._caller import Caller\ndef f():\n    import easycluster._async\n')
    found = {(target, inside) for node, inside in imports(tree) for target in targets('_pickling.encode', node)}
    assert ('_caller', False) in found and ('_async', True) in found


def classes():
    for name, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                yield name, node


def test_every_attribute_of_a_client_is_declared():
    """What is set on `self` in a client has its type in the body of that class or one that it is derived from."""
    kinds = {kind.__name__: kind for kind in ThreadedClient.__mro__ + AsyncClient.__mro__ if kind is not object}
    wrong = []
    for name, node in classes():
        if node.name not in kinds:
            continue
        declared = set()
        for kind in kinds[node.name].__mro__:
            declared |= set(vars(kind).get('__annotations__', ()))
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                if isinstance(part.value, ast.Name) and part.value.id == 'self' and part.attr not in declared:
                    wrong.append('%s:%d sets %s' % (name, part.lineno, part.attr))
    assert not wrong and len(kinds) == 7


@pytest.mark.parametrize('kind', [Client, ThreadedClient, AsyncClient])
def test_no_declared_name_is_a_global_of_the_server(kind):
    empty = kind.__new__(kind)
    names = set()
    for base in kind.__mro__[:-1]:
        names |= set(vars(base).get('__annotations__', ()))
    assert '_references' in names
    for name in names - set(dir(kind)):
        with pytest.raises(AttributeError):
            getattr(empty, name)


def test_who_is_derived_from_whom():
    """Programs for EasyCluster ask isinstance(client, Connection) and issubclass(ThreadedClient, Client)."""
    assert issubclass(ThreadedClient, Client) and issubclass(Client, Connection)
    assert issubclass(AsyncClient, Connection) and not issubclass(AsyncClient, Client)
    # One line of classes, so each method has one place to look in.
    for kind in (ThreadedClient, AsyncClient):
        assert all(len(base.__bases__) == 1 for base in kind.__mro__[:-1])
    assert not issubclass(ClientGroup, Connection)


def test_an_option_of_a_spec_stands_in_one_place():
    """docs/how-to-add.md promises it. Names that are words of other things too are left out."""
    found = [
        (path.name, (getattr(node, 'id', None), getattr(node, 'arg', None), getattr(node, 'value', None)))
        for path in sorted(PACKAGE.rglob('*.py'))
        for node in ast.walk(ast.parse(path.read_text('utf-8')))
    ]
    for option in set(SpecOptions.__annotations__) - {'timeout', 'name', 'config', 'batch', 'ahead'}:
        assert [name for name, words in found if option in words] == ['_caller.py'], option
