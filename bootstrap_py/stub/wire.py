# Bytes to frames and frames to bytes (spec/framing.md); the one place that reads and writes the connection.
import posix as os
import sys

compat = load('compat')

HEADER_SIZE = 16
MAX_PAYLOAD = 1048576
CHUNK = 131072
COMPRESS_MIN = 256
READ_SIZE = 65536
MORE, DEFLATED, BUFFERS, NO_REPLY, ONE_SHOT, STDERR, REFERENCES = 1, 2, 4, 8, 16, 32, 64
HELLO, CALL, METHOD, EVAL, EXEC, DEFINE, RUN = range(1, 8)
DATA, CREDIT, CANCEL, RELEASE, STOP_THREAD, PING, CLOSE, PART = range(16, 24)
HELLO_S, RESULT, ERROR, OUTPUT, CLASS, PONG, FATAL = range(65, 72)
# What a client may send, and the flags that each kind may carry (FR-5). 24 to 26 are the kinds of lines.py; a request may
# have all flags but STDERR, what goes through a channel MORE, DEFLATED and END. In numbers, which take less room.
FLAGS = {HELLO: 0, DATA: 3}
FLAGS.update(dict.fromkeys(range(CREDIT, 27), 0))
FLAGS.update(dict.fromkeys(range(CALL, RUN + 1), 95))
FLAGS[24] = 131

struct = compat.struct
header = struct.Struct('>HBBIIi')
pack = header.pack
unpack = header.unpack_from


def postpone(kind, names, file='seldom'):
    """Gives a class methods that are functions of a file, or of threads.py, which are loaded when the first is called: compiling
    them before the first call, or sending them, would delay that. Not by __getattr__, because Python then finds everything else slower."""
    def later(name):
        def first(self, *args):
            method = getattr(load(file), name, None) or getattr(load('threads'), name)
            setattr(kind, name, method)
            return method(self, *args)
        setattr(kind, name, first)

    for name in names.split():
        later(name)


class Link(object):
    """The two descriptors of the connection.

    Reading: the holder of `reading` may call `read`. Writing: frames are put on `pending`, and the thread that gets
    the lock first writes them all, so that no thread waits for another one's turn."""

    def __init__(self, frames_in, frames_out):
        self.frames_in = frames_in
        self.frames_out = frames_out
        self.reading = compat.thread.allocate_lock()
        self.writing = compat.thread.allocate_lock()
        self.pending = []
        self.parts = []
        self.have = 0
        self.need = HEADER_SIZE
        self.reads = 0
        self.compress = False

    def read(self, request, control):
        """Reads what is there, or waits for it, and hands each frame to `request` or `control`, both
        called with kind, flags, request, thread, payload, size on the wire."""
        try:
            data = compat.read(self.frames_in, READ_SIZE)
        except EnvironmentError:
            if self.waited([self.frames_in], []):
                return
            data = b''
        self.reads += 1
        if not data:
            self.lost(True)
        if self.have:
            self.parts.append(data)
            self.have += len(data)
            if self.have < self.need:
                return
            data = b''.join(self.parts)
        start = 0
        end = len(data)
        self.need = HEADER_SIZE
        while end - start >= HEADER_SIZE:
            magic, kind, flags, length, number, thread = unpack(data, start)
            handle = request if 1 < kind < 8 else control
            if (magic != 0x4543 or length > MAX_PAYLOAD or flags and not self.allowed(kind, flags)
                    or handle is control and (
                        kind not in FLAGS or kind == CREDIT and length != 4 or kind == RELEASE and length % 12
                        or kind == PING and length > 64 or kind in (CANCEL, STOP_THREAD, CLOSE) and length)):
                self.refuse(magic, kind, flags, length)
            stop = start + HEADER_SIZE + length
            if stop > end:
                self.need = stop - start
                break
            payload = data[start + HEADER_SIZE:stop]
            if flags & DEFLATED:
                payload = self.part('deflate').inflate(self, payload)
            handle(kind, flags, number, thread, payload, length + HEADER_SIZE)
            start = stop
        self.have = end - start
        self.parts = [data[start:]]

    def frame(self, kind, request, thread, payload, flags=0):
        """One frame, deflated where that pays."""
        if self.compress and len(payload) >= COMPRESS_MIN:
            flags, payload = load('deflate').deflate(flags, payload)
        return pack(0x4543, kind, flags, len(payload), request, thread) + payload

    def send(self, *frame):
        """Sends one frame."""
        self.pending.append(self.frame(*frame))
        self.flush()

    def flush(self):
        """Writes what is pending, unless another thread is at it, who will write this too."""
        pending = self.pending
        writing = self.writing
        while pending:
            # A thread that makes much waits for the connection; without that, memory would fill with answers.
            if not writing.acquire(len(pending) > 64 and sum([len(frame) for frame in pending[:]]) > MAX_PAYLOAD):
                return
            try:
                while pending:
                    count = len(pending)
                    data = pending[0] if count == 1 else b''.join(pending[:count])
                    del pending[:count]
                    self.write(data)
            finally:
                writing.release()

    def write(self, data):
        """Writes all of it, as long as the client is there."""
        while True:
            try:
                sent = compat.write(self.frames_out, data)
            except EnvironmentError:
                sent = 0
                if not self.waited([], [self.frames_out]):
                    return self.lost(False)
            if sent == len(data):
                return
            data = compat.view(data)[sent:]

    def end(self):
        """Ends the process group at once (ME-15)."""
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), 9)
        os._exit(1)


postpone(Link, 'part allowed waited refuse fatal lost')


def opened(kind, marker):
    """Takes over the connection, says HELLO, and gives its link, which is a `kind`."""
    # 0 and 1 move away, so that remote code that reads or prints does not touch the frames. The null device first: it
    # takes the place of a descriptor 2 that is not there.
    try:
        null = os.open('/dev/null', os.O_RDONLY)
    except OSError:
        # There is none, as in a bare chroot; a pipe without a writer is as empty.
        null, frames_in = os.pipe()
        os.close(frames_in)
    frames_in = os.dup(0)
    frames_out = os.dup(1)
    os.dup2(null, 0)
    for descriptor in (null, frames_in, frames_out):
        compat.own(descriptor)
    try:
        os.setpgid(0, 0)
    except OSError:
        # The leader of a session leads a group already.
        pass
    link = kind(frames_in, frames_out)
    text = compat.text
    hello = (('protocol', 1), ('python', compat.VERSION), ('platform', text(sys.platform)),
             ('implementation', text('pypy' if hasattr(sys, 'pypy_version_info') else 'cpython')),
             ('pid', os.getpid()), ('pickle', compat.HIGHEST_PICKLE),
             ('executable', text(sys.executable or '')), ('features', []))
    link.pending.append((marker + 'r\n').encode())
    link.send(HELLO_S, 0, 0, compat.pickle.dumps(dict([(text(key), value) for key, value in hello]), 2))
    del sys.argv[1:]
    # It kept interpreters from 3.11 on from importing what lies about, before the first stage could.
    compat.os.environ.pop('PYTHONSAFEPATH', None)
    return link


def printed():
    """Puts pipes in the places of descriptors 1 and 2; gives their other ends."""
    sources = []
    for descriptor in (1, 2):
        source, sink = os.pipe()
        os.dup2(sink, descriptor)
        os.close(sink)
        compat.own(source)
        sources.append(source)
    return sources
