# Messages longer than one frame: requests that arrive in chunks, answers sent in chunks.
compat = load('compat')
wire = load('wire')
MORE = wire.MORE


class Message(object):
    """A request that arrives in chunks: a file that its thread unpickles from while it comes."""

    def __init__(self, machine, worker, chunk):
        self.machine = machine
        self.worker = worker
        self.chunks = compat.deque((chunk,))
        self.sizes = compat.deque((0,))
        self.whole = False
        self.abandoned = False
        self.cancelled = False
        self.current = compat.view(b'')
        self.position = 0
        self.total = len(chunk)

    def feed(self, chunk, counted, last):
        """Takes the next chunk; called by whoever reads."""
        self.total += len(chunk)
        if self.total > 1 << 40:
            self.machine.link.fatal('too-large', 'a message of more than %d bytes' % (1 << 40))
        if self.abandoned:
            self.worker.taken += counted
            self.worker.credit()
            self.machine.link.flush()
        else:
            self.chunks.append(chunk)
            self.sizes.append(counted)
        if last:
            self.whole = True
        if self.worker.parked:
            self.machine.roused.append(self.worker)

    def abandon(self):
        """Forgets the content, also what is still to come, for a cancellation."""
        self.cancelled = True
        self.abandoned = True
        while self.chunks:
            self.chunks.popleft()
            self.worker.taken += self.sizes.popleft()
        self.whole = True
        if self.worker.parked:
            self.worker.rouse()

    def next(self):
        """Waits for the next chunk; False at the end of the message."""
        machine = self.machine
        worker = self.worker
        while not self.chunks:
            if self.whole:
                return False
            if worker.taken:
                worker.credit()
                machine.link.flush()
            if machine.link.reading.acquire(False):
                if self.chunks or self.whole:
                    machine.link.reading.release()
                else:
                    machine.read(worker)
                continue
            worker.parked = True
            if not (self.chunks or self.whole or not machine.link.reading.locked()):
                worker.wake.acquire()
            worker.parked = False
        try:
            chunk = self.chunks.popleft()
            worker.taken += self.sizes.popleft()
        except IndexError:
            # A cancellation took it.
            return False
        self.current = compat.view(chunk)
        self.position = 0
        worker.credit()
        return True

    def readinto(self, target):
        """Fills `target` as far as the message goes; the number of bytes."""
        target = memoryview(target)
        done = 0
        size = len(target)
        while done < size:
            left = len(self.current) - self.position
            if not left:
                if not self.next():
                    break
                continue
            count = min(left, size - done)
            target[done:done + count] = self.current[self.position:self.position + count]
            self.position += count
            done += count
        return done

    def read(self, size=-1):
        """The next `size` bytes, fewer only at the end."""
        left = len(self.current) - self.position
        if 0 <= size <= left:
            self.position += size
            return compat.as_bytes(self.current[self.position - size:self.position])
        pieces = []
        while size:
            left = len(self.current) - self.position
            if not left:
                if not self.next():
                    break
                continue
            count = left if size < 0 else min(left, size)
            pieces.append(self.current[self.position:self.position + count])
            self.position += count
            if size > 0:
                size -= count
        return b''.join(pieces)

    def readline(self, limit=-1):
        """The next line with its end."""
        pieces = []
        while True:
            rest = compat.as_bytes(self.current[self.position:])
            end = rest.find(b'\n')
            if end >= 0:
                self.position += end + 1
                pieces.append(rest[:end + 1])
                break
            pieces.append(rest)
            self.position += len(rest)
            if not self.next():
                break
        return b''.join(pieces)

    def drop(self):
        """Reads what is left of the message and forgets it."""
        self.abandoned = True
        while self.chunks:
            self.chunks.popleft()
            self.worker.taken += self.sizes.popleft()


def send(machine, worker, kind, flags, request, data):
    """Sends an answer in chunks; `data` is bytes, or a list of them and of buffers."""
    link = machine.link
    pieces = data if isinstance(data, list) else [data]
    left = 0
    for piece in pieces:
        left += len(piece)
    chunk = []
    room = wire.CHUNK
    first = True
    for piece in pieces:
        view = compat.view(piece)
        start = 0
        while start < len(view):
            part = view[start:start + room]
            start += len(part)
            room -= len(part)
            left -= len(part)
            chunk.append(part)
            if room == 0 and left:
                link.send(kind if first else wire.DATA, request, worker.number, b''.join(chunk),
                          MORE | (flags if first else 0))
                first = False
                chunk = []
                room = wire.CHUNK
    link.send(kind if first else wire.DATA, request, worker.number, b''.join(chunk), flags if first else 0)
