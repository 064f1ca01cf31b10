"""Streams: the items of a remote generator as they are made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from . import _checked, _kinds
from ._channels import AsyncChannel, Channel
from ._responses import NonblockingResponse
from ._shipping.functions import forwarded_name
from ._shipping.source import shipped

if TYPE_CHECKING:
    from typing_extensions import Self

# How many bytes of items a generator may be ahead of who reads, where nothing else is said.
AHEAD = 1 << 18


def begin(
    client: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ahead: int, **options: Any
) -> tuple[Channel, Any]:
    """Begins to go through what a function gives: the channel that brings it, and what its call gives."""
    native = client._connected_native()
    channel = Channel(client, native.open_channel(ahead), False)
    native.send_helper('streams')
    call: tuple[str, tuple[Any, ...]]
    if not isinstance(func, str):
        func = forwarded_name(client._forwarding, func) or func
    if isinstance(func, str):
        call = 'helpers/streams.pour', (channel, func, args, kwargs)
    else:
        it = shipped(func)
        call = 'helpers/streams.pour_function', (channel, it.source, it.name, it.filename, it.line, args, kwargs)
    return channel, client._call(*call, {}, threadid=_kinds.SINGLE, origexc='quiet', **options)


def _items(channel: Channel, received: Any) -> deque[Any]:
    return deque(_checked.items(channel._client.peername, received))


class Stream(Iterator[Any]):
    """The items of a remote generator, made by `client.stream()`: an iterator, and a context manager that closes it.

    What the generator raises is raised here behind the items before it. Leaving the loop, or close(), ends the generator.
    """

    def __init__(self, channel: Channel, response: NonblockingResponse) -> None:
        self._channel = channel
        self._response: NonblockingResponse | None = response
        self._items: deque[Any] = deque()

    def __next__(self) -> Any:
        while True:
            items = self._items
            if items:
                return items.popleft()
            if self._response is None:
                raise StopIteration
            try:
                self._items = _items(self._channel, self._channel.receive())
            except (EOFError, ConnectionAbortedError):
                # The call's end says how it ended.
                self._end()

    def _end(self) -> None:
        response = self._response
        assert response is not None
        try:
            response.wait('quiet')
        except BaseException as error:
            if response._is_own(error):
                self._response = None
            raise
        self._response = None

    def close(self) -> None:
        """Ends the generator, with what it has under way, and reads no more of it."""
        response, self._response = self._response, None
        self._items = deque()
        if response is not None:
            self._channel.close()
            response.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, '_response', None) is not None:
            self.close()


class AsyncStream(AsyncIterator[Any]):
    """As Stream, for `async for` and `async with`."""

    def __init__(self, channel: AsyncChannel, future: asyncio.Future[Any]) -> None:
        self._channel = channel
        self._future: asyncio.Future[Any] | None = future
        self._items: deque[Any] = deque()
        # What it raised is no news where nobody asks any more.
        future.add_done_callback(_seen)

    async def __anext__(self) -> Any:
        while True:
            items = self._items
            if items:
                return items.popleft()
            future = self._future
            if future is None:
                raise StopAsyncIteration
            try:
                self._items = _items(self._channel._channel, await self._channel.receive())
            except (EOFError, ConnectionAbortedError):
                # The call's end says how it ended. Giving up the wait for it does not give up the call.
                await asyncio.wait([future])
                self._future = None
                future.result()

    def _close(self) -> None:
        future, self._future = self._future, None
        self._items = deque()
        if future is not None:
            self._channel.close()
            loop = future.get_loop()
            if not loop.is_closed():
                # It may be dropped by any thread.
                loop.call_soon_threadsafe(future.cancel)

    async def aclose(self) -> None:
        """Ends the generator, with what it has under way, and reads no more of it."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._close()

    def __del__(self) -> None:
        if getattr(self, '_future', None) is not None:
            self._close()


def _seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
