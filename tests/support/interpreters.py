"""The Python interpreters of this machine. tests/support/interpreters.rs finds the same ones."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = re.compile(r"python[0-9.]*")
"""What interpreters are called: ``python3``, ``python2.7``, ``python`` itself, and versions that are not out yet."""

SIDES = {"prepared": 2, "way": 2}
"""What is of this side alone, whatever Python is at the other: the names of its fixtures, and how many each has."""


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple[int, int]
    kind: str = "python"
    """``python``, which is CPython, or ``pypy``."""

    def __str__(self) -> str:
        return "%s%d.%d" % (self.kind, *self.version)


@functools.lru_cache(maxsize=None)
def interpreters() -> tuple[Interpreter, ...]:
    """An interpreter of each version that this project serves (2.6, 2.7, 3.2 and newer), oldest first: the first found of each.

    Looked for: whatever is called as NAME says on PATH and in ``versions/*/bin`` of pyenv's folder, and the paths in
    EASYCLUSTER_TEST_PYTHONS, with colons between. pyenv's shims are slow wrappers of the same and left out. PyPy, of
    which docs/platforms.md says what works, is tested only where it is named. Finding none is a failure.
    """
    found = {}
    real_paths = set()
    for path in _candidates():
        real = os.path.realpath(path)
        if real in real_paths or not os.path.isfile(real):
            continue
        real_paths.add(real)
        kind, version = _kind_and_version(path)
        if version in ((2, 6), (2, 7)) or version >= (3, 2):
            found.setdefault((version, kind), Interpreter(path, version, kind))
    if not found:
        raise AssertionError("no Python interpreter found; name some in EASYCLUSTER_TEST_PYTHONS")
    return tuple(sorted(found.values(), key=lambda interpreter: (interpreter.version, interpreter.kind != "python")))


@functools.lru_cache(maxsize=None)
def few() -> frozenset[Interpreter]:
    """The oldest Python 2, the oldest Python 3 and the newest of them: enough where what is tried is on this side."""
    found = interpreters()
    second = [interpreter for interpreter in found if interpreter.version < (3,)]
    third = [interpreter for interpreter in found if interpreter.version >= (3,)]
    return frozenset(second[:1] + third[:1] + third[-1:])


def is_needed(item: Any) -> bool:
    """Whether a case of a test tries what others of its cases do not. The test says so by the mark `few_interpreters`, and by
    taking, beside the interpreter, what is of this side alone: each interpreter has one of those in turn, and the few have all.
    """
    callspec = getattr(item, "callspec", None)
    interpreter = callspec and callspec.params.get("interpreter")
    if not isinstance(interpreter, Interpreter) or interpreter in few():
        return True
    if item.get_closest_marker("few_interpreters"):
        return False
    turn = interpreters().index(interpreter)
    return all(callspec.indices[name] == turn % SIDES[name] for name in set(SIDES) & set(callspec.params))


def _candidates():
    yield from filter(None, os.environ.get("EASYCLUSTER_TEST_PYTHONS", "").split(":"))
    folders = [folder for folder in os.environ.get("PATH", "").split(":") if folder]
    folders = [Path(folder) for folder in folders if not folder.rstrip("/").endswith("/shims")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in folders + sorted(pyenv.glob("versions/*/bin")):
        if folder.is_dir():
            yield from sorted(str(path) for path in folder.iterdir() if NAME.fullmatch(path.name))


def _kind_and_version(path: str) -> tuple[str, tuple[int, int]]:
    script = (
        "import sys; sys.stdout.write('%s %d %d' % ((hasattr(sys, 'pypy_version_info') and 'pypy' or 'python',)"
        " + sys.version_info[:2]))"
    )
    try:
        done = subprocess.run(
            [path, "-S", "-E", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
        kind, major, minor = done.stdout.decode().split()
        return kind, (int(major), int(minor))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return "", (0, 0)
