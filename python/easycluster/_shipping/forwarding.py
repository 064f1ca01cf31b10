"""Modules of this program that remote code may import: what there is of them, and nothing else."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import keyword
import os
import sys
import sysconfig
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Optional

# What bootstrap_py/helpers/forward.py calls them; a test compares.
_MODULE, _PACKAGE, _NAMESPACE, _COMPILED = range(4)
# By name the kind of a module, and its file.
Modules = dict[str, tuple[int, Optional[str]]]

# So many modules of a prefix, and files of a package, are known to the other side.
_MOST = 10_000
# So many bytes of compressed source come with the names.
_AHEAD = 256 * 1024
# The largest file that is sent.
_LARGEST = 64 << 20
# For so many seconds what was found is not looked for again.
_FRESH = 2.0
_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_NOT_DATA = ('.py', '.pyc', '.pyo', *_EXTENSIONS)


def _is_under(module: str, prefix: str) -> bool:
    return (module + '.').startswith(prefix + '.')


class Forwarding:
    """The modules under some names, as files: nothing is imported here for being asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        """names: of packages and modules, such as 'mypkg' or 'company.tool'; with `!` behind one, what the other side has of that
        name does not count. Raises ValueError for what is no such name, is Python's own, or is not there."""
        if isinstance(names, str):
            raise TypeError('forward is a list of names such as %r' % [names])
        self.names = tuple(names)
        self._prefixes = tuple(name.rstrip('!') for name in self.names)
        for prefix in self._prefixes:
            _check(prefix)
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, Modules]] = {}
        for prefix in self._prefixes:
            if not self._modules(prefix):
                raise ValueError('forward: there is no module %s here' % prefix)

    def covers(self, module: str | None) -> bool:
        """Whether a module is among them."""
        return module is not None and any(_is_under(module, prefix) for prefix in self._prefixes)

    def serve(self, what: str, name: str, path: str | None = None) -> Any:
        """What the other side asks for. Whatever that is, it gets modules under the names, files of their packages, or nothing."""
        if type(name) is not str or type(path) not in (str, type(None)):
            raise TypeError('a module is asked for by its name')
        if what == 'index':
            return self._index(name) if name in self._prefixes else ({}, {})
        for prefix in self._prefixes:
            if _is_under(name, prefix) or _is_under(prefix, name):
                kind, file = self._modules(prefix).get(name, (None, None))
                if what == 'source' and file is not None and kind in (_MODULE, _PACKAGE):
                    return _source(file)
                if kind == _PACKAGE and file is not None and what in ('files', 'data'):
                    files = dict(_files(os.path.dirname(file)))
                    return sorted(files) if what == 'files' else _content(files.get(path or ''))
        return [] if what == 'files' else None

    def _index(self, prefix: str) -> tuple[Modules, dict[str, bytes]]:
        """All modules of a prefix, and the sources of as many as are small together: the outer ones first."""
        modules = self._modules(prefix)
        sources = {}
        left = _AHEAD
        for name in sorted(modules, key=lambda name: (name.count('.'), name)):
            kind, file = modules[name]
            if file is not None and kind in (_MODULE, _PACKAGE):
                source = _source(file)
                if source is not None and len(source) <= left:
                    left -= len(source)
                    sources[name] = source
        return {name: (kind, file and file.replace(os.sep, '/')) for name, (kind, file) in modules.items()}, sources

    def _modules(self, prefix: str) -> Modules:
        """What there is of a prefix, and the packages that it is in."""
        with self._lock:
            looked, found = self._found.get(prefix, (0.0, {}))
            if not looked or time.monotonic() - looked > _FRESH:
                found = dict(_all_of(prefix))
                self._found[prefix] = (time.monotonic(), found)
            return found


def _check(name: str) -> None:
    parts = name.split('.')
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise ValueError('forward takes names of modules such as mypkg, not %r' % name)
    own = getattr(sys, 'stdlib_module_names', None) or sys.builtin_module_names
    if parts[0] == '__main__' or parts[0] in own or parts[0] == 'easycluster':
        raise ValueError('forward: %s is not sent to other machines; they have their own' % parts[0])


