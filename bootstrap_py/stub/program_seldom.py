# What few of the programs need that program.py runs: frames of other kinds, interruptions, and ends that are no ordinary ones.
compat = load('compat')
os, sys = compat.os, compat.sys
wire = load('wire')
process = load('helpers/run_process')
descendants = load('descendants')
# Bytes of the request that are taken until the client hears of it.
CREDIT_DUE = 262144
# Seconds in which a process that was just started says that it is there.
LIMIT = 2.0


def refuse(self, kind):
    """Ends the connection over a frame that is not for a stub that runs one program."""
    self.link.fatal('malformed', 'frame 0x%02x, where one program is run' % kind)


def act(self, kind, flags, number, payload, counted):
    """Acts on a frame that is not a request."""
    if kind == wire.DATA and number == self.request and not self.child:
        self.feed(flags, payload, counted)
    elif kind == wire.CREDIT:
        self.granted += wire.struct.unpack('>I', payload)[0]
    elif kind == wire.PING:
        self.link.pending.append(self.link.frame(wire.PONG, 0, 0, payload))
    elif kind == wire.CANCEL:
        if number == self.request:
            self.cancel()
    elif kind != wire.PART and not (kind == wire.DATA and self.answered):
        self.refuse(kind)


def feed(self, flags, payload, counted):
    """Takes a piece of the request, and starts the program when it has all."""
    self.content.append(payload)
    self.taken += counted
    if self.taken >= CREDIT_DUE:
        self.link.pending.append(self.link.frame(wire.CREDIT, 0, self.thread, wire.struct.pack('>I', self.taken)))
        self.taken = 0
    if not flags & wire.MORE:
        payload = b''.join(self.content)
        self.content = ()
        self.begin(payload)


def run_as_process(self, source, filename, argv, given):
    """Runs the program as this process, which ends with it, where the system gives it none of its own. Another thread serves the client
    meanwhile."""
    self.child = None
    try:
        self.report, own = os.pipe()
        os.write(own, process.THERE)
        compat.thread.start_new_thread(load('program').guard, (self,))
    except (EnvironmentError, compat.thread.error):
        return fail(self)
    self.child = os.getpid()
    compat.signal.signal(compat.signal.SIGCHLD, compat.signal.SIG_DFL)
    process.open_streams()
    status = 1
    try:
        status = process.ran(own, source, filename, argv, given)
    except:
        sys.excepthook(*sys.exc_info())
    self.status = status
    os.write(self.ends, b'.')
    while True:
        compat.sleep(1000)


def fail(self):
    """Answers that no process could be started."""
    message = 'no process could be started for the program: %s' % (sys.exc_info()[1],)
    self.answer(wire.ERROR, error('exception', 'OSError', message, [message + '\n']))


def cancel(self):
    """The client gives the request up."""
    if self.child:
        return self.interrupt()
    # It has not come whole, and no more of it will.
    self.answer(wire.ERROR, cancelled('KeyboardInterrupt: cancelled before it ran\n'))


def interrupt(self):
    """Interrupts the program, once."""
    if self.interrupted or self.status is not None:
        return
    # Not before it says that it is there: what comes while it is being forked is lost.
    compat.select([self.report], [], [], LIMIT)
    try:
        os.kill(self.child, 2)
    except OSError:
        # It has just ended.
        pass
    self.interrupted = compat.time()
    self.again = self.interrupted + descendants.PATIENCE


def patience(self):
    """How long to wait for news at most, in seconds. Ends everything when it is time, and interrupts what stands in the way of an
    interruption, such as the child process of os.system(), as Ctrl-C at a terminal does."""
    now = compat.time()
    if self.deadline and now >= self.deadline:
        self.link.end()
    if self.again and now >= self.again:
        self.again += descendants.AGAIN
        for each in descendants.below([self.child])[1:]:
            if descendants.claim(self.child, each):
                descendants.send(each)
    if self.again and (self.status is not None or now > self.interrupted + descendants.AT_MOST):
        self.again = None
    due = [at - now for at in (self.deadline, self.again) if at]
    return max(0, min(due)) if due else None


def tell(self, text):
    """What the process has told beyond its status: where it was interrupted. Without an interruption of ours that is printed."""
    if self.interrupted:
        return self.answer(wire.ERROR, cancelled(text))
    self.show(text.encode('utf-8'), wire.STDERR)
    self.answer(wire.RESULT, compat.pickle.dumps(self.status, 2))


def cancelled(text):
    """The payload of ERROR for a program that was interrupted, and told where it was."""
    return error('cancelled', 'KeyboardInterrupt', text, text.splitlines(True))


def error(kind, name, message, traceback):
    """The payload of ERROR (ME-6), of texts alone: errors.py, which makes it of an exception, is not sent for one program."""
    fields = [('kind', kind), ('type', name), ('module', 'builtins'), ('message', message)]
    fields = [(compat.text(key), compat.text(value)) for key, value in fields]
    fields += [(compat.text('traceback'), [compat.text(line) for line in traceback]), (compat.text('args'), None)]
    return compat.pickle.dumps(dict(fields), 2)


def broken(self):
    """Writing has failed: the connection takes nothing now, or nothing more."""
    if sys.exc_info()[1].args[0] != compat.errno.EAGAIN:
        self.lose()


def lose(self):
    """Nobody takes what is sent any more."""
    self.gone = True
    del self.link.pending[:]
    self.close()
