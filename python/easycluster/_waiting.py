"""Waiting for descriptors: in an event loop, and in one thread for all that nobody else waits for."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable

from . import _process
from ._native import Channel

# How long what has come before the end of the program may take to be taken, in seconds.
END_LIMIT = 2.0


async def readable(descriptor: int, limit: float | None = None) -> None:
    """Waits until a descriptor is readable, or for so many seconds."""
    loop = asyncio.get_running_loop()
    settled = loop.create_future()

    def settle() -> None:
        if not settled.done():
            settled.set_result(None)

    timer = None if limit is None else loop.call_later(limit, settle)
    loop.add_reader(descriptor, settle)
    try:
        await settled
    finally:
        loop.remove_reader(descriptor)
        if timer is not None:
            timer.cancel()


# Takes what has come; whether more is waited for.
Take = Callable[[], bool]


class _Watcher(threading.Thread):
    """Waits for channels. Ends when there is none left."""

    def __init__(self) -> None:
        super().__init__(name='easycluster reports', daemon=True)
        self.waiting: deque[tuple[Channel, Take]] = deque()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        self._selector.register(self._woken, selectors.EVENT_READ)

    def add(self, channel: Channel, take: Take) -> None:
        """Waits for one more."""
        self.waiting.append((channel, take))
        os.write(self._wake, b'.')

    def run(self) -> None:
        """Waits for all."""
        while not self._is_over():
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._woken, 4096)
                    while self.waiting:
                        self._arm(*self.waiting.popleft())
                    continue
                self._selector.unregister(key.fd)
                _, channel, take = key.data
                if self._takes(take):
                    self._arm(channel, take)
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    def _arm(self, channel: Channel, take: Take) -> None:
        waiting = channel.readable()
        self._selector.register(waiting.fileno(), selectors.EVENT_READ, (waiting, channel, take))

    def _takes(self, take: Take) -> bool:
        try:
            return take()
        except BaseException:
            # As in any thread: the program's hook says what its function raised, and the others go on, also where it was to end the thread.
            _process.tell_hook()
            return True

    def _is_over(self) -> bool:
        global _watcher
        with _lock:
            over = not self.waiting and len(self._selector.get_map()) == 1
            if over and _watcher is self:
                _watcher = None
            return over


_lock = threading.Lock()
_watcher: _Watcher | None = None


def watch(channel: Channel, take: Take) -> None:
    """Has `take` called in a thread whenever something has come on a channel, until it gives False."""
    global _watcher
    with _lock:
        if _watcher is None:
            watcher = _Watcher()
            watcher.add(channel, take)
            watcher.start()
            # Not before: a signal handler may raise, or there is no thread to be had, and others would wait for it.
            _watcher = watcher
        else:
            _watcher.add(channel, take)


def _forked() -> None:
    """In a child process: the thread stayed with the parent, and the lock may have been held there."""
    global _lock, _watcher
    _lock = threading.Lock()
    _watcher = None


def _ended() -> None:
    watcher = _watcher
    if watcher is not None:
        # It ends with the connections, which are closed, when it has taken all that has come; unless a function hangs.
        watcher.join(END_LIMIT)


_process.after_fork(_forked)
_process.at_exit(_ended)
