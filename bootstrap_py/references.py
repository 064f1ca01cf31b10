# Objects that stay here and are referred to by number, and pickling with such references (ME-7 to ME-9).
import sys

compat = load('compat')
wire = load('wire')
calls = load('calls')
errors = load('errors')
package = load('package')
pickle = compat.pickle
RUST_TAG = compat.text('\x00easycluster.object')


class References(object):
    """The table of objects that the client knows: each with the number of times it was sent."""

    def __init__(self, machine):
        self.machine = machine
        self.lock = compat.thread.allocate_lock()
        self.by_number = {}
        self.by_identity = {}
        self.classes = {}
        self.last = 0

    def held(self, number):
        """The object of that number; ReferenceError if the client has given it up."""
        entry = self.by_number.get(number)
        if entry is None:
            raise ReferenceError('the server holds no object %s: it was released, or never sent' % number)
        return entry[0]

    def add(self, value):
        """The number of an object; counts that it is sent once more."""
        self.lock.acquire()
        try:
            number = self.by_identity.get(id(value))
            if number is None:
                self.last = number = self.last + 1
                self.by_identity[id(value)] = number
                self.by_number[number] = [value, 0]
            self.by_number[number][1] += 1
            return number
        finally:
            self.lock.release()

    def release(self, payload):
        """Takes a RELEASE: pairs of number and times (ME-8)."""
        dropped = []
        unpack = wire.struct.unpack
        self.lock.acquire()
        try:
            for start in range(0, len(payload), 12):
                number, times = unpack('>QI', payload[start:start + 12])
                self.give_up(number, times, dropped)
        finally:
            self.lock.release()
        # What is dropped is destroyed here, after the lock: its __del__ may do anything.
        del dropped

    def give_up(self, number, times, dropped):
        """Takes back `times` sendings of an object, with the lock held."""
        entry = self.by_number.get(number)
        if entry is not None:
            entry[1] -= times
            if entry[1] <= 0:
                del self.by_number[number]
                del self.by_identity[id(entry[0])]
                dropped.append(entry[0])

    def undo(self, numbers):
        """Takes back sendings that did not happen."""
        dropped = []
        self.lock.acquire()
        try:
            for number in numbers:
                self.give_up(number, 1, dropped)
        finally:
            self.lock.release()
        del dropped

    def class_number(self, value, export):
        """The number of an export; CLASS is put in front of what is sent next (ME-7)."""
        key = (type(value).__name__, export)
        self.lock.acquire()
        try:
            number = self.classes.get(key)
            if number is None:
                number = len(self.classes) + 1
                text = compat.text
                methods, attrs, cached, proxy = export
                described = (number, text(key[0]), tuple([text(name) for name in methods]),
                             tuple([text(name) for name in attrs]), tuple([text(name) for name in cached]),
                             None if proxy is None else text(proxy))
                self.machine.link.pending.append(self.machine.link.frame(
                    wire.CLASS, 0, 0, 0, pickle.dumps(described, 2)))
                self.classes[key] = number
            return number
        finally:
            self.lock.release()


def unpickle(machine, worker, flags, request, payload):
    """The content of a request: of one frame, of chunks as they arrive, with references or buffers."""
    if not isinstance(payload, bytes):
        # Chunks. They are read with no cancellation on the way; one is noted and seen afterwards.
        worker.running = 0
    try:
        return load('reading').unpickle(machine, worker, flags, payload)
    except calls.Cancelled:
        raise
    except BaseException:
        info = sys.exc_info()
        if not isinstance(payload, bytes):
            payload.drop()
            if payload.cancelled:
                raise calls.Cancelled
        raise errors.Unreadable(info)
    finally:
        worker.running = request


def result(machine, worker, request, value):
    """A value that is not a plain scalar as (kind, flags, data)."""
    try:
        return load('writing').result(machine, value)
    except Exception:
        raise errors.Unwritable(sys.exc_info())


def dumps(machine, value):
    """A pickle with references, as one piece."""
    return b''.join([compat.as_bytes(piece) for piece in load('writing').pickled(machine, value)[0]])


def loads(machine, data):
    """The value of a pickle made by dumps()."""
    return load('reading').loads(machine, data)
