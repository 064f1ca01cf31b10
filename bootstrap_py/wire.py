# Bytes to frames and frames to bytes (spec/framing.md); the one place that reads and writes the connection.
import os
import struct
import zlib

compat = load('compat')

MAGIC = 0x4543
HEADER = struct.Struct('>HBBIIi')
HEADER_SIZE = 16
MAX_PAYLOAD = 1048576
CHUNK = 131072
COMPRESS_MIN = 256
READ_SIZE = 65536
PENDING_LIMIT = 1048576
MORE, DEFLATED, BUFFERS, NO_REPLY, ONE_SHOT, STDERR, REFERENCES = 1, 2, 4, 8, 16, 32, 64
HELLO_C, CALL, METHOD, EVAL, EXEC, DEFINE, RUN = 1, 2, 3, 4, 5, 6, 7
DATA, CREDIT, CANCEL, RELEASE, STOP_THREAD, PING, CLOSE = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16
HELLO_S, RESULT, ERROR, OUTPUT, CLASS, PONG, FATAL = 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47
REQUEST_FLAGS = MORE | DEFLATED | BUFFERS | NO_REPLY | ONE_SHOT | REFERENCES
# What a client may send, and the flags each kind may carry (FR-5).
FLAGS = {HELLO_C: DEFLATED, CALL: REQUEST_FLAGS, METHOD: REQUEST_FLAGS, EVAL: REQUEST_FLAGS, EXEC: REQUEST_FLAGS,
         DEFINE: REQUEST_FLAGS, RUN: REQUEST_FLAGS, DATA: MORE | DEFLATED, CREDIT: 0, CANCEL: 0, RELEASE: DEFLATED,
         STOP_THREAD: 0, PING: 0, CLOSE: 0}

pack = HEADER.pack
unpack = HEADER.unpack_from


class Link(object):
    """The two descriptors of the connection.

    Reading: whoever holds `reading` may call `read`. Writing: frames are put on `pending`, and whoever gets
    the lock first writes them all, so that no thread waits for another one's turn."""

    def __init__(self, frames_in, frames_out, own_group):
        self.frames_in = frames_in
        self.frames_out = frames_out
        self.own_group = own_group
        self.reading = compat.thread.allocate_lock()
        self.writing = compat.thread.allocate_lock()
        self.pending = []
        self.pending_size = 0
        self.parts = []
        self.have = 0
        self.need = HEADER_SIZE
        self.reads = 0
        self.compress = False

    def read(self, requests, control):
        """Reads what is there and hands on each frame: requests to `requests(kind, flags, request, thread,
        payload)`, others to `control` with the same arguments. Waits if nothing is there."""
        try:
            data = compat.read(self.frames_in, READ_SIZE)
        except (OSError, IOError):
            data = b''
        self.reads += 1
        if not data:
            if self.have:
                self.fatal('truncated', 'the connection ended inside a frame')
            self.end()
        if self.parts:
            self.parts.append(data)
            self.have += len(data)
            if self.have < self.need:
                return
            data = b''.join(self.parts)
            self.parts = []
            self.have = 0
        start = 0
        end = len(data)
        need = HEADER_SIZE
        while end - start >= HEADER_SIZE:
            magic, kind, flags, length, request, thread = unpack(data, start)
            if magic != MAGIC or length > MAX_PAYLOAD or flags & ~FLAGS.get(kind, 0) or kind not in FLAGS:
                self.refuse(magic, kind, flags, length)
            stop = start + HEADER_SIZE + length
            if stop > end:
                need = HEADER_SIZE + length
                break
            payload = data[start + HEADER_SIZE:stop]
            start = stop
            if flags & DEFLATED:
                payload = self.inflate(payload)
            if 1 < kind < 8:
                requests(kind, flags, request, thread, payload, length + HEADER_SIZE)
            else:
                control(kind, flags, request, thread, payload, length + HEADER_SIZE)
        if start < end:
            self.parts = [data[start:]]
            self.have = end - start
            self.need = need

    def inflate(self, payload):
        """The content of a DEFLATED payload (FR-10)."""
        inflater = zlib.decompressobj()
        try:
            content = inflater.decompress(payload, MAX_PAYLOAD + 1)
            if len(content) <= MAX_PAYLOAD and not inflater.unconsumed_tail:
                content += inflater.flush()
        except zlib.error:
            self.fatal('malformed', 'a compressed frame does not inflate')
        if len(content) > MAX_PAYLOAD:
            self.fatal('too-large', 'a compressed frame inflates to more than %d bytes' % MAX_PAYLOAD)
        # Python 2.6 and 3.2 have no `eof`; a stream cut short raises only in flush(), and not everywhere.
        if inflater.unused_data or not getattr(inflater, 'eof', True):
            self.fatal('malformed', 'a compressed frame is not one whole stream')
        return content

    def refuse(self, magic, kind, flags, length):
        """Ends the connection over a header that breaks a rule."""
        if magic != MAGIC:
            self.fatal('garbled', 'a frame begins with 0x%04x in place of 0x%04x' % (magic, MAGIC))
        if length > MAX_PAYLOAD:
            self.fatal('too-large', 'a frame of %d bytes; at most %d' % (length, MAX_PAYLOAD))
        if kind not in FLAGS:
            self.fatal('unknown-kind', 'frame kind 0x%02x is not one a client sends' % kind)
        self.fatal('unknown-flag', 'flags 0x%02x on frame kind 0x%02x' % (flags, kind))

    def frame(self, kind, flags, request, thread, payload):
        """One frame as bytes, compressed where that pays."""
        if self.compress and len(payload) >= COMPRESS_MIN:
            shorter = zlib.compress(payload, 1)
            if len(shorter) < len(payload):
                flags |= DEFLATED
                payload = shorter
        return pack(MAGIC, kind, flags, len(payload), request, thread) + payload

    def send(self, kind, request, thread, payload, flags=0):
        """Sends one frame."""
        self.pending.append(self.frame(kind, flags, request, thread, payload))
        self.flush()

    def flush(self):
        """Writes what is pending, unless another thread is at it and will write this too."""
        pending = self.pending
        writing = self.writing
        while pending:
            if not writing.acquire(len(pending) > 64 and self.crowded()):
                return
            try:
                while pending:
                    count = len(pending)
                    data = pending[0] if count == 1 else b''.join(pending[:count])
                    del pending[:count]
                    self.write(data)
            finally:
                writing.release()

    def crowded(self):
        """True if so much is pending that its makers should wait for the connection."""
        return sum([len(frame) for frame in self.pending[:]]) > PENDING_LIMIT

    def write(self, data):
        """Writes all of `data`; the client's disappearance ends the process."""
        try:
            sent = compat.write(self.frames_out, data)
            if sent < len(data):
                view = compat.view(data)
                while sent < len(data):
                    sent += compat.write(self.frames_out, view[sent:sent + READ_SIZE * 4])
        except (OSError, IOError):
            self.end()

    def fatal(self, code, sentence):
        """Tells the client why, and ends."""
        self.writing.acquire()
        self.write(self.frame(FATAL, 0, 0, 0, ('%s: %s' % (code, sentence)).encode('utf-8')))
        self.end()

    def end(self):
        """Ends the process group at once (ME-15)."""
        if self.own_group:
            try:
                os.killpg(os.getpgrp(), 9)
            except OSError:
                pass
        os._exit(1)
