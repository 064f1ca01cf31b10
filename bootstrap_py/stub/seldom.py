# Methods of the link, of threads and of the machine that few first calls need. See wire.postpone().
compat = load('compat')
os = compat.os
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


def release(lock):
    """Releases a lock that is used to wake its waiter, who may have been woken already."""
    try:
        lock.release()
    except compat.thread.error:
        pass


def lost(self, reading):
    """The client is gone, as who reads or who writes finds: ends in order, if there is something to lose (ME-15)."""
    if not load.__self__.there('ending'):
        self.end()
    load('ending').lost(load.__self__.machine, reading)


def rouse(self):
    """Makes the thread look at its queue; starts it first if need be, and is False if it cannot."""
    # The main one also if it is about to park: it may have passed the reading on to a thread that has ended since.
    if self.parked or not self.number:
        self.parked = False
        release(self.wake)
    elif self.unstarted:
        try:
            self.unstarted.pop()
        except IndexError:
            # Another thread starts it, and all that is queued was there before.
            return True
        return load('threads').start(self)
    return True


def park(self, wanted, watch):
    """Waits to be roused, unless there is something in `wanted`, or with `watch` no thread reads now."""
    self.parked = True
    if not (wanted or self.ended and not self.one_shot or watch and not self.machine.link.reading.locked()):
        self.wake.acquire()
    self.parked = False


def shielded(self, action, *args):
    """Calls something that must not be interrupted. An interruption that comes meanwhile waits until then."""
    shield = self.shield
    try:
        self.shield = True
        while self.cancelling == 1:
            # Who found the shield down is just setting it.
            compat.sleep(0)
        # One that was set before is raised here, where nothing is locked.
        for tick in compat.ticks:
            pass
        done = action(*args)
    finally:
        self.shield = shield
    if self.deferred and not shield and self.running == self.cancelled:
        self.deferred = False
        raise KeyboardInterrupt
    return done


def current(self):
    """The calling thread's worker, or None."""
    ident = compat.thread.get_ident()
    for each in list(self.alive):
        if each.ident == ident:
            return each


def wait(self, name):
    """Waits a little for a file that is on its way (BS-9), and reads if no other thread does."""
    if os.getpid() != self.pid:
        raise RuntimeError('the process was forked before the stub arrived')
    if self.closing:
        raise RuntimeError('the connection ended before the stub arrived')
    me = self.current()
    if me:
        me.shielded(self.look, me, name)
    else:
        self.look(None, name)


def look(self, me, name):
    """Reads once if no other thread does."""
    if self.link.reading.acquire(False):
        if load.__self__.there(name):
            # The reader before has brought it, since it was looked for; nothing else may ever come.
            self.link.reading.release()
        else:
            self.read(me)
        # It may have been the one to read next.
        self.main.rouse()
    else:
        compat.sleep(0.002)


def is_plain(self, value, depth):
    """Whether a value is of built-in types all through; False also where finding out would take long."""
    kind = type(value)
    if kind not in load('worker').CONTAINERS:
        return kind in compat.numbers or kind in compat.scalars and len(value) < wire.CHUNK
    if not depth or len(value) > 32:
        return False
    for item in value:
        if not (is_plain(self, item, depth - 1) and (kind is not dict or is_plain(self, value[item], depth - 1))):
            return False
    return True
