"""The constructors of well-known values: each builds a new one from parts that it has checked, and from nothing else."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import importlib
import ipaddress
import platform
import re
import types
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import _native
from . import classes, contents, iterators, standard, tables, trust
from .made import UNFINISHED, Made, put_by, raw, taking

_NUMBERS = (int, float, bool)
_MAX_BITS = 1 << 14
# For spend_work(): reading a zone takes some 100 us, compiling a regular expression 2 us a character.
_WORK_OF_ZONE = 10_000
_WORK_OF_LETTER = 200


def _date(base: Any, sizes: tuple[int, ...]) -> Callable[..., Any]:
    # From bytes C takes days and hours that there are not; replace() checks them.
    def make(*args: Any) -> Any:
        # Most have no zone, and there may be many.
        if len(args) == 1 and type(args[0]) is bytes and len(args[0]) in sizes:
            return base(args[0]).replace()
        content, *zone = contents.date_parts(args)
        if len(content) not in sizes:
            raise ValueError('its state has %d bytes' % len(content))
        return base(content, *zone).replace()

    return make


def _tzinfo(*args: Any) -> Made:
    return classes.instance(datetime.tzinfo)


def _array(code: Any, content: Any = ()) -> Any:
    if type(code) not in (str, bytes) or len(code) != 1:
        raise TypeError('its type is none')
    if type(code) is bytes:
        code = code.decode('ascii')
    if type(content) is list:
        kinds = frozenset(map(type, content))
        if not kinds <= {int, float, str}:
            raise TypeError('it holds other things than numbers')
    elif type(content) is str and code not in ('u', 'w'):
        content = raw(content)
    elif type(content) not in (str, bytes, tuple) or type(content) is tuple and content:
        raise TypeError('its content is a %s' % type(content).__name__)
    return _sound_text(array.array(code, content))


def _sound_text(made: array.array[Any]) -> array.array[Any]:
    """An array of characters only of those that there are: of bytes, C makes it of any numbers."""
    if made.typecode in ('u', 'w'):
        made.tounicode().encode('utf-32-le', 'surrogatepass')
    return made


def _array_reconstructor(kind: Any, code: Any, layout: Any, content: Any) -> Any:
    is_derived = kind is not array.array and issubclass(type(kind), type) and issubclass(kind, array.array)
    if is_derived and not trust.takes_untrusted_state(kind):
        # Which refuses it by its name.
        return classes.instance(kind)
    is_kind = is_derived or kind is array.array
    if not is_kind or type(code) is not str or type(layout) is not int or type(content) is not bytes:
        raise TypeError('it is made of other things than bytes')
    made = _sound_text(array._array_reconstructor(kind, code, layout, content))  # type: ignore[attr-defined]
    return classes.standard(made, ()) if is_derived else made


_UUID_NUMBER = 1 << 128


def _uuid(*args: Any) -> Made:
    if args:
        raise TypeError('its __new__ takes no arguments')

    def build(_: Any, state: Any) -> uuid.UUID:
        (parts,) = classes.states(state)
        number, safe = parts.get('int'), parts.get('is_safe', uuid.SafeUUID.unknown)
        if type(number) is not int or not 0 <= number < _UUID_NUMBER:
            raise TypeError('its number is not a number')
        if type(safe) is not uuid.SafeUUID:
            safe = uuid.SafeUUID(safe) if type(safe) in (int, type(None)) else uuid.SafeUUID.unknown
        return uuid.UUID(int=number, is_safe=safe)

    return Made(None, build, waits=UNFINISHED)


def _range(*args: Any) -> range:
    # Of its parts its length is found by division, which takes the square of theirs.
    if any(arg.bit_length() > _MAX_BITS for arg in args):
        raise ValueError('a part of it is too large')
    return range(*args)


def _zone(key: Any, *_: Any) -> Any:
    if type(key) is not str or len(key) > 255:
        raise TypeError('its name is not text')
    # One for each name, because each takes memory and a file is read for it.
    _native.spend_work(_WORK_OF_ZONE)
    return importlib.import_module('zoneinfo').ZoneInfo(key)


def _namespace(*args: Any) -> Made:
    if args:
        raise TypeError('%d arguments' % len(args))
    return Made(types.SimpleNamespace(), classes.set_state)


def _reconstructed(kind: Any, base: Any, content: Any) -> Any:
    """What copyreg's function of protocols 0 and 1 makes."""
    if not issubclass(type(kind), type) or not issubclass(type(base), type) or base not in contents.MAKERS:
        raise TypeError('it is made by way of another class')
    given = () if base is object else (content,)
    if kind is uuid.UUID:
        return _uuid(*given)
    if trust.takes_untrusted_state(kind):
        return classes.standard(base.__new__(kind, *given), ())
    if (
        kind is base
        or base is not trust.first_known(kind)
        and (kind.__module__, kind.__name__) not in tables.PLAIN_CLASSES
    ):
        raise TypeError('it is made by way of another class')
    return classes.instance(kind, *given)


def structure(kind: Any) -> Callable[..., Any]:
    """For the structures of C, such as os.stat_result."""
    return taking(kind, tuple, dict, least=1)


def plain_class(kind: Any) -> Callable[..., Any]:
    """For classes in Python that only hold what their state says."""
    return lambda *args: classes.instance(kind, *args)


_ADDRESS_PARTS = ((int, str), (int,))

CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ('builtins', 'bool'): taking(bool, (bool, int), least=0),
    ('builtins', 'int'): taking(int, (int, bool), least=0),
    ('builtins', 'float'): taking(float, _NUMBERS, least=0),
    ('builtins', 'complex'): taking(complex, _NUMBERS, _NUMBERS, least=0),
    ('builtins', 'str'): taking(str, str, least=0),
    ('builtins', 'list'): lambda *args: Made(taking(list, contents.LISTS, least=0)(*args), add=list.extend),
    ('builtins', 'tuple'): taking(tuple, contents.LISTS, least=0),
    ('builtins', 'dict'): lambda *args: Made(taking(dict, dict, least=0)(*args), put=put_by(dict.__setitem__)),
    ('builtins', 'range'): taking(_range, int, int, int, least=1),
    ('builtins', 'slice'): slice,
    ('builtins', 'object'): lambda: object(),
    ('_codecs', 'encode'): contents.latin1,
    ('copyreg', '_reconstructor'): _reconstructed,
    ('array', 'array'): _array,
    ('array', '_array_reconstructor'): _array_reconstructor,
    ('datetime', 'date'): _date(datetime.date, (4,)),
    ('datetime', 'datetime'): _date(datetime.datetime, (10,)),
    ('datetime', 'time'): _date(datetime.time, (6,)),
    ('datetime', 'timezone'): taking(datetime.timezone, datetime.timedelta, str, least=1),
    ('datetime', 'tzinfo'): _tzinfo,
    ('types', 'SimpleNamespace'): _namespace,
    ('uuid', 'SafeUUID'): taking(uuid.SafeUUID, (int, type(None))),
    ('zoneinfo', 'ZoneInfo._unpickle'): _zone,
    **iterators.MAKERS,
}
_class: type[Any]
# As instances of classes derived from them are, but that these take nothing more once they are made.
for _class in (bytes, bytearray, set, frozenset, datetime.timedelta, decimal.Decimal, fractions.Fraction):
    CALLS[_class.__module__, _class.__name__] = partial(contents.MAKERS[_class], _class)
for _class in (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque):
    CALLS[_class.__module__, _class.__name__] = plain_class(_class)
for _kind in ('IPv4Address', 'IPv4Interface', 'IPv4Network', 'IPv6Address', 'IPv6Interface', 'IPv6Network'):
    CALLS['ipaddress', _kind] = taking(getattr(ipaddress, _kind), (int, str))


# Made by `__new__`, with a state.
_NEW: dict[tuple[str, str], Callable[..., Any]] = {('uuid', 'UUID'): _uuid, ('builtins', 'object'): lambda: object()}


def uname(*args: Any) -> Any:
    """A platform.uname_result. From 3.9 on it finds out its last part by itself, when it is asked for it: where it is."""
    kind: Any = platform.uname_result
    if any(type(arg) is not str for arg in args) or not 5 <= len(args) <= 6:
        raise TypeError('its parts are not six texts')
    if 'processor' not in kind.__dict__:
        return tuple.__new__(kind, args)
    made = tuple.__new__(kind, args[:5])
    if len(args) == 6:
        made.__dict__['processor'] = args[5]
    return made


def _fields(kind: Any) -> tuple[str, ...]:
    return next((base.__dict__['_fields'] for base in kind.__mro__ if '_fields' in base.__dict__), ())


def uses(module: str, name: str, kind: Any) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """How a value of a known name is called, and how it is made by `__new__`; None where no pickle of a value does so."""
    call = CALLS.get((module, name))
    new = _NEW.get((module, name))
    if module == 'pathlib':
        return partial(contents.path(kind), kind), None
    if call is None and new is None and isinstance(kind, type) and (module, name) in tables.PLAIN_CLASSES:
        new = plain_class(kind)
    return call, new


def _settle(target: Any, state: Any) -> Any:
    # What other versions keep beside the items may have no place here.
    return classes.set_state(target, state) if hasattr(target, '__dict__') else target


def result_tuple(kind: Any) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """The same for the result tuples of the library: structures of C, and named tuples."""
    if standard.is_structure(kind):
        return structure(kind), None
    if kind is platform.uname_result:
        return uname, uname

    def make(*args: Any) -> Any:
        fields = _fields(kind)
        defaults = getattr(kind, '_field_defaults', {})
        if fields and not len(fields) - len(defaults) <= len(args) <= len(fields):
            # A version with others, whose names are not known here.
            return args
        return Made(classes.instance(kind, *args).value, _settle)

    return make, make


_MAX_PATTERN = 65536
_FLAGS = int(re.ASCII | re.IGNORECASE | re.LOCALE | re.UNICODE | re.MULTILINE | re.DOTALL | re.VERBOSE)


def _pattern(source: Any, flags: Any = 0) -> Any:
    """A compiled regular expression; it is compiled here, and prints nothing."""
    if type(source) not in (str, bytes) or not (type(flags) is int or type(flags) is re.RegexFlag):
        raise TypeError('it is made of other things than text and flags')
    if len(source) > _MAX_PATTERN:
        raise ValueError('it is longer than %d characters' % _MAX_PATTERN)
    _native.spend_work((1 + len(source)) * _WORK_OF_LETTER)
    return re.compile(source, int(flags) & _FLAGS)


CALLS['re', '_compile'] = _pattern
