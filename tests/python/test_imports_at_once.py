"""A package that this program imports while an answer names what is in a module of it."""

from __future__ import annotations

import sys
import threading

import pytest
from easycluster._pickling.policy import Policy
from easycluster._pickling.unpickler import unpickle_trusted
from support.processes import poll

PACKAGE = """
from program_that_imports import begun, go_on
begun.set()
assert go_on.wait(60)
value = 'given'
from . import inner
"""
INNER = """
from . import value
def function():
    return value
"""


def by_a_list(name):
    return Policy([name]).find(name + '.inner', 'function')


def by_trust(name):
    return unpickle_trusted(b'c%s.inner\nfunction\n.' % name.encode())


def is_waiting(thread):
    """Whether a thread waits for an import."""
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name == 'acquire' and 'importlib' in frame.f_code.co_filename


@pytest.mark.parametrize('way', [by_a_list, by_trust])
def test_a_package_that_another_thread_imports_is_waited_for(way, tmp_path, monkeypatch):
    """Python itself would give one of the two half of the package."""
    program = type(sys)('program_that_imports')
    program.begun, program.go_on = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, program.__name__, program)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = 'package_found_' + way.__name__
    (tmp_path / name).mkdir()
    (tmp_path / name / '__init__.py').write_text(PACKAGE)
    (tmp_path / name / 'inner.py').write_text(INNER)
    imported, found = [], []
    importing = threading.Thread(target=lambda: imported.append(__import__(name).inner.function()))
    decoding = threading.Thread(target=lambda: found.append(way(name)))
    importing.start()
    try:
        assert program.begun.wait(60)
        decoding.start()
        assert poll(lambda: is_waiting(decoding))
    finally:
        program.go_on.set()
        importing.join(60)
        decoding.join(60)
    assert imported == ['given'] and len(found) == 1
