# Channels (ME-32 to ME-38): items or bytes both ways, beside requests, each direction within a window.
import errno
import os
import sys
import time
from io import BytesIO

compat = load('compat')
late = load('compat_late')
wire = load('wire')
worker = load('worker')
requests = load('requests')
control = load('control')

CHANNEL, CHANNEL_CREDIT, CHANNEL_OPEN = range(24, 27)
END = 128
MAX_REASON = 4096
# How long a thread that serves no request waits before it looks whether all has ended, in seconds.
STEP = 0.5
clock = getattr(time, 'monotonic', time.time)
allocate_lock = compat.thread.allocate_lock
# Open channels by number, and what each running request was given.
by_number = {}
given = {}


def act(machine, kind, flags, number, payload):
    """Acts on a frame of a channel; called by the thread that reads."""
    line = by_number.get(number)
    if kind != CHANNEL and len(payload) != 4 or kind == CHANNEL_OPEN and line or kind == CHANNEL and not line:
        machine.link.fatal('malformed', 'a frame of channel %d' % number)
    if kind == CHANNEL:
        line.arrive(flags, payload)
    elif kind == CHANNEL_OPEN:
        by_number[number] = Line(machine, number, *wire.struct.unpack('>I', payload))
    elif line:
        # One for a channel that is over was on its way.
        line.credit(*wire.struct.unpack('>I', payload))


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

    def wait(self, ready, end=None):
        """Waits until `ready()`; False where time is up first."""
        machine = self.machine
        me = machine.current()
        while not ready():
            if machine.closing or os.getpid() != machine.pid:
                raise OSError(errno.ECONNABORTED, 'the connection has ended')
            left = None if end is None else end - clock()
            if left is not None and left <= 0:
                return False
            if me:
                me.shielded(self.attend, me, ready, left)
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

    def attend(self, me, ready, left):
        """Waits for one sign of whatever it is, and reads meanwhile if no other thread does."""
        machine = self.machine
        reading = machine.link.reading
        if me.held:
            me.release(False)
        self.waiting.append(me)
        try:
            if reading.acquire(False):
                if ready() or me.cancelled == me.running or left is not None and not compat.select(
                        [machine.link.frames_in], (), (), left)[0]:
                    reading.release()
                else:
                    machine.read(me)
                return
            me.parked = True
            if not ready() and me.cancelled != me.running and reading.locked():
                acquire(me.wake, left)
            me.parked = False
        finally:
            self.waiting.remove(me)

    def turn(self, lock):
        """Waits until this thread may send or take, which it then does alone."""
        while not lock.acquire(False):
            self.wait(lambda: not lock.locked())

    def over(self, lock):
        """Ends what turn() began."""
        lock.release()
        if self.waiting:
            self.notify()

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
        data = data if isinstance(data, bytes) else bytes(late.filled(data))
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
        me = self.machine.current()
        return me.shielded(self.put, kind, payload, flags) if me else self.put(kind, payload, flags)

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
            time.sleep(0.005)


def interrupted(me):
    """Raises the interruption of a request that was cancelled while it waited, and again whenever it waits."""
    if me is me.machine.main:
        me.struck = me.running
    else:
        while me.cancelling != 2:
            time.sleep(0)
        me.deferred = False
    for tick in compat.ticks:
        pass
    raise KeyboardInterrupt


class Channel(object):
    """One end of a channel of items, as the function has it that was given it."""

    def __init__(self, line):
        self._line = line
        self._kept = False

    def send(self, item):
        """Sends an item; waits while the window is used up. OSError of EPIPE where the other end reads no more."""
        line = self._line
        data = encoded(line.machine, item)
        self._send(data)

    def _send(self, data):
        line = self._line
        line.turn(line.sending)
        whole = False
        try:
            line.send(data)
            whole = True
        finally:
            line.over(line.sending)
            if not whole and not line.done:
                line.finish_sending('it was interrupted in the middle of an item')

    def receive(self, timeout=None):
        """The next item. EOFError at the end, OSError of ETIMEDOUT after so many seconds, of ECONNABORTED where the other
        end broke off."""
        line = self._line
        more = False
        line.turn(line.receiving)
        try:
            data, more = line.take(timeout)
            if more:
                parts = [data]
                while more:
                    data, more = line.take()
                    parts.append(data)
                data = b''.join(parts)
        finally:
            if more:
                # What comes next would be taken for the beginning of an item.
                line.stop()
            line.over(line.receiving)
        return decoded(line.machine, data)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.receive()
        except EOFError:
            raise StopIteration

    next = __next__

    def end(self):
        """Sends nothing more. What the other end sends still comes."""
        line = self._line
        line.turn(line.sending)
        try:
            line.finish_sending('')
        finally:
            line.over(line.sending)

    def fail(self, reason):
        """Sends nothing more, for a reason: what the other end waits for raises with it."""
        self._line.finish_sending(reason or 'no reason was given')

    def close(self):
        """Sends nothing more, and reads nothing more."""
        self._line.finish_sending('')
        self._line.stop()

    def keep(self):
        """Keeps the channel open when the request is answered that brought it; close() ends it then."""
        self._kept = True

    def __del__(self):
        if self._kept:
            self._line.drop()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            self.fail(kind.__name__)
        self.close()


