"""What instances of built-in classes and of the library's are made of: those of the class itself, and those of classes derived
from it, without any method of these."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import pathlib
import subprocess
import types
from collections.abc import Callable
from typing import Any

from .keys import check_key
from .made import raw
from .trust import bases, is_foreign, members

LISTS = (list, tuple)
# The longest number in a text: reading one takes the square of its length.
_MAX_DIGITS = 4300
_LATIN_1 = ('latin1', 'latin-1', 'iso-8859-1')


def _tuple_of(kind: type, *args: Any) -> Any:
    fields = next((members(base)['_fields'] for base in bases(kind) if '_fields' in members(base)), None)
    if type(fields) is tuple:
        defaults = next(
            (members(base)['_field_defaults'] for base in bases(kind) if '_field_defaults' in members(base)), None
        )
        # Later versions have more fields; those of the library have values for them.
        if type(defaults) is dict and not is_foreign(kind):
            args += tuple(defaults[name] for name in fields[len(args) :] if name in defaults)
        if len(args) != len(fields):
            raise TypeError('it has %d fields and not %d' % (len(fields), len(args)))
        return tuple.__new__(kind, args)
    return tuple.__new__(kind, *_exactly(args, tuple, list))


def _exactly(args: tuple[Any, ...], *kinds: type) -> tuple[Any, ...]:
    if len(args) > 1 or any(type(arg) not in kinds for arg in args):
        raise TypeError('its content is not of the type %s' % kinds[0].__name__)
    return args


def latin1(text: Any, encoding: Any = 'latin1') -> bytes:
    """How protocol 2 writes bytes. Other codecs decompress, and one of them is enough to fill the memory."""
    if type(text) is not str or type(encoding) is not str or encoding not in _LATIN_1:
        raise ValueError('another codec than Latin-1, which is not used for pickles')
    return text.encode('latin1')


def _bytes(args: tuple[Any, ...]) -> tuple[bytes, ...]:
    # Python 2 has no other bytes than `str`.
    return (latin1(*args),) if len(args) == 2 else tuple(raw(arg) for arg in args)


def _bytearray(kind: type, *args: Any) -> Any:
    made: Any = bytearray.__new__(kind)
    bytearray.__init__(made, *_bytes(args))
    return made


def _set_of(base: Any) -> Callable[..., Any]:
    def make(kind: type, *args: Any) -> Any:
        for item in args[0] if _exactly(args, list, tuple, base) else ():
            check_key(item)
        made = base.__new__(kind, *args)
        if base is set and args:
            set.update(made, args[0])
        return made

    return make


def _of(base: Any, *kinds: type) -> Callable[..., Any]:
    return lambda kind, *args: base.__new__(kind, *_exactly(args, *kinds))


def _filled(base: Any, *kinds: type) -> Callable[..., Any]:
    """For what `__init__` fills."""

    def make(kind: type, *args: Any) -> Any:
        made = base.__new__(kind)
        base.__init__(made, *_exactly(args, *kinds))
        return made

    return make


def _counter(kind: type, *args: Any) -> Any:
    made: Any = dict.__new__(kind)
    if args:
        dict.update(made, *_exactly(args, dict))
    return made


def _ordered(kind: type, *args: Any) -> Any:
    made: Any = collections.OrderedDict.__new__(kind)
    for pair in args[0] if _exactly(args, *LISTS) else ():
        if type(pair) not in LISTS or len(pair) != 2:
            raise TypeError('a part of it is not a pair')
        check_key(pair[0])
        collections.OrderedDict.__setitem__(made, *pair)
    return made


def _defaultdict(kind: type, *args: Any) -> Any:
    factories = (type(None), type, types.FunctionType, types.BuiltinFunctionType)
    if len(args) > 1 or args and not issubclass(type(args[0]), factories):
        raise TypeError('its factory is neither a class nor a function')
    made: Any = collections.defaultdict.__new__(kind)
    collections.defaultdict.__init__(made, *args)
    return made


def _deque(kind: type, items: Any = (), most: Any = None) -> Any:
    if type(items) not in LISTS or type(most) not in (int, type(None)):
        raise TypeError('its parts are not a list and a number')
    made: Any = collections.deque.__new__(kind)
    collections.deque.__init__(made, items, most)
    return made


def _fraction(kind: type, *args: Any) -> Any:
    if len(args) == 1 and type(args[0]) is str:
        numerator, _, denominator = args[0].partition('/')
        parts = [numerator, denominator or '1']
        if any(len(part) > _MAX_DIGITS or not part.lstrip('-').isdecimal() for part in parts):
            raise ValueError('a part of it is not a number')
        args = tuple(map(int, parts))
    numerator, denominator = args if len(args) == 2 else (*args, 1)
    if type(numerator) is not int or type(denominator) is not int or denominator < 1:
        raise ValueError('a part of it is not a number')
    # As its parts are: reducing large ones takes more than proportional time, and the other side has done it.
    made: Any = object.__new__(kind)
    _put_slot(fractions.Fraction, '_numerator', made, numerator)
    _put_slot(fractions.Fraction, '_denominator', made, denominator)
    return made


def _put_slot(base: type, name: str, made: Any, value: Any) -> None:
    # Not by setattr(), which asks the class.
    base.__dict__[name].__set__(made, value)


def _timedelta(kind: type, *args: Any) -> Any:
    if any(type(arg) is not int for arg in args):
        raise TypeError('a part of it is not a number')
    return datetime.timedelta.__new__(kind, *args)


def path(base: Any) -> Callable[..., Any]:
    """Makes paths of parts that are text: no `__fspath__` of theirs is asked."""

    def make(kind: Any, *parts: Any) -> Any:
        if any(type(part) is not str for part in parts):
            raise TypeError('a part of it is not text')
        plain = base(*parts)
        if kind is base:
            return plain
        made = object.__new__(kind)
        for owner in bases(base):
            for name, slot in members(owner).items():
                if type(slot) is types.MemberDescriptorType and hasattr(plain, name):
                    slot.__set__(made, slot.__get__(plain))
        return made

    return make


def _nothing_given(kind: type, *args: Any) -> Any:
    if args:
        raise TypeError('its __new__ takes arguments')
    return object.__new__(kind)


def date_parts(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a date, or a time, is pickled as: its bytes and its zone."""
    if not 1 <= len(args) <= 2:
        raise TypeError('%d arguments' % len(args))
    if len(args) == 2 and not (args[1] is None or issubclass(type(args[1]), datetime.tzinfo)):
        raise TypeError('its time zone is a %s' % type(args[1]).__name__)
    return (raw(args[0]), *args[1:])


