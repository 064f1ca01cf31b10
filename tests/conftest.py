"""What all of the tests in Python share: which parts of them were not tried is said at the end."""

from __future__ import annotations

import faulthandler
import os
import tempfile

from _pytest.faulthandler import fault_handler_stderr_fd_key
from support import parts

SECONDS_TO_END = 120
"""Far more than a process of the run takes from its last test to its end."""


def pytest_configure(config):
    # Before the other processes of the run are started, which inherit it.
    if parts.RECORD not in os.environ:
        handle, os.environ[parts.RECORD] = tempfile.mkstemp(prefix="tests-record")
        os.close(handle)
        config.add_cleanup(lambda: os.unlink(os.environ.pop(parts.RECORD)))


def pytest_sessionfinish(session):
    # No limit of a test holds any more: what stands still now ends its process, with every thread's stack.
    told = os.dup(session.config.stash[fault_handler_stderr_fd_key])
    faulthandler.dump_traceback_later(SECONDS_TO_END, exit=True, file=told)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(parts.closing_line(os.environ[parts.RECORD]))
