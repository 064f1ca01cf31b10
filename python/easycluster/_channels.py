"""Channels: streams of items or bytes to and from a remote function, beside its call."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import islice
from threading import get_ident as _get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import _errors, _native, _process
from ._native import Channel as Native
from ._pickling.encode import encode_item
from ._waiting import readable

if TYPE_CHECKING:
    from typing_extensions import Self

# Bytes that may be on their way or unread in each direction, where nothing else is said (ME-35).
WINDOW = _native.CHANNEL_WINDOW


class Channel:
    """A channel, made by `client.channel()`, and given to one call as an argument:

        channel = client.channel()
        response = client.work(channel, nonblocking=True)
        channel.send(item)
        for answer in channel:
            ...

    The remote function gets an object with the same methods. When it returns, its direction ends; when it raises, this end raises
    ConnectionAbortedError. Any number of threads may use a channel, each item going to one of them.
    """

    def __init__(self, client: Any, native: Native, raw: bool) -> None:
        self._client = client
        self._native = native
        self._raw = raw
        # Items that were taken and not read, because a signal handler raised; the next who ask get them.
        self._given_back: deque[bytes] = deque()

    def __reduce__(self) -> Any:
        raise pickle.PicklingError('a channel can only be an argument of a call on its own client')

    def _named_in(self, pickler: Any) -> tuple[str, int, bool]:
        """What names it in a request of the pickler's client."""
        client = pickler.client
        if client is not self._client:
            raise TypeError('the channel belongs to %s and not to %s' % (self._client.peername, client.peername))
        pickler.channels.append(self._native)
        return ('c', self._native.number, self._raw)

    def send(self, item: Any, timeout: float | None = None) -> None:
        """Sends an item, or bytes; waits while the other end has too much unread. Raises BrokenPipeError if it reads no more, and
        TimeoutError after `timeout` seconds, with nothing sent."""
        self._native.send(self._packed(item), timeout, _get_ident() == _process.main_ident)

    def _packed(self, item: Any) -> Any:
        return item if self._raw else encode_item(item, self._client._protocol)

    def receive(self, timeout: float | None = None) -> Any:
        """The next item, or the next bytes as they came. Raises EOFError behind the last, ConnectionAbortedError if the other end
        broke off, TimeoutError after `timeout` seconds, and ConnectionLost with the connection, which is an EOFError too: where that is
        caught, catch this first, as going through the channel does."""
        held: list[bytes] = []
        given_back = self._given_back
        try:
            # What comes is in the list before a signal handler may run: iterators in C do both.
            try:
                # Another thread may be first.
                held.extend(islice(iter(given_back.popleft, None), 1) if given_back else ())
            except IndexError:
                pass
            if not held:
                ask = partial(self._native.receive, not self._raw, timeout, _get_ident() == _process.main_ident)
                held.extend(islice(iter(ask, None), 1))
            while not held:
                # Behind the last there may be one that another thread has given back meanwhile.
                try:
                    held.extend(islice(iter(given_back.popleft, None), 1))
                except IndexError:
                    raise EOFError('%s: the channel has come to its end' % self._client.peername) from None
            read = held[0] if self._raw else self._read(held[0])
            # By itself: it is behind calls that Python looks for signals.
            return read
        except pickle.UnpicklingError:
            raise
        except BaseException:
            given_back.extendleft(held)
            raise

    def _read(self, pickled: bytes) -> Any:
        """The item that has come. It comes again where a signal handler raises meanwhile."""
        return self._client._answers.item(pickled)

    def __iter__(self) -> Iterator[Any]:
        """All that comes, until the end."""
        while True:
            try:
                yield self.receive()
            except _errors.ConnectionLost:
                # That it is an EOFError too is for programs of old; here more was to come.
                raise
            except EOFError:
                return

    def end(self) -> None:
        """Sends nothing more: the other end comes to its end behind all that was sent."""
        self._native.end()

    def fail(self, reason: str) -> None:
        """Breaks off: what is read at the other end raises at once, with this reason."""
        self._native.end(reason)

    def close(self) -> None:
        """Sends and reads nothing more."""
        self._native.end()
        self._native.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self._native.end('what used the channel raised %s' % getattr(kind, '__name__', kind))
            self._native.stop()


class AsyncChannel:
    """A channel of an AsyncClient: as Channel, with `await` where that waits."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __reduce__(self) -> Any:
        return self._channel.__reduce__()

    def _named_in(self, pickler: Any) -> tuple[str, int, bool]:
        """As Channel._named_in()."""
        return self._channel._named_in(pickler)

    async def send(self, item: Any, timeout: float | None = None) -> None:
        """As Channel.send()."""
        channel, until = self._channel, _until(timeout)
        packed = channel._packed(item)
        while True:
            try:
                return channel._native.send(packed, 0.0, False)
            except TimeoutError:
                if _is_over(until):
                    raise
            waiting = channel._native.room()
            await readable(waiting.fileno(), _left(until))

    async def receive(self, timeout: float | None = None) -> Any:
        """As Channel.receive(). Nothing is lost if it is cancelled."""
        channel, until = self._channel, _until(timeout)
        while True:
            try:
                return channel.receive(0.0)
            except TimeoutError:
                if _is_over(until):
                    raise
            waiting = channel._native.readable()
            await readable(waiting.fileno(), _left(until))

    async def __aiter__(self) -> AsyncIterator[Any]:
        """All that comes, until the end."""
        while True:
            try:
                value = await self.receive()
            except _errors.ConnectionLost:
                raise
            except EOFError:
                return
            yield value

    def end(self) -> None:
        """As Channel.end()."""
        self._channel.end()

    def fail(self, reason: str) -> None:
        """As Channel.fail()."""
        self._channel.fail(reason)

    def close(self) -> None:
        """As Channel.close()."""
        self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._channel.__exit__(kind, error, trace)


def _until(timeout: float | None) -> float | None:
    return None if timeout is None else monotonic() + timeout


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - monotonic())


def _is_over(until: float | None) -> bool:
    return until is not None and monotonic() >= until