def _date(base: Any) -> Callable[..., Any]:
    def make(kind: type, *args: Any) -> Any:
        parts = date_parts(args)
        # Of bytes C takes days and hours that there are not; replace() of an instance would run methods of its class.
        base(*parts).replace()
        return base.__new__(kind, *parts)

    return make


# Classes whose instances are pickled as calls of their class, and how one is made of its arguments.
CALLED: dict[type, Callable[..., Any]] = {
    bytearray: _bytearray,
    set: _set_of(set),
    frozenset: _set_of(frozenset),
    collections.OrderedDict: _ordered,
    collections.defaultdict: _defaultdict,
    collections.Counter: _counter,
    collections.deque: _deque,
    datetime.date: _date(datetime.date),
    datetime.datetime: _date(datetime.datetime),
    datetime.time: _date(datetime.time),
    datetime.timedelta: _timedelta,
    decimal.Decimal: _of(decimal.Decimal, str),
    fractions.Fraction: _fraction,
    pathlib.PurePosixPath: path(pathlib.PurePosixPath),
    pathlib.PureWindowsPath: path(pathlib.PureWindowsPath),
    type(pathlib.Path()): path(type(pathlib.Path())),
}

# What an instance is made of, by its first base that is not foreign: by it, and by nothing of its own. Those that are not called
# are made by `__new__`, and get their contents afterwards.
MAKERS: dict[type, Callable[..., Any]] = {
    **CALLED,
    object: _nothing_given,
    int: _of(int, int, bool),
    float: _of(float, float, int),
    complex: lambda kind, *args: complex.__new__(kind, *[_exactly((arg,), float, int)[0] for arg in args[:2]]),
    str: _of(str, str),
    bytes: lambda kind, *args: bytes.__new__(kind, *_bytes(args)),
    list: _filled(list, list, tuple),
    tuple: _tuple_of,
    dict: _of(dict),
    collections.UserDict: _nothing_given,
    collections.UserList: _nothing_given,
    # What it is given is in its state, too.
    collections.UserString: lambda kind, *args: object.__new__(kind),
    collections.ChainMap: _nothing_given,
    subprocess.CompletedProcess: _nothing_given,
    datetime.tzinfo: lambda kind, *args: datetime.tzinfo.__new__(kind),
}
