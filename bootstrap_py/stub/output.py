# What remote code prints: sys.stdout and sys.stderr as frames, and the pipes behind descriptors 1 and 2.
import io
import os
import sys

compat = load('compat')
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
        self.streams = [Stream(self, 1, '<stdout>'), Stream(self, 2, '<stderr>')]

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
        for stream in self.streams:
            stream.flush()
            if stream.unfinished:
                self.machine.unflushed = True


class Stream(io.TextIOBase):
    """sys.stdout or sys.stderr, also as its own `buffer`: whole lines are sent at once, the rest at flush() or
    when the call ends."""

    encoding = 'utf-8'
    def __init__(self, output, descriptor, name):
        self.output = output
        self.descriptor = descriptor
        self.name = name
        self.unfinished = {}
        self.buffer = self

    def write(self, data):
        """Takes text or bytes; their length."""
        sent = late.printed(data)
        ident = get_ident()
        sent = self.unfinished.pop(ident, b'') + sent
        if b'\n' in sent or len(sent) > 8192:
            self.output.pump(True, sent, wire.STDERR * (self.descriptor - 1))
        else:
            self.unfinished[ident] = sent
            self.output.machine.unflushed = True
        return len(data)

    def flush(self):
        """Sends this thread's unfinished line."""
        sent = self.unfinished.pop(get_ident(), None)
        if sent:
            self.output.pump(True, sent, wire.STDERR * (self.descriptor - 1))

    def fileno(self):
        """The descriptor whose output goes the same way."""
        return self.descriptor

    def writable(self):
        """That it can be written to, as io.TextIOBase asks."""
        return True

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
