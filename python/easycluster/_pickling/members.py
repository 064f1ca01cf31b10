"""Members of enumerations: found among those that are there, never made or changed."""

from __future__ import annotations

import enum
from typing import Any

from .. import _errors, _native
from . import trust
from .keys import check_key

# Flags together are kept by the enumeration for ever, so there is a limit; and bits beyond those of a word are taken one by one.
_MOST_BITS = 64
_MOST_TOGETHER = 4096
# For spend_work(): some 50 us.
_WORK_OF_FLAGS = 5_000


def member(kind: Any, name: Any) -> Any:
    """A member of an enumeration, for which some releases of Python 3.11 ask by getattr(); None if it is none."""
    if issubclass(type(kind), enum.EnumMeta) and type(name) is str:
        return kind.__members__.get(name)
    return None


def no_member(kind: Any, name: Any) -> _errors.Refused:
    """The exception for an attribute that is not given."""
    asked = _native.printable(name) if type(name) is str else type(name).__name__
    return _errors.Refused(
        'a server asked for the attribute %.100s of a %s' % (asked, type(kind).__name__), 'builtins.getattr'
    )


def either(one: Any, other: Any) -> Any:
    """Flags of an enumeration together, for which the first releases of Python 3.11 ask by or_()."""
    if issubclass(type(one), enum.Flag) and type(one) is type(other):
        return by_value(type(one), one._value_ | other._value_)
    raise _errors.Refused('a server asked for %.100r | %.100r' % (type(one), type(other)), '_operator.or_')


def by_value(kind: Any, *args: Any) -> Any:
    """The member with a value. Flags together are made by the standard library, if the enumeration has no word in it."""
    if len(args) != 1:
        raise TypeError('%d arguments' % len(args))
    value = args[0]
    check_key(value)
    for known in kind.__members__.values():
        own = known._value_
        if type(own) is type(value) and own == value:
            return known
    if issubclass(kind, enum.Flag) and type(value) is int and not trust.is_foreign(type(kind)):
        # Of no enumeration that decides by itself what it takes for a member.
        if trust.own_hook(kind, '_missing_', '_create_pseudo_member_') is None:
            together = kind._value2member_map_
            if value in together:
                return together[value]
            if value.bit_length() > _MOST_BITS or len(together) >= _MOST_TOGETHER:
                raise ValueError('there are no flags with this value')
            _native.spend_work(_WORK_OF_FLAGS)
            return kind(value)
    raise ValueError('there is no member with this value')
