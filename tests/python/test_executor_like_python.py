"""Python's own tests of executors, run on the executor of a cluster: those that an interpreter here ships."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import unittest
from pathlib import Path

import pytest
from easycluster import Cluster
from support.interpreters import interpreters
from support.parts import need

NAME = 'test.test_concurrent_futures'
# What does not apply, and why.
OTHERS = {
    # They start programs that make an executor of the standard library by its name.
    'test_interpreter_shutdown': 'starts another program',
    'test_submit_after_interpreter_shutdown': 'starts another program',
    'test_hang_gh83386': 'starts another program',
    # Objects of classes are results only where the hosts are trusted, and have the class.
    'test_free_reference': 'gives objects of a class of the tests',
    # It needs a module whose global one function sets and another reads; a module of the tests is not on the hosts.
    'test_initializer': 'uses a global of its module',
}


@functools.lru_cache(maxsize=None)
def shipped():
    """The classes of the tests by their names: of this interpreter, or of another that runs under it; None without any."""
    try:
        package = importlib.import_module(NAME)
    except ImportError:
        package = _of_another()
    if package is None or hasattr(package, 'ExecutorTest'):
        return package and vars(package)
    found = {}
    for name in ('executor', 'test_wait', 'test_as_completed', 'test_shutdown', 'test_init'):
        found.update(vars(importlib.import_module('%s.%s' % (NAME, name))))
    return found


def _of_another():
    # Up to 3.11 it is one file, which needs no more than any later version has.
    for each in reversed(interpreters()):
        folder = 'python%d.%d' % each.version
        file = Path(each.path).resolve().parents[1] / 'lib' / folder / 'test' / 'test_concurrent_futures.py'
        if (3, 9) <= each.version <= sys.version_info[:2] and file.is_file():
            spec = importlib.util.spec_from_file_location('tests_of_executors', file)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            try:
                spec.loader.exec_module(module)
            except ImportError:
                # It needs what the package `test` of this interpreter lacks.
                continue
            return module
    return None


@pytest.fixture(scope='module')
def cluster():
    specs = [':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(5)]
    with Cluster(specs, output=None) as made:
        yield made


def run(cluster, mixin, *names, **settings):
    """Runs the tests of a class, but those that do not apply, or those that are named."""
    found = shipped()
    need('executor-tests', found is not None)

    def executor_type(max_workers=None, **options):
        return cluster.executor(max_workers=max_workers, **options)

    class Tests(found[mixin], found['ExecutorMixin'], unittest.TestCase):
        pass

    Tests.executor_type = staticmethod(executor_type)
    for name, value in settings.items():
        setattr(Tests, name, value)
    all_names = unittest.defaultTestLoader.getTestCaseNames(Tests)
    chosen = names or [name for name in all_names if name not in OTHERS]
    result = unittest.TestResult()
    unittest.TestSuite(map(Tests, chosen)).run(result)
    told = [text for _, text in result.errors + result.failures]
    assert not told, '\n'.join(told)
    assert not result.skipped, result.skipped
    assert result.testsRun == len(chosen)
    return chosen


def test_submit_and_map(cluster):
    assert len(run(cluster, 'ExecutorTest')) >= 7


def test_wait(cluster):
    assert len(run(cluster, 'WaitTests')) >= 8


def test_as_completed(cluster):
    assert len(run(cluster, 'AsCompletedTests')) >= 5


def test_shutdown(cluster):
    assert len(run(cluster, 'ExecutorShutdownTest')) >= 4


def test_a_failing_initializer(cluster):
    found = shipped()
    need('executor-tests', found is not None)

    class Failing(found['FailingInitializerMixin'], unittest.TestCase):
        executor_type = staticmethod(lambda max_workers=None, **options: cluster.executor(max_workers, **options))

    result = unittest.TestResult()
    Failing('test_initializer').run(result)
    assert result.wasSuccessful() and result.testsRun == 1, result.errors + result.failures


def test_what_does_not_apply_is_still_there():
    """A name that Python's tests no longer have has no place in the list."""
    found = shipped()
    need('executor-tests', found is not None)
    classes = [found[name] for name in ('ExecutorTest', 'ExecutorShutdownTest', 'InitializerMixin')]
    for name in OTHERS:
        assert any(hasattr(each, name) for each in classes), name
