"""Which classes run nothing that a pickle brings along: those of C and of the standard library, and those that say so."""

from __future__ import annotations

from typing import Any

from .. import _errors, _native
from . import standard, tables

OPT_IN = '__easycluster_untrusted_state__'
OPT_IN_HINT = (
    'A class that takes whatever a server chooses says so by %s = True, and is then unpickled with its own methods'
    % OPT_IN
)
# Of these modules' classes, instances of classes derived from them have nothing: abc.ABC, typing.Generic, Mapping and so on.
_ABSTRACT = frozenset(('abc', 'collections.abc', 'contextlib', 'numbers', 'typing'))
# Py_TPFLAGS_HEAPTYPE: not a class of C that is there from the start.
HEAP_TYPE = 1 << 9

_MRO = type.__dict__['__mro__'].__get__
_MEMBERS = type.__dict__['__dict__'].__get__


def members(kind: type) -> Any:
    """What a class itself has; a metaclass is not asked."""
    return _MEMBERS(kind)


def bases(kind: type) -> tuple[type, ...]:
    """A class and its bases in order; a metaclass is not asked."""
    order: tuple[type, ...] = _MRO(kind)
    return order


def takes_untrusted_state(kind: type) -> bool:
    """Whether a class, or the nearest of its bases that says anything, takes what a server chooses."""
    for base in bases(kind):
        own = members(base)
        if OPT_IN in own:
            return own[OPT_IN] is True
    return False


# Names of the classes, and of the modules, that clients of this process allow. Of a class that its client does not allow there is no
# instance, so it need not be known here which of them that was.
_allowed: set[str] = set()


def allow(name: str) -> None:
    """Notes what a client allows."""
    _allowed.add(name)


def is_allowed(kind: type) -> bool:
    """Whether a class, or a module or package that it is in, is allowed."""
    parts = ('%s.%s' % (kind.__module__, kind.__qualname__)).split('.')
    return bool(_allowed) and any('.'.join(parts[:length]) in _allowed for length in range(1, len(parts) + 1))


def refusal(kind: type, why: str) -> _errors.Refused:
    name = _native.printable('%s.%s' % (kind.__module__, kind.__qualname__))
    return _errors.Refused('the server sent a %s, which %s. %s' % (name, why, OPT_IN_HINT), name)


def is_foreign(base: type) -> bool:
    """Whether a class is neither known by the tables nor found by rule: one that this program or a library of it defines."""
    return base.__module__ not in tables.OWN_MODULES and not standard.is_one(base)


def first_known(kind: type) -> type:
    """The first base that is not a foreign class, and of which an instance can have something."""
    for base in bases(kind):
        if not is_foreign(base) and base.__module__ not in _ABSTRACT:
            return base
    return object


def own_hook(kind: type, *names: str) -> str | None:
    """The first of these methods that a foreign class among the bases defines."""
    for base in bases(kind):
        if is_foreign(base):
            own = members(base)
            for name in names:
                if name in own:
                    return name
    return None