class ByteChannel(Channel):
    """One end of a channel of bytes; a file that is read and written, too."""

    _rest = b''
    _at = 0

    def _send(self, data):
        line = self._line
        line.turn(line.sending)
        try:
            line.send(data)
        finally:
            line.over(line.sending)

    def send(self, data):
        """Sends bytes; waits while the window is used up. OSError of EPIPE where the other end reads no more."""
        self._send(data)
        return len(data)

    write = send

    def receive(self, timeout=None):
        """The next bytes, as many as come at once. EOFError at the end, OSError as of a channel of items."""
        line = self._line
        line.turn(line.receiving)
        try:
            return self._some(1 << 62, timeout)
        finally:
            line.over(line.receiving)

    def _some(self, size, timeout=None):
        """At most so many of the next bytes."""
        while self._at >= len(self._rest):
            self._rest, self._at = self._line.take(timeout)[0], 0
        start = self._at
        self._at = start + size
        some = self._rest[start:self._at] if start or size < len(self._rest) else self._rest
        if self._at >= len(self._rest):
            self._rest, self._at = b'', 0
        return some

    def read(self, size=-1):
        """So many bytes, fewer only at the end; without a number all."""
        line = self._line
        left = 1 << 62 if size is None or size < 0 else size
        parts = []
        line.turn(line.receiving)
        try:
            while left:
                part = self._some(left)
                left -= len(part)
                parts.append(part)
        except EOFError:
            pass
        finally:
            line.over(line.receiving)
        return parts[0] if len(parts) == 1 else b''.join(parts)


def encoded(machine, item):
    """An item as bytes, as a result would be."""
    if not machine.singletons and machine.main.is_plain(item, 2):
        return compat.pickle.dumps(item, machine.protocol)
    writing = load('writing')
    if machine.peer == 'rust':
        data = writing.result(machine, item)[2]
    else:
        data = writing.pickled(machine, item, None).data()
    return b''.join(data) if isinstance(data, list) else data


def decoded(machine, data):
    """An item from its bytes."""
    try:
        return compat.pickle.loads(data)
    except Exception:
        # As with requests: what this version has elsewhere, or what is wrong.
        return load('reading').unpickle(machine, 0, BytesIO(data))


def named(machine, number, raw):
    """The channel that a request names, for the function that is called."""
    line = by_number.get(number)
    if line is None:
        raise ReferenceError('channel %s is not open' % number)
    me = machine.current()
    made = (ByteChannel if raw else Channel)(line)
    given.setdefault(me.request, []).append(made)
    return made


def perform(me, kind, flags, request, payload):
    """Runs a request; the channels that it names end with it."""
    reason = 'the call that had it was interrupted'
    try:
        try:
            value = plainly(me, kind, flags, request, payload)
            reason = ''
            return value
        except Exception:
            reason = 'the call that had it failed'
            raise
    finally:
        late_one = None
        while request in given:
            try:
                me.shielded(end_all, request, reason)
            except KeyboardInterrupt:
                # There is one at most.
                late_one = sys.exc_info()
        if late_one:
            late.again(late_one)


def end_all(request, reason):
    """Ends the channels that a request was given."""
    for channel in given.pop(request):
        if reason or not channel._kept:
            channel._line.finish_sending(reason)
            channel._line.stop()


plainly, requests.perform = requests.perform, perform


def interrupt(me, request):
    """Interrupts a request, which may wait for a channel."""
    without(me, request)
    if me.parked:
        me.rouse()


without, control.interrupt = control.interrupt, interrupt
