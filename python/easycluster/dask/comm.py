"""Streams of Dask's messages between the processes of a cluster, over the one stream that each has to the router.

This file runs in the master and in the workers, which get it as text: it needs Dask, and nothing else of this package. backend.py
gives the streams to Dask.

Frames are a header (source, target, stream, who opened it, kind, length of the payload) and a payload. The router (`src/routing/`)
looks at source, target and length, and at the kind only so that none says GONE. On a stream go messages: the number of their parts,
the parts' lengths, the parts, as many frames as it takes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import struct
from collections import Counter, deque
from typing import Any, Callable, Optional

import dask
import dask.utils
from distributed.comm.core import Comm, CommClosedError
from distributed.comm.utils import from_frames, to_frames
from distributed.protocol.utils import host_array
from distributed.utils import ensure_memoryview

logger = logging.getLogger(__name__)
HEADER = struct.Struct('>HHIBBxxI')
OPEN, DATA, CREDIT, END, _GONE = range(1, 6)
OPENER, ACCEPTOR = 0, 1
MASTER, MOST_NUMBER = 0, 65535
# The header of what the router sends in the name of a process that is not there.
GONE = HEADER.pack(0, 0, 0, OPENER, _GONE, 0)
# Bytes of one frame, and bytes that a stream may have on its way before its receiver has taken any.
MOST = 1 << 18
WINDOW = 16 << 20
# What a receiver gives back at once, while it waits for more.
_SHARE = WINDOW >> 3
_SCRATCH = 1 << 16
_MOST_PARTS = 1 << 20
# Streams that one process may have opened to another; Dask has one for each of its uses at a time, and keeps at most 512 to all.
_MOST_OPENED = 1 << 10
# Seconds that a process may take nothing of very much, before it is ended because it holds up others. Longer than any wait of Dask's.
PATIENCE = 60.0
# Dask cuts what is larger into parts of that size, or a little less: less than one item.
_SHARD = dask.utils.parse_bytes(dask.config.get('distributed.comm.shard'))
_ITEM = 4096
_COUNT = struct.Struct('>Q')


class Hub(asyncio.BufferedProtocol):
    """The end of the stream to the router in one process, and the comms that go over it. Belongs to one event loop."""

    def __init__(self, number: int, gone: Optional[Callable[[], None]] = None) -> None:
        """`gone` is called when the stream ends."""
        self.number = number
        # Who is at the other ends, where a loop has several hubs: no two of them have the same.
        self.peers: set[int] = set()
        self.loop = asyncio.get_running_loop()
        self.handlers: Callable[[EcComm], None] | None = None
        self._gone = gone
        self._comms: dict[tuple[int, int, int], EcComm] = {}
        # How many of them each other process has opened; and processes of which nothing is taken any more.
        self._opened: Counter[int] = Counter()
        self._broken: set[int] = set()
        self._numbers = itertools.count(1)
        self._transport: Any = None
        self._room = asyncio.Event()
        self._room.set()
        self._scratch = memoryview(bytearray(_SCRATCH))
        # What is left of the payload of a frame, and whose it is.
        self._left = 0
        self._filling: EcComm | None = None
        self._direct = False
        # Bytes of a header that is not whole yet.
        self._part = bytearray()
        self._payload: bytearray | None = None
        self._header: Any = None
        self.closed = False

    @classmethod
    async def over(cls, end: socket.socket, number: int, gone: Optional[Callable[[], None]] = None) -> Hub:
        """A hub over one end of a socket pair, whose other end is the router's."""
        end.setblocking(False)
        _, hub = await asyncio.get_running_loop().create_unix_connection(lambda: cls(number, gone), sock=end)
        return hub

    # -- the stream

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 20)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._room.set()
        for comm in list(self._comms.values()):
            comm._ended()
        if self._gone is not None:
            self._gone()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def get_buffer(self, hint: int) -> memoryview:
        # What is long is received where it stays.
        target = self._filling.target if self._filling is not None and self._left else None
        self._direct = target is not None and min(len(target), self._left) >= _SCRATCH
        return target[: self._left] if target is not None and self._direct else self._scratch

    def buffer_updated(self, count: int) -> None:
        if self._direct:
            self._left -= count
            assert self._filling is not None
            self._fill(self._filling, None, count)
            return
        data = self._scratch[:count]
        while data:
            if self._left:
                taken = data[: self._left]
                self._left -= len(taken)
                if self._filling is not None:
                    self._fill(self._filling, taken, len(taken))
                elif self._payload is not None:
                    self._payload += taken
                data = data[len(taken) :]
            else:
                taken = data[: HEADER.size - len(self._part)]
                self._part += taken
                data = data[len(taken) :]
                if len(self._part) < HEADER.size:
                    return
                self._header = HEADER.unpack(self._part)
                self._part.clear()
                self._left = self._header[5]
                key = self._key(self._header)
                self._filling = self._comms.get(key) if self._header[4] == DATA else None
                self._payload = bytearray() if self._header[4] != DATA else None
                if self._filling is not None and self._filling._exceeds(self._left):
                    self._break_with(key[0], 'more than it was given credit for')
            if not self._left and self._payload is not None:
                payload, self._payload = bytes(self._payload), None
                self._control(self._header, payload)

    def _fill(self, comm: EcComm, data: memoryview | None, count: int) -> None:
        try:
            comm._received(data, count)
        except (ValueError, MemoryError) as error:
            # Not this stream's end, which carries the messages of all others too.
            self._break_with(comm._key[0], error)

    def _break_with(self, peer: int, why: object) -> None:
        """Takes nothing any more of a process that breaks the rules, and ends what there is with it."""
        logger.error('ec://%d: what came from ec://%d is no message of Dask: %s', self.number, peer, why)
        self._broken.add(peer)
        self._filling = None
        for (other, _, _), comm in list(self._comms.items()):
            if other == peer:
                comm.abort()

    @staticmethod
    def _key(header: Any) -> tuple[int, int, int]:
        """Which comm of this process a frame is for: the other process, the stream, and who opened it, seen from here."""
        source, _, stream, role = header[:4]
        return source, stream, ACCEPTOR if role == OPENER else OPENER

    def _control(self, header: Any, payload: bytes) -> None:
        source, kind = header[0], header[4]
        key = self._key(header)
        if kind == _GONE:
            for (peer, _, _), comm in list(self._comms.items()):
                if peer == source:
                    comm._ended()
            # The next one of that number is another.
            self._broken.discard(source)
        elif source in self._broken:
            return
        elif kind == OPEN:
            if key in self._comms or self._opened[source] >= _MOST_OPENED:
                self._break_with(source, 'a stream is open already, or too many are')
                return
            self._opened[source] += 1
            comm = EcComm(self, key)
            self._comms[key] = comm
            if self.handlers is None:
                comm.abort()
            else:
                self.handlers(comm)
        elif key in self._comms:
            if kind == CREDIT:
                count = _COUNT.unpack(payload)[0] if len(payload) == _COUNT.size else 0
                if 0 < count <= self._comms[key].owed():
                    self._comms[key]._credited(count)
                else:
                    # Whoever gives more than it got would have this process fill the router.
                    self._break_with(source, 'credit that is not owed')
            elif kind == END:
                self._comms[key]._ended()

    def send(self, key: tuple[int, int, int], kind: int, payload: Any = b'') -> None:
        """Sends one frame."""
        if self.closed:
            return
        peer, stream, role = key
        header = HEADER.pack(self.number, peer, stream, role, kind, len(payload))
        if len(payload) <= 4096:
            self._transport.write(header + payload)
        else:
            self._transport.write(header)
            self._transport.write(payload)

    async def room(self) -> None:
        """Waits until the stream takes more."""
        if not self._room.is_set():
            await self._room.wait()

    def open(self, peer: int) -> EcComm:
        """A new comm to another process."""
        if self.closed:
            raise CommClosedError('the connection to the router has ended')
        key = (peer, next(self._numbers), OPENER)
        comm = self._comms[key] = EcComm(self, key)
        self.send(key, OPEN)
        return comm

    def close(self) -> None:
        """Ends the stream, and every comm with it."""
        if self._transport is not None:
            self._transport.abort()


