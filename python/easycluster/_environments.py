"""Environment: Python packages built here for the hosts' Pythons, and sent there for worker processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from . import _checked, _native
from ._client import Client

_HELPERS = 'helpers/environments.'
# Version, implementation, platform and C library, as the other side tells them.
Platform = tuple[tuple[int, int], str, str, str]


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
        self._folders: dict[Platform, Path] = {}

    def __repr__(self) -> str:
        return 'Environment(%r%s)' % (list(self.requirements), ', keep=True' if self.keep else '')

    def send_to(self, host: str, client: Client) -> str:
        """Has the packages at a host; gives the folder there. Raises EnvironmentFailed if they cannot be built for it."""
        platform = self._platform(client)
        key = self._key(platform)
        if self.keep:
            found = client.call(_HELPERS + 'find', key)
            if found is not None:
                return _checked.text(host, found)
        built = self._built(host, platform)
        size = sum(path.lstat().st_size for path in built.rglob('*'))
        # One write for a line: hosts get theirs at the same time.
        print(
            '%s: sends %s, %.1f MB, %s\n' % (
                host, ' '.join(self.requirements), size / 1e6, 'to be kept' if self.keep else 'for this connection'
            ),
            end='',
            file=sys.stderr,
        )  # fmt: skip
        folder = _checked.text(host, client.call(_HELPERS + 'begin', key, self.keep))
        try:
            # With a slash at the end, what is in it.
            client.put(os.path.join(built, ''), folder)
            return _checked.text(host, client.call(_HELPERS + 'finish', folder, key, self.keep))
        except BaseException:
            # The disk may be full, and the connection last long.
            with contextlib.suppress(Exception):
                client.call(_HELPERS + 'remove', folder)
            raise

    def versions(self, host: str, client: Client) -> dict[str, str | None]:
        """The packages that a host would get, by name, with their versions."""
        found: dict[str, str | None] = {}
        for path in self._built(host, self._platform(client)).glob('*.dist-info'):
            package, _, version = path.stem.rpartition('-')
            found[package.lower().replace('_', '-')] = version
        return found

    @staticmethod
    def _platform(client: Client) -> Platform:
        client._connected_native().send_helper('workers')
        told = client.call(_HELPERS + 'platform')
        version, *names = _checked.parts(client.peername, told, (list, tuple), (str,), (str,), (str,))
        major, minor = _checked.parts(client.peername, version, (int,), (int,))
        return (major, minor), names[0], names[1], names[2]

    def remove_from(self, client: Client, folder: str) -> None:
        """Removes the folder at a host, unless it is kept."""
        if not self.keep:
            client.call(_HELPERS + 'remove', folder)

    def _key(self, platform: Platform) -> str:
        return hashlib.sha256(repr((sorted(self.requirements), platform)).encode()).hexdigest()[:16]

    def _built(self, host: str, platform: Platform) -> Path:
        """A folder with the packages; built once for each platform."""
        with self._lock:
            built = self._folders.get(platform)
            if built is None:
                folder = tempfile.mkdtemp(prefix='easycluster-env-')
                # With this object, or at the end of the program.
                weakref.finalize(self, shutil.rmtree, folder, True)
                # Not by all finders: setuptools has one that changes this process where it is asked for pip.
                pip = [sys.executable, '-m', 'pip'] if PathFinder.find_spec('pip') else []
                try:
                    _native.build_packages(list(self.requirements), platform, pip, folder)
                except ValueError as error:
                    raise EnvironmentFailed('%s: %s' % (host, error)) from None
                built = self._folders[platform] = Path(folder)
            return built


class EnvironmentFailed(RuntimeError):
    """Packages for a host could not be built on this machine."""


class Provided:
    """An environment that processes of hosts have until this is closed; what they have imported by then stays imported."""

    def __init__(
        self, environment: Environment, hosts: Iterable[tuple[str, Any]], processes: Iterable[tuple[str, Any]]
    ) -> None:
        """hosts: those with one client each. processes: the hosts' names with the clients of all processes."""
        self._environment = environment
        self._lock = threading.Lock()
        self._closed = False
        self._hosts = dict(hosts)
        self._folders = folders(environment, self._hosts.items())
        self._processes = [(self._folders[host], client) for host, client in processes if host in self._folders]
        try:
            for folder, client in self._processes:
                client.call('sys.path.insert', 0, folder)
        except BaseException:
            self.close()
            raise

    def add(self, host: str, client: Any) -> None:
        """Gives it to a process that has come since; waits for that. Raises EnvironmentFailed if it cannot be built for the host."""
        with self._lock:
            if self._closed:
                return
            folder = self._folders.get(host)
            if folder is None:
                folder = self._folders[host] = self._environment.send_to(host, client)
                self._hosts[host] = client
            if (folder, client) not in self._processes:
                client.call('sys.path.insert', 0, folder)
                self._processes.append((folder, client))

    def close(self) -> None:
        """Takes it away from them. Of a host that is lost it has gone with the connection."""
        with self._lock:
            self._closed = True
        processes, self._processes = self._processes, []
        for folder, client in processes:
            with contextlib.suppress(Exception):
                client.call('sys.path.remove', folder)
        while self._folders:
            host, folder = self._folders.popitem()
            with contextlib.suppress(Exception):
                self._environment.remove_from(self._hosts[host], folder)


def folders(environment: Environment, hosts: Iterable[tuple[str, Client]]) -> dict[str, str]:
    """Has an environment on several hosts, at the same time; the folders by host. Raises what was raised first, or raises here, and
    leaves none at any host then."""
    found: dict[str, tuple[Client, str]] = {}
    failed: list[BaseException] = []
    lock = threading.Lock()
    given_up = False

    def withdraw(client: Client, folder: str) -> None:
        with contextlib.suppress(Exception):
            environment.remove_from(client, folder)

    def send(host: str, client: Client) -> None:
        try:
            folder = environment.send_to(host, client)
        except BaseException as error:
            failed.append(error)
            return
        with lock:
            if not given_up:
                found[host] = client, folder
                return
        withdraw(client, folder)

    threads = [threading.Thread(target=send, args=each, daemon=True) for each in hosts]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return {host: folder for host, (_, folder) in found.items()}
    except BaseException:
        with lock:
            given_up = True
        for client, folder in found.values():
            withdraw(client, folder)
        raise