def _all_of(prefix: str) -> Iterator[tuple[str, tuple[int, str | None]]]:
    path: list[str] | None = None
    parts = prefix.split('.')
    for place in range(1, len(parts) + 1):
        name = '.'.join(parts[:place])
        spec = _spec(name, path)
        if spec is None:
            return
        file = spec.origin if spec.has_location else None
        path = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if file is not None and _is_pythons(file):
            return
        yield name, (_kind(file, path is not None), file)
        if path is None:
            break
    count = 0
    for folder in path or []:
        for found in _below(prefix, folder):
            count += 1
            if count > _MOST:
                return
            yield found


def _spec(name: str, path: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    """Where a module is, by the finders of this program. None of them imports it, as its package is given by its folders."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, '__spec__', None)
    if isinstance(spec, importlib.machinery.ModuleSpec):
        return spec
    for finder in sys.meta_path:
        find = getattr(finder, 'find_spec', None)
        found: importlib.machinery.ModuleSpec | None = None if find is None else find(name, path)
        if found is not None:
            return found
    return None


def _is_pythons(file: str) -> bool:
    """Whether a file is of Python's library, and not of the packages beside it."""
    paths = sysconfig.get_paths()
    own = tuple(paths[name] + os.sep for name in ('stdlib', 'platstdlib') if name in paths)
    return file.startswith(own) and not {'site-packages', 'dist-packages'} & set(file.split(os.sep))


def _kind(file: str | None, is_package: bool) -> int:
    if file is None:
        return _NAMESPACE
    if not file.endswith('.py'):
        return _COMPILED
    return _PACKAGE if is_package else _MODULE


def _below(package: str, folder: str) -> Iterator[tuple[str, tuple[int, str | None]]]:
    """The modules in a folder of a package, and below, without importing any."""
    entries = sorted(_entries(folder), key=lambda entry: entry.name)
    for entry in entries:
        stem, dot, ending = entry.name.partition('.')
        name = '%s.%s' % (package, stem)
        if not stem.isidentifier():
            continue
        if entry.is_dir():
            if dot or stem == '__pycache__':
                continue
            start = os.path.join(entry.path, '__init__.py')
            inside = list(_below(name, entry.path))
            if os.path.isfile(start):
                yield name, (_PACKAGE, start)
            elif inside:
                yield name, (_NAMESPACE, None)
            yield from inside
        elif stem != '__init__' and dot + ending == '.py':
            yield name, (_MODULE, entry.path)
        elif stem != '__init__' and dot + ending in _EXTENSIONS:
            yield name, (_COMPILED, entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder but links, which could lead anywhere, and hidden things."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith('.') and not entry.is_symlink()]
    except OSError:
        return []


def _files(folder: str, start: str = '') -> Iterator[tuple[str, str]]:
    """The files of a package that are not modules: their paths in it, and where they are."""
    left = _MOST
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.name != '__pycache__':
                for found in _files(entry.path, start + entry.name + '/'):
                    left -= 1
                    if left < 0:
                        return
                    yield found
        elif entry.is_file() and not entry.name.endswith(_NOT_DATA):
            yield start + entry.name, entry.path


_packed: dict[str, tuple[tuple[int, int], bytes]] = {}


def _source(file: str) -> bytes | None:
    """The source of a module as compressed UTF-8, as long as the file is as it was."""
    try:
        status = os.stat(file)
        state = (status.st_mtime_ns, status.st_size)
        known = _packed.get(file)
        if known is None or known[0] != state:
            if status.st_size > _LARGEST:
                return None
            with open(file, 'rb') as opened:
                known = (state, zlib.compress(importlib.util.decode_source(opened.read()).encode('utf-8')))
            _packed[file] = known
    except (OSError, SyntaxError, UnicodeError):
        return None
    return known[1]


def _content(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        if os.path.getsize(file) > _LARGEST:
            return None
        with open(file, 'rb') as opened:
            return opened.read()
    except OSError:
        return None
