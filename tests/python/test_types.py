"""The package from outside: type stubs, docstrings, and what it may not depend on."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import easycluster
import easycluster.server


def run(tmp_path, *command):
    package = Path(easycluster.__file__).parent
    return subprocess.run(
        [sys.executable, '-m', *command],
        cwd=tmp_path,
        env=dict(os.environ, MYPYPATH=str(package.parent) if 'site-packages' not in str(package) else ''),
        capture_output=True,
        text=True,
        timeout=600,
    )


# What has no source in the package has its types apart: the extension, and the files that both ends run.
def test_stub_files_say_what_their_modules_have(tmp_path):
    """In one process: it reads the types of Python's library once, and what it says names the module."""
    modules = ['easycluster.' + name for name in ('_native', '_stub_names', '_stub_objects')]
    done = run(tmp_path, 'mypy.stubtest', *modules)
    assert done.returncode == 0 and '3 modules' in done.stdout, done.stdout + done.stderr


PROGRAM = '''
from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from typing_extensions import assert_type

import easycluster
from easycluster import AsyncClient, Client, NonblockingResponse, ServerObject, ThreadedClient, call_multi
from easycluster.server import spawn_local


class Thing(ServerObject):
    export_methods = ('get',)


def blocking(spec: str) -> None:
    assert_type(Client.from_spec(spec), Client)
    assert_type(ThreadedClient.from_spec(spec, keep_alive_interval=1), ThreadedClient)
    assert_type(spawn_local(), Client)
    assert_type(spawn_local(ThreadedClient), ThreadedClient)
    with spawn_local() as client:
        response: NonblockingResponse = client.eval('1', nonblocking=True)
        response.wait(timeout=1.0)
        client.os.path.join('a', 'b')
        call_multi([client], 'len', 'abc')
    client.eval('1', tiemout=5)  # E: no such option


async def awaited(spec: str) -> None:
    async with AsyncClient.open(spec) as client:
        assert_type(client, AsyncClient)
        assert_type(client.eval('1', timeout=5), Awaitable[Any])
        value: int = await client.call('len', 'abc')
        client.eval('1', tiemout=5)  # E: no such option
    other: Client = client  # E: not one


easycluster.connect_multi(['a@b'], return_exceptions=True)
'''


def test_a_program_is_checked_against_the_types_of_the_package(tmp_path):
    """The lines that are marked are the ones that mypy objects to."""
    (tmp_path / 'program.py').write_text(PROGRAM)
    done = run(tmp_path, 'mypy', '--strict', '--no-error-summary', 'program.py')
    found = {
        int(line.split(':')[1])
        for line in done.stdout.splitlines()
        if line.startswith('program.py') and 'error:' in line
    }
    marked = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if '# E:' in line}
    assert found == marked, done.stdout + done.stderr


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
