"""Going through what stays on the server without a round trip an item."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from . import _checked, _kinds
from ._async import AsyncClient
from ._global_proxy import GlobalProxy
from ._shared import objects


def read_ahead(items: Any, size: int = 262144, seconds: float = 0.005) -> Any:
    """Goes through a file, a generator or anything else that stays on a server, many items a request.

    `for line in easycluster.read_ahead(proxy)`; with a proxy of an AsyncClient `async for`. A request brings the items that come
    within `seconds` or `size` bytes, whichever is first, and at least one. So the server is up to one batch ahead of the loop: what
    going through it does there (lines read, rows fetched, things printed by a generator) is done for the whole batch before the loop
    sees its first item, and leaving the loop early leaves the rest of the batch read. An item that takes long to come holds up those
    of its batch before it. Where the order of side effects here and there matters, go through the proxy itself. What is raised there
    is raised here behind the items before it. After an interruption, `next()` goes on where it was.

    What is no proxy is gone through as it is.
    """
    if isinstance(items, GlobalProxy):
        raise TypeError('%r is the name of a remote global; give its value' % (items,))
    if not isinstance(items, objects.RemoteProxy):
        return iter(items)
    client = items.__dict__.get('_connection')
    if getattr(client, 'proxy_closed', False):
        raise IOError('Connection has been closed')
    return (_AwaitedAhead if isinstance(client, AsyncClient) else _Ahead)(client, items, size, seconds)


class _Batches:
    """One proxy that is gone through."""

    def __init__(self, client: Any, items: Any, size: int, seconds: float) -> None:
        self._client = client
        self._begin: tuple[Any, ...] = (0, 'batches', (items, int(size), float(seconds)), {})
        self._batches: Any = None
        # The number of the last batch, what is left of it, and whether there may be more. Set at once, so that after an interruption
        # either the batch counts or it is asked for again.
        self._state: tuple[int, deque[Any], bool] = (0, deque(), True)

    def _opened(self) -> Any:
        return self._client._request(_kinds.METHOD, self._begin, False, keep=True, origexc='quiet')

    def _asked(self, number: int) -> Any:
        return self._batches.raw_call_method('take', (number,), origexc='quiet')

    def _told(self, number: int, answer: Any) -> tuple[int, deque[Any], bool]:
        found, more = _checked.parts(self._client.peername, answer, (list, tuple), (bool,))
        return number, deque(found), more


class _Ahead(_Batches, Iterator[Any]):
    def __next__(self) -> Any:
        while True:
            number, items, more = self._state
            if items:
                held: list[Any] = []
                try:
                    # It is in one of the two at any time, and a signal handler may raise: the iterator in C does both.
                    held.extend(map(deque.popleft, (items,)))
                    return held[0]
                except BaseException:
                    items.extendleft(held)
                    raise
            if not more:
                raise StopIteration
            if self._batches is None:
                self._batches = self._opened()
            self._state = self._told(number + 1, self._asked(number + 1))


class _AwaitedAhead(_Batches, AsyncIterator[Any]):
    async def __anext__(self) -> Any:
        while True:
            number, items, more = self._state
            if items:
                return items.popleft()
            if not more:
                raise StopAsyncIteration
            if self._batches is None:
                self._batches = await self._opened()
            self._state = self._told(number + 1, await self._asked(number + 1))
