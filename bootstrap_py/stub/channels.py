# Channels (ME-32 to ME-38): items or bytes both ways, beside requests, as a function has them that is given one.
compat = load('compat')
sys, BytesIO = compat.sys, compat.io.BytesIO
late = load('compat_late')
wire = load('wire')
requests = load('requests')
control = load('control')
lines = load('lines')
by_number = lines.by_number
# What each running request was given.
given = {}


def act(machine, kind, flags, number, payload):
    """Acts on a frame of a channel; called by the thread that reads."""
    line = by_number.get(number)
    if kind != lines.CHANNEL and len(payload) != 4 or kind == lines.CHANNEL_OPEN and line or kind == lines.CHANNEL and not line:
        machine.link.fatal('malformed', 'a frame of channel %d' % number)
    if kind == lines.CHANNEL:
        line.arrive(flags, payload)
    elif kind == lines.CHANNEL_OPEN:
        by_number[number] = lines.Line(machine, number, *wire.struct.unpack('>I', payload))
    elif line:
        # One for a channel that is over was on its way.
        line.credit(*wire.struct.unpack('>I', payload))


class Channel(object):
    """One end of a channel of items, as the function has it that was given it."""

    def __init__(self, line):
        self._line = line
        self._kept = False

    def send(self, item):
        """Sends an item; waits while the window is used up. OSError of EPIPE where the other end reads no more."""
        line = self._line
        data = encoded(line.machine, item)
        line.send_item(lambda: data)

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
    if raw:
        late.widen(machine.link)
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
