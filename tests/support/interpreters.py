"""The Python interpreters of this machine. tests/support/interpreters.rs finds the same ones."""

from __future__ import annotations

import functools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return "python%d.%d" % self.version


@functools.lru_cache(maxsize=None)
def interpreters() -> tuple[Interpreter, ...]:
    """Every interpreter that this project serves (2.6, 2.7, 3.2 and newer), oldest first, each once.

    Looked for: ``python2.6`` to ``python3.14`` and ``python3`` on PATH, ``versions/*/bin/python`` in pyenv's folder,
    and the paths in EASYCLUSTER_TEST_PYTHONS, with colons between. pyenv's shims are slow wrappers of the same and
    left out. Finding none is a failure.
    """
    found = []
    real_paths = set()
    for path in _candidates():
        real = os.path.realpath(path)
        if real in real_paths or not os.path.isfile(real):
            continue
        real_paths.add(real)
        version = _version(path)
        if version in ((2, 6), (2, 7)) or version >= (3, 2):
            found.append(Interpreter(path, version))
    if not found:
        raise AssertionError("no Python interpreter found; name some in EASYCLUSTER_TEST_PYTHONS")
    return tuple(sorted(found, key=lambda interpreter: interpreter.version))


def _candidates():
    yield from filter(None, os.environ.get("EASYCLUSTER_TEST_PYTHONS", "").split(":"))
    names = ["python2.%d" % minor for minor in (6, 7)] + ["python3.%d" % minor for minor in range(2, 15)] + ["python3"]
    for folder in os.environ.get("PATH", "").split(":"):
        if folder and not folder.rstrip("/").endswith("/shims"):
            yield from (os.path.join(folder, name) for name in names)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for path in sorted((pyenv / "versions").glob("*/bin/python")))


def _version(path: str) -> tuple[int, int]:
    script = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [path, "-S", "-E", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0, 0
