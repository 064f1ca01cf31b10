"""AsyncClient: calls that are awaited, on the running event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload

from . import _kinds, _native, _reports, _timeouts
from ._caller import Caller
from ._channels import WINDOW, AsyncChannel, Channel
from ._commands import CommandResult, Line, Request
from ._files import (
    Copied,
    CopyOptions,
    Difference,
    GetOptions,
    Local,
    LocalPlace,
    Remote,
    RemotePlace,
    Work,
)
from ._global_proxy import GlobalProxy, client_of, made_by, name_of, not_a_name, unless_defined
from ._native import Connection as Native
from ._options import AwaitedOptions, checked_code, names_of_modules, split_options
from ._reports import ShowProgress
from ._responses import RemoteException
from ._shared import objects
from ._shipping.functions import forwarded_name
from ._streams import AHEAD, AsyncStream, begin
from ._waiting import readable

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_BATCH = 4096
_NO_KEYWORDS: dict[str, Any] = {}
_C = TypeVar('_C', bound='AsyncClient')


class AsyncClient(Caller):
    """A client whose calls are awaitables: `await client.os.getcwd()`.

    Make it by `async with AsyncClient.open(spec) as client`, or `client = await AsyncClient.open(spec)`. Proxies that it returns work
    the same way: their methods are awaited, and an attribute by `await proxy.raw_get_attribute(name)`. A call whose task is
    cancelled is cancelled on the server too. Remote globals are read by `await client.get(name)`. Use it from one event loop only.
    It takes the keywords of Client, and has its methods, but it is not a Client: what those return is awaited here.
    """

    # Python wants the value of these at once, and takes a future for one.
    _own_methods: ClassVar[frozenset[str]] = frozenset(
        ('__repr__', '__str__', '__hash__', '__eq__', '__ne__', '__contains__')
    )

    _takes_coroutines: ClassVar[bool] = True

    # The loop that the client is used from, and what it watches there.
    _loop: asyncio.AbstractEventLoop | None = None
    _descriptor: int = -1
    # Called when the connection was lost, once.
    _when_lost: Callable[[], object] | None = None

    @classmethod
    def open(cls, spec: str, **options: Any) -> _Opening[Self]:
        """Connects by a connection spec without blocking the event loop. To be awaited, or used by `async with`."""
        return _Opening(cls, spec, options)

    # -- the event loop

    def _use(self, native: Native) -> None:
        self._loop = None
        super()._use(native)

    def _attach(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError('an AsyncClient belongs to the event loop that used it first')
            self._loop = loop
            self._descriptor = self.fileno()
            loop.add_reader(self._descriptor, self._readable)
        return loop

    def _detach(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)

    def _readable(self) -> None:
        native = self._native
        if native is None:
            self._detach()
            return
        taken = self._taken
        try:
            native.take(taken, None, _BATCH, 0.0, False)
            if taken:
                self._deliver_taken(taken)
            elif not native.is_connected():
                self._detach()
                self._end_if_lost(native)
                if self._when_lost is not None:
                    self._when_lost()
        finally:
            if taken and self._loop is not None:
                # A completion function has raised, which the loop reports; the others are due all the same.
                self._loop.call_soon(self._readable)

    def _ask_loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def close(self, message: str | RemoteException = 'Connection closed') -> Any:
        """As Client.close(). What it gives may be awaited and need not be."""
        self._detach()
        super().close(message)
        return Done()

    def channel(self, raw: bool = False, window: int = WINDOW) -> AsyncChannel:
        """A channel of items, or with `raw` of bytes, to be given to one call as an argument. As Client.channel()."""
        return AsyncChannel(Channel(self, self._connected_native().open_channel(window), raw))

    def _wait_for_call(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, origexc: Any
    ) -> asyncio.Future[Any]:
        loop = self._attach()
        future = loop.create_future()
        waiting = _Waiting(self, future, origexc)
        ticket = self._submit(native, kind, threadid, content, limit, keeps, (waiting.done, waiting.failed))
        future.add_done_callback(functools.partial(self._given_up, ticket))
        return future

    def _given_up(self, ticket: int, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._cancel(ticket)

    def _send_timed(
        self, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> Any:
        if _timeouts.is_open(self, proxy, name, kwargs, options):
            return self._attach().create_task(self._ask_and_send(proxy, name, args, kwargs, options))
        return _timeouts.send_settled(self, proxy, name, args, kwargs, options)

    async def _ask_and_send(
        self, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> Any:
        message, limit = _timeouts.question(self, proxy, name, kwargs)
        try:
            takes = await self._request(
                _kinds.RUN, message, False, threadid=_kinds.SINGLE, origexc=False, call_timeout=limit
            )
        except RemoteException as error:
            takes = _timeouts.verdict(error)
        _timeouts.settle(self, proxy, name, takes)
        sent = _timeouts.send_settled(self, proxy, name, args, kwargs, options)
        return await sent if inspect.isawaitable(sent) else sent

    # -- requests. A request is made when the method is called, and not when its result is awaited.

    def raw_call(
        self,
        func: str,
        args: Iterable[Any],
        kwargs: Mapping[str, Any] = _NO_KEYWORDS,
        **options: Unpack[AwaitedOptions],
    ) -> Awaitable[Any]:
        """As Client.raw_call(), awaited."""
        called: Awaitable[Any] = self._call(func, tuple(args), kwargs, **options)
        return called

    def call(self, _func: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As Client.call(), awaited."""
        if not isinstance(_func, str):
            raise not_a_name(_func)
        options = split_options(kwargs)
        called: Awaitable[Any]
        if 'timeout' in kwargs:
            called = self._send_timed(None, _func, args, kwargs, options)
        else:
            called = self._call(_func, args, kwargs, **options)
        return called

    def eval(self, expr: str, **options: Unpack[AwaitedOptions]) -> Awaitable[Any]:
        """As Client.eval(), awaited."""
        checked_code('eval', expr)
        called: Awaitable[Any] = self._request(_kinds.EVAL, (expr, None), True, **options)
        return called

    def execblock(self, code: str, **options: Unpack[AwaitedOptions]) -> Awaitable[Any]:
        """As Client.execblock(), awaited."""
        checked_code('execblock', code)
        self._timeouts.clear()
        self._made |= made_by(code)
        called: Awaitable[Any] = self._request(_kinds.EXEC, (code, None), True, **options)
        return called

    def import_modules(self, names: str | Iterable[str], **options: Unpack[AwaitedOptions]) -> Awaitable[None]:
        """As Client.import_modules(), awaited."""
        called: Awaitable[None] = self.send_request(0, 'import_modules', (names_of_modules(names),), {}, **options)
        return called

    def import_module(self, name: str, **options: Unpack[AwaitedOptions]) -> Awaitable[None]:
        """As Client.import_module(), awaited."""
        return self.import_modules([name], **options)

    def run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As Client.run(), awaited."""
        if not callable(func) or self._is_own('run'):
            return self.call('run', func, *args, **kwargs)
        name = forwarded_name(self._forwarding, func)
        if name is not None:
            return self.call(name, *args, **kwargs)
        message, options = self._shipped_call(func, args, kwargs)
        called: Awaitable[Any] = self._request(_kinds.RUN, message, False, **options)
        return called

    def command(self, line: Line, *args: Any, **options: Any) -> Awaitable[Any]:
        """As Client.command(), awaited. One whose task is cancelled is ended on the server too."""
        if self._is_own('command'):
            return self.call('command', line, *args, **options)
        if args:
            raise TypeError("command() takes one line or one list of words: command('ls -l') or command(['ls', '-l'])")
        return self._run_command(line, **options)

    async def _run_command(
        self,
        line: Line,
        *,
        input: str | bytes | None = None,
        timeout: float | None = None,
        cwd: Any = None,
        env: Mapping[str, str | bytes] | None = None,
        check: bool = False,
        encoding: str | None = 'utf-8',
    ) -> CommandResult:
        request = Request(line, input, cwd, env, check, encoding)
        return request.result(self.peername, await self._send_command(request, timeout))

    @unless_defined
    def put(self, source: Local, dest: RemotePlace, **options: Unpack[CopyOptions]) -> Awaitable[Copied]:
        """As Client.put(), awaited. One whose task is cancelled is given up. `progress` is called in the event loop."""
        return awaited(self._put(False, source, dest, options), Work.one)

    @unless_defined
    def compare(self, source: Local, dest: RemotePlace, **options: Unpack[CopyOptions]) -> Awaitable[list[Difference]]:
        """As Client.compare(), awaited."""
        return awaited(self._put(True, source, dest, options), Work.one)

    @unless_defined
    def stream(self, func: str | Callable[..., Any], /, *args: Any, ahead: int = AHEAD, **kwargs: Any) -> AsyncStream:
        """As Client.stream(), for `async for`. A loop that is left by `break` ends the generator when the stream is dropped; `async with`,
        or aclose(), at once."""
        channel, future = begin(self, func, args, kwargs, ahead)
        return AsyncStream(channel, future)

    @unless_defined
    def forward_logs(self, level: int | str = 'INFO') -> Awaitable[None]:
        """As Client.forward_logs(), awaited."""
        called: Awaitable[None] = _reports.forward_logs(self, level)
        return called

    @unless_defined
    def show_progress(self, show: ShowProgress | None = None) -> Awaitable[None]:
        """As Client.show_progress(), awaited. `show` is called in the event loop."""
        call = self._attach().call_soon_threadsafe
        function = _reports.shown_by(show)
        called: Awaitable[None] = _reports.show_progress(self, lambda progress: call(function, progress))
        return called

    def update_definitions(self, **options: Unpack[AwaitedOptions]) -> Awaitable[None]:
        """As Client.update_definitions(), awaited."""
        sent = [self._define(block, **options) for block in self._new_definitions()]
        return _all_of(sent)

    def get_root(self) -> objects.RootProxy:
        """As Client.get_root(); its methods are awaited."""
        return objects.RootProxy(self, 0)

    @overload
    async def get(self, source: str) -> Any: ...

    @overload
    async def get(self, source: Remote, dest: LocalPlace, **options: Unpack[GetOptions]) -> Copied: ...

    async def get(self, source: Any, dest: Any = None, **options: Any) -> Any:
        """The value of a remote global by its dotted name. With a destination, copies files from there, as Client.get() does."""
        if dest is None and not options:
            return await self.send_request(0, 'get_global', (source,))
        return await awaited(self._get(source, dest, cast('GetOptions', options)), Work.one)

    async def set(self, name: str, value: Any) -> None:
        """Sets a remote global by its dotted name."""
        await self.send_request(0, 'set_global', (name, value))

    def _global(self, name: str) -> GlobalProxy:
        return _AsyncGlobal(self, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *info: object) -> None:
        self.close()


async def awaited(work: Work, wait: Callable[[Work], Any]) -> Any:
    """What a copy comes to; a thread waits for it."""
    loop = asyncio.get_running_loop()
    work.tell_by(loop.call_soon_threadsafe)
    try:
        return await loop.run_in_executor(None, wait, work)
    except asyncio.CancelledError:
        work.give_up()
        raise


async def _all_of(sent: list[Awaitable[None]]) -> None:
    for outcome in await asyncio.gather(*sent, return_exceptions=True):
        if outcome is not None:
            raise outcome


class _AsyncGlobal(GlobalProxy):
    """A remote global whose value is had by `await client.get(name)`."""

    __slots__ = ()
    _reading: ClassVar[str] = 'await client.get("%s")'

    def __getattribute__(self, name: str) -> Any:
        if name[:2] == '__' or name == '_client' or name == '_name':
            return object.__getattribute__(self, name)
        return _AsyncGlobal(client_of(self), name_of(self) + '.' + name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError('to set a remote global: await client.set(name, value)')


class Done:
    """Something that is done already, for those who await it."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