class EcComm(Comm):
    """One stream of a hub."""

    def __init__(self, hub: Hub, key: tuple[int, int, int], deserialize: bool = True) -> None:
        super().__init__(deserialize)
        self._hub = hub
        self._key = key
        # Dask's connect() looks at these two.
        self._local_addr = 'ec://%d' % hub.number
        self._peer_addr = 'ec://%d' % key[0]
        self._closed = False
        self._credit = WINDOW
        # What may still come.
        self._granted = WINDOW
        self._creditors: deque[asyncio.Future[None]] = deque()
        # Whole messages, and the bytes that their sender has not been given back for.
        self._messages: deque[tuple[list[Any], int]] = deque()
        self._held = 0
        self._reader: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()
        # The message that is arriving: what is filled now, the parts before it, and those to come.
        self._head: bytearray = bytearray(_COUNT.size)
        self._lengths: list[int] | None = None
        self._parts: list[Any] = []
        # Memory for the parts that come next, if it is there already.
        self._rest: Any = None
        self.target: memoryview = memoryview(self._head)

    # -- arriving

    def _received(self, data: memoryview | None, count: int) -> None:
        """Bytes of this stream: in `data`, or in `target` already."""
        self._held += count
        while count:
            fits = min(count, len(self.target))
            if data is not None:
                self.target[:fits] = data[:fits]
                data = data[fits:]
            self.target = self.target[fits:]
            count -= fits
            while not len(self.target):
                self._next()
        if self._reader is not None and self._held >= _SHARE:
            # Somebody waits for this message; else no more of it comes than the window.
            self._give_back()

    def _next(self) -> None:
        """The target is full: what comes next."""
        if self._lengths is None:
            count = _COUNT.unpack(self._head[: _COUNT.size])[0]
            if len(self._head) == _COUNT.size:
                if not 0 < count <= _MOST_PARTS:
                    raise ValueError('a message of %d parts' % count)
                self._head = self._head + bytearray(_COUNT.size * count)
                self.target = memoryview(self._head)[_COUNT.size :]
                return
            self._lengths = [each[0] for each in _COUNT.iter_unpack(self._head[_COUNT.size :])]
        if len(self._parts) < len(self._lengths):
            place = len(self._parts)
            if self._rest is None:
                self._rest = host_array(self._together(place))
            length = self._lengths[place]
            self.target = self._rest[:length]
            self._parts.append(self.target)
            self._rest = self._rest[length:] if len(self._rest) > length else None
            return
        self._messages.append((self._parts, self._held))
        self._held = 0
        self._parts = []
        self._lengths = None
        self._head = bytearray(_COUNT.size)
        self.target = memoryview(self._head)
        self._wake()

    def _together(self, place: int) -> int:
        """The bytes of the parts from one on that Dask has cut: next to each other they need not be copied to be one again."""
        assert self._lengths is not None
        total = 0
        # By place: a message may have very many.
        for at in range(place, len(self._lengths)):
            length = self._lengths[at]
            total += length
            if not _SHARD - _ITEM < length <= _SHARD:
                break
        return total

    def _exceeds(self, count: int) -> bool:
        """Counts what comes; whether that is more than there was credit for."""
        self._granted -= count
        return self._granted < 0

    def _give_back(self) -> None:
        if self._held and not self._closed:
            self._grant(self._held)
            self._held = 0

    def _grant(self, count: int) -> None:
        self._granted += count
        self._hub.send(self._key, CREDIT, _COUNT.pack(count))

    def owed(self) -> int:
        """What the other side has not given back yet of what it was sent."""
        return WINDOW - self._credit

    def _credited(self, count: int) -> None:
        self._credit += count
        while self._creditors:
            waiting = self._creditors.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _ended(self) -> None:
        """Nothing comes any more, and nothing goes."""
        if not self._closed:
            self._closed = True
            del self._hub._comms[self._key]
            if self._key[2] == ACCEPTOR:
                self._hub._opened[self._key[0]] -= 1
            self._wake()
            self._credited(0)

    # -- Dask's interface

    async def read(self, deserializers: Any = None) -> Any:
        while not self._messages:
            if self._closed:
                raise CommClosedError('%s: the comm to %s is closed' % (self.local_address, self.peer_address))
            waiting = self._reader = self._hub.loop.create_future()
            self._give_back()
            try:
                await waiting
            finally:
                if self._reader is waiting:
                    self._reader = None
        parts, held = self._messages.popleft()
        if not self._closed:
            self._grant(held)
        return await from_frames(
            parts, deserialize=self.deserialize, deserializers=deserializers, allow_offload=self.allow_offload
        )

    async def write(self, msg: Any, serializers: Any = None, on_error: Any = None) -> int:
        frames = await to_frames(
            msg,
            allow_offload=self.allow_offload,
            serializers=serializers,
            on_error=on_error,
            context={
                'sender': self.local_info,
                'recipient': self.remote_info,
                **self.handshake_options,
            },
        )
        views = [ensure_memoryview(frame) for frame in frames]
        head = b''.join(map(_COUNT.pack, [len(views), *map(len, views)]))
        pieces = [memoryview(head), *views]
        total = sum(map(len, pieces))
        # One message behind the other, also where one of them waits for credit.
        async with self._writing:
            if total <= MOST:
                await self._send(b''.join(pieces))
            else:
                try:
                    for piece in pieces:
                        for start in range(0, len(piece), MOST):
                            await self._send(piece[start : start + MOST])
                except BaseException:
                    # Given up: the next message would be taken for the rest of this one.
                    self.abort()
                    raise
        return total

    async def _send(self, data: Any) -> None:
        while self._credit < len(data) and not self._closed:
            waiting = self._hub.loop.create_future()
            self._creditors.append(waiting)
            await waiting
        if not self._closed:
            await self._hub.room()
        if self._closed or self._hub.closed:
            raise CommClosedError('%s: the comm to %s is closed' % (self.local_address, self.peer_address))
        self._credit -= len(data)
        self._hub.send(self._key, DATA, data)

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closed:
            self._hub.send(self._key, END)
        self._messages.clear()
        self._ended()

    def closed(self) -> bool:
        return self._closed and not self._messages

    @property
    def local_address(self) -> str:
        return self._local_addr

    @property
    def peer_address(self) -> str:
        return self._peer_addr

    @property
    def same_host(self) -> bool:
        return self._key[0] == self._hub.number
