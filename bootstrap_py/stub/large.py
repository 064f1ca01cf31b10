# Messages longer than one frame: requests that arrive in chunks, answers sent in chunks.
compat = load('compat')
late = load('compat_late')
wire = load('wire')


def begin(machine, worker, request, chunk):
    """The first chunk of a request of which more is to come."""
    if request in machine.messages or machine.protocol is None:
        machine.link.fatal('malformed', 'request %d out of order' % request)
    late.widen(machine.link)
    message = machine.messages[request] = untaken[request] = Message(machine, worker, request, chunk)
    return message


# Messages that have not been taken in full, by their requests.
untaken = {}


def give_up(request):
    """Forgets what has not been taken of a request that is over; its size."""
    message = untaken.pop(request, None)
    return message.abandon() if message else 0


class Message(object):
    """A request that arrives in chunks: a file that its thread unpickles from while it comes."""

    def __init__(self, machine, worker, request, chunk):
        self.machine = machine
        self.worker = worker
        self.request = request
        self.chunks = compat.deque(((chunk, 0),))
        # What keeps its thread from waiting: anything in it.
        self.ended = []
        self.current = b''
        self.position = 0
        self.total = len(chunk)
        self.abandoned = False

    def feed(self, chunk, counted, last):
        """Takes the next chunk; called by the thread that reads."""
        self.total += len(chunk)
        if self.total > 1 << 40:
            self.machine.link.fatal('too-large', 'a message of more than 1 TiB')
        self.machine.count(self.worker, counted)
        self.chunks.append((chunk, counted))
        if last:
            del self.machine.messages[self.request]
            self.ended.append(last)
        if self.abandoned:
            load('threads').drop(self.worker, self.abandon())
        elif self.worker.parked:
            self.machine.roused.append(self.worker)

    def abandon(self):
        """Forgets the content, also what is still to come; the size of what was there."""
        self.abandoned = True
        self.ended.append(True)
        size = 0
        try:
            while True:
                size += self.chunks.popleft()[1]
        except IndexError:
            pass
        if self.worker.parked:
            self.machine.roused.append(self.worker)
        return size

    def next(self):
        """Waits for the next chunk; False at the end of the message."""
        machine = self.machine
        worker = self.worker
        while True:
            # In this order: the last chunk is put there first and the end told second.
            ended = len(self.ended)
            if self.chunks:
                break
            if ended:
                return self.over()
            worker.credit(wire.MAX_PAYLOAD // 4, True)
            if machine.link.reading.acquire(False):
                if self.chunks or self.ended:
                    machine.link.reading.release()
                else:
                    machine.read(worker)
            else:
                # Before it looks: whoever brings a chunk behind the look rouses it.
                worker.parked = True
                worker.park(self.chunks or self.ended, True)
        try:
            self.current, counted = self.chunks.popleft()
        except IndexError:
            # A cancellation took it.
            return self.over()
        worker.taken += counted
        self.position = 0
        return True

    def over(self):
        """False at the end. A message that was cancelled ends otherwise: what is missing is no fault of the client."""
        if self.abandoned:
            self.worker.cancelled = self.request
            raise KeyboardInterrupt('cancelled before it ran')
        return False

    def some(self, size):
        """A view of up to `size` bytes; none at the end."""
        while self.position == len(self.current):
            if not self.next():
                return b''
        start = self.position
        self.position = min(start + size, len(self.current))
        return compat.view(self.current)[start:self.position]

    def readinto(self, target):
        """Fills `target` as far as the message goes; the number of bytes."""
        target = late.filled(target)
        if len(target) > 1 << 26:
            huge(target)
        done = 0
        while done < len(target):
            part = self.some(len(target) - done)
            if not len(part):
                break
            target[done:done + len(part)] = part
            done += len(part)
        return done

    def read(self, size=-1):
        """The next `size` bytes, fewer only at the end."""
        if size < 0:
            size = 1 << 62
        parts = []
        while size:
            part = self.some(size)
            if not len(part):
                break
            parts.append(part)
            size -= len(part)
        return b''.join(parts)

    def readline(self):
        """The next line with its end."""
        parts = []
        while True:
            end = self.current.find(b'\n', self.position) + 1
            parts.append(self.current[self.position:end or None])
            self.position = end or len(self.current)
            if end or not self.next():
                return b''.join(parts)


def peek(self, size=0):
    """What there is of the current chunk, which is not taken."""
    return bytes(self.current[self.position:])


if late.PEEKS:
    Message.peek = peek


def huge(target):
    """Asks for huge pages under a buffer: without them it takes 50 ms and more to give 1 GiB back, with Python's
    lock held, so that small calls would wait."""
    try:
        ctypes = late.imported('ctypes')
        start = ctypes.addressof(ctypes.c_char.from_buffer(target)) + 4095 & -4096
        # MADV_HUGEPAGE of Linux; where the kernel does not know it, it does nothing.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(len(target) - 4096), 14)
    except Exception:
        pass


def send(worker, kind, flags, request, data):
    """Sends an answer in chunks; `data` is bytes, or a list of bytes and buffers."""
    link = worker.machine.link
    late.widen(link)
    pieces = [compat.view(piece) for piece in (data if isinstance(data, list) else [data])]
    left = sum([len(piece) for piece in pieces])
    parts = []
    room = wire.CHUNK
    for piece in pieces:
        start = 0
        while start < len(piece) or not left:
            part = piece[start:start + room]
            start += len(part)
            room -= len(part)
            left -= len(part)
            parts.append(part)
            if not (room and left):
                link.send(kind, request, worker.number, b''.join(parts), flags | (wire.MORE if left else 0))
                kind = wire.DATA
                flags = 0
                parts = []
                room = wire.CHUNK
            if not left:
                return
