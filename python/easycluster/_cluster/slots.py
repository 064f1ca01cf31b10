"""The processes of a cluster that items run in, and the functions that each of them knows."""

from __future__ import annotations

import itertools
import sys
import threading
import warnings
from collections.abc import Hashable, Iterator
from types import ModuleType
from typing import Any

from .. import _kinds, _process
from .._callbacks import Running
from .._caller import Caller
from .._errors import ConnectionLost
from .._responses import RemoteException, Retold
from .._shipping.functions import Portable, Sent, cloudpickle_source, is_large, size_of

_ERROR = _kinds.ERROR
# The module by whose name arguments refer to values that were sent ahead; `helpers/values.py` has the other one.
_values = ModuleType('easycluster_values')
sys.modules[_values.__name__] = _values
_ITEMS = 'helpers/map_items.'
_VALUES = 'helpers/values.'
# So many functions stay known to a process; the oldest are forgotten.
_KNOWN = 256


def is_lost(exc: RemoteException) -> bool:
    """Whether a call failed because its connection has ended."""
    orig = exc.orig
    # Closed here, it is a plain OSError.
    return isinstance(orig, ConnectionLost) or (type(orig) is OSError and not exc.text)


def _value(number: int) -> Any:
    raise TypeError('a scattered value is an argument of calls on its cluster')


_value.__module__ = _values.__name__
_value.__name__ = _value.__qualname__ = 'value'
_values.value = _value  # type: ignore[attr-defined]


class Scattered:
    """A value that every process of a cluster has; as an argument of calls there it stands for the value.

    Made by `cluster.scatter()`. The processes forget the value when the last reference to this is gone.
    """

    __slots__ = ('number', '__weakref__')

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _value, (self.number,)

    def __repr__(self) -> str:
        return '<Scattered %d>' % self.number


