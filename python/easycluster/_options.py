"""Keyword arguments: the options that every remote call takes beside the function's own, and what to say of one that there is not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, TypedDict, Union

from . import _kinds, _native
from ._shared import objects

# No time limit: as many seconds as nobody waits, and more than there can be.
_ENDLESS = 1e9
# What is called, where that is a function of the package's own.
_CALLED = {
    'helpers/commands.run': 'the command',
    'helpers/map_items.batch': 'the item',
    'helpers/map_items.call': 'the function',
}
# How much of an expression is shown.
_SHOWN = 60

# A function, or a tuple of one and further arguments.
CompletionFunction = Union[Callable[..., object], tuple[Any, ...]]


class AwaitedOptions(TypedDict, total=False):
    """What a call takes that is awaited.

    threadid: the number of the server's thread to run in; SINGLE for a thread of its own.
    origexc: True raises the original exception and prints the remote traceback, 'quiet' does not print, False raises RemoteException.
    timeout: seconds after which the call is given up and raises CallTimeout. A remote function that takes a keyword of this name
        gets it instead. call_timeout: the same limit, which is always the call's.
    keep: True leaves the result on the server and gives a proxy for it, whatever it is but None; other values are the function's.
    """

    threadid: Hashable
    origexc: bool | str | None
    call_timeout: float | None
    timeout: float | None
    keep: bool


class CallOptions(AwaitedOptions, total=False):
    """What a call of a blocking client takes.

    nonblocking: True gives a NonblockingResponse at once.
    oncomplete, onerror: functions, or tuples `(function, argument, ...)`, that are called with the response; the call then gives
        its number at once.
    """

    nonblocking: bool
    oncomplete: CompletionFunction | None
    onerror: CompletionFunction | None


class Limit(float):
    """The time limit of a call in seconds, which knows what was called."""

    __slots__ = ('_kind', '_message')

    _kind: int
    _message: tuple[Any, ...]

    def __new__(cls, seconds: float, kind: int, message: tuple[Any, ...]) -> Limit:
        """`kind` and `message` are those of the request."""
        made = super().__new__(cls, seconds)
        made._kind = kind
        made._message = message
        return made

    @property
    def called(self) -> str:
        """What was called, in words."""
        message = self._message
        if self._kind in (_kinds.METHOD, _kinds.RUN):
            return '%s()' % message[1]
        if self._kind == _kinds.CALL:
            return _CALLED.get(message[0]) or '%s()' % message[0]
        text = ' '.join(str(message[0]).split())
        return {_kinds.EVAL: 'eval', _kinds.EXEC: 'execblock'}.get(self._kind, 'definitions') + ' of %r' % (
            text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'
        )


def seconds(given: Any, name: str = 'timeout') -> float | None:
    """A time limit as it is given; None where there is none."""
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not hasattr(given, '__float__'):
        raise TypeError('%s is a number of seconds, or None for no limit, and not %r' % (name, type(given).__name__))
    if not given >= 0:
        raise ValueError('%s must be a number of seconds, 0 or more, and not %r' % (name, given))
    return None if given > _ENDLESS else float(given)


def limited(given: Any, kind: int, message: tuple[Any, ...]) -> Limit | None:
    """The time limit of a request."""
    limit = seconds(given)
    return None if limit is None else Limit(limit, kind, message)


def checked_functions(*functions: Any) -> None:
    """Raises TypeError for a completion function that is none; where it is called, that would look like a fault of another call."""
    for each in functions:
        if each is not None and not callable(each[0] if isinstance(each, tuple) and each else each):
            raise TypeError(
                'oncomplete and onerror are functions, or tuples of a function and arguments, and not %r' % (each,)
            )


def checked_number(name: str, given: Any, least: int) -> None:
    """Raises ValueError for what is no number of something."""
    if not isinstance(given, int) or not least <= given <= 1 << 31:
        raise ValueError('%s is a number from %d on, not %r' % (name, least, given))


def names_of_modules(names: Any) -> list[str]:
    """The names of modules that were given, one or several."""
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if not isinstance(name, str):
            raise TypeError('a module is named by text, and not by %r' % type(name).__name__)
    return given


def checked_code(name: str, code: object) -> None:
    """Raises TypeError for what is no source."""
    if not isinstance(code, str):
        other = '; a function is for run() of a client or call() of a cluster' if callable(code) else ''
        raise TypeError('%s() takes Python code as text, and not %r%s' % (name, type(code).__name__, other))


# Takes the options of a call out of its keyword arguments. `timeout` stays: it may be the remote function's.
split_options = objects.split_options


def check_keywords(kind: type, given: Iterable[str], known: Collection[str], told: type | None = None) -> None:
    """Raises TypeError for a keyword of a class that is not known, and names the one that is probably meant. `told` is the class that
    was given the keywords and hands them on."""
    for keyword in given:
        if keyword not in known:
            every = [*known, *inspect.signature(kind).parameters]
            if told is not None:
                every += inspect.signature(told).parameters
            meant = _native.nearest(keyword, every)
            hint = '' if meant is None else '. Did you mean %r?' % meant
            raise TypeError('%s() got an unexpected keyword argument %r%s' % ((told or kind).__name__, keyword, hint))
