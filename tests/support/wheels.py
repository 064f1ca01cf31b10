"""The packages that machines without Dask get: fetched once for all tests, so that none of them asks the network while it runs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

FRAMES = ('dask', 'distributed', 'pandas', 'pyarrow', 'numpy')


def requirements(names: tuple[str, ...]) -> list[str]:
    """The versions that this program has."""
    return ['%s==%s' % (name, importlib.metadata.version(name)) for name in names]


def fetched(folder: Path, wanted: list[str]) -> dict[str, str]:
    """Variables for a program by which pip takes these packages from a folder, and nothing from elsewhere."""
    command = [sys.executable, '-m', 'pip', 'download', '-q', '--only-binary', ':all:', '-d', str(folder), *wanted]
    subprocess.run(command, check=True, timeout=240)
    return {'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(folder)}


def bare_python() -> str:
    """An interpreter of this version that has no Dask: the one that the virtual environment was made of."""
    return os.path.realpath(sys.executable)
