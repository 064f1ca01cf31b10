"""Which proxies there are and what is given back, also where two threads come at the same moment."""

from __future__ import annotations

import gc
import threading

import pytest
from easycluster._pickling.references import References


class Native:
    """Takes the place of the extension's connection: notes what is released."""

    def __init__(self):
        self.released = []

    def release(self, receipts):
        self.released.extend(receipts)

    def classes(self):
        return []


class Plain:
    def __init__(self, connection, oid):
        self.connection, self.oid = connection, oid


class Owner:
    peername = 'here'


@pytest.fixture
def references():
    owner = Owner()
    made = References(owner, Native(), None)
    made._classes[1] = Plain
    yield made
    del owner


def test_each_receipt_is_given_back_once(references):
    first = references.load(('r', 7, 1))
    assert references.load(('r', 7, 1)) is first
    del first
    gc.collect()
    references.release_dropped()
    references.release_dropped()
    assert references._native.released == [(7, 2)] and references._refs == {}


def test_an_object_that_comes_again_while_its_proxy_goes_stays_one_proxy(references):
    """The old proxy is gone and noted; before it is released, the object is received again."""
    old = references.load(('r', 7, 1))
    del old
    gc.collect()
    new = references.load(('r', 7, 1))
    references.release_dropped()
    assert references._native.released == [(7, 1)]
    assert references.load(('r', 7, 1)) is new
    del new
    gc.collect()
    references.release_dropped()
    assert references._native.released == [(7, 1), (7, 2)]


def test_two_threads_that_give_back_take_nothing_twice(references):
    """The second looks when the first has seen that there is something, and takes it."""
    dropped = references.dropped

    class Contended:
        """A queue from which another thread takes between any two looks."""

        def __bool__(self):
            return bool(dropped)

        def popleft(self):
            if dropped:
                thread = threading.Thread(target=references.__class__.release_dropped, args=(other,))
                thread.start()
                thread.join(60)
            return dropped.popleft()

    other = References(Owner(), references._native, None)
    other.dropped = dropped
    kept = [references.load(('r', number, 1)) for number in range(10)]
    del kept
    gc.collect()
    references.dropped = Contended()
    references.release_dropped()
    assert sorted(references._native.released) == [(number, 1) for number in range(10)]


def test_a_constructor_of_a_proxy_class_runs_under_no_lock(references):
    """It may wait for another thread that receives something."""
    waited = []

    class Curious(Plain):
        def __init__(self, connection, oid):
            super().__init__(connection, oid)
            thread = threading.Thread(target=lambda: waited.append(references.load(('r', 99, 1))))
            thread.start()
            thread.join(30)

    references._classes[2] = Curious
    proxy = references.load(('r', 5, 2))
    assert len(waited) == 1 and proxy.oid == 5 and waited[0].oid == 99


def test_two_threads_that_make_the_proxy_of_one_object_get_one(references):
    inner = []

    class Racing(Plain):
        """Another thread is faster, each time."""

        def __init__(self, connection, oid):
            super().__init__(connection, oid)
            if not inner:
                inner.append(None)
                thread = threading.Thread(target=lambda: inner.append(references.load(('r', 5, 2))))
                thread.start()
                thread.join(30)

    references._classes[2] = Racing
    proxy = references.load(('r', 5, 2))
    assert inner[1] is proxy and references._refs[5].times == 2
