"""What all of the tests in Python share: which parts of them were not tried is said at the end."""

from __future__ import annotations

import faulthandler
import functools
import gc
import itertools
import os
import tempfile

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from support import failures, parts

SECONDS_BETWEEN = 600
"""Far more than a process of the run has nothing to do, while others have."""
SECONDS_TO_END = 120
"""Far more than a process of the run takes from its last test to its end."""


def watch(config, seconds):
    """Ends this process after so long, with every thread's stack, unless the next test or call of this comes first."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=told(config))


@functools.cache
def told(config):
    """Where the stacks go, for as long as this process runs: what pytest has is closed before its end."""
    return os.dup(config.stash[fault_handler_stderr_fd_key])


def pytest_configure(config):
    # Before the other processes of the run are started, which inherit it.
    if parts.RECORD not in os.environ:
        handle, os.environ[parts.RECORD] = tempfile.mkstemp(prefix="tests-record")
        os.close(handle)
        config.add_cleanup(lambda: os.unlink(os.environ.pop(parts.RECORD)))


def settle():
    """Has collections of garbage leave out what is there: thousands of tests, and the libraries that they import."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    # Next to nothing of what is made meanwhile is garbage, and going through it again and again takes a sixth of the time.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish():
    settle()


_count = itertools.count(1)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    try:
        return (yield)
    finally:
        watch(item.config, SECONDS_BETWEEN)
        # Tests import too, and some have hundreds of collections.
        if next(_count) % 20 == 0:
            settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    failures.note(item, report)
    return report


def pytest_sessionfinish(session):
    # No limit of a test holds any more. A process of the run is there until the others have no tests left either.
    watch(session.config, SECONDS_BETWEEN if hasattr(session.config, "workerinput") else SECONDS_TO_END)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(parts.closing_line(os.environ[parts.RECORD]))
