"""Exceptions: made by the classes of C that they are derived from, with their arguments and attributes, and nothing else."""

from __future__ import annotations

import builtins
import collections
import importlib
import io
import pathlib
import types
from typing import Any

from .. import _errors, _native
from . import classes, standard, trust
from .attributes import check_attribute
from .made import Made, raw
from .settled import Unreadable, settled

_PLAIN = frozenset((type(None), bool, int, float, str, bytes))


# What a constructor of C may look into, or ask for its number or hash.
_TAME = _PLAIN | {tuple, list, dict, complex, bytearray}
# Modules of classes that only say what others have.
_ABSTRACT = frozenset(('abc', 'collections.abc', '_collections_abc', 'typing', 'numbers'))
_LOOKING: Any = (OSError, UnicodeError, SyntaxError, getattr(builtins, 'BaseExceptionGroup', SyntaxError))


def _is_tame(value: Any) -> bool:
    return (
        type(value) in _TAME
        or issubclass(type(value), (pathlib.PurePath, BaseException))
        and not trust.is_foreign(type(value))
    )


def _of_c(kind: type) -> Any:
    for base in trust.bases(kind):
        if not base.__flags__ & trust.HEAP_TYPE:
            return base
    return BaseException


def _says_how(kind: type) -> bool:
    """Whether a class of the library says by a method of its own what it is made of, as json.JSONDecodeError does."""
    for base in trust.bases(kind):
        own = trust.members(base)
        for name in ('__reduce__', '__reduce_ex__'):
            if name in own:
                return type(own[name]) is types.FunctionType
    return False


