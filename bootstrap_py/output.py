# What remote code prints: sys.stdout and sys.stderr as frames, and the pipe behind descriptor 1.
import sys

compat = load('compat')
wire = load('wire')
STDERR = wire.STDERR


class Output(object):
    """Sends printed bytes, never more than the client's window (ME-12)."""

    def __init__(self, machine):
        self.machine = machine
        self.window = machine.output_window
        self.lock = compat.thread.allocate_lock()
        self.room = compat.thread.allocate_lock()
        self.room.acquire()
        self.waiting = 0
        self.streams = []

    def credit(self, size):
        """The client has taken so many bytes."""
        self.window += size
        try:
            self.room.release()
        except compat.lock_error:
            pass

    def request(self):
        """The request that the calling thread runs, or 0."""
        ident = compat.thread.get_ident()
        for worker in list(self.machine.alive):
            if worker.ident == ident:
                return worker.request
        return 0

    def send(self, data, flags, request):
        """Sends bytes in order; waits while the window is used up. `lock` is held by the caller."""
        view = compat.view(data)
        while len(view):
            while self.window <= 0:
                self.machine.link.flush()
                self.room.acquire()
            part = view[:min(self.window, wire.CHUNK)]
            view = view[len(part):]
            self.window -= len(part)
            self.machine.link.pending.append(self.machine.link.frame(
                wire.OUTPUT, flags, request, 0, compat.as_bytes(part)))

    def pump(self, wait=True):
        """Sends what is in the pipe now; False if that would have to wait and `wait` is not set."""
        if not self.lock.acquire(wait):
            return False
        try:
            return self.pump_locked(wait)
        finally:
            self.lock.release()

    def pump_locked(self, wait=True):
        """The same with the lock held."""
        machine = self.machine
        while machine.printed_poll.poll(0):
            if not wait and self.window <= 0:
                return False
            data = compat.read(machine.printed, 65536 if wait else min(self.window, 65536))
            if not data:
                break
            self.send(data, 0, self.request())
        return True

    def print_bytes(self, data, flags):
        """Sends what Python code printed, behind what descriptor 1 holds already."""
        self.lock.acquire()
        try:
            self.pump_locked()
            self.send(data, flags, self.request())
        finally:
            self.lock.release()
        self.machine.link.flush()

    def flush_all(self):
        """Sends the unfinished lines of the calling thread."""
        self.machine.unflushed = False
        for stream in self.streams:
            stream.flush()
            if stream.unfinished:
                self.machine.unflushed = True


class Bytes(object):
    """`sys.stdout.buffer`: bytes go out as they are, behind the text before them."""

    def __init__(self, stream):
        self.stream = stream
        self.closed = False
        self.name = stream.name
        self.mode = 'wb'

    def write(self, data):
        """Sends bytes; their number."""
        data = bytes(data)
        self.stream.emit(data, True)
        return len(data)

    def flush(self):
        """Nothing is held back here."""
        return None

    def fileno(self):
        """The descriptor whose output goes the same way."""
        return self.stream.fileno()

    def writable(self):
        """Yes."""
        return True

    def readable(self):
        """No."""
        return False

    seekable = isatty = readable


class Stream(compat.StreamBase):
    """sys.stdout or sys.stderr: whole lines are sent at once, the rest at flush() or when the call ends."""

    encoding = 'utf-8'
    errors = compat.STREAM_ERRORS
    newlines = None
    line_buffering = True
    mode = 'w'
    # The print statement of 2.x keeps its state here.
    softspace = 0

    def __init__(self, output, descriptor):
        self.output = output
        self.descriptor = descriptor
        self.flags = STDERR if descriptor == 2 else 0
        self.name = '<stderr>' if descriptor == 2 else '<stdout>'
        self.unfinished = {}
        self.buffer = Bytes(self)

    def write(self, text):
        """Takes text; the number of characters."""
        data = compat.stream_bytes(text)
        self.emit(data, data.find(b'\n') >= 0)
        return len(text)

    def writelines(self, lines):
        """Takes several texts."""
        for line in lines:
            self.write(line)

    def emit(self, data, now):
        """Sends bytes behind what this thread has written before, or keeps them for later."""
        ident = compat.thread.get_ident()
        before = self.unfinished.get(ident)
        if before:
            data = before + data
        if now or len(data) > 8192:
            if before is not None:
                self.unfinished.pop(ident, None)
            self.output.print_bytes(data, self.flags)
        else:
            self.unfinished[ident] = data
            self.output.machine.unflushed = True

    def flush(self):
        """Sends this thread's unfinished line."""
        data = self.unfinished.pop(compat.thread.get_ident(), None)
        if data:
            self.output.print_bytes(data, self.flags)

    def fileno(self):
        """The descriptor whose output goes the same way."""
        return self.descriptor

    def isatty(self):
        """No."""
        return False

    def writable(self):
        """Yes."""
        return True

    def readable(self):
        """No."""
        return False

    seekable = readable

    def close(self):
        """Flushes; the stream stays usable, because others print through it too."""
        self.flush()


def install(machine):
    """The real streams in sys, where they still are the ones that the stub put there."""
    output = of(machine)
    for name, descriptor in (('stdout', 1), ('stderr', 2)):
        stream = Stream(output, descriptor)
        output.streams.append(stream)
        for place in (name, '__%s__' % name):
            if getattr(sys, place, None) is machine.placeholders[descriptor]:
                setattr(sys, place, stream)
    return output.streams


def of(machine):
    """The machine's output; made when first used."""
    output = getattr(machine, 'output', None)
    if output is None:
        output = machine.output = Output(machine)
    return output
