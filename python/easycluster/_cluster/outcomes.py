"""The outcomes of one request on many hosts, as they come: for a thread that waits, and for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Any, Union

from .. import _process
from .._caller import Caller
from .._responses import RemoteException, Retold
from .report import cluster_error
from .slots import original

# Where outcomes are put and waited for: by a thread, or by a task of an event loop.
Inbox = Union['SimpleQueue[Any]', 'asyncio.Queue[Any]']


class Failure:
    """An exception that stands in the place of a value: of a call, and not one that a call gave as its value."""

    __slots__ = ('error',)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Outcomes:
    """Hosts and what came of a request there, a value or a Failure: `for` waits in the thread, `async for` in the event loop.

    Leaving the loop gives up what has not come.
    """

    def __init__(self, inbox: Inbox, convert: Callable[[Caller, Any], Any] | None = None) -> None:
        """`convert` makes the value of what a client gave; what it raises is the failure."""
        self._inbox = inbox
        self._convert = convert
        self._count = 0
        self._waiting: dict[int, tuple[Caller, int]] = {}

    def send(self, host: str, client: Caller, request: Callable[[Any, Any], Any]) -> None:
        """Makes the request of one client. `request` takes the two completion functions, and gives the call's number."""
        number = self._count
        self._count += 1
        ticket = 0
        try:
            ticket = request(Retold(self._came, number, host), Retold(self._failed, number, host))
        except Exception as error:
            if _process.raised_by_handler(error):
                raise
            self._inbox.put_nowait((number, host, Failure(error)))
        self._waiting[number] = client, ticket

    def _came(self, number: int, host: str, value: Any) -> None:
        self._inbox.put_nowait((number, host, value))

    def _failed(self, number: int, host: str, exc: RemoteException) -> None:
        self._inbox.put_nowait((number, host, Failure(original(exc))))

    def _taken(self, number: int, host: str, value: Any) -> Iterator[tuple[str, Any]]:
        """The outcome of a host; nothing if it was told before."""
        if number not in self._waiting:
            return
        client, _ = self._waiting.pop(number)
        if self._convert is not None and not isinstance(value, Failure):
            try:
                value = self._convert(client, value)
            except Exception as error:
                if _process.raised_by_handler(error):
                    raise
                value = Failure(error)
        yield host, value

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        assert isinstance(self._inbox, SimpleQueue)
        try:
            while self._waiting:
                yield from self._taken(*self._inbox.get())
        finally:
            self.give_up()

    async def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        assert isinstance(self._inbox, asyncio.Queue)
        try:
            while self._waiting:
                for outcome in self._taken(*await self._inbox.get()):
                    yield outcome
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Cancels the calls that have not come."""
        waiting, self._waiting = self._waiting, {}
        for client, ticket in waiting.values():
            client._cancel(ticket)


class Sorted:
    """Gives the values of outcomes as they come, and keeps the failures for the end, or gives those too."""

    def __init__(self, return_exceptions: bool) -> None:
        self._return_exceptions = return_exceptions
        self._errors: dict[str, Exception] = {}
        self._results: dict[str, Any] = {}

    def given(self, host: str, value: Any) -> list[tuple[str, Any]]:
        """What is given of an outcome: it, or nothing."""
        if not isinstance(value, Failure):
            self._results[host] = None
            return [(host, value)]
        if self._return_exceptions:
            return [(host, value.error)]
        self._errors[host] = value.error
        return []

    def check(self) -> None:
        """Raises ClusterError where there were failures."""
        if self._errors:
            raise cluster_error(self._errors, self._results)
