"""ThreadedClient: a client for programs with threads; each has its own thread on the server."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Hashable, Sequence
from time import monotonic as _monotonic
from typing import Any, NoReturn

from . import _kinds, _process
from ._client import Client
from ._connection import Completion
from ._native import Connection as Native
from ._native import Spec
from ._pickling.encode import dumps
from ._pickling.references import Receipts
from ._responses import Failed, NonblockingResponse, RemoteException, Target, Ticket
from ._spec import Path

# How long a server thread whose call was given up may take to answer, in seconds.
_PATIENCE = 1.0
_BATCH = 256
_get_ident = threading.get_ident


class _ServerThread:
    """A thread's own number on the server; lives in the thread's locals, and so ends with the thread."""

    __slots__ = ('number', '_client')

    def __init__(self, number: int, client: ThreadedClient) -> None:
        self.number = number
        self._client = weakref.ref(client)

    def __del__(self) -> None:
        client = self._client()
        native = client._native if client is not None else None
        if native is not None:
            native.stop_thread(self.number)


class _SlotResponse(NonblockingResponse):
    """A response that waits in the extension until it is asked for."""

    __slots__ = ('_native', '_taken')

    _native: Native
    # What was taken for it and is not decoded yet.
    _taken: deque[Completion]

    def __init__(self, client: Client, request_id: Ticket, origexc: bool | str | None) -> None:
        super().__init__(client, request_id, origexc)
        self._taken = deque()

    def __del__(self) -> None:
        native = getattr(self, '_native', None)
        if native is not None and not self._have_response:
            # It will not be asked for; what the response refers to on the server is given back all the same.
            native.forget(self.request_id)


class ThreadedClient(Client):
    """A client with one server thread for each thread of this program that makes calls; it ends when that thread does.

    Completion functions are called at once, in a thread of the client's own. The server is asked for a sign of life every
    `keep_alive_interval` seconds; without one for `keep_alive_timeout` seconds the connection is closed.
    Do not call read_response(), and do not put it into a ClientGroup.
    """

    # Of each thread of the program: its thread on the server, and whether that may be busy with a call that was given up.
    _own: threading.local
    _next_thread: int
    _number_lock: threading.Lock
    _reader: _Reader | None
    _keep_alive_times: tuple[float | None, float | None]

    _response_class = _SlotResponse

    def __init__(
        self,
        key: bytes | None = None,
        host: str | Spec | None = None,
        port: int | None = None,
        definitions: str = 'easycluster.remote_code',
        enable_compression: bool = False,
        ssh: bool | Path | None = None,
        user: str | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
        keep_alive_interval: float | None = 10,
        keep_alive_timeout: float | None = 60,
        **options: Any,
    ) -> None:
        """As Client, and the two times in seconds; None for either asks for no signs of life."""
        self._own = threading.local()
        self._next_thread = 1
        self._number_lock = threading.Lock()
        self._reader = None
        self._keep_alive_times = (keep_alive_interval, keep_alive_timeout)
        super().__init__(key, host, port, definitions, enable_compression, ssh, user, rpython, extra_args, **options)

    def _opening(self) -> tuple[Spec, str, int, bool, tuple[float, float] | None]:
        interval, limit = self._keep_alive_times
        self._keep_alive = None if interval is None or limit is None else (float(interval), float(limit))
        self._own = threading.local()
        return super()._opening()

    def _thread_id(self) -> Hashable:
        if self._asked is not None:
            running = self._asked.thread()
            if running is not None:
                return running
        own = self._own
        try:
            if own.doubtful:
                self._leave_if_stuck(own)
            number: int = own.thread.number
            return number
        except AttributeError:
            pass
        with self._number_lock:
            number = self._next_thread
            self._next_thread = number + 1
        own.thread = _ServerThread(number, self)
        own.doubtful = False
        return number

    def _leave_if_stuck(self, own: threading.local) -> None:
        """A call was given up: if its thread is still busy with it, which not all code lets itself be interrupted in, this thread
        gets another one on the server. The old one ends when it can."""
        native = self._connected_native()
        own.doubtful = False
        ticket = next(self._tickets)
        held: deque[Completion] = deque()
        # No expression, of which the server would keep the source for a while.
        content = dumps((0, 'import_modules', ([],), {}), self._protocol)
        native.submit(ticket, _kinds.METHOD, own.thread.number, content, None, None, True)
        native.take_slot(held, ticket, _PATIENCE, _get_ident() == _process.main_ident)
        self._single(held)
        if not [entry for entry in held if entry[0] == ticket]:
            native.cancel(ticket)
            native.forget(ticket)
            del own.thread

    def _decode(self, tag: int, value: Any, receipts: Receipts, limit: float | None = None) -> Any:
        if value is None and tag in (_kinds.CANCELLED, _kinds.TIMED_OUT):
            # Given up without an answer.
            self._own.doubtful = True
        return super()._decode(tag, value, receipts, limit)

    def check_threads(self) -> None:
        """Server threads end with the threads that they serve; there is nothing left to check."""

    def read_response(self, block: bool = True) -> NoReturn:
        """Raises TypeError: this client reads its responses itself."""
        raise TypeError('read_response should not be called on ThreadedClient objects')

    def _request(self, *args: Any, **options: Any) -> Any:
        native = self._native
        if native is not None and self._reader is None and (self._taken or native.ready_count()):
            # Responses that were not asked for, and no completion function needs a reader.
            taken = self._taken
            native.take(taken, None, _BATCH, 0.0, False)
            self._deliver_taken(taken)
        return super()._request(*args, **options)

    def _submit(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, target: Target
    ) -> Ticket:
        if not isinstance(target, _SlotResponse):
            self._start_reader(native)
            return super()._submit(native, kind, threadid, content, limit, keeps, target)
        ticket = next(self._tickets)
        target.limit = limit
        native.submit(ticket, kind, threadid, content, limit, keeps, True)
        target.request_id = ticket
        target._native = native
        return ticket

    def _wait_for_call(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, origexc: Any
    ) -> Any:
        held: list[Completion] = []
        main = _get_ident() == _process.main_ident
        _process.room()
        try:
            native.call(held, next(self._tickets), kind, threadid, content, limit, keeps, True, main)
        except BaseException:
            self._own.doubtful = True
            # What it refers to on the server is given back by the thread that drops it.
            self._taken.extend(held)
            raise
        value = self._single(held, limit)
        if value.__class__ is Failed:
            self._raise(value.exception, origexc)
        return value

    def _wait_for_response(self, response: NonblockingResponse, timeout: float | None = None) -> None:
        if not isinstance(response, _SlotResponse):
            # One for several requests, which their completion functions set.
            self._wait_for_whole(response, timeout)
            return
        native = response._native
        taken = response._taken
        _process.room()
        main = _get_ident() == _process.main_ident
        end = None if timeout is None else _monotonic() + timeout

        def is_settled() -> bool:
            return response._have_response or bool(taken)

        while not response._have_response:
            left = None if end is None else max(0.0, end - _monotonic())
            try:
                if not taken:
                    native.take_slot(taken, response.request_id, left, main)
            except KeyError:
                # Another thread waits for the same response and is about to set it.
                self._wait_for_delivery(is_settled, left)
            self._deliver_taken(taken, response)
            if end is not None and not response._have_response and _monotonic() >= end:
                raise self._no_response(timeout)

    def _wait_for_whole(self, response: NonblockingResponse, timeout: float | None) -> None:
        end = None if timeout is None else _monotonic() + timeout
        while not response._have_response:
            left = None if end is None else end - _monotonic()
            if left is not None and left <= 0:
                raise self._no_response(timeout)
            self._wait_for_delivery(lambda: response._have_response, left)

    def _has_response(self, response: NonblockingResponse) -> bool:
        return isinstance(response, _SlotResponse) and response._native.is_done(response.request_id)

    def _start_reader(self, native: Native) -> None:
        if not self._is_read(native):
            with self._number_lock:
                if not self._is_read(native):
                    self._reader = _Reader(self, native)
                    self._reader.start()

    def _is_read(self, native: Native) -> bool:
        reader = self._reader
        return reader is not None and reader.native is native and reader.is_alive()

    def close(self, message: str | RemoteException = 'Connection closed') -> None:
        """As Client.close(); also ends the thread that calls completion functions."""
        reader = self._reader
        super().close(message)
        if reader is not None and reader is not threading.current_thread():
            reader.join(5)


class _Reader(threading.Thread):
    """Calls completion functions."""

    def __init__(self, client: ThreadedClient, native: Native) -> None:
        super().__init__(name='easycluster reader of %s' % client.peername, daemon=True)
        # A client that is dropped without a word is closed, which ends the wait of this thread too.
        self._client = weakref.ref(client, lambda _: native.close())
        self.native = native
        self._taken = client._taken

    def run(self) -> None:
        """Takes what comes until the connection ends."""
        native = self.native
        taken = self._taken
        while True:
            native.take(taken, None, _BATCH, None, False)
            client = self._client()
            if client is None:
                return
            if taken:
                self._deliver(client)
            elif not native.is_connected():
                client._end_if_lost(native)
                return
            del client

    def _deliver(self, client: ThreadedClient) -> None:
        while self._taken:
            try:
                client._deliver_taken(self._taken)
            except BaseException:
                # As in any thread: the program's hook says what a completion function raised, and the others go on, also where it was
                # to end the thread.
                _process.tell_hook()


AutoThreadingClient = ThreadedClient
"""The name that ThreadedClient had first."""
