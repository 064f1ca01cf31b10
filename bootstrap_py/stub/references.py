# Objects that stay here and are referred to by number (ME-7, ME-8), and the way into reading and writing them.
compat = load('compat')
sys = compat.sys
wire = load('wire')
calls = load('calls')
once = load('once').once
# What the client holds here is given up in order.
load('requests')
MAX_CLASSES, MAX_CLASS_BYTES = 4096, 8388608


def of(machine):
    """The machine's table of references; made when first used, once."""
    return machine.references or once(machine, 'references', References)


class References(object):
    """The objects that the client knows: each with the number of times it was sent."""

    def __init__(self, machine):
        self.machine = machine
        self.lock = compat.thread.allocate_lock()
        self.entries = {}
        self.numbers = {}
        # What is here only because a call said so (ME-30): the export of each object by its id(), while the client knows it.
        self.kept = {}
        self.classes = {}
        # Bytes of all CLASS frames (ME-25).
        self.described = 0
        self.last = 0

    def held(self, number):
        """The object of that number; ReferenceError if the client has given it up."""
        try:
            return self.entries[number][0]
        except KeyError:
            raise ReferenceError('the server holds no object %s' % number)

    def keep(self, value, export):
        """Makes an object stay until the client gives it up; it has to be added next."""
        self.kept[id(value)] = export

    def add(self, value):
        """The number of an object; counts that it is sent once more."""
        self.lock.acquire()
        try:
            number = self.numbers.get(id(value))
            if number is None:
                self.last = number = self.last + 1
                self.numbers[id(value)] = number
                self.entries[number] = [value, 0]
            self.entries[number][1] += 1
            return number
        finally:
            self.lock.release()

    def give_up(self, pairs):
        """Takes back sendings: pairs of number and times."""
        dropped = []
        self.lock.acquire()
        try:
            for number, times in pairs:
                entry = self.entries.get(number)
                if entry:
                    entry[1] -= times
                    if entry[1] <= 0:
                        del self.entries[number]
                        del self.numbers[id(entry[0])]
                        self.kept.pop(id(entry[0]), None)
                        dropped.append(entry)
        finally:
            self.lock.release()
        # Destroyed only here, behind the lock: a __del__ may do anything.
        del dropped

    def release(self, payload):
        """Takes a RELEASE."""
        self.give_up([wire.struct.unpack('>QI', payload[start:start + 12]) for start in range(0, len(payload), 12)])

    def class_number(self, name, export):
        """The number of an export; its CLASS is put in front of what is sent next."""
        self.lock.acquire()
        try:
            number = self.classes.get((name, export))
            if number is None:
                number = len(self.classes) + 1
                text = compat.text
                methods, attrs, cached, proxy = export
                lists = [tuple([text(item) for item in names]) for names in (methods, attrs, cached)]
                described = (number, text(name)) + tuple(lists) + (proxy and text(proxy),)
                described = compat.pickle.dumps(described, 2)
                if number > MAX_CLASSES or self.described + len(described) > MAX_CLASS_BYTES:
                    raise ValueError('the client keeps no more classes: %s would be one too many' % name)
                self.described += len(described)
                self.machine.link.pending.append(self.machine.link.frame(wire.CLASS, 0, 0, described))
                self.classes[name, export] = number
            return number
        finally:
            self.lock.release()


def unpickle(worker, flags, request, payload):
    """The content of a request: of one frame, of chunks as they arrive, with references or buffers."""
    chunked = not isinstance(payload, bytes)
    if chunked:
        # Reading must not be interrupted; a cancellation is noted and seen afterwards.
        worker.running = 0
        if worker.cancelling:
            # One that came just before is not to be raised there either.
            load('control').absorb(worker)
    try:
        content = load('reading').unpickle(worker.machine, flags, payload)
        if chunked:
            load('large').give_up(request)
        return content
    except Exception:
        error = load('errors').Unreadable('unpickle')
        worker.stop(request)
        raise error
    finally:
        worker.running = request


def result(machine, value):
    """A value that is not a plain scalar as (kind, flags, data)."""
    try:
        return load('writing').result(machine, value)
    except Exception:
        raise load('errors').Unreadable('pickle')
