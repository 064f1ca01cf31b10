# One channel as the stub knows it: its windows, who waits for it, and how each direction ends (ME-35 to ME-38).
compat = load('compat')
errno, os, time = compat.errno, compat.os, compat.sys.modules['time']
late = load('compat_late')
wire = load('wire')
worker = load('worker')

CHANNEL, CHANNEL_CREDIT, CHANNEL_OPEN = range(24, 27)
END = 128
MAX_REASON = 4096
# How long a thread that serves no request waits before it looks whether all has ended, in seconds.
STEP = 0.5
clock = getattr(time, 'monotonic', time.time)
allocate_lock = compat.thread.allocate_lock
# Open channels.
by_number = {}


class Line(object):
    """What one channel is, whoever holds it. A direction is over for good once its END is there."""

    def __init__(self, machine, number, window):
        self.machine = machine
        self.number = number
        self.window = window
        self.chunk = min(wire.CHUNK, window // 8)
        # What came and has not been taken: payload, and whether more of its item follows.
        self.chunks = compat.deque()
        # Not empty once the other end sends no more; why, if it broke off. Whether nobody here reads.
        self.ended = []
        self.broken = ''
        self.stopped = False
        # Bytes that came, which the reader counts; taken, and returned, which the taker counts.
        self.arrived = self.taken = self.returned = 0
        # What may be sent in all, which the reader counts, and what was, which the sender counts.
        self.granted = window
        self.sent = 0
        # Whether the other end reads no more, and whether our END is out.
        self.unread = False
        self.done = False
        # Held while a frame is put behind those that are pending: none may follow END.
        self.gate = compat.RLock()
        # One takes an item, and one sends it, however many come.
        self.receiving = allocate_lock()
        self.sending = allocate_lock()
        self.waiting = []

    def arrive(self, flags, payload):
        """Takes a frame in."""
        size = wire.HEADER_SIZE + len(payload)
        if self.ended or flags & END and (flags & wire.MORE or len(payload) > MAX_REASON):
            self.machine.link.fatal('malformed', 'the end of channel %d' % self.number)
        if flags & END:
            self.broken = compat.native(payload.decode('utf-8', 'replace'))
            self.ended.append(END)
            self.sweep()
        elif self.stopped:
            return
        else:
            self.arrived += size
            if self.arrived - self.returned > self.window:
                self.machine.link.fatal('window', 'more than its window on channel %d' % self.number)
            self.chunks.append((payload, flags & wire.MORE))
        self.notify()

    def credit(self, size):
        """The other end has taken so much; 0 says that it reads no more."""
        self.granted += size
        if not size:
            self.unread = True
            self.finish_sending('')
        self.notify()

    def sweep(self):
        """Forgets the channel where both directions are over."""
        if self.done and self.ended:
            by_number.pop(self.number, None)

    def notify(self):
        """Has those look again who wait."""
        for waiter in list(self.waiting):
            if isinstance(waiter, worker.Worker):
                if waiter.parked:
                    waiter.rouse()
            else:
                load('seldom').release(waiter)

    def wait(self, ready, end=None, near=False):
        """Waits until `ready()`; False where time is up first. With `near` for another thread here: who is reading is not
        told of what that does."""
        machine = self.machine
        me = machine.current()
        while not ready():
            if machine.closing or os.getpid() != machine.pid:
                raise OSError(errno.ECONNABORTED, 'the connection has ended')
            left = None if end is None else end - clock()
            if left is not None and left <= 0:
                return False
            if me:
                me.shielded(self.attend, me, ready, left, near)
                if me.running and me.cancelled == me.running:
                    interrupted(me)
            else:
                self.sleep(ready, min(left or STEP, STEP))
        return True

    def sleep(self, ready, seconds):
        """Waits a while in a thread that serves no request."""
        lock = allocate_lock()
        lock.acquire()
        self.waiting.append(lock)
        try:
            if not ready():
                acquire(lock, seconds)
        finally:
            self.waiting.remove(lock)

    def attend(self, me, ready, left, near):
        """Waits for one sign of whatever it is, and reads meanwhile if no other thread does, unless that is near."""
        machine = self.machine
        reading = machine.link.reading
        if me.held:
            me.release(False)
        self.waiting.append(me)
        try:
            if not near and reading.acquire(False):
                if ready() or me.cancelled == me.running or left is not None and not compat.select(
                        [machine.link.frames_in], (), (), left)[0]:
                    reading.release()
                else:
                    machine.read(me)
                return
            me.parked = True
            if not ready() and me.cancelled != me.running and (near or reading.locked()):
                acquire(me.wake, left)
            me.parked = False
        finally:
            self.waiting.remove(me)

    def turn(self, lock):
        """Waits until this thread may send or take, which it then does alone."""
        while not lock.acquire(False):
            self.wait(lambda: not lock.locked(), None, True)

    def over(self, lock):
        """Ends what turn() began."""
        lock.release()
        if self.waiting:
            self.notify()

    def send_item(self, make):
        """Sends the item that make() gives in this thread's turn, unless it gives nothing. An interruption in the middle ends the
        direction."""
        self.turn(self.sending)
        whole = False
        try:
            data = make()
            if data:
                self.send(data)
            whole = True
        finally:
            self.over(self.sending)
            if not whole and not self.done:
                self.finish_sending('it was interrupted in the middle of an item')

    def take(self, timeout=None):
        """The next chunk and whether more of its item follows. EOFError at the end."""
        end = None if timeout is None else clock() + timeout
        while True:
            # In this order: the last chunk is put there first and the end told second.
            ended = len(self.ended)
            if self.stopped:
                raise OSError(errno.EBADF, 'this end of the channel has been closed')
            if self.chunks:
                break
            if ended:
                if self.broken:
                    raise OSError(errno.ECONNABORTED, self.broken)
                raise EOFError('the other end of the channel sends no more')
            if not self.wait(lambda: self.chunks or self.ended or self.stopped, end):
                raise OSError(errno.ETIMEDOUT, 'nothing came within %s seconds' % timeout)
        try:
            taken = self.chunks.popleft()
        except IndexError:
            # It was closed just now.
            return self.take(0)
        self.taken += wire.HEADER_SIZE + len(taken[0])
        size = self.taken - self.returned
        if size >= self.window // 4 and not self.ended:
            self.returned += size
            self.post(CHANNEL_CREDIT, wire.struct.pack('>I', size))
        return taken

    def send(self, data):
        """Sends bytes, in as many frames as it takes."""
        start = 0
        if not isinstance(data, bytes):
            data = late.filled(data).tobytes() if late.filled else bytes(data)
        while start < len(data):
            size = min(self.chunk, len(data) - start)
            needed = self.sent + size + wire.HEADER_SIZE
            if self.granted < needed:
                self.wait(lambda: self.granted >= needed or self.done)
            part = data if size == len(data) else data[start:start + size]
            start += size
            self.sent = needed
            if not self.post(CHANNEL, part, wire.MORE if start < len(data) else 0):
                raise OSError(errno.EPIPE, 'the other end of the channel reads no more' if self.unread else (
                    'this end of the channel has been closed'))

    def post(self, kind, payload, flags=0):
        """Puts a frame behind what is pending, and sends it. False where this direction is over."""
        if os.getpid() != self.machine.pid:
            raise OSError(errno.EBADF, 'the channel belongs to the parent process')
        return self.machine.whole(self.put, kind, payload, flags)

    def put(self, kind, payload, flags):
        """The same, where no interruption comes in between."""
        link = self.machine.link
        self.gate.acquire()
        try:
            if kind == CHANNEL and self.done:
                return False
            self.done = self.done or flags == END
            link.pending.append(link.frame(kind, self.number, 0, payload, flags))
        finally:
            self.gate.release()
        if flags == END:
            self.sweep()
        link.flush()
        return True

    def finish_sending(self, reason):
        """Ends the direction from here: in order, or for a reason."""
        if not self.done and os.getpid() == self.machine.pid:
            data = compat.text(reason).encode('utf-8')[:MAX_REASON].decode('utf-8', 'ignore').encode('utf-8')
            if self.post(CHANNEL, data, END):
                self.notify()

    def stop(self):
        """Reads nothing more."""
        if not self.stopped and not self.ended and os.getpid() == self.machine.pid:
            self.stopped = True
            self.post(CHANNEL_CREDIT, b'\0\0\0\0')
            self.chunks.clear()
            self.notify()

    def drop(self):
        """Ends both directions, from wherever the last one who had the channel lets it go."""
        link = self.machine.link
        if os.getpid() == self.machine.pid and not self.machine.closing:
            self.gate.acquire()
            try:
                frames = [] if self.done else [link.frame(CHANNEL, self.number, 0, b'', END)]
                self.done = True
                if not (self.stopped or self.ended):
                    self.stopped = True
                    frames.append(link.frame(CHANNEL_CREDIT, self.number, 0, b'\0\0\0\0'))
                link.pending.extend(frames)
            finally:
                self.gate.release()
            self.sweep()
            # If this thread is in the middle of writing, it sends them next.
            if link.writing.acquire(False):
                link.writing.release()
                link.flush()


def acquire(lock, seconds):
    """Waits for a lock, at most so long."""
    if seconds is None:
        lock.acquire()
    elif late.WAITS_END:
        lock.acquire(True, seconds)
    else:
        end = clock() + seconds
        while not lock.acquire(False) and clock() < end:
            compat.sleep(0.005)


def interrupted(me):
    """Raises the interruption of a request that was cancelled while it waited, and again whenever it waits."""
    if me is me.machine.main:
        me.struck = me.running
    else:
        while me.cancelling != 2:
            compat.sleep(0)
        me.deferred = False
    for tick in compat.ticks:
        pass
    raise KeyboardInterrupt
