# The stub that runs one program and nothing else: what that prints and how it ends goes to the client, interruptions come from there.
# One thread, which waits for all of that at once. It is sent in place of main.py where a host is to run no more than a program, which
# then has much less to compile in front of it.
compat = load('compat')
os = compat.os
wire = load('wire')
process = load('helpers/run_process')
# The function that a client calls, here as where main.py runs.
RUN = 'helpers/run_program.run_program'


class Link(wire.Link):
    """The two descriptors of the connection."""

    def lost(self, reading):
        """The client is gone."""
        self.program.lose()


class Program(object):
    """The program, its process and the client. What few programs need are functions of program_seldom.py."""

    # The request, 0 before it has come and after its answer; whether it has been answered; the pieces of one that comes in several, and their bytes that the
    # client has not heard to be taken.
    request = thread = 0
    answered = False
    content = ()
    taken = 0
    # What the client grants in all for what is printed, None before it has said so; and what was sent.
    granted = None
    sent = 0
    child = status = None
    # When it was interrupted, and when to look again what stands in the way of that.
    interrupted = again = None
    # Whether it is to end, by when; and whether nobody takes what is sent any more.
    closing = gone = False
    deadline = None

    def __init__(self, link, printed):
        self.link = link
        self.printed = printed
        self.errors = printed[1]
        # A byte comes here when the process has ended.
        self.ended, self.ends = os.pipe()
        compat.own(self.ended)
        compat.own(self.ends)

    def serve(self):
        """Until the connection ends."""
        link = self.link
        while True:
            reading = [self.ended]
            if not self.gone:
                reading.append(link.frames_in)
            if self.room() > 0:
                reading += self.printed
            writing = [link.frames_out] if link.pending else ()
            ready, writable, _ = compat.select(reading, writing, (), self.patience() if self.deadline or self.again else None)
            if link.frames_in in ready:
                link.read(self.take, self.control)
            if self.ended in ready:
                compat.read(self.ended, 4096)
                self.reap()
            for source in ready:
                if source in self.printed and self.room() > 0:
                    self.carry(source)
            if writable:
                self.write()
            if self.status is not None or self.closing:
                self.finish()

    def take(self, kind, flags, number, thread, payload, counted):
        """Takes the request, and starts the program."""
        if kind != wire.CALL or self.request or self.answered or self.granted is None:
            self.refuse(kind)
        self.request, self.thread = number, thread
        if flags & wire.MORE:
            self.content = []
            return self.feed(flags, payload, counted)
        self.begin(payload)

    def begin(self, payload):
        """Starts the program."""
        name, args = compat.pickle.loads(payload)[:2]
        if name != RUN:
            self.refuse(wire.CALL)
        source, filename, argv, given = args
        source, filename, given = process.given_to(source, filename, given)
        signal = compat.signal
        signal.signal(signal.SIGCHLD, lambda *signalled: os.write(self.ends, b'.'))
        # What the program sends to its process group is not meant for this process; its own notes what comes before it is ready.
        early = []
        signal.signal(2, lambda *signalled: early.append(signalled))
        try:
            self.report, own = os.pipe()
            self.child = process.forked()
        except (AttributeError, EnvironmentError):
            return self.run_as_process(source, filename, argv, given)
        if not self.child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            process.become(own, source, filename, argv, given, early)
        os.close(own)

    def reap(self):
        """Notes how the process has ended, if it has."""
        try:
            child, status = os.waitpid(self.child, os.WNOHANG)
        except OSError:
            # The program runs in this process.
            return
        if child:
            self.status = process.shell_status(status)

    def control(self, kind, flags, number, thread, payload, counted):
        """Acts on a frame that is not a request."""
        if kind == wire.HELLO:
            hello = compat.native_keywords(compat.pickle.loads(payload))
            if hello['protocol'] != 1:
                self.link.fatal('version', 'protocol %s, not 1' % hello['protocol'])
            self.granted = hello['window']
        elif kind == wire.CLOSE:
            self.close()
        else:
            self.act(kind, flags, number, payload, counted)

    def is_running(self):
        """Whether the program is."""
        return self.child and self.status is None

    def room(self):
        """How many bytes of what is printed can be taken now."""
        return 65536 if self.gone else (self.granted or 0) - self.sent

    def carry(self, source):
        """Carries what was printed."""
        data = compat.read(source, min(self.room(), 65536))
        if data:
            self.show(data, wire.STDERR * (source == self.errors))

    def show(self, data, flags):
        """Sends what was printed."""
        self.sent += len(data)
        self.send(wire.OUTPUT, 0, data, flags)

    def send(self, kind, thread, payload, flags=0):
        """Has a frame of the request go out."""
        if not self.gone:
            self.link.pending.append(self.link.frame(kind, self.request, thread, payload, flags))

    def write(self):
        """Writes as much of what is pending as the connection takes."""
        pending = self.link.pending
        data = b''.join(pending)
        try:
            sent = compat.write(self.link.frames_out, data)
        except EnvironmentError:
            return self.broken()
        pending[:] = [data[sent:]] * (sent < len(data))

    def finish(self):
        """Answers when everything is sent that was printed before, and ends when there is nothing more to do."""
        if self.is_running() or compat.select(self.printed, (), (), 0)[0]:
            return
        if self.request:
            text = process.said(self.report)
            if text:
                return self.tell(text)
            self.answer(wire.RESULT, compat.pickle.dumps(self.status, 2))
        if self.closing and not self.link.pending:
            self.link.end()

    def answer(self, kind, payload):
        """Answers the request."""
        self.send(kind, self.thread, payload)
        self.answered = True
        self.request = 0

    def close(self):
        """Begins the end."""
        self.closing = True
        if not self.deadline:
            self.deadline = compat.time() + 2.0
        if self.is_running():
            self.interrupt()


wire.postpone(Link, 'part allowed waited refuse fatal')
wire.postpone(Program, 'refuse act feed run_as_process cancel interrupt patience tell broken lose', 'program_seldom')


def main(files, marker):
    """Runs the stub until the connection ends."""
    link = wire.opened(Link, marker)
    program = link.program = Program(link, wire.printed())
    compat.own(link.frames_out, False)
    guard(program)


def guard(program):
    """Serves the client. A fault of the stub itself ends the connection, with what it is."""
    try:
        program.serve()
    except:
        import traceback
        program.link.fatal('internal', traceback.format_exc())
