"""Exceptions as arguments: how they are sent so that the other side makes them without a constructor that takes something else."""

from __future__ import annotations

import builtins
import collections
import collections.abc
import copyreg
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

from . import named_tuples, trust

# What is sent otherwise, and what Python's own pickles of exceptions leave out: the object whose attribute was missing.
_NOT_SENT = frozenset(('args', 'obj', 'name_from'))
# By one of these a class says itself how an instance is pickled.
_OWN_WAYS = ('__reduce__', '__reduce_ex__', '__getstate__', '__setstate__', '__getnewargs__', '__getnewargs_ex__')


def _has(kind: type, *names: str) -> bool:
    """Whether a class, or a base of it that is not of C, defines one of these methods."""
    return any(
        name in trust.members(base) for base in trust.bases(kind) if base.__flags__ & trust.HEAP_TYPE for name in names
    )


def _is_made_of_other_things(kind: type) -> bool:
    """Whether the class of an exception has a constructor of its own, and does not say itself how one is pickled."""
    return _has(kind, '__init__', '__new__') and not _has(kind, *_OWN_WAYS)


class _New:
    """Pickled, what makes instances of classes that are derived from one of C."""

    def __init__(self, base: type) -> None:
        self._base = base

    def __call__(self, *args: Any) -> Any:
        return args

    def __reduce__(self) -> Any:
        return getattr, (self._base, '__new__')


def _parts(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an exception; and what else is in it, by the names of its attributes."""
    kind = type(error)
    args = BaseException.__dict__['args'].__get__(error)
    state: dict[str, Any] = {}
    for base in trust.bases(kind):
        for name, kept in trust.members(base).items():
            if type(kept) in (types.MemberDescriptorType, types.GetSetDescriptorType) and name[:2] != '__':
                try:
                    value = cast(Any, kept).__get__(error)
                except AttributeError:
                    continue
                if value is not None and name not in _NOT_SENT:
                    state[name] = value
    state.update(BaseException.__dict__['__dict__'].__get__(error))
    return args, state


def _by_its_parts(error: BaseException) -> Any:
    """How an exception is pickled whose constructor may take something else than it has."""
    return _made_of(type(error), *_parts(error))


def _made_of(kind: type, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    # Some of C keep their arguments only in their constructor.
    state = dict(state, args=args)
    if not _has(kind, '__new__'):
        return cast(Any, copyreg).__newobj__, (kind, *args), state
    base = next(base for base in trust.bases(kind) if base.__module__ == builtins.__name__)
    return _New(base), (kind, *args), state


class _Registered(collections.abc.Mapping[type, Any]):
    """The ways that were registered with copyreg, but for tblib's, with which Dask replaces those of all exceptions: the hosts may
    have no tblib. And those of exceptions that need one."""

    def __getitem__(self, kind: type) -> Any:
        way = copyreg.dispatch_table.get(kind)
        if way is not None and not getattr(way, '__module__', '').startswith('tblib.'):
            return way
        if issubclass(kind, BaseException) and _is_made_of_other_things(kind):
            return _by_its_parts
        raise KeyError(kind)

    def __iter__(self) -> Iterator[type]:
        return iter(copyreg.dispatch_table)

    def __len__(self) -> int:
        return len(copyreg.dispatch_table)


# Asked by the pickler about the types that are in it.
OWN_WAYS: Any = collections.ChainMap(cast(Any, named_tuples.WAYS), cast(Any, _Registered()))


class Leaving(collections.abc.Mapping[type, Any]):
    """The same, where exceptions leave behind what cannot be sent: the `repr` of it goes in its place."""

    def __init__(self) -> None:
        # Whether a value can be sent; by a pickler that asks this mapping, too.
        self.can_be_sent: Callable[[Any], bool] = lambda value: True
        # By exception, each of which is in the request while this lasts: it may be looked at from several others.
        self._found: dict[int, Any] = {}

    def __getitem__(self, kind: type) -> Any:
        if issubclass(kind, BaseException) and OWN_WAYS.get(kind, _by_its_parts) is _by_its_parts:
            return self._what_can_be_sent
        return OWN_WAYS[kind]

    def __iter__(self) -> Iterator[type]:
        return iter(OWN_WAYS)

    def __len__(self) -> int:
        return len(OWN_WAYS)

    def _what_can_be_sent(self, error: BaseException) -> Any:
        found = self._found.get(id(error))
        if found is None:
            kind = type(error)
            # Where it is within itself.
            self._found[id(error)] = _made_of(kind, (), {})
            found = _by_its_parts(error) if _is_made_of_other_things(kind) else error.__reduce_ex__(2)
            if not self.can_be_sent(found) and not _has(kind, *_OWN_WAYS):
                args, state = _parts(error)
                sent = {name: self._crossing(value) for name, value in state.items()}
                found = _made_of(kind, tuple(map(self._crossing, args)), sent)
            self._found[id(error)] = found
        return found

    def _crossing(self, value: Any) -> Any:
        return value if self.can_be_sent(value) else repr(value)