class _Waiting:
    """Settles one future."""

    __slots__ = ('_client', '_future', '_origexc')

    def __init__(self, client: AsyncClient, future: asyncio.Future[Any], origexc: bool | str | None) -> None:
        self._client = client
        self._future = future
        self._origexc = origexc

    def done(self, value: Any) -> None:
        """The call returned."""
        if not self._future.done():
            self._future.set_result(value)

    def failed(self, exc: RemoteException) -> None:
        """The call raised."""
        if self._future.done():
            return
        try:
            self._client._raise(exc, self._origexc)
        except StopIteration as error:
            # A future cannot hold this one.
            self._future.set_exception(StopAsyncIteration(*error.args))
        except Exception as error:
            self._future.set_exception(error)


async def _opened(opening: _native.Opening) -> Native:
    """The connection that is being made. Giving up the wait gives up the connection."""
    try:
        await readable(opening.fileno())
    except BaseException:
        opening.abort()
        raise
    return opening.finish()


class _Opening(Generic[_C]):
    """A connection that is being made: awaitable, and a context manager."""

    def __init__(self, kind: type[_C], spec: str, options: dict[str, Any]) -> None:
        self._make: Callable[[], _C] = functools.partial(kind._aimed, spec, **options)
        self._client: _C | None = None

    def __await__(self) -> Generator[Any, None, _C]:
        return self._connect().__await__()

    async def _connect(self) -> _C:
        client = self._make()
        client._use(await _opened(_native.begin(*client._opening())))
        client._attach()
        return client

    async def __aenter__(self) -> _C:
        self._client = await self._connect()
        return self._client

    async def __aexit__(self, *info: object) -> None:
        if self._client is not None:
            self._client.close()
