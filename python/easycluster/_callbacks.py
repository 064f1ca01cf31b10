"""Callbacks: functions of this program that remote code may call, as long as it was handed them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import pickle
import struct
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar

from . import _errors, _native, _process
from ._pickling.encode import encode_item

# Calls of functions of one connection that run here at once; the last place is for telling that all of them wait for each other.
_MAX_RUNNING = 63
# How long a thread that has nothing to do waits for more, in seconds.
_IDLE = 5.0
_WAIT = 3600.0


class Callback:
    """A function of this program, to be given to remote code as an argument; made by easycluster.callback()."""

    __slots__ = ('function', 'wait', 'timeout', 'aside', '__weakref__')

    def __init__(self, function: Callable[..., Any], wait: bool, timeout: float | None, aside: bool = False) -> None:
        self.function = function
        self.wait = wait
        self.timeout = timeout
        # Run in a thread of its own, also where others run on an event loop.
        self.aside = aside

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself, here."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> Any:
        raise pickle.PicklingError('a callback can only be an argument of a call')

    def _named_in(self, pickler: Any) -> Any:
        """What names it in a request of the pickler's client."""
        client = pickler.client
        asked: Asked = client._take_asks()
        if inspect.iscoroutinefunction(self.function) and not client._takes_coroutines:
            raise TypeError('a callback that is a coroutine function needs an AsyncClient, and %r is none' % client)
        number = asked.add(self)
        # Not among the channels, which end with a request that fails.
        pickler.functions = True
        return ('k', number, asked.native.number, self.wait, self.timeout)

    def __repr__(self) -> str:
        return '<Callback of %r>' % (self.function,)


def callback(function: Callable[..., Any], wait: bool = True, timeout: float | None = None) -> Callback:
    """A function of this program that remote code may call. To be given to a call as an argument, also inside of others:

        client.call('copy_all', names, report=easycluster.callback(lambda done, total: bar.update(done)))

    There it is a function, `report(3, 10)`, that gives what this one returns and raises what this one raises. Arguments and results
    are values, as those of calls are. Remote code can call what it was given and nothing else, until the connection ends.

    wait: False lets the remote code go on at once; then it gets None, such calls run here one after the other, and what they raise
        goes to threading.excepthook. A function for which nobody waits cannot make calls on clients that have callbacks.
    timeout: seconds after which the remote code waits no more and gets an OSError (ETIMEDOUT), a TimeoutError from 3.3 on.

    The function runs in a thread beside those that make calls, in several where remote code calls it from several; with an AsyncClient
    or an AsyncCluster on the event loop, and may be a coroutine function. It may make calls on its own client: those run in
    another thread there, as the one that has called the function waits.
    """
    if isinstance(function, Callback) or not callable(function):
        raise TypeError('callback() takes a function, not %r' % (function,))
    if timeout is not None:
        timeout = float(timeout)
        if not timeout >= 0:
            raise ValueError('timeout must be a number of seconds, 0 or more')
    return Callback(function, bool(wait), timeout)


class Running:
    """One call of a function that runs, or the calls of one that nobody waits for."""

    __slots__ = ('number', 'asked', 'waited_for', 'threads')

    _numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self, asked: Asked, waited_for: bool) -> None:
        self.number = next(Running._numbers)
        self.asked = asked
        self.waited_for = waited_for
        # The connections that it has made calls on, or one that it has called: it may be waiting for those.
        self.threads: set[Asked] = set()


# What the code that runs was called by, the innermost last.
_inside: ContextVar[tuple[Running, ...]] = ContextVar('easycluster callbacks', default=())


class _Entry:
    """A function that was handed over, and the calls of it that nobody waits for and that have not run."""

    __slots__ = ('callback', 'notes', 'busy')

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.notes: deque[Any] = deque()
        self.busy = False


