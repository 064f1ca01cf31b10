"""Environment: Python packages built here for the hosts' Pythons, and sent there for worker processes."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ._client import Client

_HELPERS = 'helpers/environments.'
# Version, implementation, platform and C library, as the other side tells them.
Platform = tuple[tuple[int, int], str, str, str]
_KINDS = re.compile(r'linux-(x86_64|aarch64|i686|armv7l|ppc64le|s390x|riscv64)')


class Environment:
    """Packages that hosts lack: built on this machine for each version of Python and platform that is found there, wheels only, and
    unpacked there into a folder of its own that only worker processes see. The hosts need no pip, no compiler and no network.

        cluster.dask(environment=Environment(['dask==2026.8.0', 'distributed==2026.8.0']))
    """

    def __init__(self, requirements: Iterable[str], keep: bool = False) -> None:
        """requirements: as for pip. keep: whether the folders stay on the hosts, in the user's cache, for the next time; else they are
        removed at the end."""
        if isinstance(requirements, str):
            raise TypeError('requirements are a list of texts such as %r' % [requirements])
        self.requirements = tuple(requirements)
        self.keep = keep
        self._lock = threading.Lock()
        self._packed: dict[Platform, bytes] = {}

    def __repr__(self) -> str:
        return 'Environment(%r%s)' % (list(self.requirements), ', keep=True' if self.keep else '')

    def send_to(self, host: str, client: Client) -> str:
        """Has the packages at a host; gives the folder there. Raises EnvironmentFailed if they cannot be built for it."""
        platform = self._platform(client)
        key = self._key(platform)
        if self.keep:
            found: Optional[str] = client.call(_HELPERS + 'find', key)
            if found is not None:
                return found
        packed = self._built(host, platform)
        # One write for a line: hosts get theirs at the same time.
        print(
            '%s: sends %s, %.1f MB, %s\n' % (
                host, ' '.join(self.requirements), len(packed) / 1e6, 'to be kept' if self.keep else 'for this connection'
            ),
            end='',
            file=sys.stderr,
        )  # fmt: skip
        folder: str = client.call(_HELPERS + 'unpack', key, packed, self.keep)
        return folder

    def versions(self, host: str, client: Client) -> dict[str, str | None]:
        """The packages that a host would get, by name, with their versions."""
        found: dict[str, str | None] = {}
        with tarfile.open(fileobj=io.BytesIO(self._built(host, self._platform(client)))) as archive:
            for name in archive.getnames():
                head, dot, rest = name.partition('.dist-info')
                if dot and not rest:
                    package, _, version = head.rpartition('-')
                    found[package.lower().replace('_', '-')] = version
        return found

    @staticmethod
    def _platform(client: Client) -> Platform:
        client._connected_native().send_part('workers')
        told = client.call(_HELPERS + 'platform')
        return tuple(told[0]), *told[1:]

    def remove_from(self, client: Client, folder: str) -> None:
        """Removes the folder at a host, unless it is kept."""
        if not self.keep:
            client.call(_HELPERS + 'remove', folder)

    def _key(self, platform: Platform) -> str:
        return hashlib.sha256(repr((sorted(self.requirements), platform)).encode()).hexdigest()[:16]

    def _built(self, host: str, platform: Platform) -> bytes:
        """The packages as a tar archive; built once for each platform."""
        with self._lock:
            packed = self._packed.get(platform)
            if packed is None:
                with tempfile.TemporaryDirectory(prefix='easycluster-env-') as folder:
                    self._build(host, platform, folder)
                    packed = self._packed[platform] = _packed(folder)
            return packed

    def _build(self, host: str, platform: Platform, folder: str) -> None:
        version = '%d.%d' % platform[0]
        command = [*_installer(), '--target', folder, '--only-binary', ':all:', '--python-version', version]
        if command[0] == 'uv':
            command += ['--python-platform', _uv_platform(host, platform)]
        else:
            command += [
                '--implementation',
                'cp',
                '--abi',
                'cp' + version.replace('.', ''),
                '--abi',
                'abi3',
                '--abi',
                'none',
            ]
            for tag in _pip_tags(host, platform):
                command += ['--platform', tag]
        done = subprocess.run(
            [*command, *self.requirements],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            check=False,
        )
        if done.returncode:
            raise EnvironmentFailed(
                '%s: no packages for Python %s on %s could be had here: %s'
                % (host, version, platform[2], '; '.join(done.stdout.strip().splitlines()[-3:]))
            )


class EnvironmentFailed(RuntimeError):
    """Packages for a host could not be built on this machine."""


def _installer() -> list[str]:
    """The command that installs packages into a folder: uv where it is found, or this Python's pip."""
    if shutil.which('uv'):
        return ['uv', 'pip', 'install', '--quiet']
    if importlib.util.find_spec('pip') is None:
        raise EnvironmentFailed(
            'environments are built by uv or pip, and neither is here: install uv, or pip for %s' % sys.executable
        )
    return [
        sys.executable,
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--no-input',
        '--no-compile',
    ]


def _machine(host: str, platform: Platform) -> str:
    found = _KINDS.fullmatch(platform[2])
    if found is None or platform[1] != 'cpython':
        raise EnvironmentFailed(
            '%s: packages are built for CPython on Linux, and it runs %s on %s' % (host, platform[1], platform[2])
        )
    return found[1]


def _glibc(platform: Platform) -> tuple[int, int] | None:
    found = re.fullmatch(r'glibc (\d+)\.(\d+).*', platform[3])
    return (int(found[1]), int(found[2])) if found else None


def _uv_platform(host: str, platform: Platform) -> str:
    machine = _machine(host, platform)
    version = _glibc(platform)
    if version is None:
        return machine + '-unknown-linux-musl'
    # uv knows those from 2.17, 2.28 and 2.31 on.
    known = max([each for each in (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40) if each <= version[1]], default=17)
    return '%s-manylinux_2_%d' % (machine, known)


def _pip_tags(host: str, platform: Platform) -> list[str]:
    """The platform tags that wheels for a host may have, best first."""
    machine = _machine(host, platform)
    version = _glibc(platform)
    if version is None:
        return ['musllinux_1_%d_%s' % (minor, machine) for minor in (2, 1)]
    tags = ['manylinux_2_%d_%s' % (minor, machine) for minor in range(version[1], 4, -1)]
    if version >= (2, 17):
        tags.append('manylinux2014_' + machine)
    return tags


def _packed(folder: str) -> bytes:
    """What is in a folder as a tar archive, without owners and times, so that it is the same each time."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w:') as archive:
        for path in sorted(Path(folder).rglob('*')):
            info = archive.gettarinfo(path, os.fspath(path.relative_to(folder)))
            info.uid = info.gid = 0
            info.uname = info.gname = ''
            if info.isfile():
                with open(path, 'rb') as file:
                    archive.addfile(info, file)
            else:
                archive.addfile(info)
    return made.getvalue()


def folders(environment: Environment, hosts: Iterable[tuple[str, Client]]) -> dict[str, str]:
    """Has an environment on several hosts, at the same time; the folders by host. Raises what was raised first."""
    found: dict[str, str] = {}
    failed: list[BaseException] = []

    def send(host: str, client: Any) -> None:
        try:
            found[host] = environment.send_to(host, client)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=each, daemon=True) for each in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return found
