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
        # By thread that is at it or waits for that, what it is to send; a signal handler or a __del__ amid that adds to it.
        self.sending = {}
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
        """Sends what is in the pipe, then `data`, which is bytes, or a list of them that is emptied. Without `wait`, False if the
        client would have to be waited for."""
        if os.getpid() != self.pid:
            # A forked child process: the connection is not its own, but the pipe is.
            os.write(1 + (flags > 0), taken(data))
            return True
        worker = self.machine.current()
        if worker:
            return worker.shielded(self.carry, wait, data, flags, worker)
        return self.carry(wait, data, flags, worker)

    def carry(self, wait, data, flags, worker):
        """The same, where no interruption comes in between."""
        ident = compat.thread.get_ident()
        said = bool(data)
        mine = [(data, flags)] if said else []
        while True:
            amid = self.sending.setdefault(ident, mine)
            if amid is not mine:
                amid.extend(mine)
                return True
            done = False
            try:
                if self.lock.acquire(wait):
                    try:
                        done = self.carry_all(mine, wait, worker)
                    finally:
                        self.lock.release()
            finally:
                del self.sending[ident]
            if not mine:
                break
            # Added behind the last look.
            wait = True
        if said:
            self.machine.link.flush()
        return done

    def carry_all(self, mine, wait, worker):
        """Sends what is in the pipe, and then what is `mine`. False if the client would have to be waited for."""
        machine = self.machine
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
        while mine:
            data, flags = mine.pop(0)
            self.send(taken(data), flags, worker)
        return True

    def flush(self, others=False):
        """Sends the unfinished lines of the calling thread, or of the others too."""
        self.machine.unflushed = False
        for lines in self.lines:
            lines.flush()
            for unfinished in list(lines.unfinished.values()):
                if unfinished and others:
                    self.pump(True, unfinished, lines.flags)
                elif unfinished:
                    self.machine.unflushed = True


def taken(data):
    """The bytes that are in a list, which are taken out of it; bytes as they are."""
    if type(data) is not list:
        return data
    count = len(data)
    parts = data[:count]
    del data[:count]
    return b''.join(parts)


def of(machine):
    """The machine's output; made when first used, once."""
    return machine.output or once(machine, 'output', Output)


def carry(machine):
    """Carries what comes through the pipe while no call ends."""
    while machine.printed:
        compat.select(machine.printed, (), ())
        of(machine).pump(True)
        machine.link.flush()
