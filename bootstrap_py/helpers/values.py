# Values that the client has sent ahead of the calls that use them: once for all processes of a host, where it asks for that.
import os
import sys
import time

compat = load('compat')
late = load('compat_late')
release = load('seldom').release
# Of what processes share, each part begins at a multiple of this, as arrays want it.
ALIGNED = 64
# How long one wait for a value lasts, in seconds: so often it looks whether its request was cancelled.
STEP = 0.25
# By the client's numbers what has come of each.
values = {}
# The numbers of those that nobody wants any more, and that may come all the same.
unwanted = set()
# Memory that other processes read values from, by those numbers: file objects, whose memory goes with their processes.
shared = {}


class Coming(object):
    """A value, or what is known of one that has not come yet."""

    def __init__(self):
        # Once it is there, one item: the value, or what was wrong. Lists, because several threads look.
        self.found = []
        self.failed = []
        self.dropped = []
        self.waiting = []

    def settle(self, number):
        """Has those go on who wait for it."""
        if self.dropped:
            values.pop(number, None)
        for lock in list(self.waiting):
            release(lock)

    def wait(self):
        """Waits until it is there."""
        while not (self.found or self.failed):
            lock = compat.thread.allocate_lock()
            lock.acquire()
            self.waiting.append(lock)
            try:
                if not late.WAITS_END:
                    time.sleep(0.005)
                elif not (self.found or self.failed):
                    lock.acquire(True, STEP)
            finally:
                self.waiting.remove(lock)


def value(number):
    """One of them; waits for one that is on its way."""
    coming = values.get(number)
    if coming is None:
        raise LookupError('value %d was sent to other processes than this one, or is forgotten' % number)
    coming.wait()
    if coming.failed:
        raise LookupError('a value that was sent ahead did not arrive: ' + coming.failed[0])
    return coming.found[0]


# The module by whose name arguments refer to them.
ahead = type(sys)('easycluster_values')
ahead.value = value
sys.modules[ahead.__name__] = ahead


def expect(number):
    """Has what uses a value wait until it comes."""
    values.setdefault(number, Coming())


def hold(number, found):
    """Takes a value."""
    coming = values.setdefault(number, Coming())
    coming.found.append(found)
    coming.settle(number)
    if number in unwanted:
        values.pop(number, None)


def fail(number, reason):
    """Says that a value does not come."""
    coming = values.setdefault(number, Coming())
    coming.failed.append(compat.native(reason))
    coming.settle(number)


def drop(number, last=False, unknown=False):
    """Forgets a value, also one that is still to come; with `last` it does not come any more, unless that is `unknown`."""
    if unknown:
        unwanted.add(number)
        unshare(number)
    coming = values.get(number)
    if coming:
        coming.dropped.append(True)
        if last or coming.found or coming.failed:
            values.pop(number, None)


def share(number, pieces, buffers):
    """Takes a value as its pickle, and puts that where other processes of this host can read it: where that is, or None where
    this machine has no such place or it is full."""
    pickled = b''.join(pieces)
    try:
        source, place = put([pickled] + buffers)
    except Exception:
        hold(number, loaded(pickled, buffers))
        return None
    shared[number] = source
    kept = False
    try:
        # Read from there too, so that it takes memory once.
        kept = number not in unwanted and adopt(number, place)
    finally:
        # Also where this call is given up meanwhile.
        if not kept:
            unshare(number)
    if kept:
        return place
    hold(number, loaded(pickled, buffers))
    return None


def adopt(number, place):
    """Takes a value that another process of this host has put there; False if it cannot be read there."""
    found = taken(place)
    if found:
        hold(number, found[0])
    return bool(found)


def unshare(number):
    """Takes no more processes in that read a value here."""
    source = shared.pop(number, None)
    if source:
        source.close()


def put(parts):
    """Puts these into memory that has no name and goes with the last process that has it: a file object, and where it is."""
    key = os.urandom(16)
    source = os.fdopen(memory(), 'r+b', 0)
    try:
        for part in [key] + parts:
            part = compat.view(part)
            write(source, part)
            write(source, b'\0' * (-len(part) % ALIGNED))
        return source, (os.getpid(), source.fileno(), key, [len(part) for part in parts])
    except BaseException:
        source.close()
        raise


def write(source, data):
    """Writes all of it."""
    while len(data):
        data = data[source.write(data):]


def memory():
    """The descriptor of a file in memory."""
    name, closed_in_children = 'easycluster', 1
    make = getattr(os, 'memfd_create', None)
    if make:
        return make(name, closed_in_children)
    import ctypes
    made = ctypes.CDLL(None).memfd_create(name.encode('ascii'), closed_in_children)
    if made < 0:
        raise OSError('the kernel has no files in memory')
    return made


def taken(place):
    """The value that is at a place, in a list; an empty one if that is not on this machine or cannot be read."""
    import mmap
    owner, descriptor, key, sizes = place
    try:
        # Without waiting for whatever else may be there meanwhile.
        source = os.open('/proc/%d/fd/%d' % (owner, descriptor), os.O_RDONLY | os.O_NONBLOCK)
        try:
            # A private view: what functions do to the value is theirs alone.
            mapped = mmap.mmap(source, 0, access=mmap.ACCESS_COPY)
        finally:
            os.close(source)
        start = 0
        parts = []
        for size in [len(key)] + sizes:
            parts.append(late.filled(mapped)[start:start + size])
            start += size + -size % ALIGNED
        # Processes of a host that share a name may be on several machines.
        if bytes(parts[0]) != key or start != len(mapped):
            return []
    except (EnvironmentError, ValueError):
        return []
    return [loaded(parts[1], parts[2:])]


def loaded(pickled, buffers):
    """The value of a pickle, which names nothing that only one process has."""
    from io import BytesIO
    return late.load_from(BytesIO(pickled), None, buffers)
