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

# Of these, and of classes derived from them, hash and comparison look at what they are made of, or take long for what is long.
_LOOKED_INTO = frozenset((str, bytes, int, tuple, frozenset, datetime.datetime, datetime.time, fractions.Fraction))
# So many values are looked at before they are counted, and fewer are not worth it.
_COUNTED = 4096
_UNCOUNTED = 8
# Bits of a whole number whose hash takes as long as that of a small one; bytes of a text where it is compared.
_BITS = 128
_LETTERS = 512
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


# What hash or comparison may ask of a value whatever its class: those of C for its class, of a number for its parts, NumPy's for an
# array, and those of addresses for what addresses have.
_ASKED = frozenset(
    (
        '__class__ __getattribute__ __getattr__ numerator denominator real imag as_integer_ratio __array__ __array_ufunc__ '
        '__array_priority__ __array_wrap__ _ip _version version network network_address netmask _scope_id'
    ).split()
)
# What a class may have without replacing what those written in Python call.
_HARMLESS = frozenset(dir(object)) - {'__class__', '__getattribute__', '__str__'} | frozenset(
    (
        '__module__ __slots__ __dict__ __weakref__ __annotations__ __abstractmethods__ _abc_impl __copy__ __deepcopy__ '
        '__class_getitem__ __orig_bases__ __parameters__ __firstlineno__ __static_attributes__'
    ).split()
)


def check_key(key: Any) -> None:
    """Raises Refused for a key whose hash or comparison is not built in, or takes far more work than what was received."""
    left = [key]
    work = 0
    while left:
        value = left.pop()
        kind: Any = type(value)
        work += 1
        if work >= _COUNTED:
            _native.spend_work(work)
            work = 0
        base: Any = kind
        if kind not in _LOOKED_INTO:
            if not _is_known(kind):
                _refuse(kind)
            # Its hash and comparison are those of this one.
            base = _looked_into(kind)
        # By the base's own methods, never by those of a class derived from it.
        if base is str or base is bytes:
            work += base.__len__(value) // _LETTERS
        elif base is int:
            work += int.bit_length(value) // _BITS
        elif base is frozenset:
            work += _weight(value)
        elif base is tuple:
            left.extend(tuple.__iter__(value))
        elif base is datetime.datetime or base is datetime.time:
            zone = base.__dict__['tzinfo'].__get__(value)
            if type(zone) not in _ZONES and not _is_zone_info(zone):
                _refuse(type(zone))
        elif base is fractions.Fraction:
            left += (base.__dict__['_numerator'].__get__(value), base.__dict__['_denominator'].__get__(value))
    if work > _UNCOUNTED:
        _native.spend_work(work)


@functools.lru_cache(maxsize=1024)
def _looked_into(kind: type) -> type | None:
    return next((base for base in trust.bases(kind) if base in _LOOKED_INTO), None)


def _base_of(value: Any) -> Any:
    kind: Any = type(value)
    return _looked_into(kind)


def _weight(held: frozenset[Any]) -> int:
    """How many values are in a frozenset, which were checked when it was made."""
    left: list[Any] = [held]
    work = 0
    while left:
        value = left.pop()
        base = _base_of(value)
        work += base.__len__(value)
        if work >= _COUNTED:
            _native.spend_work(work)
            work = 0
        left += [item for item in base.__iter__(value) if _base_of(item) in (frozenset, tuple)]
    return work


def _is_zone_info(zone: Any) -> bool:
    module = sys.modules.get('zoneinfo')
    return module is not None and type(zone) is module.ZoneInfo


def _is_known(kind: type) -> bool:
    # What a class of the definitions has may change.
    return trust.takes_untrusted_state(kind) or trust.is_allowed(kind) or _looks_known(kind)


@functools.lru_cache(maxsize=1024)
def _looks_known(kind: type) -> bool:
    owners = [_owner(kind, name) for name in ('__hash__', '__eq__')]
    if not all(map(_is_known_owner, owners)):
        return False
    if owners[0] is object:
        # By where it is in memory, which no server knows; so none of its kind is compared with anything.
        return True
    asked = _ASKED.union(*map(_asked_by, owners))
    foreign = [base for base in trust.bases(kind) if trust.is_foreign(base) and not _is_of_numpy(base)]
    return not any(name in trust.members(base) for base in foreign for name in asked)


def _owner(kind: type, name: str) -> type:
    return next(base for base in trust.bases(kind) if name in trust.members(base))


def _asked_by(owner: type) -> frozenset[str]:
    """What hash and comparison ask a value for, where they are written in Python."""
    if not owner.__flags__ & trust.HEAP_TYPE or owner.__module__ == 'enum':
        return frozenset()
    return frozenset(dir(owner)) - _HARMLESS


def _is_known_owner(base: type) -> bool:
    if base in _KNOWN or base is tuple or base.__module__ == 'enum' or _is_of_numpy(base):
        return True
    return issubclass(base, BaseException) and not base.__flags__ & trust.HEAP_TYPE


def _is_of_numpy(base: type) -> bool:
    """Whether it is a class of NumPy's numbers, texts and times, or one that they are derived from. Structures have parts of any."""
    numpy = sys.modules.get('numpy')
    return (
        numpy is not None
        and not base.__flags__ & trust.HEAP_TYPE
        and issubclass(base, numpy.generic)
        and not issubclass(base, (numpy.void, numpy.object_))
    )


def _refuse(kind: type) -> None:
    name = _native.printable('%s.%s' % (kind.__module__, kind.__qualname__))
    raise _errors.Refused(
        'the server sent a %s as a key or in a set, but its hash or comparison is not a built-in one. %s'
        % (name, trust.OPT_IN_HINT),
        name,
    )
