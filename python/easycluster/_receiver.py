"""Receiver: delivers completions to the threads that wait for them. None that was taken from the extension is lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice, starmap
from time import monotonic as _monotonic
from typing import Any

from . import _errors, _kinds, _process
from ._connection import Completion, Connection
from ._native import Connection as Native
from ._output import show, write
from ._pickling.references import Receipts
from ._responses import Failed, NonblockingResponse, RemoteException, Retold, Target, Ticket, completion_call, limit_of

# How long one wait for another thread that delivers lasts, in seconds, before this one looks whether the connection is lost.
_DELIVERY_CHECK = 10.0
# How many completions are taken from the extension at once, and how many of those one thread has in its hands at once.
_BATCH = 4096
_AT_ONCE = 64
_get_ident = threading.get_ident


def _give_back(held: deque[Completion], taken: deque[Completion], count: int) -> None:
    """Gives the last `count` completions back to where they were taken from. Each is in one of the two at any time: the iterators
    are in C, where no signal handler runs."""
    if count:
        taken.extendleft(islice(iter(held.pop, None), count))


class Receiver(Connection):
    """A connection whose completions are delivered: to responses, and to completion functions."""

    def _cancel(self, ticket: Ticket) -> bool:
        native = self._native
        return native is not None and native.cancel(ticket)

    def _show_output(self) -> None:
        """Shows what was printed before the completion that comes next."""
        show(self._sink)

    def _decode(self, tag: int, value: Any, receipts: Receipts, limit: float | None = None) -> Any:
        """The value of a completion, or its exception as Failed."""
        closing = self._closing_error
        if closing is None:
            return self._answers.decode(tag, value, receipts, limit)
        if tag == _kinds.LOST:
            return Failed(closing())
        decoded = self._answers.decode(tag, value, receipts, limit)
        # The other side interrupts what runs when the connection is closed, and may come to say so.
        if isinstance(decoded, Failed) and isinstance(decoded.exception.orig, _errors.CallCancelled):
            return Failed(closing())
        return decoded

    def _deliver_taken(
        self,
        taken: deque[Completion],
        own: NonblockingResponse | None = None,
        most: int | None = None,
        end: float | None = None,
    ) -> Ticket | None:
        """Delivers what was taken, to `own` or to the thread that waits for it, one completion at a time and `most` at most. Gives the last
        one's ticket: 0 if it belonged to no call, None if there was none. What a completion function raises is raised at once, and none is
        called after `end`; the others stay where they are.

        A signal handler may raise anywhere in here. Then the completion in hand goes back to where it was taken from; only a
        completion function that has been called is not called again. That is why taking one, and calling a function with it, are
        one step each for the interpreter: iterators in C do both.
        """
        held: deque[Completion] = deque()
        pending = self._pending
        take_one = iter(taken.popleft, None)
        at_once = 1
        ticket = None
        try:
            while taken and most != 0:
                if end is not None and _monotonic() >= end and self._next_is_function(taken):
                    break
                try:
                    held.extend(islice(take_one, at_once if most is None else 1))
                except IndexError:
                    # There are no more; another thread may have been first.
                    pass
                while held:
                    ticket, tag, value = held[0]
                    target = pending.get(ticket)
                    if not tag and target.__class__ is NonblockingResponse:
                        # The usual one. Setting it twice does no harm.
                        target._response_val = value
                        target._have_response = True
                        pending.pop(ticket, None)
                        held.popleft()
                        at_once = _AT_ONCE
                    else:
                        # This may take long, so the others are there for any thread meanwhile.
                        at_once = 1
                        _give_back(held, taken, len(held) - 1)
                        if self._waiters:
                            self._tell_waiters()
                        self._deliver_held(held, own)
                if most is not None:
                    most -= 1
        except BaseException:
            _give_back(held, taken, len(held))
            self._end_given_back(taken)
            raise
        finally:
            if self._waiters:
                self._tell_waiters()
        return ticket

    def _deliver_held(self, held: deque[Completion], own: NonblockingResponse | None) -> None:
        """Delivers the one completion in `held`, and leaves in there what is still to be delivered if something is raised."""
        ticket, tag, value = held[0]
        if tag:
            if tag == _kinds.OUTPUT:
                held.clear()
                self._show_output()
                return
            if tag == _kinds.AGAIN:
                tag, value, receipts = value
            else:
                receipts = self._answers.receipts()
                held[0] = (ticket, _kinds.AGAIN, (tag, value, receipts))
            value = self._decode(tag, value, receipts, limit_of(own or self._pending.get(ticket)))
            held[0] = (ticket, _kinds.VALUE, value)
        claimed: list[Target | None] = []
        calls: list[tuple[Any, ...]] = []
        retold = False
        try:
            if own is not None:
                claimed.append(own)
            else:
                # If close() came first, it has reported it.
                claimed.extend(map(self._pending.pop, (ticket,), (None,)))
            target = claimed[0]
            if isinstance(target, tuple):
                function, arguments = completion_call(target, value)
                calls.append(arguments)
                retold = isinstance(function, Retold)
                if not retold:
                    held.clear()
                next(starmap(function, iter(calls.pop, None)))
            elif target is not None:
                target.set_response(value)
            held.clear()
        except BaseException as error:
            if calls and not held:
                held.append((ticket, _kinds.VALUE, value))
            elif retold and not calls and isinstance(error, Exception) and not _process.raised_by_handler(error):
                # It has failed by itself, as it would again.
                held.clear()
            if held and claimed and claimed[0] is not None and own is None:
                self._pending[ticket] = claimed[0]
            raise

    def _end_given_back(self, taken: deque[Completion]) -> None:
        """Completions went back to a queue that is no longer read: close() came meanwhile and has not seen them."""
        if taken is not self._taken and self._closing_error is not None:
            self._end_pending(self._closing_error)

    def _keep_readable(self, taken: deque[Completion]) -> None:
        """Keeps the descriptor readable while completions that were taken wait to be delivered."""
        on = bool(taken)
        native = self._native
        if on != self._kept_readable and native is not None:
            self._kept_readable = on
            native.keep_readable(on)

    def _tell_waiters(self) -> None:
        with self._delivered:
            self._delivered.notify_all()

    def _next_is_function(self, taken: deque[Completion]) -> bool:
        try:
            return isinstance(self._pending.get(taken[0][0]), tuple)
        except IndexError:
            return False

    def _wait_for_delivery(self, is_there: Callable[[], bool], limit: float | None) -> None:
        """Waits for another thread that delivers what this one wants, or gives it back."""
        left = _DELIVERY_CHECK if limit is None else min(limit, _DELIVERY_CHECK)
        with self._delivered:
            self._waiters += 1
            try:
                if not is_there():
                    self._delivered.wait(left)
            finally:
                self._waiters -= 1

    def _end_pending(self, error: Callable[[], RemoteException]) -> None:
        while self._pending:
            # As in _deliver_taken().
            held: list[tuple[Ticket, Target]] = []
            calls: list[tuple[Any, ...]] = []
            again = True
            try:
                held.extend(islice(iter(self._pending.popitem, None), 1))
                target = held[0][1]
                failed = Failed(error())
                if isinstance(target, NonblockingResponse):
                    target.set_response(failed)
                else:
                    function, arguments = completion_call(target, failed)
                    calls.append(arguments)
                    again = isinstance(function, Retold)
                    next(starmap(function, iter(calls.pop, None)))
            except BaseException as raised:
                if isinstance(raised, Exception) and not _process.raised_by_handler(raised):
                    # There are no more, or the function has failed by itself; the others must be notified as well.
                    continue
                if again or calls:
                    self._pending.update(held)
                raise
        self._tell_waiters()

    def _end_if_lost(self, native: Native) -> None:
        if native is self._native and not native.outstanding() and not native.ready_count():
            self._end_pending(lambda: RemoteException(self._lost(native), ''))

    def _is_lost(self, error: BaseException) -> bool:
        """Whether this error of read_response() says that the connection has ended, and is not a completion function's."""
        native = self._native
        if not isinstance(error, (EOFError, OSError)) or self.connected:
            return False
        more = native is not None and bool(self._taken or native.ready_count())
        return isinstance(error, _errors.ConnectionLost) or not more

    def _expects_response(self) -> bool:
        native = self._native
        return native is not None and bool(
            self._taken or native.outstanding() or native.ready_count() or not native.is_connected()
        )

    def _has_response(self, response: NonblockingResponse) -> bool:
        """Whether a response that is not delivered yet could be had without waiting."""
        return False

    def _wait_for_response(self, response: NonblockingResponse, timeout: float | None = None) -> None:
        ticket = response.request_id
        main = _get_ident() == _process.main_ident
        end = None if timeout is None else _monotonic() + timeout
        native = self._native
        taken = self._taken
        _process.room()
        try:
            while True:
                if native is None or self._native is not native:
                    self._close_response(response)
                    return
                if taken:
                    self._deliver_taken(taken, end=end)
                if response._have_response:
                    return
                left = None if end is None else end - _monotonic()
                if left is not None and left < 0 and timeout:
                    raise self._no_response(timeout)
                native.take(taken, ticket, _BATCH, left, main)
                if taken or response._have_response:
                    continue
                if left is not None and _monotonic() >= end:  # type: ignore[operator]
                    raise self._no_response(timeout)
                if native.is_done(ticket):
                    # Another thread has taken the completion and is delivering it.
                    self._wait_for_delivery(lambda: response._have_response or bool(taken), left)
                    if not (response._have_response or taken or native.is_connected()):
                        self._end_if_lost(native)
        finally:
            if taken or self._kept_readable:
                self._keep_readable(taken)

    def _close_response(self, response: NonblockingResponse) -> None:
        """Sets a response whose connection was closed meanwhile, unless close() has done so, which tells every response."""
        self._pending.pop(response.request_id, None)
        if not response._have_response:
            error = self._closing_error
            response.set_response(Failed(error() if error else RemoteException(IOError('Connection closed'), '')))

    def _single(self, held: Iterable[tuple[int, int, Any]], limit: float | None = None) -> Any:
        """The value of the one completion in a list, or its exception as Failed."""
        value = None
        for _, tag, value in held:
            if tag == _kinds.OUTPUT:
                self._show_output()
            elif tag:
                value = self._decode(tag, value, self._answers.receipts(), limit)
        return value

    def _no_response(self, timeout: float | None) -> TimeoutError:
        return TimeoutError('%s: no response within %s s; the call continues' % (self._peername, timeout))

    def read_response(self, block: bool = True) -> bool:
        """Reads one response and calls its completion function if it has one.

        Gives True if there was one, False if there was none and `block` is false. Raises EOFError when the connection is lost and
        every response was read.
        """
        native = self._native
        if native is None:
            raise _errors.ConnectionLost('Not connected')
        taken = self._taken
        main = _get_ident() == _process.main_ident
        timeout = None if block else 0.0
        _process.room()
        try:
            while True:
                if not taken:
                    native.take(taken, None, 1, timeout, main)
                if not taken:
                    if block and native.is_connected():
                        # Another thread was first.
                        continue
                    break
                ticket = self._deliver_taken(taken, most=1)
                # Neither output nor the answer to the definitions is a response that was asked for.
                if ticket and ticket not in self._own_tickets:
                    return True
                self._own_tickets.discard(ticket or 0)
        finally:
            if taken or self._kept_readable:
                self._keep_readable(taken)
        if not native.is_connected():
            self._end_pending(lambda: RemoteException(self._lost(native), ''))
            raise self._lost(native)
        return False

    def _raise(self, exc: RemoteException, origexc: bool | str | None) -> None:
        """Raises a RemoteException the way `origexc` says."""
        if not origexc:
            raise exc
        if origexc != 'quiet':
            self.report_exception(exc)
        orig = exc.orig
        # What ends a program or a thread there must not end this one.
        if not isinstance(orig, Exception):
            raise exc
        raise orig

    def report_exception(self, exc: RemoteException) -> None:
        """Reports the remote exception `exc` (a RemoteException) to stderr, before its original is raised. Override it to report
        otherwise, or not at all."""
        # Remote iterators end by this one.
        if isinstance(exc.orig, (StopIteration, StopAsyncIteration)):
            return
        if exc.text:
            # One write: several threads may have one to report.
            write('stderr', '*** Remote exception from %s:\n%s\n' % (self._peername, ''.join(exc.text)))
