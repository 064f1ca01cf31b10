# What remote code prints through sys.stdout and sys.stderr: whole lines as they come, the rest when the call ends.
compat = load('compat')
io, sys = compat.io, compat.sys
late = load('compat_late')
once = load('once').once
wire = load('wire')
get_ident = compat.thread.get_ident


def stream(output, stand_in):
    """The real stream instead of the proxy that stands for it; in `sys` too, if that is still there."""
    for found in once(output, 'streams', make):
        if found.name == stand_in.name:
            for name in ('stdout', '__stdout__', 'stderr', '__stderr__'):
                if getattr(sys, name, None) is stand_in:
                    setattr(sys, name, found)
            return found


def make(output):
    """Both streams."""
    streams = [late.WRAPS and Text(output, number, name) or Stream(output, number, name)
               for number, name in ((1, '<stdout>'), (2, '<stderr>'))]
    # Kept, because remote code may take the buffer from around its text.
    output.lines = [each.buffer for each in streams]
    return streams


class Lines(object):
    """What the streams have in common: whole lines are sent at once, the rest at flush() or when the call ends."""

    def begin(self, output, descriptor):
        """Sets what they need."""
        self.output = output
        self.descriptor = descriptor
        self.flags = wire.STDERR * (descriptor - 1)
        # Pieces by thread; each adds only to its own. They stay until they are sent, whatever comes in between: an interruption, or a
        # signal handler that prints.
        self.unfinished = {}

    def put(self, sent):
        """Takes bytes."""
        unfinished = self.unfinished.setdefault(get_ident(), [])
        unfinished.append(sent)
        if b'\n' in sent or len(unfinished) > 500 or sum([len(piece) for piece in unfinished]) > 8192:
            self.output.pump(True, unfinished, self.flags)
        else:
            self.output.machine.unflushed = True

    def flush(self):
        """Sends this thread's unfinished line."""
        unfinished = self.unfinished.get(get_ident())
        if unfinished:
            self.output.pump(True, unfinished, self.flags)

    def fileno(self):
        """The descriptor whose output goes the same way."""
        return self.descriptor

    def writable(self):
        """That it can be written to, as io asks."""
        return True

    def close(self):
        """Flushes; the stream stays open, because others print through it too."""
        self.flush()


class Stream(Lines, io.TextIOBase):
    """sys.stdout or sys.stderr where Python's own takes bytes and text, also as its own `buffer`."""

    encoding, errors, mode = 'utf-8', 'backslashreplace', 'w'
    line_buffering = True
    softspace = 0

    def __init__(self, output, descriptor, name):
        self.begin(output, descriptor)
        self.name = name
        self.buffer = self

    def write(self, data):
        """Takes text or bytes; their length."""
        self.put(late.printed(data))
        return len(data)


class Raw(Lines, io.RawIOBase):
    """What is below all buffers."""

    mode, closefd = 'wb', False

    def __init__(self, output, descriptor, name):
        self.begin(output, descriptor)
        self.name = name

    def write(self, data):
        """Sends bytes; their number."""
        self.output.pump(True, bytes(data), self.flags)
        return len(data)


class Buffer(Lines, io.BufferedWriter):
    """The `buffer` of a stream."""

    def __init__(self, raw):
        io.BufferedWriter.__init__(self, raw)
        self.begin(raw.output, raw.descriptor)

    def write(self, data):
        """Takes bytes; their number."""
        # Raises what it has to if that is no bytes.
        late.filled(data)
        data = bytes(data)
        self.put(data)
        return len(data)


class Text(io.TextIOWrapper):
    """sys.stdout or sys.stderr as Python has it: nothing stays in it, because all of it is passed on to its buffer."""

    def __init__(self, output, descriptor, name):
        buffer = Buffer(Raw(output, descriptor, name))
        io.TextIOWrapper.__init__(self, buffer, 'utf-8', 'backslashreplace', None, True, True)
        self.mode = 'w'

    if hasattr(io.TextIOWrapper, 'reconfigure'):
        def reconfigure(self, **options):
            """As that of Python, but that nothing ever stays in it."""
            options['write_through'] = True
            getattr(io.TextIOWrapper, 'reconfigure')(self, **options)

    def close(self):
        """Flushes; the stream stays open, because others print through it too."""
        self.flush()
