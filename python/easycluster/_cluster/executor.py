"""Executor: concurrent.futures on the hosts of a cluster."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from .. import _checked, _errors, _process
from .._environments import Environment, Provided
from .._options import checked_number
from .._pickling.unpickler import unpickle_trusted
from .._responses import RemoteException, Retold
from .._shipping.functions import By, Function, Portable
from .future import Future
from .pump import Pump
from .report import HostLost
from .slots import Slot, is_lost, original
from .tasks import Place, Task

if TYPE_CHECKING:
    from .calls import Calls

# As the standard library's executors tell it.
_LOGGER = logging.getLogger('concurrent.futures')
# One that runs there, and one that waits behind it, so that no round trip passes between them.
_OUTSTANDING = 2
# What gives a function's results, which may be pickles that are trusted.
_TRUSTED = ('call', 'chunk')
# So long a shutdown that cancels what waits lets begin what there is room for, in seconds.
_ROOM = 1.0


class Executor(futures.Executor):
    """Runs functions on the hosts of a cluster. Made by `cluster.executor()`.

    As the executors of concurrent.futures, with these differences: `future.interrupt()` gives up also what runs; if a host is lost,
    only its futures end, with HostLost; `map` has `buffersize` under every version of Python. Completion functions of futures run in
    the cluster's thread: they must be short, and cannot wait for calls on the cluster.
    """

    def __init__(
        self,
        hosts: Calls,
        max_workers: int | None,
        initializer: Function | None,
        initargs: Iterable[Any],
        retries: int,
        by: By,
        trust: bool,
        environment: Environment | None = None,
    ) -> None:
        """See `Cluster.executor`."""
        if max_workers is not None and not isinstance(max_workers, int):
            raise TypeError('max_workers is a number of processes, and not %r' % type(max_workers).__name__)
        if max_workers is not None and max_workers < 1:
            raise ValueError('max_workers must be greater than 0')
        checked_number('retries', retries, 0)
        if environment is not None and not isinstance(environment, Environment):
            raise TypeError(
                'environment is an Environment of the packages, such as Environment(%r), and not %r'
                % (['numpy'], type(environment).__name__)
            )
        hosts._check_open()
        self._hosts = hosts
        self._pump: Pump = hosts._root._pump  # type: ignore[attr-defined]
        self._most = max_workers
        self._initializer = None if initializer is None else Portable(initializer, by)
        self._initargs = tuple(initargs)
        self._retries = retries
        self._by = by
        self._trust = trust
        self._renew_locks()
        _process.renew_after_fork(self)
        self._places: list[Place] = []
        self._waiting: deque[Task] = deque()
        self._shutdown = False
        self._broken: str | None = None
        self._portables: dict[str | FunctionType, Portable] = {}
        slots = hosts._slots_now(None)
        self._provided: Provided | None = None
        if environment is not None:
            processes = [(slot.host, slot.client) for slot in slots]
            self._provided = Provided(environment, hosts._connected(), processes)
        for slot in slots:
            self._joined(slot)
        self._listener = self._joined if environment is None else self._joined_without
        hosts._root._listeners.append(self._listener)
        # Building packages takes its time.
        for slot in hosts._slots_now(None):
            if slot not in slots:
                self._listener(slot)

    def _renew_locks(self) -> None:
        # Guards places and what waits; futures are completed without it.
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    @property
    def _max_workers(self) -> int:
        """How many calls run at once; other libraries look at it."""
        return max(sum(not place.gone for place in self._places), 1)

    # -- the interface of concurrent.futures

    def submit(self, fn: Function, /, *args: Any, **kwargs: Any) -> Future:
        """Calls a function on some host; gives a future at once. `fn` is a function of this program, or a name."""
        return self._submit(Task(self._portable(fn), 'call', args, kwargs))

    def map(
        self,
        fn: Function,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """As the built-in map(), with the calls made on the hosts. Takes the whole input at once, or with `buffersize` as much as so
        many chunks ahead of the results. `timeout` is for all, in seconds from this call on."""
        if chunksize < 1:
            raise ValueError('chunksize must be >= 1.')
        if buffersize is not None and buffersize < 1:
            raise ValueError('buffersize must be None or > 0')
        end = None if timeout is None else time.monotonic() + timeout
        portable = self._portable(fn)
        items = zip(*iterables)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        submitted: deque[Future] = deque()
        for chunk in itertools.islice(chunks, buffersize):
            submitted.append(self._submit_chunk(portable, chunk))
        return self._results(portable, chunks if buffersize else None, submitted, end)

    def _results(
        self,
        portable: Portable,
        chunks: Iterator[list[tuple[Any, ...]]] | None,
        submitted: deque[Future],
        end: float | None,
    ) -> Iterator[Any]:
        try:
            while submitted:
                future = submitted.popleft()
                try:
                    outcomes = future.result(None if end is None else max(end - time.monotonic(), 0))
                finally:
                    future.cancel()
                refused: RuntimeError | None = None
                chunk = next(chunks, None) if chunks is not None else None
                if chunk is not None:
                    try:
                        submitted.append(self._submit_chunk(portable, chunk))
                    except RuntimeError as error:
                        # It was shut down meanwhile; what was submitted before comes first.
                        refused, chunks = error, None
                for succeeded, value in outcomes:
                    if not succeeded:
                        raise value
                    yield value
                if refused is not None:
                    for future in submitted:
                        for succeeded, value in future.result():
                            if not succeeded:
                                raise value
                            yield value
                    raise refused
        finally:
            for future in submitted:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls. Waits for those that were taken, or with `cancel_futures` for those that run. The cluster stays."""
        if cancel_futures:
            # What there is room for counts as running, as if it had been sent when it was submitted.
            self._dispatch_safely(_ROOM)
        with self._lock:
            self._shutdown = True
            listeners = self._hosts._root._listeners
            if self._listener in listeners:
                listeners.remove(self._listener)
            self._idle.notify_all()
        if cancel_futures and not self._safely(self._drop_waiting, _ROOM):
            # That thread is at a completion function.
            self._drop_waiting()
        if wait:
            # One whose submit() was interrupted may wait yet.
            self._dispatch_safely()
            with self._lock:
                self._idle.wait_for(self._is_idle)
            if self._provided is not None:
                self._provided.close()

    # -- sending

    def _portable(self, fn: Function) -> Portable:
        known = self._portables.get(fn) if isinstance(fn, (str, FunctionType)) else None
        if known is not None:
            return known
        if not callable(fn) and not isinstance(fn, str):
            raise TypeError('%r is neither a function nor the name of one' % (fn,))
        portable = Portable(fn, self._by)
        # Others may have changed at the next call, and are not to be kept.
        if isinstance(fn, str) or (isinstance(fn, FunctionType) and '<' not in fn.__qualname__):
            if len(self._portables) > 256:
                self._portables.clear()
            self._portables[fn] = portable
        return portable

    def submit_pickled(self, data: bytes, as_bytes: bool, prepare: Callable[[Slot], None]) -> Future:
        """Calls what a pickle of cloudpickle holds; with `as_bytes` the result is a pickle too. `prepare` is called with the slot that
        gets it, first."""
        return self._submit(Task(None, 'pickled', (data, as_bytes), {}, prepare))

    def interrupt_all(self) -> None:
        """Gives up all calls, whether they wait or run."""
        with self._lock:
            waiting = list(self._waiting)
            running = [work for place in self._places for work in place.works]
        for work in waiting + running:
            work.future.interrupt()

    def _submit_chunk(self, portable: Portable, chunk: list[tuple[Any, ...]]) -> Future:
        return self._submit(Task(portable, 'chunk', (chunk,), {}))

    def _submit(self, work: Task) -> Future:
        # Where none was there at the beginning, one may still come.
        may_come = bool(self._places or self._hosts._slots_now(None) or self._hosts._root._joinings())
        with self._lock:
            if self._broken is not None:
                raise HostLost(self._broken)
            if self._shutdown:
                raise RuntimeError('cannot schedule new futures after shutdown')
            if not may_come or (self._places and all(place.gone for place in self._places)):
                raise self._hosts._nobody(work.function.name if work.function else '')
            work.future._pump = self._pump
            self._waiting.append(work)
        self._dispatch_safely()
        return work.future

    def _drop_waiting(self) -> None:
        with self._lock:
            # One that was lost with its host has begun.
            dropped = [work for work in self._waiting if not work.lost_on]
            self._waiting = deque(work for work in self._waiting if work.lost_on)
            self._idle.notify_all()
        for work in dropped:
            work.future.cancel()
            work.future.set_running_or_notify_cancel()

    def _dispatch_safely(self, limit: float = 0.0) -> None:
        """As _dispatch(), but where no signal handler raises in between: what it raised would be taken for the failure of work, or
        leave some that is never sent. Waits for that no longer than `limit` seconds."""
        self._safely(self._dispatch, limit)

    def _safely(self, function: Callable[[], object], limit: float) -> bool:
        """Has a function called where no signal handler raises in between; whether it has ended, for which this waits so many seconds."""
        done = threading.Event()

        def call() -> None:
            try:
                function()
            finally:
                done.set()

        if not self._elsewhere(call):
            function()
            return True
        return bool(limit) and done.wait(limit)

    def _elsewhere(self, function: Callable[[], object]) -> bool:
        """Has a function called in the cluster's thread, if this is the thread in which signal handlers run; False if it is to be
        called here."""
        return threading.get_ident() == _process.main_ident and self._hosts._root._soon(function)

    def _is_idle(self) -> bool:
        return not self._waiting and not any(place.works for place in self._places)

    def _dispatch(self) -> None:
        """Sends what waits to places that are free."""
        while True:
            with self._lock:
                free = [place for place in self._places if not place.gone and len(place.works) < _OUTSTANDING]
                if not self._waiting or not free:
                    return
                work = self._waiting.popleft()
                place = min(free, key=lambda each: len(each.works))
                place.works.add(work)
                work.place = place
            if not work.lost_on and not work.future.set_running_or_notify_cancel():
                self._done(work)
                continue
            slot = place.slot
            try:
                name, args = work.name, work.arguments_at(slot)
                if self._trust and name in _TRUSTED:
                    name, args = 'trusted', (name, args)
                work.ticket = slot.ask(
                    name, args, Retold(self._told, self._completed, work), Retold(self._told, self._failed, work)
                )
                if work.given_up:
                    slot.cancel(work.ticket)
            except Exception as error:
                if slot.is_lost(error):
                    self._lost(place, str(error))
                else:
                    self._done(work)
                    work.future.set_exception(error)

    def _done(self, work: Task) -> None:
        with self._lock:
            if work.place is not None:
                work.place.works.discard(work)
            work.place = None
            # What a future was made for does not live as long as the future.
            work.future._work = None
            if self._is_idle():
                self._idle.notify_all()

    # -- what comes back, in the cluster's thread or another one, but not amid signal handlers

    def _told(self, function: Callable[[Any, Task], None], work: Task, value: Any) -> None:
        """What comes back where the program itself has read the responses of the host, or anywhere else. It may be told twice."""
        if not self._elsewhere(partial(function, value, work)):
            function(value, work)

    def _completed(self, value: Any, work: Task) -> None:
        place = work.place
        if place is None:
            return
        if self._trust and work.name in _TRUSTED:
            try:
                succeeded, value = unpickle_trusted(value)
                failed = None if succeeded else place.slot.exception_of(value, True)
            except Exception as error:
                failed = error
            if failed is not None:
                self._done(work)
                self._dispatch()
                work.future.set_exception(failed)
                return
        if work.name == 'chunk':
            try:
                value = _checked.outcomes(place.slot.host, value, len(work.args[0]))
            except _errors.Refused as error:
                # Others do its work.
                place.slot.client.close(str(error))
                self._lost(place, str(error))
                return
            exception_of = place.slot.exception_of
            value = [
                (True, each) if succeeded else (False, exception_of(each, self._trust)) for succeeded, each in value
            ]
        self._done(work)
        self._dispatch()
        work.future.set_result(value)

    def _failed(self, exc: RemoteException, work: Task) -> None:
        place = work.place
        if place is None:
            return
        if is_lost(exc):
            self._lost(place, str(exc.orig))
            return
        self._done(work)
        self._dispatch()
        work.future.set_exception(original(exc))

    def _lost(self, place: Place, reason: str) -> None:
        """A process is lost: its calls fail, or are made again elsewhere where that is allowed."""
        failed: list[tuple[Task, Exception]] = []
        with self._lock:
            place.gone = True
            works, place.works = place.works, set()
            left = any(not each.gone for each in self._places)
            again = []
            for work in works:
                work.place = None
                work.lost_on.append(place.slot.host)
                # What two did not survive is not given to a third.
                if left and len(work.lost_on) <= min(self._retries, 1):
                    again.append(work)
                    continue
                hosts = work.lost_on
                text = '%s lost with this call: %s' % (
                    'each of %s was' % ', '.join(hosts) if len(hosts) > 1 else '%s was' % hosts[0],
                    reason,
                )
                failed.append((work, HostLost(text, hosts)))
            self._waiting.extendleft(again)
            if not left:
                for work in self._waiting:
                    failed.append((work, HostLost('no host of the cluster is left; the last: %s' % reason)))
                self._waiting.clear()
            if self._is_idle():
                self._idle.notify_all()
        for work, error in failed:
            if work.lost_on or work.future.set_running_or_notify_cancel():
                work.future.set_exception(error)
        self._dispatch()

    def _joined_without(self, slot: Slot) -> None:
        """Takes a process in that has come later, once it has the packages; whoever tells of it must not wait for that."""
        if self._hosts._has(slot.host):
            threading.Thread(target=self._provide, args=(slot,), daemon=True).start()

    def _provide(self, slot: Slot) -> None:
        assert self._provided is not None
        try:
            self._provided.add(slot.host, slot.client)
        except Exception as error:
            _LOGGER.warning('%s gets no calls, for it has not got the packages: %s', slot.host, error)
        else:
            self._joined(slot)

    def _joined(self, slot: Slot) -> None:
        """Takes a process of the cluster in. Any thread may call it."""
        if not self._hosts._has(slot.host):
            return
        with self._lock:
            if self._shutdown or (self._most is not None and len(self._places) >= self._most):
                return
        if self._initializer is not None:
            try:
                number = slot.number_of(self._initializer)
                slot.ask('call', (number, self._initargs, {}), _ignore, self._not_initialized)
            except Exception as error:
                self._break(str(error))
                return
        with self._lock:
            if not any(place.slot is slot for place in self._places):
                self._places.append(Place(slot))
        self._dispatch()

    def _not_initialized(self, exc: RemoteException) -> None:
        if not is_lost(exc):
            error = original(exc)
            _LOGGER.critical('Exception in initializer:', exc_info=error)
            self._break('the initializer failed: %s' % error)

    def _break(self, reason: str) -> None:
        with self._lock:
            self._broken = reason
            works = list(self._waiting)
            self._waiting.clear()
            for place in self._places:
                works.extend(place.works)
                place.works = set()
            self._idle.notify_all()
        for work in works:
            running = work.place is not None
            work.place = None
            if running or work.future.set_running_or_notify_cancel():
                work.future.set_exception(HostLost(reason))


def _ignore(value: Any) -> None:
    pass
