"""What a name of a pickle stands for, and what a constructor gives back: the two things that the decoder deals with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .. import _errors, _native

# What may happen to a value after it was made: its state is set on itself; its state makes another value, as long as nothing holds
# it; or it is not a value at all until its state has come.
IN_PLACE = 0
REPLACED = 1
UNFINISHED = 2


class Made:
    """A value that still takes a state (`build`), items (`add`), or keys and values in turn (`put`)."""

    __slots__ = ('value', 'build', 'add', 'put', 'waits')

    def __init__(
        self,
        value: Any,
        build: Callable[[Any, Any], Any] | None = None,
        add: Callable[[Any, list[Any]], None] | None = None,
        put: Callable[[Any, list[Any]], None] | None = None,
        waits: int = IN_PLACE,
    ) -> None:
        self.value = value
        self.build = build
        self.add = add
        self.put = put
        self.waits = waits


class Name:
    """What a pickle has looked up. Each use is a function of ours or refused."""

    __slots__ = ('_full', '_value', '_call', '_new')

    def __init__(
        self,
        full: str,
        value: Callable[[], Any] | None = None,
        call: Callable[..., Any] | None = None,
        new: Callable[..., Any] | None = None,
    ) -> None:
        """`value` gives the thing itself, for a pickle that only hands it on."""
        self._full = full
        self._value = value
        self._call = call
        self._new = new

    @property
    def value(self) -> Any:
        """The thing itself."""
        if self._value is None:
            self._refuse('holds %s as a value' % self._full)
        return self._value()

    def call(self, arguments: tuple[Any, ...]) -> Any:
        """What a call with these arguments makes."""
        if self._call is None:
            self._refuse('calls %s' % self._full)
        try:
            return self._call(*arguments)
        except (_errors.Refused, RecursionError, MemoryError):
            raise
        except Exception as error:
            raise self._cannot(error) from error

    def new(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What `__new__` of the class would make."""
        if self._new is None:
            self._refuse('makes an instance of %s' % self._full)
        try:
            return self._new(*arguments, **keywords)
        except (_errors.Refused, RecursionError, MemoryError):
            raise
        except Exception as error:
            raise self._cannot(error) from error

    def _refuse(self, what: str) -> NoReturn:
        raise _errors.Refused(
            'the server sent a pickle that %s, which no pickle of a value does' % _native.printable(what), self._full
        )

    def _cannot(self, error: Exception) -> _errors.Refused:
        text = 'the server sent a %s that cannot be made: %s: %s' % (self._full, type(error).__name__, error)
        return _errors.Refused(_native.printable(text), self._full)


def taking(function: Callable[..., Any], *kinds: Any, least: int | None = None) -> Callable[..., Any]:
    """`function`, if each argument's type is exactly one of those at its place; `least` arguments at least, all by default."""
    sets = tuple(frozenset(kind if isinstance(kind, (tuple, frozenset)) else (kind,)) for kind in kinds)
    needed = len(sets) if least is None else least

    def checked(*arguments: Any) -> Any:
        if not needed <= len(arguments) <= len(sets):
            raise TypeError('%d arguments' % len(arguments))
        for argument, allowed in zip(arguments, sets):
            if type(argument) not in allowed:
                raise TypeError('an argument is a %s' % type(argument).__name__)
        return function(*arguments)

    return checked


def put_by(setter: Callable[[Any, Any, Any], None]) -> Callable[[Any, list[Any]], None]:
    """Sets keys and values in turn by a built-in `__setitem__`."""

    def put(target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise _errors.Refused('the server sent a key without a value')
        parts = iter(items)
        for key, value in zip(parts, parts):
            setter(target, key, value)

    return put


def raw(value: Any) -> bytes:
    """The bytes of a state; a Python 2 server writes them as `str`, which was decoded so that nothing of it is lost."""
    if type(value) is bytes or type(value) is bytearray:
        return bytes(value)
    if type(value) is str:
        return value.encode('utf-8', 'surrogateescape')
    raise TypeError('its state is a %s and not bytes' % type(value).__name__)
