"""The router: carries frames between the master and the workers of a cluster, of which it looks at the first two numbers only.

Each process has one stream to it. What is on its way to a process waits in a queue, which the credit of the streams (comm.py) bounds;
so one that stands still holds up nobody else.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from .comm import GONE, HEADER, MOST

# Bytes that are written at once, where more frames wait.
_TOGETHER = 1 << 18


class End(Protocol):
    """A stream of bytes to one process."""

    def receive(self) -> bytes:
        """The next piece; empty at the end. Raises OSError where the stream broke."""

    def send(self, data: bytes) -> None:
        """Sends all of it, or raises OSError."""

    def close(self) -> None:
        """Ends both directions; whoever waits in here returns."""

    def free(self) -> None:
        """Called once nobody uses it any more."""


class SocketEnd:
    """A stream over one end of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def receive(self) -> bytes:
        return self._socket.recv(_TOGETHER)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The other end was first.
            pass

    def free(self) -> None:
        self._socket.close()


class _Process:
    """One process: its stream, and what waits for it."""

    def __init__(self, end: End, spoke: Callable[[], None], gone: Callable[[], None]) -> None:
        self.end = end
        self.spoke = spoke
        self.gone = gone
        self.waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()


class Router:
    """Carries frames between processes by their numbers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[int, _Process] = {}

    def attach(self, number: int, end: End, spoke: Callable[[], None], gone: Callable[[], None]) -> None:
        """Takes a process in. `spoke` is called when its first frame has come, and `gone` when its stream has ended, each in a thread
        of the router's."""
        process = _Process(end, spoke, gone)
        with self._lock:
            self._processes[number] = process
        name = 'easycluster-dask-%d' % number
        writer = threading.Thread(target=self._write, args=(process,), name=name, daemon=True)
        writer.start()
        threading.Thread(target=self._read, args=(number, process, writer), name=name, daemon=True).start()

    def detach(self, number: int) -> None:
        """Ends the stream of a process."""
        with self._lock:
            process = self._processes.get(number)
        if process is not None:
            process.end.close()

    def close(self) -> None:
        """Ends all streams."""
        for number in list(self._processes):
            self.detach(number)

    def _read(self, number: int, process: _Process, writer: threading.Thread) -> None:
        data = bytearray()
        spoke = False
        try:
            while True:
                piece = process.end.receive()
                if not piece:
                    break
                data += piece
                start = 0
                # A slice of the view is copied once only.
                with memoryview(data) as view:
                    while len(view) - start >= HEADER.size:
                        source, target, _, _, _, length = HEADER.unpack_from(view, start)
                        if source != number or length > MOST:
                            # Nobody speaks for another, or fills the memory here.
                            return
                        stop = start + HEADER.size + length
                        if stop > len(view):
                            break
                        with view[start:stop] as frame:
                            self._send(target, number, bytes(frame))
                        start = stop
                del data[:start]
                if not spoke:
                    spoke = True
                    process.spoke()
        except OSError:
            # It ended this way.
            pass
        finally:
            self._ended(number, process, writer)

    def _send(self, target: int, source: int, frame: bytes) -> None:
        with self._lock:
            process = self._processes.get(target)
        if process is None:
            self._tell_gone(source, target)
        else:
            process.waiting.put(frame)

    def _tell_gone(self, target: int, gone: int) -> None:
        with self._lock:
            process = self._processes.get(target)
        if process is not None:
            process.waiting.put(HEADER.pack(gone, target, 0, 0, GONE, 0))

    def _write(self, process: _Process) -> None:
        frame: Any
        while True:
            frame = process.waiting.get()
            together = [frame]
            size = 0 if frame is None else len(frame)
            while frame is not None and size < _TOGETHER:
                try:
                    frame = process.waiting.get_nowait()
                except queue.Empty:
                    break
                together.append(frame)
                size += 0 if frame is None else len(frame)
            try:
                process.end.send(b''.join(each for each in together if each is not None))
            except OSError:
                # The reading side tells of it.
                return
            if together[-1] is None:
                return

    def _ended(self, number: int, process: _Process, writer: threading.Thread) -> None:
        with self._lock:
            del self._processes[number]
            others = list(self._processes)
        process.end.close()
        process.waiting.put(None)
        for other in others:
            self._tell_gone(other, number)
        writer.join()
        process.end.free()
        process.gone()
