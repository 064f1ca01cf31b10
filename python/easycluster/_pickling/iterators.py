"""Iterators that a server sends: remade of plain data only, or going through a sequence that stays on the server."""

from __future__ import annotations

import array
import collections
from collections.abc import Callable
from typing import Any

from .. import _errors
from .._shared import objects
from .made import Made

# What they may be remade of. Anything else could be a way to have code of a class run, or a function called by code that goes
# through the iterator.
_EMPTY: list[Any] = [[], (), '', b'', bytearray(), range(0), {}, set(), array.array('b')]
_ITERATED: frozenset[type] = frozenset(
    (list, tuple, str, bytes, bytearray, range, dict, set, frozenset, int, array.array)
    + (collections.deque, collections.OrderedDict, collections.Counter, collections.defaultdict)
    + tuple(type(iter(empty)) for empty in _EMPTY)
    + (type(reversed([])), type(reversed(())), enumerate, zip)
)


class _Remote:
    """Goes through a sequence on the server by its index."""

    def __init__(self, proxy: objects.RemoteProxy, start: int = 0) -> None:
        self._proxy = proxy
        self._next = start

    def __setstate__(self, state: int) -> None:
        self._next = state

    def __iter__(self) -> _Remote:
        return self

    def __next__(self) -> Any:
        try:
            item = self._proxy.raw_call_method('__getitem__', (self._next,), origexc=False)
        except objects.RemoteException as error:
            if isinstance(error.orig, IndexError):
                raise StopIteration from None
            raise error.orig from None
        if hasattr(item, '__await__'):
            raise TypeError('what an AsyncClient has to wait for cannot be iterated over; ask for a list')
        self._next += 1
        return item


def _remote(proxy: objects.RemoteProxy, start: Any = 0) -> Made:
    if type(start) is not int:
        raise _errors.Refused('a server sent an iterator that begins at a %s' % type(start).__name__)
    return Made(_Remote(proxy, start), _set_place)


def _set_place(iterator: Any, state: Any) -> Any:
    if type(state) not in (int, bool):
        raise _errors.Refused('a server sent an iterator whose place is a %s' % type(state).__name__)
    iterator.__setstate__(state)
    return iterator


def _maker(name: str, function: Callable[..., Any], forward: bool = False) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if forward and args and issubclass(type(args[0]), objects.RemoteProxy):
            return _remote(*args)
        for value in args:
            if type(value) not in _ITERATED and type(value) is not _Remote:
                raise _errors.Refused('a server sent an iterator by %s() of a %s' % (name, type(value).__name__), name)
        return Made(function(*args), _set_place)

    return make


MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ('builtins', 'iter'): _maker('iter', iter, True),
    ('builtins', 'reversed'): _maker('reversed', reversed),
    ('builtins', 'enumerate'): _maker('enumerate', enumerate),
    ('builtins', 'zip'): _maker('zip', zip),
    ('collections', '_deque_iterator'): _maker('deque', type(iter(collections.deque())), True),
}
