"""Asker: what the other side of a client may ask for: functions that it was handed, and modules of this program."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from . import _kinds
from ._callbacks import Asked, Callback
from ._pickling.encode import encode
from ._receiver import Receiver
from ._responses import RemoteException
from ._shipping.forwarding import Forwarding

if TYPE_CHECKING:
    import asyncio

# The function at the server that has modules imported from here (bootstrap_py/helpers/forward.py).
_FORWARD = 'helpers/forward.install'


class Asker(Receiver):
    """A connection whose other side may ask."""

    # Whether functions that the other side calls may be coroutine functions.
    _takes_coroutines: ClassVar[bool] = False

    def _end_thread(self, threadid: Hashable) -> None:
        """Ends a server thread that will not be named again."""
        number = self._thread_numbers.pop(threadid, None)
        native = self._native
        if number is not None and native is not None:
            native.stop_thread(number)

    def _take_asks(self) -> Asked:
        """What the other side may call. It asks from here on."""
        if self._asked is None:
            # Two threads may come to do so at once.
            with self._delivered:
                if self._asked is None:
                    self._asked = Asked(self, self._connected_native())
        return self._asked

    def _ask_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that functions are called on; None where they have threads."""
        return None

    def _send_forwarding(self, forwarding: Forwarding) -> None:
        """Has the other side import modules from here. No request overtakes this."""
        message: tuple[Any, ...] = (
            _FORWARD,
            (forwarding.names, Callback(forwarding.serve, True, None, aside=True)),
            {},
        )
        content, keeps = encode(message, self._protocol, self)
        ticket = next(self._tickets)
        self._own_tickets.add(ticket)
        self._pending[ticket] = (_ignore, self._definitions_failed)
        self._connected_native().submit(ticket, _kinds.CALL, 0, content, None, keeps, barrier=True)

    def _definitions_failed(self, exc: RemoteException) -> None:
        raise NotImplementedError


def _ignore(value: Any) -> None:
    pass
