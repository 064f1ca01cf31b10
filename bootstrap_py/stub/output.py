# What remote code prints: the pipes behind descriptors 1 and 2 as frames. printing.py has sys.stdout and sys.stderr.
compat = load('compat')
os = compat.os
once = load('once').once
wire = load('wire')


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
        # The streams of `sys`, where remote code has used them, and what is in them.
        self.streams = None
        self.lines = ()

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

    def flush(self, others=False):
        """Sends the unfinished lines of the calling thread, or of the others too."""
        self.machine.unflushed = False
        for lines in self.lines:
            lines.flush()
            while others and lines.unfinished:
                self.pump(True, lines.unfinished.popitem()[1], lines.flags)
            if lines.unfinished:
                self.machine.unflushed = True


def of(machine):
    """The machine's output; made when first used, once."""
    return machine.output or once(machine, 'output', Output)


def carry(machine):
    """Carries what comes through the pipe while no call ends."""
    while machine.printed:
        compat.select(machine.printed, (), ())
        of(machine).pump(True)
        machine.link.flush()
