"""Instances of classes that this program defines: made and given their state by us, so that none of their methods runs.

A class that is written to take what a server chooses says so by `__easycluster_untrusted_state__ = True`, and is then unpickled as
Python does it, with its own `__new__`, `__init__`, `__setstate__` and so on.
"""

from __future__ import annotations

import collections
import enum
import types
from collections.abc import Callable
from typing import Any

from .._shared import objects
from . import contents
from .attributes import check_attribute, check_names
from .made import Made, put_by
from .trust import bases, first_known, members, own_hook, refusal

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
    check_names(type(target), [*(state or ()), *(slots or ())])
    if state:
        target.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(target, name, value)
    return target


# -- by us


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
    if base not in contents.MAKERS and issubclass(base, tuple):
        # A result tuple of the library.
        base = tuple
    make = contents.MAKERS.get(base)
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
                check_attribute(kind, name, value)
                slot = _slot(kind, name)
                if slot is not None:
                    slot.__set__(target, value)
                else:
                    _dictionary(target)[name] = value
    except TypeError as error:
        raise refusal(kind, 'has a state that cannot be set: %s' % error) from None
    return target
