"""The tests with Dask run by themselves: it registers ways of its own to pickle exceptions, for the whole process."""

from __future__ import annotations

import pytest
from support.sshd import Sshd


@pytest.fixture(scope="session")
def sshd():
    """One server for all tests; each connection is a session of its own."""
    with Sshd(max_sessions=100) as server:
        yield server
        server.wait_until_idle()