class Slot:
    """One remote process of a host. Functions are made known to it once, in front of their first items."""

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, host: str, client: Caller) -> None:
        """`client` is this slot's alone, as far as its main thread goes."""
        self.host = host
        self.client = client
        self._renew_locks()
        _process.renew_after_fork(self)
        self._known: dict[tuple[Sent, int | None], int] = {}
        self._has_helpers = False
        self._has_cloudpickle = False

    def _renew_locks(self) -> None:
        self._lock = threading.Lock()

    def _running(self) -> Running | None:
        """What a call of the process is made in, if that is a function which remote code has called."""
        asked = self.client._asked
        return None if asked is None else asked.thread()

    def is_lost(self, error: Exception) -> bool:
        """Whether a request failed because the connection has ended, and not because an argument raised an OSError as it was pickled."""
        return isinstance(error, OSError) and (isinstance(error, ConnectionLost) or not self.client.connected)

    def ask(self, name: str, args: tuple[Any, ...], done: Any, failed: Any, limit: float | None = None) -> int:
        """Calls a function of `helpers/map_items.py`; gives the call's number."""
        return self._call(_ITEMS + name, args, done, failed, limit)

    def _call(self, name: str, args: tuple[Any, ...], done: Any, failed: Any, limit: float | None = None) -> int:
        # In a function that the process has called, its main thread waits for that.
        return self._call_in(self._running() or 0, name, args, done, failed, limit)

    def _call_in(
        self, thread: Hashable, name: str, args: tuple[Any, ...], done: Any, failed: Any, limit: float | None = None
    ) -> int:
        client = self.client
        if not self._has_helpers:
            client._connected_native().send_helper('map_items')
            self._has_helpers = True
        number: int = client._call(name, args, {}, oncomplete=done, onerror=failed, threadid=thread, call_timeout=limit)
        return number

    @property
    def python(self) -> tuple[tuple[int, ...], str]:
        """The version and the implementation of its Python."""
        info = self.client.server_info or {}
        return tuple(info['python']), info['implementation']

    def provide_cloudpickle(self) -> None:
        """Sends cloudpickle, in front of the first pickle that needs it."""
        if not self._has_cloudpickle or self._running():
            self.ask('provide', (cloudpickle_source(),), _ignore, _ignore)
            self._has_cloudpickle = True

    def number_of(self, function: Portable) -> int:
        """The number by which the process knows a function, which is sent first if need be. Raises TypeError if it cannot be."""
        sent = function.sent_to(self.host, *self.python, self.client._forwarding)
        running = self._running()
        # What was sent in another thread there may not have arrived in this one.
        known = (sent, None if running is None else running.number)
        with self._lock:
            number = self._known.get(known)
            if number is not None:
                return number
            number = next(Slot._numbers)
            if sent[0] == 'value':
                self.provide_cloudpickle()
            if is_large(sent):
                warnings.warn(
                    '%s takes %d bytes, which are sent to each process; pass its data as an argument'
                    % (function.name, size_of(sent)),
                    stacklevel=4,
                )
            self.ask('install', (number, *sent), _ignore, _ignore)
            self._known[known] = number
            if len(self._known) > _KNOWN:
                oldest = next(iter(self._known))
                self.ask('forget', (self._known.pop(oldest),), _ignore, _ignore)
            return number

    def forget_outcomes(self, batches: list[tuple[int, int]]) -> None:
        """Has the process forget the outcomes of batches, behind those that were sent before."""
        self._tell(_ITEMS + 'forget_outcomes', batches)

    # -- values that are sent ahead, see `ahead.py`

    def hold(self, number: int, value: Any) -> None:
        """Sends a value ahead of the calls that use it."""
        self._call(_VALUES + 'hold', (number, value), _ignore, _ignore)

    def expect(self, number: int) -> None:
        """Has the calls that are sent from now on wait for a value that aside() brings."""
        self._call(_VALUES + 'expect', (number,), _ignore, _ignore)

    def aside(self, name: str, args: tuple[Any, ...], done: Any, failed: Any) -> None:
        """Calls a function of `helpers/values.py` beside what runs there, in a thread of its own."""
        self._call_in(_kinds.SINGLE, _VALUES + name, args, done, failed)

    def lack(self, number: int, reason: str) -> None:
        """Says that a value does not come, to the calls that wait for it."""
        try:
            self.aside('fail', (number, reason), _ignore, Retold(self._stuck))
        except OSError as error:
            if _process.raised_by_handler(error):
                raise
            # It is lost, and with it those calls.

    def _stuck(self, exc: RemoteException) -> None:
        """Gives the process up: it starts no more threads, so the calls would wait for ever."""
        if not is_lost(exc):
            self.client.close(exc)

    def drop(self, number: int, last: bool, unknown: bool) -> None:
        """Has a value that was sent ahead forgotten, behind the calls that were sent before; `last` says that it comes no more, and
        `unknown` that it may come all the same."""
        self._tell(_VALUES + 'drop', number, last, unknown)

    def unshare(self, number: int) -> None:
        """Has a value no longer kept for other processes of the host."""
        self._tell(_VALUES + 'unshare', number)

    def _tell(self, name: str, *args: Any) -> None:
        try:
            self._call(name, args, _ignore, _ignore)
        except OSError as error:
            if _process.raised_by_handler(error):
                raise
            # It is lost, and with it what it was to forget.

    def cancel(self, ticket: int) -> None:
        """Gives a call up: dropped if it waits there, interrupted if it runs."""
        self.client._cancel(ticket)

    def exception_of(self, payload: Any, trust: bool = False) -> Exception:
        """The exception that an item raised there; with `trust` of any class."""
        client = self.client
        answers = client._answers
        if trust:
            failed = answers.trusting().decode(_ERROR, bytes(payload), answers.receipts())
            client._tell_of_names(failed.exception)
        else:
            failed = client._decode(_ERROR, bytes(payload), answers.receipts())
        return original(failed.exception)


def original(exc: RemoteException) -> Exception:
    """The exception that was raised there, or one that stands for it."""
    orig = exc.orig
    return orig if isinstance(orig, Exception) else exc


def _ignore(value: Any) -> None:
    """What installing says shows with the first item."""
