"""Streams: the items of a remote generator as they are made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from . import _checked, _kinds
from ._channels import AsyncChannel, Channel
from ._native import Channel as Native
from ._responses import NonblockingResponse
from ._shipping.functions import forwarded_name
from ._shipping.source import shipped

if TYPE_CHECKING:
    from typing_extensions import Self

# How many bytes of items a generator may be ahead of who reads, where nothing else is said.
AHEAD = 1 << 18


class Batches(Channel):
    """The channel of a stream, by which its items come in lists."""

    def __init__(self, client: Any, native: Native) -> None:
        super().__init__(client, native, False)
        # What is left of the last list, and what that was read from. Set at once, so that what a signal handler has given back is
        # known if it was read.
        self._last: tuple[deque[Any], bytes] = deque(), b''

    @property
    def items(self) -> deque[Any]:
        """Those that have come and were not taken."""
        return self._last[0]

    def _read(self, pickled: bytes) -> None:
        if pickled is not self._last[1]:
            self._last = deque(_checked.items(self._client.peername, super()._read(pickled))), pickled

    def close(self) -> None:
        """As Channel.close()."""
        self.items.clear()
        super().close()


def begin(
    client: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ahead: int, **options: Any
) -> tuple[Batches, Any]:
    """Begins to go through what a function gives: the channel that brings it, and what its call gives."""
    native = client._connected_native()
    channel = Batches(client, native.open_channel(ahead))
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


class Stream(Iterator[Any]):
    """The items of a remote generator, made by `client.stream()`: an iterator, and a context manager that closes it.

    What the generator raises is raised here behind the items before it. Leaving the loop, or close(), ends the generator.
    """

    def __init__(self, channel: Batches, response: NonblockingResponse) -> None:
        self._channel = channel
        self._response: NonblockingResponse | None = response

    def __next__(self) -> Any:
        while True:
            items = self._channel.items
            if items:
                held: list[Any] = []
                try:
                    # It is in one of the two at any time, and a signal handler may raise: the iterator in C does both.
                    held.extend(map(deque.popleft, (items,)))
                    return held[0]
                except BaseException:
                    items.extendleft(held)
                    raise
            if self._response is None:
                raise StopIteration
            try:
                self._channel.receive()
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

    def __init__(self, channel: Batches, future: asyncio.Future[Any]) -> None:
        self._batches = channel
        self._channel = AsyncChannel(channel)
        self._future: asyncio.Future[Any] | None = future
        # What it raised is no news where nobody asks any more.
        future.add_done_callback(_seen)

    async def __anext__(self) -> Any:
        while True:
            items = self._batches.items
            if items:
                return items.popleft()
            future = self._future
            if future is None:
                raise StopAsyncIteration
            try:
                await self._channel.receive()
            except (EOFError, ConnectionAbortedError):
                # The call's end says how it ended. Giving up the wait for it does not give up the call.
                await asyncio.wait([future])
                self._future = None
                future.result()

    def _close(self) -> None:
        future, self._future = self._future, None
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
