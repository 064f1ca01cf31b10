"""What all of the tests in Python share: which parts of them were not tried is said at the end."""

from __future__ import annotations

import os
import tempfile

from support import parts


def pytest_configure(config):
    # Before the other processes of the run are started, which inherit it.
    if parts.RECORD not in os.environ:
        handle, os.environ[parts.RECORD] = tempfile.mkstemp(prefix="tests-record")
        os.close(handle)
        config.add_cleanup(lambda: os.unlink(os.environ.pop(parts.RECORD)))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(parts.closing_line(os.environ[parts.RECORD]))
