"""The tests with Dask run by themselves: it registers ways of its own to pickle exceptions, for the whole process."""

from __future__ import annotations

import pytest
from support.sshd import Sshd
from support.wheels import FRAMES, fetched, requirements


@pytest.fixture(scope="session")
def sshd():
    """One server for all tests; each connection is a session of its own."""
    with Sshd(max_sessions=100) as server:
        yield server
        server.wait_until_idle()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Variables by which pip finds all that data frames on Dask need, without the network."""
    return fetched(tmp_path_factory.mktemp("wheels"), requirements(FRAMES))
