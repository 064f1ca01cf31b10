"""What a call that does not wait gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Union

from ._options import CompletionFunction
from ._shared import objects

if TYPE_CHECKING:
    from ._caller import Caller

RemoteException = objects.RemoteException

# A call's number here: its ticket at the extension.
Ticket = int


class Failed:
    """Marks a response that is an exception, which a value of the same type is not."""

    __slots__ = ('exception',)

    def __init__(self, exception: RemoteException) -> None:
        self.exception = exception


class NonblockingResponse:
    """The response to a call made with `nonblocking=True`: `wait()` gives the call's value or raises its exception."""

    __slots__ = ('client', 'request_id', '_response_val', '_have_response', '_origexc', '__weakref__', '__dict__')

    client: Caller
    request_id: Ticket
    # The time limit of the call, if it has one.
    limit: float | None = None

    def __init__(self, client: Caller, request_id: Ticket, origexc: bool | str | None) -> None:
        self.client = client
        self.request_id = request_id
        self._origexc = origexc
        self._have_response = False
        self._response_val: Any = None

    @property
    def have_response(self) -> bool:
        """True if the response is there, so that `wait()` would not wait."""
        return self._have_response or self.client._has_response(self)

    def fileno(self) -> int:
        """The client's descriptor, so that responses can be given to select()."""
        return self.client.fileno()

    def read_response(self, block: bool = True) -> bool:
        """Calls `read_response` of the client."""
        return self.client.read_response(block)

    def set_response(self, val: Any) -> None:
        """Sets the response. Called by the client."""
        self._response_val = val
        self._have_response = True

    def cancel(self) -> bool:
        """Gives the call up: dropped if it has not begun, interrupted if it runs. False if its response is there already.

        `wait()` then raises CallCancelled, or gives the value if the call ended first.
        """
        return not self._have_response and self.client._cancel(self.request_id)

    def wait(self, origexc: bool | str | None = None, timeout: float | None = None) -> Any:
        """Waits for the call's end and gives its value, or raises its exception.

        `origexc` is that of the call unless given: True raises the original exception and prints the remote traceback,
        'quiet' raises it without printing, False raises RemoteException. `timeout` is in seconds; when it passes TimeoutError is
        raised, the call goes on, and `wait()` may be called again.
        """
        if not self._have_response:
            self.client._wait_for_response(self, timeout)
        value = self._response_val
        if type(value) is Failed:
            self.client._raise(value.exception, self._origexc if origexc is None else origexc)
        return value

    def _is_own(self, error: BaseException) -> bool:
        """Whether what wait() raised is the call's outcome, and not what a signal handler raised meanwhile."""
        value = self._response_val
        return (
            self._have_response
            and type(value) is Failed
            and (error is value.exception or error is value.exception.orig)
        )

    def __repr__(self) -> str:
        state = 'done' if self.have_response else 'pending'
        return '<NonblockingResponse %d of %s, %s>' % (self.request_id, self.client.peername, state)


class _Whole(NonblockingResponse):
    """A response that completion functions set."""

    __slots__ = ()

    @property
    def have_response(self) -> bool:
        """True if the response is there."""
        return self._have_response


# What waits for a completion: a response, or the functions for a value and for an exception.
Target = Union[NonblockingResponse, tuple[CompletionFunction, CompletionFunction]]


class _Limited(tuple):  # type: ignore[type-arg]
    """Completion functions of a call that has a time limit."""

    limit: float


def with_limit(target: Target, limit: float) -> Target:
    """A target that knows the time limit of its call, for the words of a CallTimeout."""
    if isinstance(target, tuple):
        target = _Limited(target)
    target.limit = limit
    return target


def limit_of(target: Target | None) -> float | None:
    """The time limit of the call that a target waits for."""
    return getattr(target, 'limit', None)


class Retold(partial):  # type: ignore[type-arg]
    """A completion function that may be told the same twice. Where a signal handler raises in it, it is told again later; any other
    is not called a second time."""


def completion_call(
    target: tuple[CompletionFunction, CompletionFunction], value: Any
) -> tuple[Callable[..., object], tuple[Any, ...]]:
    """The function to call with a response, and its arguments."""
    if value.__class__ is Failed:
        function, value = target[1], value.exception
    else:
        function = target[0]
    if isinstance(function, tuple):
        return function[0], (value, *function[1:])
    return function, (value,)


def all_of(
    client: Caller,
    send: Callable[..., Ticket],
    items: Iterable[Any],
    nonblocking: bool,
    oncomplete: CompletionFunction | None,
    onerror: CompletionFunction | None,
    origexc: bool | str | None,
) -> NonblockingResponse | Ticket:
    """One response for many requests: the last one's value, or the first one's exception."""
    items = list(items)
    # By the place of the request, as each may be told twice. In the order in which they came.
    outcomes: dict[int, Any] = {}
    told = False
    whole = _Whole(client, 0, origexc) if oncomplete is None else None

    def done(place: int, failed: bool, value: Any) -> None:
        nonlocal told
        outcomes.setdefault(place, Failed(value) if failed else value)
        if len(outcomes) < len(items):
            return
        outcome = next((each for each in outcomes.values() if each.__class__ is Failed), value)
        if whole is not None:
            whole.set_response(outcome)
        elif oncomplete is not None and not told:
            function, arguments = completion_call((oncomplete, onerror or oncomplete), outcome)
            told = True
            function(*arguments)

    tickets = [
        send(item, oncomplete=Retold(done, place, False), onerror=Retold(done, place, True))
        for place, item in enumerate(items)
    ]
    # They are one response to readers of responses.
    client._own_tickets.update(tickets[:-1])
    if whole is None:
        return tickets[-1]
    whole.request_id = tickets[-1]
    return whole