class Asked:
    """What the other side of one connection may call, and the calls of it that run."""

    def __init__(self, client: Any, native: _native.Connection) -> None:
        self._client = weakref.ref(client)
        self._peername = client.peername
        self._entries: dict[int, _Entry] = {}
        self._numbers = itertools.count(1)
        self._running: set[Running] = set()
        self._waiting: deque[tuple[Any, _Entry]] = deque()
        self._lock = threading.Lock()
        self.native = _dispatcher.begin(self, native)

    def add(self, callback: Callback) -> int:
        """The number of a function that is being handed over."""
        number = next(self._numbers)
        self._entries[number] = _Entry(callback)
        return number

    def thread(self) -> Running | None:
        """What names the server's thread that calls go to: one for each function that makes some, as the thread that has called the
        function waits, and others may in turn; None outside of functions."""
        inside = _inside.get()
        if not inside:
            return None
        for running in inside:
            if not running.waited_for:
                raise RuntimeError(
                    '%s: a callback with wait=False cannot make calls on a client that has callbacks; nobody waits for it'
                    % self._peername
                )
            if not running.threads:
                running.threads.add(self)
                running.asked._relieve()
        inside[-1].threads.add(self)
        return inside[-1]

    # -- in the dispatcher's thread, which must not wait

    def arrived(self, ask: Any) -> None:
        """Takes one ask."""
        number = ask.function
        if not number:
            content = ask.content()
            for (given_up,) in struct.iter_unpack('>I', content[: len(content) // 4 * 4]):
                self._entries.pop(given_up, None)
            ask.answer()
            return
        entry = self._entries.get(number)
        if entry is None or entry.callback.wait != ask.waited_for:
            self._refuse(ask, LookupError('%s was not given this function' % self._peername))
        elif not entry.callback.wait:
            with self._lock:
                entry.notes.append(ask)
                if entry.busy:
                    return
                entry.busy = True
            self._start(Running(self, False), entry)
        else:
            with self._lock:
                if len(self._running) >= _MAX_RUNNING:
                    self._waiting.append((ask, entry))
                    running = None
                else:
                    running = Running(self, True)
                    self._running.add(running)
            if running is None:
                self._relieve()
            else:
                self._start(running, entry, ask)

    def _start(self, running: Running, entry: _Entry, ask: Any = None) -> None:
        """Has a function run: for one ask, or for those that nobody waits for."""
        client = self._client()
        loop: asyncio.AbstractEventLoop | None = None if client is None or entry.callback.aside else client._ask_loop()
        if loop is None:
            try:
                if ask is None:
                    _pool.run(lambda: self._note(running, entry))
                else:
                    _pool.run(lambda: self._run(running, ask, entry.callback))
            except BaseException:
                self._not_started(running, entry)
                raise
            return

        def begin() -> None:
            context = copy_context()
            context.run(_inside.set, (*_inside.get(), running))
            coroutine = self._note_on_loop(entry) if ask is None else self._run_on_loop(running, ask, entry.callback)
            task: Any = context.run(loop.create_task, coroutine)
            _tasks.add(task)
            task.add_done_callback(ended)

        def ended(task: Any) -> None:
            _tasks.discard(task)
            if ask is None:
                if task.cancelled() or task.exception() is not None:
                    # The others are due all the same.
                    self._start(running, entry)
            elif task.cancelled():
                # Perhaps before it has begun; else this was said.
                self._over(running)
                self._refuse(ask, asyncio.CancelledError())

        try:
            loop.call_soon_threadsafe(begin)
        except RuntimeError:
            # The loop is closed. Whoever asked is told when the ask is dropped with the connection.
            self._over(running)

    def _not_started(self, running: Running, entry: _Entry) -> None:
        """There is no thread to be had. Whoever called for one says so to those who wait for an answer."""
        if running.waited_for:
            self._over(running)
            return
        with self._lock:
            entry.busy = False
            entry.notes.clear()

    def _relieve(self) -> None:
        """Refuses what waits for a place, where all that run may be waiting for it in turn."""
        with self._lock:
            if len(self._running) < _MAX_RUNNING or not all(running.threads for running in self._running):
                return
            refused = list(self._waiting)
            self._waiting.clear()
        for ask, _ in refused:
            self._refuse(ask, RecursionError('%d callbacks of %s wait for each other' % (_MAX_RUNNING, self._peername)))

    def _refuse(self, ask: Any, error: BaseException) -> None:
        ask.answer(*self._told(error))

    def _over(self, running: Running) -> None:
        """A function has ended; another call of one may have its place."""
        following = None
        with self._lock:
            if running.waited_for and running not in self._running:
                return
            self._running.discard(running)
            if self._waiting and len(self._running) < _MAX_RUNNING:
                following = self._waiting.popleft()
                successor = Running(self, True)
                self._running.add(successor)
        for asked in running.threads:
            client = asked._client()
            if client is not None:
                client._end_thread(running)
        if following is not None:
            try:
                self._start(successor, following[1], following[0])
            except Exception as error:
                # What has ended here is to be answered all the same.
                self._refuse(following[0], error)

    # -- in a thread of the pool, or on the event loop

    def _run(self, running: Running, ask: Any, callback: Callback) -> None:
        with _as_running(running):
            try:
                client, args, kwargs = self._arguments(ask)
                answer = self._given(client, callback.function(*args, **kwargs))
                del client
            except BaseException as error:
                answer = self._told(error)
        self._over(running)
        ask.answer(*answer)

    async def _run_on_loop(self, running: Running, ask: Any, callback: Callback) -> None:
        try:
            client, args, kwargs = self._arguments(ask)
            value = callback.function(*args, **kwargs)
            answer = self._given(client, await value if inspect.isawaitable(value) else value)
        except BaseException as error:
            answer = self._told(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._over(running)
            ask.answer(*answer)

    def _note(self, running: Running, entry: _Entry) -> None:
        with _as_running(running):
            for ask in self._notes(entry):
                try:
                    _, args, kwargs = self._arguments(ask)
                    entry.callback.function(*args, **kwargs)
                except BaseException:
                    # One that would end its thread as well: the thread is ours.
                    _process.tell_hook()

    async def _note_on_loop(self, entry: _Entry) -> None:
        for ask in self._notes(entry):
            try:
                _, args, kwargs = self._arguments(ask)
                value = entry.callback.function(*args, **kwargs)
                if inspect.isawaitable(value):
                    await value
            except Exception as error:
                told = {'message': 'a callback of %s failed' % self._peername, 'exception': error}
                asyncio.get_running_loop().call_exception_handler(told)

    def _notes(self, entry: _Entry) -> Iterator[Any]:
        """The calls that nobody waits for, in their order. Each is in hand until it is over."""
        while True:
            with self._lock:
                if not entry.notes:
                    entry.busy = False
                    return
                ask = entry.notes.popleft()
            yield ask
            ask.answer()

    def _arguments(self, ask: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The client, and what the function is called with. Nothing is asked of the server meanwhile."""
        client = self._client()
        if client is None:
            raise _errors.ConnectionLost('%s: the connection is closed' % self._peername)
        content = client._answers.item(ask.content())
        if type(content) is tuple and list(map(type, content)) == [tuple, dict]:
            args, kwargs = content
            if all(type(name) is str for name in kwargs):
                return client, args, kwargs
        raise _errors.Refused('%s calls a function with something else than arguments' % self._peername)

    def _given(self, client: Any, value: Any) -> tuple[list[Any], bool]:
        return encode_item(value, client._protocol), False

    def _told(self, error: BaseException) -> tuple[list[Any], bool]:
        """An exception as the other side is told of it: the names of its classes, its arguments, its words, its traceback."""
        client = self._client()
        protocol = 2 if client is None else client._protocol
        names = [(each.__module__, each.__name__) for each in type(error).__mro__ if issubclass(each, BaseException)]
        trace = error.__traceback__
        # Without the frames of this file, which stand in front.
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        text = ''.join(traceback.format_exception(type(error), error, trace))
        try:
            # Of a plain text, whatever class its own is of.
            message = ''.join((str(error),))
        except Exception:
            message = type(error).__name__
        # Each by itself, as some may hold what cannot be sent, or read there.
        args = _part(error.args, protocol)
        attributes = getattr(error, '__dict__', {}).items()
        kept = {name: part for name, value in attributes if (part := _part(value, protocol)) is not None}
        return encode_item((names, None, message, text, (args, kept)), protocol), True


def _part(value: Any, protocol: int) -> bytes | None:
    """The pickle of a part of an exception; None for what cannot be sent."""
    try:
        return b''.join(encode_item(value, protocol))
    except Exception:
        return None


@contextlib.contextmanager
def _as_running(running: Running) -> Iterator[None]:
    token = _inside.set((*_inside.get(), running))
    try:
        yield
    finally:
        _inside.reset(token)


# Kept, because a loop keeps its tasks by weak references only.
_tasks: set[Any] = set()


class _Pool:
    """Threads that functions run in, as many as there are calls at once; each ends when it has had nothing to do for a while."""

    def __init__(self) -> None:
        self._renew_locks()
        _process.renew_after_fork(self)

    def _renew_locks(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle = 0

    def run(self, job: Callable[[], None]) -> None:
        """Has a job done by a thread that is free, or by a new one."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
                return
        try:
            threading.Thread(target=self._work, name='easycluster callback', daemon=True).start()
        except BaseException:
            with self._changed:
                if job not in self._jobs:
                    # Another one has taken it.
                    return
                self._jobs.remove(job)
            raise

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._idle += 1
                    self._changed.wait(_IDLE)
                    self._idle -= 1
                    if not self._jobs:
                        return
                job = self._jobs.popleft()
            job()
            del job


class _Dispatcher:
    """The one thread that takes the asks of all connections, and gives them to those who run them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._renew_locks()
        _process.renew_after_fork(self)

    def _renew_locks(self) -> None:
        self._lock = threading.Lock()
        self._queue = _native.AskQueue()
        self._asked: dict[int, weakref.ref[Asked]] = {}
        self._thread: threading.Thread | None = None

    def begin(self, asked: Asked, native: _native.Connection) -> _native.Asking:
        """Has what a connection asks go to `asked`."""
        number = next(self._numbers)
        with self._lock:
            self._asked[number] = weakref.ref(asked)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, args=(self._queue,), name='easycluster callbacks', daemon=True
                )
                self._thread.start()
        return native.take_asks(self._queue, number)

    def _work(self, queue: _native.AskQueue) -> None:
        while True:
            taken = queue.take(_WAIT)
            if taken is None:
                continue
            number, ask = taken
            reference = self._asked.get(number)
            asked = None if reference is None else reference()
            if ask is None:
                self._asked.pop(number, None)
            elif asked is not None:
                try:
                    asked.arrived(ask)
                except Exception as error:
                    # No thread could be had, for instance.
                    asked._refuse(ask, error)
            del taken, ask, asked


_pool = _Pool()
_dispatcher = _Dispatcher()
