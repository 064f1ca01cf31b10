"""The one thread of a cluster that reads the responses of all of its clients, and calls their completion functions."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .. import _process
from .._client import Client
from .._threaded import ThreadedClient

_T = TypeVar('_T')


class Pump:
    """Reads the responses of clients in a thread of its own, which is started with the first."""

    def __init__(self, name: str, on_lost: Callable[[Client], None]) -> None:
        """`on_lost` is called in the thread with a client whose connection has ended, once."""
        self._name = name
        self._on_lost = on_lost
        self._renew_locks()
        _process.renew_after_fork(self)
        self._poll = select.poll()
        self._clients: dict[int, Client] = {}
        self._others: dict[int, Callable[[], object]] = {}
        self._soon: deque[Callable[[], object]] = deque()
        self._ended = False

    def _renew_locks(self) -> None:
        self._lock = threading.Lock()
        # The one that was started last, and the one that reads. In a child process there is none, and none begins: the connections
        # are the parent's.
        self._thread: threading.Thread | None = None
        self._reader: threading.Thread | None = None
        self._waker: tuple[int, int] | None = None
        self._ended = True

    def add(self, client: Client) -> None:
        """Reads this client's responses from now on."""
        self._register(client.fileno(), self._clients, client)

    def watch(self, descriptor: int, function: Callable[[], object]) -> None:
        """Calls a function whenever the descriptor is readable, until it gives false."""
        self._register(descriptor, self._others, function)

    def check_wait(self) -> None:
        """Raises RuntimeError in the thread itself, where what is waited for would never be read."""
        if self._reader is threading.current_thread():
            raise RuntimeError(
                'a completion function runs in the thread that reads the answers of the cluster, and cannot wait for one; '
                'have another thread call the cluster'
            )

    def call_soon(self, function: Callable[[], object]) -> bool:
        """Calls a function in the thread, where no signal handler comes in between; False if that has ended."""
        with self._lock:
            if not self._ended:
                self._soon.append(function)
                self._wake()
            return not self._ended

    def _register(self, descriptor: int, table: dict[int, _T], value: _T) -> None:
        with self._lock:
            if self._ended:
                return
            table[descriptor] = value
            self._poll.register(descriptor, select.POLLIN)
            self._wake()

    def _wake(self) -> None:
        """Has the thread look, with the lock held; starts it first if need be. A signal handler may raise anywhere in here, and the next
        one goes on."""
        if self._waker is None:
            waker = os.pipe()
            os.set_blocking(waker[1], False)
            self._poll.register(waker[0], select.POLLIN)
            self._waker = waker
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        try:
            os.write(self._waker[1], b'+')
        except BlockingIOError:
            # The pipe is full, so the thread wakes anyway.
            pass

    def close(self) -> None:
        """Ends the thread, and waits for it unless it is the calling one."""
        with self._lock:
            self._ended = True
            if self._waker is not None:
                self._wake()
            thread = self._reader or self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _drop(self, descriptor: int) -> None:
        with self._lock:
            self._clients.pop(descriptor, None)
            self._others.pop(descriptor, None)
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                pass

    def _run(self) -> None:
        with self._lock:
            if self._reader is not None or self._waker is None:
                # Another one was started before, by somebody who does not know of it.
                return
            self._reader = threading.current_thread()
            reader = self._waker[0]
        try:
            while not self._ended:
                for descriptor, _ in self._poll.poll():
                    if descriptor == reader:
                        os.read(reader, 4096)
                        self._call_all()
                    elif descriptor in self._clients:
                        self._read(descriptor, self._clients[descriptor])
                    elif descriptor in self._others and not self._takes(self._others[descriptor]):
                        self._drop(descriptor)
        finally:
            with self._lock:
                self._ended = True
                for end in self._waker:
                    os.close(end)
                self._waker = None
                self._clients.clear()
                self._others.clear()
            self._call_all()

    def _takes(self, function: Callable[[], object]) -> bool:
        try:
            return bool(function())
        except BaseException:
            _process.tell_hook()
            return True

    def _call_all(self) -> None:
        while self._soon:
            try:
                self._soon.popleft()()
            except BaseException:
                # As in any thread, but for the end of this one: others wait for it.
                _process.tell_hook()

    def _read(self, descriptor: int, client: Client) -> None:
        try:
            while client.read_response(False):
                pass
        except BaseException as error:
            if client._is_lost(error):
                # Or it was closed here.
                self._drop(descriptor)
                self._on_lost(client)
            else:
                # A completion function raised, as in any thread.
                _process.tell_hook()


def needs_pump(client: Client) -> bool:
    """Whether a client's responses are read only when its program reads them."""
    return not isinstance(client, ThreadedClient)
