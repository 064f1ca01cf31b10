"""What is compared before a worker starts: Dask's own messages do not say what is wrong where versions differ, or never come."""

from __future__ import annotations

import importlib.metadata
import sys
import warnings
from typing import Any

from .. import _checked
from .._cluster.cluster import Cluster
from .._environments import Environment
from .._native import printable

# Must be the same, or tasks fail in ways that nobody understands.
SAME = ('dask', 'distributed')
# Should be: what they pickle may not be read by another version.
ALIKE = ('cloudpickle', 'msgpack', 'tornado', 'numpy', 'pandas')


def check_versions(cluster: Cluster, environment: Environment | None = None) -> None:
    """Raises RuntimeError if a host lacks what a worker needs, and warns of what may go wrong; each with all hosts. The packages are
    those of `environment`, or what is installed there."""
    names = list(SAME + ALIKE)
    ours = {name: _version(name) for name in names}
    refused: list[str] = []
    doubtful: list[str] = []
    for host, python in _pythons(cluster).items():
        if python[:2] != sys.version_info[:2]:
            refused.append(
                '%s runs Python %d.%d, and this program %d.%d'
                % (host, python[0], python[1], sys.version_info[0], sys.version_info[1])
            )
    if refused:
        raise RuntimeError(
            'Dask cannot run there: %s. Name the right interpreter in the connection spec (rpython=)'
            % '; '.join(refused)
        )
    for host, theirs in _installed(cluster, names, environment).items():
        for name in SAME:
            if theirs.get(name) is None:
                refused.append('%s has no %s' % (host, name))
            elif theirs[name] != ours[name]:
                refused.append('%s has %s %s, and this program %s' % (host, name, theirs[name], ours[name]))
        for name in ALIKE:
            if theirs.get(name) and ours[name] and theirs[name] != ours[name]:
                doubtful.append('%s has %s %s, and this program %s' % (host, name, theirs[name], ours[name]))
    if refused:
        wanted = ', '.join("'%s==%s'" % (name, ours[name]) for name in SAME)
        raise RuntimeError(
            'Dask cannot run there: %s. Install what this program has, or give environment=easycluster.Environment([%s])'
            % ('; '.join(refused), wanted)
        )
    if doubtful:
        warnings.warn('versions differ, so results may not arrive: %s' % '; '.join(doubtful), stacklevel=5)


def _installed(cluster: Cluster, names: list[str], environment: Environment | None) -> dict[str, dict[str, str | None]]:
    if environment is None:
        told = {host: _told(host, found, len(names)) for host, found in cluster._installed(names).items()}
        return {host: dict(zip(names, versions)) for host, versions in told.items()}
    return {name: environment.versions(name, client) for name, client in cluster._connected()}


def _told(host: str, found: Any, count: int) -> list[str | None]:
    """The versions that a host tells, safe to print."""
    versions = _checked.parts(host, found, *[(str, type(None))] * count)
    return [None if version is None else printable(version) for version in versions]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pythons(cluster: Cluster) -> dict[str, tuple[int, ...]]:
    return {name: tuple((client.server_info or {})['python']) for name, client in cluster._connected()}
