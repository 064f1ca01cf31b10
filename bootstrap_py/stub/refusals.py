# Methods of every link that few connections need: for what it does not take, and for descriptors that do not wait.
compat = load('compat')
wire = load('wire')


def part(self, name):
    """A file that had to arrive in front of the frame that is being read."""
    if not load.__self__.there(name):
        self.fatal('malformed', 'a frame came before its part, with %s' % name)
    return load(name)


def allowed(self, kind, flags):
    """Whether a frame of this kind may have these flags now."""
    return not flags & ~wire.FLAGS.get(kind, 0) and (self.compress or not flags & wire.DEFLATED)


def waited(self, reading, writing):
    """Whether what is being handled says only that the descriptor was made one that does not wait; waits then."""
    again = compat.sys.exc_info()[1].args[:1] == (compat.errno.EAGAIN,)
    if again:
        compat.select(reading, writing, ())
    return again


def refuse(self, magic, kind, flags, length):
    """Ends the connection over a header that breaks a rule (FR-3, FR-5, FR-9, FR-14)."""
    self.fatal('garbled' if magic != 0x4543 else 'unknown-kind' if kind not in wire.FLAGS
               else 'unknown-flag' if not self.allowed(kind, flags)
               else 'too-large' if length > wire.MAX_PAYLOAD else 'malformed',
               'kind 0x%02x, flags 0x%02x, %d bytes' % (kind, flags, length))


def fatal(self, code, sentence):
    """Tells the client why, and ends."""
    self.writing.acquire()
    # It may not be deflated (FR-7).
    self.compress = False
    try:
        self.write(self.frame(wire.FATAL, 0, 0, compat.text('%s: %s' % (code, sentence)).encode('utf-8')))
    finally:
        self.end()


METHODS = part, allowed, waited, refuse, fatal
