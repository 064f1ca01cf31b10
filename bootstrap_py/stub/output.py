# What remote code prints: sys.stdout and sys.stderr as frames, and the pipes behind descriptors 1 and 2.
compat = load('compat')
io, os, sys = compat.io, compat.os, compat.sys
late = load('compat_late')
threads = load('threads')
wire = load('wire')
get_ident = compat.thread.get_ident


class Output(object):
    """Sends printed bytes, never more than the client's window (ME-12)."""

    def __init__(self, machine):
        self.machine = machine
        # What the client has granted in all, which the reader counts, and what was sent, which the printing thread counts.
        self.granted = machine.window
        self.sent = 0
        self.pid = os.getpid()
        self.lock = compat.thread.allocate_lock()
        self.room = compat.thread.allocate_lock()
        self.room.acquire()
        self.streams = [late.WRAPS and Text(self, number, name) or Stream(self, number, name)
                        for number, name in ((1, '<stdout>'), (2, '<stderr>'))]
        # Kept, because remote code may take the buffer from around its text.
        self.lines = [stream.buffer for stream in self.streams]

    def stream(self, stand_in):
        """The real stream instead of the proxy that stands for it; in `sys` too, if that is still there."""
        for stream in self.streams:
            if stream.name == stand_in.name:
                for name in ('stdout', '__stdout__', 'stderr', '__stderr__'):
                    if getattr(sys, name, None) is stand_in:
                        setattr(sys, name, stream)
                return stream

    def credit(self, size):
        """The client has taken so many bytes."""
        self.granted += size
        load('seldom').release(self.room)

    def send(self, data, flags, worker):
        """Puts bytes behind what is pending; waits while the window is used up. Called with `lock` held."""
        request = worker.request if worker else 0
        start = 0
        while start < len(data):
            while self.granted <= self.sent:
                self.machine.link.flush()
                self.room.acquire()
                if worker and worker.cancelled == request:
                    return
            # By place, because cutting the front off would copy what is left for each part.
            part = data[start:start + min(self.granted - self.sent, wire.CHUNK)]
            start += len(part)
            self.sent += len(part)
            self.machine.link.pending.append(self.machine.link.frame(wire.OUTPUT, request, 0, part, flags))

    def pump(self, wait, data=b'', flags=0):
        """Sends what is in the pipe, then `data`. Without `wait`, False if the client would have to be waited
        for."""
        if os.getpid() != self.pid:
            # A forked child process: the connection is not its own, but the pipe is.
            os.write(1 + (flags > 0), data)
            return True
        worker = self.machine.current()
        if worker:
            return worker.shielded(self.carry, wait, data, flags, worker)
        return self.carry(wait, data, flags, worker)

    def carry(self, wait, data, flags, worker):
        """The same, where no interruption comes in between."""
        machine = self.machine
        if not self.lock.acquire(wait):
            return False
        try:
            ready = True
            while ready:
                ready = compat.select(machine.printed, (), (), 0)[0]
                for source in ready:
                    room = self.granted - self.sent
                    if not wait and room <= 0:
                        return False
                    # Out of the pipe and not yet pending: who answers meanwhile has to wait for it (ME-16).
                    machine.carrying = True
                    carried = compat.read(source, min(max(room, 1), 65536))
                    if not carried:
                        # Remote code has closed its descriptor.
                        machine.printed.remove(source)
                    self.send(carried, wire.STDERR * (source == machine.printed_errors), worker)
                    machine.carrying = False
            self.send(data, flags, worker)
        finally:
            self.lock.release()
        if data:
            machine.link.flush()
        return True

    def flush(self):
        """Sends the unfinished lines of the calling thread."""
        self.machine.unflushed = False
        for lines in self.lines:
            lines.flush()
            if lines.unfinished:
                self.machine.unflushed = True


class Lines(object):
    """What the streams have in common: whole lines are sent at once, the rest at flush() or when the call ends."""

    def begin(self, output, descriptor):
        """Sets what they need."""
        self.output = output
        self.descriptor = descriptor
        self.flags = wire.STDERR * (descriptor - 1)
        # By thread; each changes only its own.
        self.unfinished = {}

    def put(self, sent):
        """Takes bytes."""
        ident = get_ident()
        sent = self.unfinished.pop(ident, b'') + sent
        if b'\n' in sent or len(sent) > 8192:
            self.output.pump(True, sent, self.flags)
        else:
            self.unfinished[ident] = sent
            self.output.machine.unflushed = True

    def flush(self):
        """Sends this thread's unfinished line."""
        sent = self.unfinished.pop(get_ident(), None)
        if sent:
            self.output.pump(True, sent, self.flags)

    def fileno(self):
        """The descriptor whose output goes the same way."""
        return self.descriptor

    def writable(self):
        """That it can be written to, as io asks."""
        return True

    def close(self):
        """Flushes; the stream stays open, because others print through it too."""
        self.flush()


class Stream(Lines, io.TextIOBase):
    """sys.stdout or sys.stderr where Python's own takes bytes and text, also as its own `buffer`."""

    encoding, errors, mode = 'utf-8', 'backslashreplace', 'w'
    line_buffering = True
    softspace = 0

    def __init__(self, output, descriptor, name):
        self.begin(output, descriptor)
        self.name = name
        self.buffer = self

    def write(self, data):
        """Takes text or bytes; their length."""
        self.put(late.printed(data))
        return len(data)


class Raw(Lines, io.RawIOBase):
    """What is below all buffers."""

    mode, closefd = 'wb', False

    def __init__(self, output, descriptor, name):
        self.begin(output, descriptor)
        self.name = name

    def write(self, data):
        """Sends bytes; their number."""
        self.output.pump(True, bytes(data), self.flags)
        return len(data)


class Buffer(Lines, io.BufferedWriter):
    """The `buffer` of a stream."""

    def __init__(self, raw):
        io.BufferedWriter.__init__(self, raw)
        self.begin(raw.output, raw.descriptor)

    def write(self, data):
        """Takes bytes; their number."""
        # Raises what it has to if that is no bytes.
        late.filled(data)
        data = bytes(data)
        self.put(data)
        return len(data)


class Text(io.TextIOWrapper):
    """sys.stdout or sys.stderr as Python has it: nothing stays in it, because all of it is passed on to its buffer."""

    def __init__(self, output, descriptor, name):
        buffer = Buffer(Raw(output, descriptor, name))
        io.TextIOWrapper.__init__(self, buffer, 'utf-8', 'backslashreplace', None, True, True)
        self.mode = 'w'

    if hasattr(io.TextIOWrapper, 'reconfigure'):
        def reconfigure(self, **options):
            """As that of Python, but that nothing ever stays in it."""
            options['write_through'] = True
            getattr(io.TextIOWrapper, 'reconfigure')(self, **options)

    def close(self):
        """Flushes; the stream stays open, because others print through it too."""
        self.flush()


def of(machine):
    """The machine's output; made when first used, once."""
    return machine.output or threads.once(machine, 'output', Output)


def carry(machine):
    """Carries what comes through the pipe while no call ends."""
    while machine.printed:
        compat.select(machine.printed, (), ())
        of(machine).pump(True)
        machine.link.flush()
