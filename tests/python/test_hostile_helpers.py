"""Hosts that answer the package's own functions as none of them does: their work is lost, and that of others is not."""

from __future__ import annotations

import sys
import threading

import joblib
import pytest
from easycluster import Cluster, Environment, HostLost, Refused, define_common, read_ahead

REMOTE = 'helper_definitions'
SOURCE = '''
import gc, itertools, time
import easycluster
class Endless(easycluster.ServerObject):
    def __iter__(self):
        while True:
            yield True, 1
    def __getitem__(self, place):
        return True, 1
    def __len__(self):
        return 10**9
def answer(module, name, source):
    for each in gc.get_objects():
        if type(each).__name__ == 'module' and each.__name__ == 'easycluster_helpers/' + module:
            setattr(each, name, eval(source, globals()))
            return True
def answer_ahead(source):
    for each in gc.get_objects():
        if type(each).__name__ == 'module' and each.__name__ == 'easycluster_batches':
            for kind in vars(each).values():
                if isinstance(kind, type) and hasattr(kind, 'take'):
                    kind.take = eval(source, globals())
                    return True
def square(n):
    time.sleep(0.002)
    return n * n
def fails(n):
    raise ValueError(n)
def items():
    yield 1
'''

define_common(SOURCE, name=REMOTE)

# What a batch is answered by; `a[2]` are its items.
BATCHES = [
    '5', 'None', '(0.1,)', '(0.1, [])', '(0.1, [(True, 1)] * 100000)', '("x", [(True, 1)] * len(a[2]))', '(0.1, [5] * len(a[2]))',
    '(0.1, [(False, 5)] * len(a[2]))', '(0.1, [(False, 10**11)] * len(a[2]))', '(0.1, itertools.repeat((True, 1)))',
    '(0.1, Endless())', 'Endless()', '(0.1, [Endless()] * len(a[2]))', '(0.1, {1: 2})', '(0.1, [(Endless(), 1)] * len(a[2]))',
    '(0.1, [(True, 1, 2)] * len(a[2]))',
]  # fmt: skip


def local(name):
    return ':local:name=%s:rpython=%s' % (name, sys.executable)


@pytest.fixture
def cluster():
    with Cluster([local('good'), local('bad')], definitions=REMOTE) as cluster:
        cluster.define(SOURCE)
        assert list(cluster.map('square', range(4))) == [0, 1, 4, 9]
        yield cluster


def in_time(function):
    """What it gives, where it comes to its end."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(30)
    assert found, 'it did not come to its end'
    return found[0]


def check(results):
    lost = [each for each in results if isinstance(each, HostLost)]
    assert all(each.hosts == ['bad'] or 'bad' in str(each) for each in lost) and len(lost) < len(results) / 2
    assert [each for n, each in enumerate(results) if each != n * n and each not in lost] == []


@pytest.mark.parametrize('source', BATCHES)
def test_a_map_goes_on_without_a_host_that_answers_in_another_form(cluster, source):
    assert cluster.clients['bad'].answer('map_items', 'batch', 'lambda *a: ' + source)
    results = in_time(lambda: list(cluster.map('square', range(60), return_exceptions=True)))
    assert len(results) == 60
    check(results)


@pytest.mark.parametrize('seconds', ['float("nan")', 'float("inf")', '-1e300', '10**400'])
def test_a_time_that_a_host_tells_is_any_number(cluster, seconds):
    # Of what it says itself, the results are its own affair.
    source = 'lambda *a: (%s, [(True, easycluster) and (True, n[0] * n[0]) for n in a[2]])' % seconds
    assert cluster.clients['bad'].answer('map_items', 'batch', source)
    assert in_time(lambda: list(cluster.map('square', range(60)))) == [n * n for n in range(60)]


@pytest.mark.parametrize('count', ['10**30', '"x"', 'Endless()', '-5'])
@pytest.mark.parametrize('outcome', ['5', 'Endless()', '(False, 10**11)', '(True,)'])
def test_what_is_fetched_one_by_one_is_checked_too(cluster, count, outcome):
    bad = cluster.clients['bad']
    for name, source in (('batch', '1 / 0'), ('count', count), ('outcome', outcome)):
        assert bad.answer('map_items', name, 'lambda *a: ' + source)
    results = in_time(lambda: list(cluster.map('square', range(40), return_exceptions=True)))
    assert len(results) == 40
    assert all(each == n * n or isinstance(each, (HostLost, ZeroDivisionError)) for n, each in enumerate(results))


@pytest.mark.parametrize(
    'source', ['5', '[]', 'Endless()', 'itertools.repeat((True, 1))', '[(False, 10**11)] * len(a[1])']
)
def test_an_executor_goes_on_too(cluster, source):
    assert cluster.clients['bad'].answer('map_items', 'chunk', 'lambda *a: ' + source)
    with cluster.executor(retries=1) as executor:
        results = in_time(lambda: list(executor.map('square', range(60), chunksize=3)))
    assert results == [n * n for n in range(60)]


def test_other_answers_are_checked(cluster):
    bad = cluster.clients['bad']
    bad.command('true')
    list(bad.stream('items'))
    for source in ('5', '(10**11, b"", 0)', '(b"", b"", "0")', 'Endless()', '[bytearray(), bytearray()]'):
        assert bad.answer('commands', 'run', 'lambda *a: ' + source)
        with pytest.raises(Refused, match='bad'):
            in_time_raised(lambda: bad.command('true'))
    environment = Environment(['six'])
    for source in (
        '5',
        '((3, 11), "cpython", "linux-x86_64")',
        '(Endless(), "a", "b", "c")',
        '((3, 10**11, 1), "a", "b", "c")',
    ):
        bad._connected_native().send_helper('workers')
        bad.call('helpers/environments.platform')
        assert bad.answer('environments', 'platform', 'lambda *a: ' + source)
        with pytest.raises(Refused, match='bad'):
            in_time_raised(lambda: environment.versions('bad', bad))


@pytest.mark.parametrize('source', ['5', '(Endless(), True)', '(itertools.repeat(1), False)', '([1], Endless())'])
def test_items_that_are_read_ahead_are_a_list(cluster, source):
    bad = cluster.clients['bad']
    assert list(read_ahead(bad.items(keep=True))) == [1]
    assert bad.answer_ahead('lambda *a: ' + source)
    with pytest.raises(Refused, match='bad'):
        in_time_raised(lambda: list(read_ahead(bad.items(keep=True))))


def test_results_of_joblib_are_a_list():
    with Cluster([local('bad'), local('worse')], definitions=REMOTE) as cluster, cluster.joblib():
        cluster.define(SOURCE)
        assert joblib.Parallel()(joblib.delayed(abs)(n) for n in (-1, 2)) == [1, 2]
        for source in ('5', 'Endless()', 'itertools.repeat(1)'):
            for client in cluster.clients.values():
                assert client.answer('map_items', 'pickled', 'lambda *a: ' + source)
            with pytest.raises(Refused):
                joblib.Parallel()(joblib.delayed(abs)(n) for n in (-1, 2))


def in_time_raised(function):
    """The same where it may raise."""

    def caught():
        try:
            return None, function()
        except Exception as error:
            return error, None

    error, value = in_time(caught)
    if error is not None:
        raise error
    return value