def _text_arguments(base: type, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Those of a UnicodeDecodeError with the bytes that it is about, which are text where they come from Python 2."""
    if base is UnicodeDecodeError and len(args) == 5 and type(args[1]) is str:
        return (args[0], raw(args[1]), *args[2:])
    return args


def _holds_more(base: type) -> bool:
    """Whether a base of an exception is a class of the library that is none, and needs what its own constructor sets."""
    return (
        not issubclass(base, BaseException)
        and bool(base.__flags__ & trust.HEAP_TYPE)
        and standard.is_standard_class(base)
        and base.__module__ not in _ABSTRACT
    )


def _error_of_http(
    kind: Any, url: Any = None, code: Any = None, message: Any = None, headers: Any = (), *_: Any
) -> Made:
    """An HTTPError, which is a file too: without one, whatever looks for an attribute of it fails, as printing it does."""
    if (kind.__module__, kind.__qualname__) != ('urllib.error', 'HTTPError') or any(
        type(part) not in _PLAIN for part in (url, code, message)
    ):
        raise TypeError('it is made of other things than an address, a number and a text')
    made = importlib.import_module('http.client').HTTPMessage()
    for name, value in headers if type(headers) is tuple else ():
        if type(name) is not str or type(value) is not str:
            raise TypeError('a header of it is not text')
        made[name] = value
    return Made(kind(url, code, message, made, io.BytesIO()), lambda made, _: made)


def exception(kind: Any, *args: Any) -> Any:
    """The exception of a class. A constructor written in Python runs only if it is one of the library's that says what it is given,
    and that is plain: others could be asked for attributes by it, or print themselves."""
    hook = trust.own_hook(kind, '__del__')
    if hook is not None:
        raise _errors.Refused('the server sent a %s, which has a %s of its own. %s' % (
            kind.__name__, hook, trust.OPT_IN_HINT))  # fmt: skip
    if any(map(_holds_more, trust.bases(kind))):
        return _error_of_http(kind, *args)
    base = _of_c(kind)
    made = None
    if base is not kind and not any(map(trust.is_foreign, trust.bases(kind))) and _says_how(kind):
        if all(type(arg) in _PLAIN for arg in args):
            try:
                made = settled(lambda: kind(*args))
            except Unreadable:
                # Its arguments are not those of its constructor.
                pass
    if made is None:
        args = _text_arguments(base, args)
        made = _by_c(base, kind, args) if not issubclass(base, _LOOKING) or all(map(_is_tame, args)) else None
    if made is None:
        made = base.__new__(kind)
        BaseException.__dict__['args'].__set__(made, args)
    return Made(_marked_within(made), set_state)


def _marked_within(made: Any) -> Any:
    """The exception, of whose source no more is marked than there is: who prints it makes a line as long as the mark."""
    if not issubclass(type(made), SyntaxError):
        return made
    text = SyntaxError.__dict__['text'].__get__(made)
    most = len(text) + 1 if type(text) is str else 1
    for name in ('offset', 'end_offset'):
        # The end is none before 3.10.
        kept: Any = SyntaxError.__dict__.get(name)
        place = kept.__get__(made) if kept else None
        if type(place) is int and not -1 <= place <= most:
            kept.__set__(made, most)
    return made


def _by_c(base: Any, kind: Any, args: tuple[Any, ...]) -> Any:
    """The exception as C makes it; None where its arguments are not those that C wants."""

    def make() -> Any:
        made = base.__new__(kind, *args)
        base.__init__(made, *args)
        return made

    try:
        return settled(make)
    except Unreadable as unreadable:
        if isinstance(unreadable.error, (TypeError, ValueError)):
            return None
        raise unreadable.error from None


# What an exception may show beside as much as was received of it, in small values and characters.
_SHOWN_FREE = 1 << 24
_TEXTS = frozenset((str, bytes, bytearray))
# What shows all its items, each time that it is shown.
_SHOWING: tuple[Any, ...] = (list, tuple, set, frozenset, collections.deque)


def check_length(error: BaseException, received: int) -> None:
    """Raises Refused for an exception that shows far more than was received of it: each part as often as it holds it, so forty lists of
    two, each of which holds the one before twice, are shown for days. What is raised and not caught shows itself."""
    most = received + _SHOWN_FREE
    # How long each part is that holds others: 1 while that is being found, as a part within itself is shown shortly.
    lengths: dict[int, int] = {}
    open_parts: list[tuple[Any, list[Any]]] = []
    waiting: list[Any] = [error]
    while waiting:
        value = waiting[-1]
        if open_parts and open_parts[-1][0] is value:
            _, parts = open_parts.pop()
            length = 1
            for part in parts:
                length += 1 + len(part) if type(part) in _TEXTS else lengths.get(id(part), 1)
            if length > most:
                raise _errors.Refused(
                    'the server sent a %s that shows far more than was received' % type(error).__name__
                )
            lengths[id(value)] = length
        elif id(value) not in lengths:
            parts = _parts_shown(value)
            lengths[id(value)] = 1
            open_parts.append((value, parts))
            waiting.extend(part for part in parts if type(part) not in _PLAIN and id(part) not in lengths)
            continue
        waiting.pop()


def _parts_shown(value: Any) -> list[Any]:
    """What is shown where a value is; none of its methods is called."""
    kind = type(value)
    for base in _SHOWING:
        if issubclass(kind, base):
            return list(base.__iter__(value))
    if issubclass(kind, dict):
        return [*dict.__iter__(value), *dict.values(value)]
    if kind is types.SimpleNamespace:
        return list(vars(value).values())
    if not issubclass(kind, BaseException):
        return []
    found = list(BaseException.__dict__['args'].__get__(value))
    for base in trust.bases(kind):
        if issubclass(base, BaseException) and not base.__flags__ & trust.HEAP_TYPE:
            kept = [each for each in base.__dict__.values() if type(each) is types.MemberDescriptorType]
            found.extend(each.__get__(value) for each in kept)
    notes = BaseException.__dict__['__dict__'].__get__(value).get('__notes__')
    return found + (notes if type(notes) is list else [])


def _notes(notes: Any) -> list[str]:
    """Notes are for people alone, and printed as they are."""
    return [_native.printable(note) for note in notes if type(note) is str] if type(notes) in (list, tuple) else []


def set_state(target: BaseException, state: Any) -> BaseException:
    """Sets the attributes of an exception; those that C keeps are set by C, which checks them."""
    kind = type(target)
    if trust.own_hook(kind, '__setstate__') is not None:
        raise _errors.Refused('the server sent a %s, which has a __setstate__ of its own. %s' % (
            kind.__name__, trust.OPT_IN_HINT))  # fmt: skip
    own = BaseException.__dict__['__dict__'].__get__(target)
    for part in classes.states(state):
        for name, value in part.items():
            name = standard.moved.ATTRIBUTES.get(name, name)
            if name == '__notes__':
                value = _notes(value)
            elif name == 'obj' and issubclass(kind, AttributeError) and not _is_tame(value):
                # Whatever prints it asks this for its names.
                continue
            elif name == 'name_from' and issubclass(kind, ImportError):
                # From 3.12 on, whatever prints it imports the module of which this was wanted, for others of its names.
                continue
            kept: Any = next(
                (trust.members(base)[name] for base in trust.bases(kind) if name in trust.members(base)), None
            )
            if not name.startswith('__') and type(kept) in (types.MemberDescriptorType, types.GetSetDescriptorType):
                if (
                    issubclass(kind, _LOOKING)
                    and not _is_tame(value)
                    or type(kept) is types.GetSetDescriptorType
                    and not _is_tame(value)
                ):
                    raise _errors.Refused('the server sent an exception whose %s is a %s' % (
                        _native.printable(name), type(value).__name__))  # fmt: skip
                kept.__set__(target, value)
            else:
                check_attribute(kind, name, value)
                own[name] = value
    return _marked_within(target)  # type: ignore[no-any-return]
