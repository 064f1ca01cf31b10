"""Runs each test under every interpreter found."""

import pytest
import stub_process
from support.interpreters import interpreters


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        found = interpreters()
        metafunc.parametrize("interpreter", [i.path for i in found], ids=["%s" % i for i in found], scope="module")


@pytest.fixture
def stub(interpreter):
    """A stub for a Python peer."""
    with stub_process.Stub(interpreter) as started:
        started.until(lambda: started.hello or started.ended)
        yield started


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
