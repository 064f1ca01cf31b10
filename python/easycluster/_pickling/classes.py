"""Instances of classes that this program defines: made and given their state by us, so that none of their methods runs.

A class that is written to take what a server chooses says so by `__easycluster_untrusted_state__ = True`, and is then unpickled as
Python does it, with its own `__new__`, `__init__`, `__setstate__` and so on.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import pathlib
import subprocess
import types
from collections.abc import Callable
from typing import Any

from .._shared import objects
from .keys import check_key
from .made import Made, put_by, raw
from .trust import bases, first_known, is_foreign, members, own_hook, refusal

# What a state never sets, by whichever name.
_LOOKED_UP = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, enum.Enum, objects.RemoteProxy)


# -- as Python does it, for classes that are allowed or say that they take it


def standard_call(function: Any) -> Callable[..., Any]:
    """Calls what is allowed."""

    def call(*args: Any) -> Any:
        return standard(function(*args), args)

    return call


def standard_new(kind: Any) -> Callable[..., Any]:
    """Makes an instance of what is allowed."""

    def new(*args: Any, **keywords: Any) -> Any:
        return standard(kind.__new__(kind, *args, **keywords), args)

    return new


def standard(value: Any, args: tuple[Any, ...]) -> Any:
    # What was handed in, or is shared, is not changed by what a pickle says next.
    if issubclass(type(value), _LOOKED_UP) or any(value is given for given in args):
        return value
    return Made(value, _standard_state, _standard_add, put_by(_standard_put))


def _standard_put(target: Any, key: Any, value: Any) -> None:
    target[key] = value


def _standard_add(target: Any, items: list[Any]) -> None:
    if hasattr(target, 'extend'):
        target.extend(items)
    else:
        for item in items:
            (target.append if hasattr(target, 'append') else target.add)(item)


def _standard_state(target: Any, state: Any) -> Any:
    own = getattr(target, '__setstate__', None)
    if own is not None:
        own(state)
        return target
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        target.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(target, name, value)
    return target


# -- by us


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
        raise TypeError('its content is no %s' % kinds[0].__name__)
    return args


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


# What an instance is made of, by its first base that is not foreign: by it, and by nothing of its own.
MAKERS: dict[type, Callable[..., Any]] = {
    object: _nothing_given,
    int: _of(int, int, bool),
    float: _of(float, float, int),
    complex: lambda kind, *args: complex.__new__(kind, *[_exactly((arg,), float, int)[0] for arg in args[:2]]),
    str: _of(str, str),
    bytes: _of(bytes, bytes),
    bytearray: _filled(bytearray, bytes, bytearray),
    list: _filled(list, list, tuple),
    tuple: _tuple_of,
    dict: _of(dict),
    set: _set_of(set),
    frozenset: _set_of(frozenset),
    collections.OrderedDict: _of(collections.OrderedDict),
    collections.defaultdict: _of(collections.defaultdict),
    collections.Counter: _counter,
    collections.deque: _filled(collections.deque, list, tuple),
    collections.UserDict: _nothing_given,
    collections.UserList: _nothing_given,
    # What it is given is in its state, too.
    collections.UserString: lambda kind, *args: object.__new__(kind),
    collections.ChainMap: _nothing_given,
    subprocess.CompletedProcess: _nothing_given,
    datetime.tzinfo: lambda kind, *args: datetime.tzinfo.__new__(kind),
    datetime.date: _date(datetime.date),
    datetime.datetime: _date(datetime.datetime),
    datetime.time: _date(datetime.time),
    decimal.Decimal: _of(decimal.Decimal, str),
    pathlib.PurePosixPath: lambda kind, *args: pathlib.PurePosixPath.__new__(kind),
}
_ADD: dict[Any, Callable[[Any, list[Any]], None]] = {list: list.extend, collections.deque: collections.deque.extend}
_PUT: dict[Any, Callable[[Any, list[Any]], None]] = {
    dict: put_by(dict.__setitem__),
    collections.OrderedDict: put_by(collections.OrderedDict.__setitem__),
    collections.defaultdict: put_by(dict.__setitem__),
    collections.Counter: put_by(dict.__setitem__),
}


def instance(kind: type, *args: Any) -> Made:
    """An instance of a class, made without any method of its own."""
    hook = own_hook(kind, '__del__')
    if hook is not None:
        raise refusal(kind, 'has a %s of its own, which would run on what a server chose' % hook)
    base = first_known(kind)
    if base not in MAKERS and issubclass(base, tuple):
        # A result tuple of the library.
        base = tuple
    make = MAKERS.get(base)
    if make is None:
        raise refusal(kind, 'is derived from %s, of which no instance is made without its own methods' % base.__name__)
    try:
        value = make(kind, *args)
    except TypeError as error:
        raise refusal(kind, 'cannot be made without its own methods: %s' % error) from None
    return Made(value, set_state, _ADD.get(base), _PUT.get(base))


def _dictionary(target: Any) -> dict[str, Any]:
    for base in bases(type(target)):
        found = members(base).get('__dict__')
        if found is not None:
            if type(found) not in (types.GetSetDescriptorType, types.MemberDescriptorType):
                break
            own: dict[str, Any] = found.__get__(target)
            return own
    if issubclass(type(target), BaseException):
        return BaseException.__dict__['__dict__'].__get__(target)  # type: ignore[no-any-return]
    raise TypeError('it has no attributes of its own')


def _slot(kind: type, name: str) -> Any:
    for base in bases(kind):
        if name in members(base):
            found = members(base)[name]
            return found if type(found) is types.MemberDescriptorType else None
    return None


def states(state: Any) -> list[dict[str, Any]]:
    """A state's parts, the attributes and the slots; each with names that are text."""
    parts = state if type(state) is tuple and len(state) == 2 else (state,)
    found = []
    for part in parts:
        if part is None:
            continue
        if type(part) is not dict or not all(type(name) is str for name in part):
            raise TypeError('its state is a %s' % type(part).__name__)
        found.append(part)
    return found


def set_state(target: Any, state: Any) -> Any:
    """Sets the attributes and slots of an instance that was made by us, without any method of its class."""
    kind = type(target)
    hook = own_hook(kind, '__setstate__')
    if hook is not None:
        raise refusal(kind, 'has a %s of its own, which would run on what a server chose' % hook)
    try:
        for part in states(state):
            for name, value in part.items():
                slot = _slot(kind, name)
                if slot is not None:
                    slot.__set__(target, value)
                else:
                    _dictionary(target)[name] = value
    except TypeError as error:
        raise refusal(kind, 'has a state that cannot be set: %s' % error) from None
    return target
