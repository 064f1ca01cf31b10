"""The processes of a cluster that items run in, and the functions that each of them knows."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from .. import _kinds
from .._client import Client
from .._errors import ConnectionLost
from .._responses import RemoteException
from .._shipping.functions import Portable, Sent, cloudpickle_source, is_large, size_of

_ERROR = _kinds.ERROR
_HELPERS = 'helpers/map_items.'
# So many functions stay known to a process; the oldest are forgotten.
_KNOWN = 256


def is_lost(exc: RemoteException) -> bool:
    """Whether a call failed because its connection has ended."""
    orig = exc.orig
    # Closed here, it is a plain OSError.
    return isinstance(orig, ConnectionLost) or (type(orig) is OSError and not exc.text)


class Slot:
    """One remote process of a host. Functions are made known to it once, in front of their first items."""

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, host: str, client: Client) -> None:
        """`client` is this slot's alone, as far as its main thread goes."""
        self.host = host
        self.client = client
        self._lock = threading.Lock()
        self._known: dict[Sent, int] = {}
        self._has_helpers = False
        self._has_cloudpickle = False

    def ask(self, name: str, args: tuple[Any, ...], done: Any, failed: Any, limit: float | None = None) -> int:
        """Calls a function of `helpers/map_items.py`; gives the call's number."""
        client = self.client
        if not self._has_helpers:
            client._connected_native().send_map_items()
            self._has_helpers = True
        number: int = client.raw_call(
            _HELPERS + name, args, oncomplete=done, onerror=failed, threadid=0, call_timeout=limit
        )
        return number

    def number_of(self, function: Portable) -> int:
        """The number by which the process knows a function, which is sent first if need be. Raises TypeError if it cannot be."""
        info = self.client.server_info or {}
        sent = function.sent_to(self.host, tuple(info['python']), info['implementation'])
        with self._lock:
            number = self._known.get(sent)
            if number is not None:
                return number
            number = next(Slot._numbers)
            if sent[0] == 'value' and not self._has_cloudpickle:
                self._has_cloudpickle = True
                self.ask('provide', (cloudpickle_source(),), _ignore, _ignore)
            if is_large(sent):
                warnings.warn(
                    '%s takes %d bytes, which are sent to each process; pass its data as an argument'
                    % (function.name, size_of(sent)),
                    stacklevel=4,
                )
            self.ask('install', (number, *sent), _ignore, _ignore)
            self._known[sent] = number
            if len(self._known) > _KNOWN:
                oldest = next(iter(self._known))
                self.ask('forget', (self._known.pop(oldest),), _ignore, _ignore)
            return number

    def cancel(self, ticket: int) -> None:
        """Gives a call up: dropped if it waits there, interrupted if it runs."""
        self.client._cancel(ticket)

    def exception_of(self, payload: Any) -> Exception:
        """The exception that an item raised there."""
        client = self.client
        failed = client._decode(_ERROR, bytes(payload), client._answers.receipts())
        return original(failed.exception)


def original(exc: RemoteException) -> Exception:
    """The exception that was raised there, or one that stands for it."""
    orig = exc.orig
    return orig if isinstance(orig, Exception) else exc


def _ignore(value: Any) -> None:
    """What installing says shows with the first item."""
