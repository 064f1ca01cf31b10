"""Tuples with names whose class no pickle can name: how they are sent, and how they are made of what a server sends (ME-29)."""

from __future__ import annotations

import collections
import functools
import platform
import re
import sys
from typing import Any

from .. import _native
from . import makers

# For spend_work(): making a class takes some 300 us.
_WORK_OF_CLASS = 30_000
# Names in one of them, and letters in a name.
_MOST = 256
_FIELD = re.compile(r'[A-Za-z_][A-Za-z0-9_]*\Z', re.ASCII)
_UNAME = ('system', 'node', 'release', 'version', 'machine', 'processor')


@functools.lru_cache(maxsize=256)
def _class(name: str, fields: tuple[str, ...]) -> Any:
    _native.spend_work(_WORK_OF_CLASS)
    return collections.namedtuple(name, fields, rename=True, module='easycluster')


def named_tuple(name: str, fields: tuple[Any, ...], items: tuple[Any, ...]) -> Any:
    """One that a server sent; without names of its fields a plain tuple."""
    if (name, fields) == ('uname_result', _UNAME) and all(type(item) is str for item in items):
        return makers.uname(*items)
    if not fields:
        return items
    for word in (name, *fields):
        if type(word) is not str or len(word) > _MOST or not _FIELD.match(word):
            raise ValueError('a name in it is none')
    if len(fields) != len(items) or len(fields) > _MOST:
        raise ValueError('it has %d names for %d values' % (len(fields), len(items)))
    return tuple.__new__(_class(name, fields), items)


class _Maker:
    """Pickled, a class that the other side makes by collections.namedtuple(), which every version has."""

    def __init__(self, name: str, fields: tuple[str, ...]) -> None:
        self._parts = name, fields

    def __call__(self, *items: Any) -> Any:
        return items

    def __reduce__(self) -> Any:
        return collections.namedtuple, self._parts


def _fields_of(value: Any) -> tuple[str, ...]:
    """The names of a tuple's fields in order; those of C show them only so."""
    own = getattr(value, '_fields', None)
    if isinstance(own, tuple):
        return own
    found = tuple(part.split('=')[0].split('(')[-1].strip() for part in repr(value).split(','))
    return found if len(found) == len(value) and all(name in vars(type(value)) for name in found) else ()


def by_its_names(value: Any) -> Any:
    """How such a tuple is pickled."""
    fields = _fields_of(value)
    return (_Maker(type(value).__name__, fields), tuple(value)) if fields else (tuple, (list(value),))


def is_unnamed(value: Any) -> bool:
    """Whether a value is a tuple whose class is not found by its own name."""
    kind = type(value)
    if kind is tuple or not issubclass(kind, tuple):
        return False
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split('.'):
        found = getattr(found, part, None)
    return found is not kind


# The types that are sent so; the own pickle of the last leaves out what it finds out by itself wherever it is.
WAYS: dict[type, Any] = {
    type(value): by_its_names
    for value in (sys.version_info, sys.flags, sys.float_info, sys.hash_info, sys.int_info, sys.thread_info)
}
WAYS[platform.uname_result] = by_its_names
