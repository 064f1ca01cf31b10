# Functions of the client, as code here has them: what is called here runs there (ME-39 to ME-41).
import errno
import itertools
import os
import sys

compat = load('compat')
wire = load('wire')
channels = load('channels')
lines = load('lines')

MAX_ASK = 8388608
RAISED = 1
# What is let go of is told in so many at once.
TOLD = 16
by_number = {}


class Asks(object):
    """What goes through the channel of asks: who waits for which answer, and who may take answers out."""

    def __init__(self, line):
        self.line = line
        self.numbers = itertools.count(1)
        # For each ask that is waited for a list, which gets the answer.
        self.waiting = {}
        # Held by the thread that takes answers out; what there is of one that has not come in full.
        self.sorting = compat.thread.allocate_lock()
        self.parts = []
        # An ask was interrupted in the middle: the next one ends it first.
        self.torn = False
        self.dropped = compat.deque()

    def ask(self, function, wait, timeout, content):
        """Calls a function there; its value, or what it raised."""
        line = self.line
        if os.getpid() != line.machine.pid:
            raise OSError(errno.EBADF, 'a function of the client cannot be called in a forked child process')
        content = channels.encoded(line.machine, content)
        if len(content) + 9 > MAX_ASK:
            raise ValueError('%d bytes of arguments, and a function of the client takes %d' % (len(content), MAX_ASK - 9))
        self.tell(TOLD)
        if not wait:
            return self.put(wire.struct.pack('>II', 0, function) + content)
        end = None if timeout is None else lines.clock() + timeout
        number = next(self.numbers) % 4294967295 + 1
        answer = self.waiting[number] = []
        try:
            self.put(wire.struct.pack('>II', number, function) + content)
            busy = self.sorting.locked
            while not answer:
                self.sort()
                if busy():
                    in_time = line.wait(lambda: not busy() or answer, end, True)
                else:
                    # In this order: what is taken out of `chunks` while that is busy is an answer before that is over.
                    in_time = line.wait(lambda: line.chunks or busy() or answer or line.ended, end)
                if not in_time:
                    raise OSError(errno.ETIMEDOUT, 'the client gave no answer within %s seconds' % timeout)
                if line.ended and not (line.chunks or busy() or answer):
                    raise OSError(errno.ECONNABORTED, 'the client answers no more')
        finally:
            self.waiting.pop(number, None)
        kind, content = answer[0]
        value = channels.decoded(line.machine, content)
        if kind == RAISED:
            raise rebuilt(line.machine, *value)
        return value

    def put(self, data):
        """Sends an item, which ends with 1 if it is whole; the client passes over others."""
        line = self.line
        line.turn(line.sending)
        try:
            if self.torn:
                line.send(b'\0')
            self.torn = True
            line.send(data + b'\1')
            self.torn = False
        finally:
            line.over(line.sending)

    def sort(self):
        """Gives the answers that came to those who wait for them, unless another thread is at it."""
        me = self.line.machine.current()
        if me:
            me.shielded(self.sort_now)
        else:
            self.sort_now()

    def sort_now(self):
        """The same, where no interruption comes in between."""
        line = self.line
        if not self.sorting.acquire(False):
            return
        try:
            while line.chunks:
                data, more = line.take()
                self.parts.append(data)
                if not more:
                    whole, self.parts = b''.join(self.parts), []
                    number, kind = wire.struct.unpack('>IB', whole[:5])
                    # It may be that nobody waits any more.
                    self.waiting.get(number, []).append((kind, whole[5:]))
        finally:
            self.sorting.release()
        line.notify()

    def tell(self, least):
        """Tells the client what nobody here has any more, if it is that much."""
        dropped = self.dropped
        if len(dropped) >= least:
            some = []
            while dropped and len(some) < 1024:
                try:
                    some.append(dropped.popleft())
                except IndexError:
                    break
            self.put(wire.struct.pack('>II%dI' % len(some), 0, 0, *some))


class Function(object):
    """A function of the client. To call it is to have it run there, and to wait for its value."""

    __name__ = 'callback'

    def __init__(self, asks, number, wait, timeout):
        self._ask = asks.ask, number, wait, timeout
        self._dropped = asks.dropped

    def __call__(*args, **keywords):
        me = args[0]
        ask, number, wait, timeout = me._ask
        return ask(number, wait, timeout, (args[1:], keywords))

    def __del__(self):
        # Only noted: this may be anywhere.
        self._dropped.append(self._ask[1])

    def __reduce__(self):
        raise TypeError('a function of the client can only be called, by the process that was given it')


class Raised(Exception):
    """What the client's function raised, with the traceback of there."""


def function(machine, number, channel, wait, timeout):
    """The function that a request names."""
    line = lines.by_number.get(channel)
    if line is None:
        raise ReferenceError('the client takes no more calls of its functions')
    with load.__self__.locked():
        asks = by_number.get(channel)
        if asks is None or asks.line is not line:
            asks = by_number[channel] = Asks(line)
    asks.tell(TOLD)
    return Function(asks, number, wait, timeout)


def rebuilt(machine, names, args, message, text, parts=None):
    """The exception that the client's function raised: of its own class or the nearest one that is known here."""
    attributes = {}
    if parts:
        args, attributes = parts
        try:
            args = args and channels.decoded(machine, args)
        except Exception:
            # They hold what is not here; the words say it.
            args = None
    error = None
    for module, name in names:
        module, name = compat.native(module), compat.native(name)
        try:
            if module in ('builtins', 'exceptions'):
                found = getattr(compat.builtins, name)
            else:
                load('names').packages(module)
                __import__(module)
                found = getattr(sys.modules[module], name)
            if issubclass(found, Exception):
                error = made(found, args if args is not None else (message,))
            if isinstance(error, Exception):
                break
        except Exception:
            # It is none here, or takes other arguments.
            error = None
    if error is None:
        error = RuntimeError('%s.%s: %s' % (names[0][0], names[0][1], message))
    for name, part in attributes.items():
        try:
            setattr(error, compat.native(name), channels.decoded(machine, part))
        except Exception:
            # As with arguments, or the class takes no such attribute.
            pass
    if compat.PY3:
        error.__cause__ = Raised('\n' + text)
    return error


def made(kind, args):
    """An exception of the class. Its own constructor may take other arguments than those that it has; that of its built-in base takes these."""
    try:
        return kind(*args)
    except Exception:
        base = [each for each in kind.__mro__ if each.__module__ in ('builtins', 'exceptions')][0]
        if base is kind:
            raise
        error = kind.__new__(kind, *args)
        base.__init__(error, *args)
        return error
