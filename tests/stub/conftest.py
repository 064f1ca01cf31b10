"""Runs each test under every interpreter found, one interpreter after the other."""

import pytest
import stub_process
from shared_stub import Shared
from support.failures import has_failed
from support.interpreters import interpreters


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        found = interpreters()
        metafunc.parametrize("interpreter", [i.path for i in found], ids=["%s" % i for i in found], scope="session")


@pytest.fixture(scope="session")
def shared():
    """What keeps the stub that tests share."""
    keeper = Shared()
    yield keeper
    keeper.end()


@pytest.fixture
def stub(interpreter, shared, request):
    """A stub for a Python peer, which tests share: one that is changed or ended has another take its place."""
    yield shared.take(interpreter)
    shared.give_back(has_failed(request.node))


@pytest.fixture
def fresh_stub(start):
    """One of the test's own, where it ends or where it matters what came before."""
    return start()


@pytest.fixture
def start(interpreter):
    """Starts stubs with options."""
    started = []

    def begin(**options):
        made = stub_process.Stub(interpreter, **options)
        started.append(made)
        made.until(lambda: made.hello or made.ended)
        return made

    yield begin
    for made in started:
        made.__exit__()
