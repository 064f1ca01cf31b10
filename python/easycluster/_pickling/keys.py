"""What may be a key or a member of a set: values whose hash and comparison are built in, so that neither runs foreign code."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import ipaddress
import pathlib
import sys
import types
import uuid
from typing import Any

from .. import _errors, _native
from . import trust

# Of these, hash and comparison look at what they are made of.
_HOLDERS = frozenset((tuple,))
# So many values are looked at before they are counted, and fewer are not worth it.
_COUNTED = 4096
_UNCOUNTED = 8
# Bits of a whole number whose hash takes as long as that of a small one; bytes of a text where it is compared.
_BITS = 128
_LETTERS = 512
_TIMES = frozenset((datetime.datetime, datetime.time))
_ZONES = frozenset((type(None), datetime.timezone))
# Classes whose own __hash__ and __eq__ look at numbers and text only.
_KNOWN: set[type] = {
    object, type, type(None), bool, int, float, complex, str, bytes, frozenset, range,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    decimal.Decimal, fractions.Fraction, uuid.UUID, enum.Enum, type(Ellipsis), type(NotImplemented), types.FunctionType,
    types.BuiltinFunctionType, ipaddress._BaseAddress, ipaddress._BaseNetwork, ipaddress.IPv4Interface, ipaddress.IPv6Interface,
    pathlib.PurePath,
}  # fmt: skip
for _holder in (ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv6Address, ipaddress.IPv6Network):
    _KNOWN.update(_holder.__mro__)


def check_key(key: Any) -> None:
    """Raises Refused for a key whose hash or comparison is not built in, or takes far more work than what was received."""
    left = [key]
    work = 0
    while left:
        value = left.pop()
        kind = type(value)
        work += 1
        if work >= _COUNTED:
            _native.spend_work(work)
            work = 0
        if kind is str or kind is bytes:
            work += len(value) // _LETTERS
        elif kind is int:
            work += value.bit_length() // _BITS
        elif kind is frozenset:
            work += _weight(value)
        elif kind in _HOLDERS:
            left.extend(value)
        elif kind in _TIMES:
            zone = value.tzinfo
            if type(zone) not in _ZONES and not _is_zone_info(zone):
                _refuse(type(zone))
        elif not _is_known(kind):
            _refuse(kind)
        elif isinstance_of(kind, tuple) and kind is not tuple:
            left.extend(tuple.__iter__(value))
        elif kind is fractions.Fraction:
            left += (value.numerator, value.denominator)
    if work > _UNCOUNTED:
        _native.spend_work(work)


def _weight(held: frozenset[Any]) -> int:
    """How many values are in a frozenset, which were checked when it was made."""
    left: list[Any] = [held]
    work = 0
    while left:
        value = left.pop()
        work += len(value)
        if work >= _COUNTED:
            _native.spend_work(work)
            work = 0
        left += [item for item in value if type(item) is frozenset or type(item) is tuple]
    return work


def isinstance_of(kind: type, base: type) -> bool:
    """Whether a class is derived from a built-in one; never by asking the class itself."""
    return base in type.__dict__['__mro__'].__get__(kind)


def _is_zone_info(zone: Any) -> bool:
    module = sys.modules.get('zoneinfo')
    return module is not None and type(zone) is module.ZoneInfo


def _is_known(kind: type) -> bool:
    # What a class of the definitions has may change.
    if trust.takes_untrusted_state(kind):
        return True
    return _looks_known(kind)


@functools.lru_cache(maxsize=1024)
def _looks_known(kind: type) -> bool:
    found = {'__hash__': False, '__eq__': False}
    for base in type.__dict__['__mro__'].__get__(kind):
        members = type.__dict__['__dict__'].__get__(base)
        for name in found:
            if not found[name] and name in members:
                if not _is_known_owner(base):
                    return False
                found[name] = True
    return all(found.values())


def _is_known_owner(base: type) -> bool:
    if base in _KNOWN or base is tuple:
        return True
    # The numbers of NumPy and of the C library's structures.
    return (
        base.__module__ == 'numpy'
        and not base.__flags__ & trust.HEAP_TYPE
        or issubclass(base, BaseException)
        and (not base.__flags__ & trust.HEAP_TYPE)
        or base.__module__ == 'enum'
    )


def _refuse(kind: type) -> None:
    name = _native.printable('%s.%s' % (kind.__module__, kind.__qualname__))
    raise _errors.Refused(
        'the server sent a %s as a key or in a set, but its hash or comparison is not a built-in one. %s'
        % (name, trust.OPT_IN_HINT),
        name,
    )
