"""AsyncCluster: many hosts as one, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .. import _kinds, _native, _reports
from .._async import AsyncClient, Done, awaited
from .._commands import Line
from .._files import CopyOptions, GetOptions, Local, LocalPlace, Remote, RemotePlace, Work
from .._reports import ShowProgress
from .._shipping.functions import By, Function
from .._waiting import readable
from .connecting import Connecting
from .mapping import Run
from .members import Chosen, Members
from .outcomes import Inbox, Outcomes, Sorted

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class AsyncCalls(Members[AsyncClient, 'AsyncPart']):
    """What can be done with many hosts at once. AsyncCluster, and a part of one, are derived from it."""

    def _part(self, names: Iterable[str]) -> AsyncPart:
        return AsyncPart(self._root, names)

    def _inbox(self) -> Inbox:
        if self._root._loop is not asyncio.get_running_loop():  # type: ignore[attr-defined]
            # What comes is put where no task of this loop is waked by it.
            raise RuntimeError('an AsyncCluster belongs to the event loop that opened it')
        return asyncio.Queue()

    async def call(self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any) -> dict[str, Any]:
        """As Cluster.call(), awaited."""
        return await self._all(self._sent_call(func, args, kwargs), return_exceptions)

    async def eval(self, expression: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """As Cluster.eval(), awaited."""
        return await self._all(self._sent_code(_kinds.EVAL, expression, options), return_exceptions)

    async def execblock(self, code: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """As Cluster.execblock(), awaited."""
        return await self._all(self._sent_code(_kinds.EXEC, code, options), return_exceptions)

    async def define(self, source: str, return_exceptions: bool = False) -> dict[str, Any]:
        """As Cluster.define(), awaited."""
        return await self._all(self._sent_code(_kinds.EXEC, source, {}, every_slot=True), return_exceptions)

    def each(
        self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any
    ) -> AsyncIterator[tuple[str, Any]]:
        """As Cluster.each(), for `async for`. The calls are made at once."""
        return self._as_they_come(self._sent_call(func, args, kwargs), return_exceptions)

    async def command(
        self,
        line: Line,
        *,
        input: str | bytes | None = None,
        timeout: float | None = None,
        cwd: Any = None,
        env: Mapping[str, str | bytes] | None = None,
        check: bool = False,
        encoding: str | None = 'utf-8',
        return_exceptions: bool = False,
    ) -> dict[str, Any]:
        """As Cluster.command(), awaited."""
        sent = self._sent_command(line, input, timeout, cwd, env, check, encoding)
        return await self._all(sent, return_exceptions)

    async def put(
        self, source: Local, dest: RemotePlace, return_exceptions: bool = False, **options: Unpack[CopyOptions]
    ) -> dict[str, Any]:
        """As Cluster.put(), awaited."""
        work = self._put(False, source, dest, options)
        return self._copied(await awaited(work, Work.wait), work, return_exceptions)

    async def get(
        self, source: Remote, dest: LocalPlace, return_exceptions: bool = False, **options: Unpack[GetOptions]
    ) -> dict[str, Any]:
        """As Cluster.get(), awaited."""
        work = self._get(source, dest, options)
        return self._copied(await awaited(work, Work.wait), work, return_exceptions)

    async def compare(
        self, source: Local, dest: RemotePlace, return_exceptions: bool = False, **options: Unpack[CopyOptions]
    ) -> dict[str, Any]:
        """As Cluster.compare(), awaited."""
        work = self._put(True, source, dest, options)
        return self._copied(await awaited(work, Work.wait), work, return_exceptions)

    async def forward_logs(self, level: int | str = 'INFO') -> None:
        """As Cluster.forward_logs(), awaited."""
        await asyncio.gather(*[_reports.forward_logs(client, level) for client in self._processes()])

    async def show_progress(self, show: ShowProgress | None = None) -> None:
        """As Cluster.show_progress(), awaited. `show` is called in the event loop."""
        function = _reports.shown_by(show)
        await asyncio.gather(*[client.show_progress(function) for client in self._processes()])

    async def barrier(self) -> None:
        """As Cluster.barrier(), awaited."""
        await self._all(self._sent_code(_kinds.EVAL, 'None', {'threadid': 0}, every_slot=True), False)

    def map(
        self,
        func: Function,
        *iterables: Iterable[Any],
        ordered: bool = True,
        batch: int | str = 'auto',
        retries: int = 0,
        per_host: int | None = None,
        outstanding: int = 2,
        timeout: float | None = None,
        deadline: float | None = None,
        return_exceptions: bool = False,
        by: By = 'auto',
    ) -> AsyncIterator[Any]:
        """As Cluster.map(), for `async for`."""
        run = self._begun(func, iterables, ordered, batch, retries, per_host, outstanding, timeout, deadline, by)
        return self._results(run, ordered, return_exceptions)

    async def _all(self, outcomes: Outcomes, return_exceptions: bool) -> dict[str, Any]:
        return self._together([outcome async for outcome in outcomes], return_exceptions)

    @staticmethod
    async def _as_they_come(outcomes: Outcomes, return_exceptions: bool) -> AsyncIterator[tuple[str, Any]]:
        came = Sorted(return_exceptions)
        try:
            async for outcome in outcomes:
                for given in came.given(*outcome):
                    yield given
        finally:
            outcomes.give_up()
        came.check()

    @staticmethod
    async def _results(run: Run, ordered: bool, return_exceptions: bool) -> AsyncIterator[Any]:
        try:
            async for place, (succeeded, value) in run.awaited():
                if not succeeded and not return_exceptions:
                    raise value
                yield value if ordered else (place, value)
        finally:
            run.stop()


class AsyncPart(Chosen[AsyncClient, 'AsyncPart'], AsyncCalls):
    """Some hosts of a cluster. It shares their clients, and closing the cluster closes them."""

    def __repr__(self) -> str:
        return '<Part of an AsyncCluster: %d hosts>' % len(self._names)


class AsyncCluster(AsyncCalls, Connecting[AsyncClient, AsyncPart]):
    """Many hosts as one, whose calls are awaited.

        async with easycluster.AsyncCluster(['web1', 'web2']) as cluster:
            print(await cluster.call('os.getloadavg'))
            async for result in cluster.map(check, paths):
                ...

    It connects when it is awaited or entered, and is used from that event loop only. It takes the arguments of Cluster. Its clients
    are AsyncClients. For executors and joblib use a Cluster, whose futures asyncio takes: `asyncio.wrap_future(future)`.
    """

    _client_class: ClassVar[type[Any]] = AsyncClient

    def _begin(self) -> None:
        # A constructor cannot wait.
        self._unopened = True

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        came: Any = None
        self._unopened = False
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                awaited = self._steps.send(came)
                if isinstance(awaited, Outcomes):
                    came = [outcome async for outcome in awaited]
                else:
                    joining, limit = awaited
                    await readable(joining.fileno(), limit)
                    came = joining.next(0.0)
        except StopIteration:
            return self
        except BaseException:
            self.close()
            raise

    def _read(self, client: AsyncClient) -> None:
        client._when_lost = partial(self._client_lost, client)
        client._attach()

    def _watch(self, joining: _native.Joining, take: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        descriptor = joining.fileno()

        def take_in() -> None:
            if not take():
                loop.remove_reader(descriptor)

        loop.add_reader(descriptor, take_in)

    def close(self) -> Done:
        """Closes all connections. What is on its way ends with an exception. What it gives may be awaited and need not be."""
        if not self._closed:
            for joining in self._joinings():
                self._unwatch(joining)
            self._end()
        return Done()

    @staticmethod
    def _unwatch(joining: _native.Joining) -> None:
        try:
            asyncio.get_running_loop().remove_reader(joining.fileno())
        except RuntimeError:
            # Its loop has ended, and nothing is watched any more.
            pass

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *raised: object) -> None:
        self.close()
