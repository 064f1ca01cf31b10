"""AsyncClient: calls that are awaited, on the running event loop."""

import asyncio
import functools
import inspect

from ._client import Client
from ._global_proxy import GlobalProxy
from ._references import RootProxy
from ._requests import _RUN
from ._response import RemoteException
from ._timeouts import verdict


class AsyncClient(Client):
    """A client whose calls are awaitables: `await client.os.getcwd()`.

    Make it by `async with AsyncClient.open(spec) as client`, or `client = await AsyncClient.open(spec)`. Proxies that it returns work
    the same way: their methods are awaited, and an attribute by `await proxy.raw_get_attribute(name)`. A call whose task is
    cancelled is cancelled on the server too. Remote globals are read by `await client.get(name)`. Use it from one event loop only.
    """

    _loop = None
    # Python wants the value of these at once, and takes a future for one.
    _own_methods = frozenset(('__repr__', '__str__', '__hash__', '__eq__', '__ne__', '__contains__'))

    @classmethod
    def open(cls, spec, **options):
        """Connects by a connection spec without holding up the event loop. To be awaited, or used by `async with`."""
        return _Opening(cls, spec, options)

    def _open(self, parameters):
        self._loop = None
        super()._open(parameters)

    def _attach(self):
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError('an AsyncClient belongs to the event loop that used it first')
            self._loop = loop
            self._descriptor = self.fileno()
            loop.add_reader(self._descriptor, self._readable)
        return loop

    def _detach(self):
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)

    def _readable(self):
        native = self._native
        if native is None:
            self._detach()
            return
        batch = native.take(None, 4096, 0.0, False)
        if batch:
            self._dispatch(batch)
        elif not native.is_connected():
            self._detach()
            self._fail_if_lost(native)

    def close(self, message='Connection closed'):
        """As Client.close()."""
        self._detach()
        super().close(message)

    def _wait_for_call(self, native, kind, threadid, content, call_timeout, oids, origexc):
        loop = self._attach()
        future = loop.create_future()
        waiting = _Waiting(self, future, origexc)
        ticket = self._submit(native, kind, threadid, content, call_timeout, oids, (waiting.done, waiting.failed))
        future.add_done_callback(functools.partial(self._given_up, ticket))
        return future

    def _given_up(self, ticket, future):
        if future.cancelled():
            self._cancel(ticket)

    def _send_timed(self, proxy, name, args, kwargs, options):
        """As Client._send_timed(), awaited."""
        if self._is_open(proxy, name, kwargs, options):
            return self._attach().create_task(self._ask_and_send(proxy, name, args, kwargs, options))
        return self._send_settled(proxy, name, args, kwargs, options)

    async def _ask_and_send(self, proxy, name, args, kwargs, options):
        message, limit = self._question(proxy, name, kwargs)
        try:
            takes = await self._request(_RUN, message, False, threadid=-1, origexc=False, call_timeout=limit)
        except RemoteException as error:
            takes = verdict(error)
        self._settle(proxy, name, takes)
        sent = self._send_settled(proxy, name, args, kwargs, options)
        return await sent if inspect.isawaitable(sent) else sent

    def get_root(self):
        """As Client.get_root(); its methods are awaited."""
        return RootProxy(self, 0)

    async def get(self, name):
        """The value of a remote global by its dotted name."""
        return await self.send_request(0, 'get_global', (name,))

    async def set(self, name, value):
        """Sets a remote global by its dotted name."""
        await self.send_request(0, 'set_global', (name, value))

    def __getattr__(self, attr):
        found = super().__getattr__(attr)
        return found if not isinstance(found, GlobalProxy) else _AsyncGlobal(self, attr)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *info):
        self.close()


class _AsyncGlobal(GlobalProxy):
    """A remote global whose value is had by `await client.get(name)`."""

    __slots__ = ()

    def __getattribute__(self, name):
        if name[:2] == '__' or name == '_client' or name == '_name':
            return object.__getattribute__(self, name)
        client = object.__getattribute__(self, '_client')
        return _AsyncGlobal(client, object.__getattribute__(self, '_name') + '.' + name)

    def __setattr__(self, name, value):
        raise AttributeError('to set a remote global: await client.set(name, value)')


class _Waiting:
    """Settles one future."""

    __slots__ = ('_client', '_future', '_origexc')

    def __init__(self, client, future, origexc):
        self._client = client
        self._future = future
        self._origexc = origexc

    def done(self, value):
        """The call returned."""
        if not self._future.done():
            self._future.set_result(value)

    def failed(self, exc):
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


class _Opening:
    """A connection that is being made: awaitable, and a context manager."""

    def __init__(self, cls, spec, options):
        self._make = functools.partial(cls.from_spec, spec, **options)
        self._client = None

    def __await__(self):
        return self._connect().__await__()

    async def _connect(self):
        loop = asyncio.get_running_loop()
        client = await loop.run_in_executor(None, self._make)
        client._attach()
        return client

    async def __aenter__(self):
        self._client = await self._connect()
        return self._client

    async def __aexit__(self, *info):
        self._client.close()
