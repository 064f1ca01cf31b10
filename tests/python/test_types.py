"""The package's face: type stubs, docstrings, and what it may not depend on."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import easycluster
import easycluster.server


def test_the_stubs_say_what_the_package_has(tmp_path):
    package = Path(easycluster.__file__).parent
    done = subprocess.run(
        [sys.executable, '-m', 'mypy.stubtest', 'easycluster'],
        cwd=tmp_path,
        env=dict(os.environ, MYPYPATH=str(package.parent) if 'site-packages' not in str(package) else ''),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_has_a_docstring():
    missing = []
    for module in (easycluster, easycluster.server):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                if not inspect.getdoc(value):
                    missing.append(name)
                for member, held in vars(value).items():
                    if not member.startswith('_') and (inspect.isfunction(held) or isinstance(held, property)):
                        if not inspect.getdoc(getattr(value, member)):
                            missing.append('%s.%s' % (name, member))
            elif inspect.isfunction(value) and not inspect.getdoc(value):
                missing.append(name)
    assert not missing


def test_it_is_marked_as_typed():
    assert (Path(easycluster.__file__).parent / 'py.typed').exists()
