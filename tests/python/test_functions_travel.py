"""How functions get to machines with each version of Python: by name, by source, by value, or by none, and no process dies of it."""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass

import easycluster
import pytest
from easycluster import Cluster
from support.interpreters import interpreters

TABLE = {'a': 1, 'b': 2}


def plain(n):
    return n + TABLE['a']


def raising(n):
    raise ValueError('number %d' % n)


def assigns(n):
    if (m := n + 1) > 1:
        return m
    return n


def formats(n):
    return f'{n}'


class Counter:
    """Has a method that is a function of its own state."""

    def __init__(self, start):
        self.start = start

    def added(self, n):
        return self.start + n


@dataclass
class Point:
    x: int


def of_point(n):
    return Point(n).x


def closure(add):
    def inner(n):
        return n + add

    return inner


BY_NAME = {
    'a name': ('os.path.basename', '/a/b', 'b'),
    'a function of the library': (os.path.basename, '/a/b', 'b'),
    'a built-in function': (abs, -3, 3),
    'a definition': ('defined', 3, 6),
}
BY_SOURCE = {'a function': (plain, 3, 4)}
BY_VALUE = {
    'a lambda': (lambda n: n * 3, 3, 9),
    'a closure': (closure(5), 3, 8),
    'a partial': (functools.partial(pow, 2), 3, 8),
    'a bound method': (Counter(4).added, 3, 7),
    'a class of the program': (of_point, 3, 3),
}


@pytest.fixture(scope='module', params=interpreters(), ids=str)
def one(request):
    """A host with each Python, and that Python."""
    with Cluster([':local:rpython=%s:name=host' % request.param.path], output=None) as cluster:
        cluster.define('def defined(n):\n    return n * 2\n')
        pid = cluster.call('os.getpid')
        yield cluster, request.param
        # Whatever was sent, the process has lived.
        assert cluster.call('os.getpid') == pid


def outcome(cluster, function, argument, **options):
    (value,) = cluster.map(function, [argument], return_exceptions=True, **options)
    return value


@pytest.mark.parametrize('kind', BY_NAME)
def test_by_name_everywhere(one, kind):
    function, argument, expected = BY_NAME[kind]
    assert outcome(one[0], function, argument) == expected
    with one[0].executor() as executor:
        assert executor.submit(function, argument).result(60) == expected


@pytest.mark.parametrize('kind', BY_SOURCE)
def test_by_source_everywhere(one, kind):
    function, argument, expected = BY_SOURCE[kind]
    for by in ('auto', 'source'):
        assert outcome(one[0], function, argument, by=by) == expected
    failed = outcome(one[0], raising, 5)
    assert isinstance(failed, ValueError) and 'in raising' in str(failed.__cause__)


@pytest.mark.parametrize('kind', BY_VALUE)
def test_by_value_to_the_same_python_only(one, kind):
    cluster, interpreter = one
    function, argument, expected = BY_VALUE[kind]
    if interpreter.version == sys.version_info[:2] and interpreter.kind == 'python':
        assert outcome(cluster, function, argument) == expected
        assert outcome(cluster, function, argument, by='value') == expected
        return
    with pytest.raises(TypeError, match='by value: this is .* and host has .*; code by value needs the same'):
        cluster.map(function, [argument], by='value')
    with pytest.raises(TypeError, match='cannot be sent to host: .*by value: '):
        cluster.map(function, [argument])
    with cluster.executor() as executor:
        assert isinstance(executor.submit(function, argument).exception(60), TypeError)


def test_syntax_that_a_python_lacks_is_named_or_an_error_there(one):
    cluster, interpreter = one
    for function, since in ((assigns, (3, 8)), (formats, (3, 6))):
        if interpreter.version >= since:
            assert str(outcome(cluster, function, 3, by='source')) in ('3', '4')
        elif interpreter.version >= (3, 0):
            line = function.__code__.co_firstlineno + 1
            with pytest.raises(TypeError, match=r'line %d: .*and host has %d\.%d' % (line, *interpreter.version)):
                cluster.map(function, [3], by='source')
        else:
            assert isinstance(outcome(cluster, function, 3, by='source'), SyntaxError)


def test_a_function_without_a_source_or_name_says_so(one):
    cluster, _ = one
    made = eval('lambda n: n')
    with pytest.raises(TypeError, match='cannot be sent to host: by source: '):
        cluster.map(made, [1], by='source')
    with pytest.raises(TypeError, match='by name: it has no name'):
        cluster.map(made, [1], by='name')


def test_an_own_module_is_needed_by_nobody(one):
    """What a client runs goes by source, whatever its module is."""
    cluster, _ = one
    assert cluster.clients['host'].run(plain, 3) == 4
    assert isinstance(cluster, easycluster.Cluster)
