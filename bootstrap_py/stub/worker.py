# The threads that run requests, and who of them reads (leader and followers, without hand-over between calls).
import posix as os

compat = load('compat')
wire = load('wire')
calls = load('calls')

allocate_lock = compat.thread.allocate_lock
pack = wire.pack
CALL, RESULT, NO_REPLY, CHUNK = wire.CALL, wire.RESULT, wire.NO_REPLY, wire.CHUNK
# Request flags with which a call leaves the short path.
UNUSUAL = wire.MORE | wire.BUFFERS | NO_REPLY | wire.REFERENCES
THREAD_WINDOW = 1048576
CREDIT_DUE = THREAD_WINDOW // 4
HOLD_LIMIT = 65536
CONTAINERS = frozenset((list, tuple, dict))


class Worker(object):
    """One server thread: its queue, and what it is doing."""

    def __init__(self, machine, number, one_shot):
        self.machine = machine
        self.number = number
        self.one_shot = self.ended = one_shot
        self.queue = compat.deque()
        # Who takes it out starts the thread; two may come to do so at once.
        self.unstarted = [self]
        self.ident = None
        # `running` is the request whose code runs, or 0; `request` stays until its answer is sent; `busy` covers
        # a whole batch; `seen` is what the ticker saw running.
        self.running = self.request = self.seen = 0
        self.busy = False
        # The request that is to be interrupted; how far that is (0, 1 being set, 2 set); whether the thread is
        # where it must not happen, and whether it is to happen behind that. `struck` is the request that a signal has
        # interrupted. See control.py.
        self.cancelled = self.cancelling = self.struck = 0
        self.shield = self.deferred = False
        # A thread parks on `wake`, which is held while there is nothing to do.
        self.parked = False
        self.wake = allocate_lock()
        self.wake.acquire()
        # Finished frames that wait for the rest of the batch.
        self.held = []
        # Bytes of requests: arrived and dropped, which the reader counts; taken, and returned as credit, which
        # the thread itself counts. Two threads that change one number would lose a change now and then.
        self.arrived = self.dropped = self.taken = self.returned = 0

    def work(self):
        """Runs queued requests, and reads when no other thread does, until it is to end."""
        self.ident = compat.thread.get_ident()
        machine = self.machine
        reading = machine.link.reading
        if self is machine.main:
            calls.ready(self)
        else:
            load('threads').settle(machine)
        while True:
            # In this order: the last request is put there first and the end told second.
            ended = self.ended
            if self.queue:
                self.run()
            elif ended:
                break
            elif reading.acquire(False):
                # The reader before may have filled the queue since.
                if self.queue:
                    reading.release()
                elif machine.read(self):
                    # Another thread was given a request and will read after it.
                    self.park(self.queue, False)
            else:
                self.park(self.queue, True)
        machine.alive.discard(self)
        if not self.one_shot:
            self.credit(1)
        # It may have been the one to read next.
        machine.main.rouse()

    def run(self):
        """Runs all that is queued, and sends the answers."""
        machine = self.machine
        queue = self.queue
        hold = self.held.append
        number = self.number
        loads = compat.pickle.loads
        dumps = compat.pickle.dumps
        protocol = machine.protocol
        scalars = compat.scalars
        numbers = compat.numbers
        find = machine.names.get
        cancelled = machine.cancelled
        containers = CONTAINERS
        chunk = 0 if machine.link.compress else CHUNK
        direct = compat.PY3
        getpid = os.getpid
        pid = getpid()
        now = compat.time
        size = 0
        self.busy = True
        if machine.ticker_parked and not machine.reader_active:
            machine.rouse_ticker()
        while queue:
            try:
                kind, flags, request, payload, counted = queue.popleft()
            except IndexError:
                # A cancellation took the last one.
                break
            flags &= UNUSUAL
            try:
                try:
                    # In here, where an interruption is taken as soon as it may come.
                    self.running = self.request = request
                    self.since = now()
                    if cancelled:
                        self.stop(request)
                    if kind == CALL and not flags:
                        try:
                            name, args, kwargs = loads(payload)
                        except Exception:
                            name, args, kwargs = load('requests').unpickle(self, flags, request, payload)
                        function = find(name)
                        if function is None or not direct:
                            value = calls.call(machine, name, args, kwargs)
                        else:
                            value = function(*args, **kwargs)
                    elif kind == wire.CLOSE:
                        # They hold the definitions.
                        find = function = None
                        calls.finish(machine)
                    else:
                        value = load('requests').perform(self, kind, flags, request, payload)
                    self.running = 0
                    if getpid() != pid:
                        # A child process that remote code has forked comes back here; the connection is not its own.
                        os._exit(0)
                    if self.cancelling:
                        load('control').absorb(self)
                    # What is long is pickled in pieces, without a copy.
                    kept = type(value)
                    if kept in numbers or kept in scalars and len(value) < CHUNK or (
                            kept in containers and not machine.singletons and self.is_plain(value, 2)):
                        answer = RESULT
                        flagged = 0
                        data = dumps(value, protocol)
                    else:
                        answer, flagged, data = load('references').result(machine, value)
                except:
                    answer, flagged, data = self.failed(request, flags, pid)
            except:
                # An interruption that came when the code had raised something by itself, or what that cannot be shown.
                answer, flagged, data = self.failed(request, flags, pid)
            # Not kept until the next request: what it holds may be large, or be waited for to go.
            value = args = kwargs = payload = None
            if machine.unflushed:
                machine.flush_streams()
            self.taken += counted
            if not flags & NO_REPLY:
                if len(data) > chunk or type(data) is list:
                    self.release()
                    load('large').send(self, answer, flagged, request, data)
                else:
                    hold(pack(0x4543, answer, flagged, len(data), request, number) + data)
                    size += len(data)
            data = None
            if size > HOLD_LIMIT or self.taken >= CREDIT_DUE:
                size = 0
                self.credit(CREDIT_DUE)
                self.release()
            elif queue and machine.ticker_parked:
                machine.rouse_ticker()
        # Still busy: while this waits for the client to read, others must.
        self.release()
        self.busy = False
        self.request = 0

    def release(self, wait=True):
        """Sends the answers held back, after whatever was printed before them. Without `wait`, not if that
        would have to wait for the client."""
        machine = self.machine
        # In this order, because what is carried was in the pipe before.
        if (compat.select(machine.printed, (), (), 0)[0] or machine.carrying) and not load('output').of(machine).pump(
                wait):
            return
        held = self.held
        if held:
            machine.taking.acquire()
            count = len(held)
            machine.link.pending.extend(held[:count])
            del held[:count]
            machine.taking.release()
            machine.link.flush()


class Machine(object):
    """The threads together, and what they share."""

    def __init__(self, link, printed):
        self.link = link
        # As a list, which select() takes; not poll(), of which an object serves one thread at a time.
        self.printed = printed
        self.printed_errors = printed[1]
        self.pid = os.getpid()
        self.closing = 0
        self.carrying = False
        self.unflushed = False
        self.output = self.references = self.protocol = None
        # What a signal has the main thread do first: nothing, until another one waits for it to import threading.
        self.settling = int
        # Objects of built-in types that stay here all the same.
        self.singletons = ()
        self.taking = allocate_lock()
        self.main = Worker(self, 0, False)
        self.main.unstarted = []
        # Threads that take requests, by number; and all, also those that only finish what they have.
        self.workers = {0: self.main}
        self.alive = set([self.main])
        self.roused = []
        self.cancelled = set()
        # Requests of which more chunks are to come.
        self.messages = {}
        self.reader_active = self.reader_started = False
        # Who gets it starts the ticker.
        self.ticker_start = allocate_lock()
        self.ticker_parked = True
        self.ticker_wake = allocate_lock()
        self.ticker_wake.acquire()

    def start(self, *work):
        """Starts a thread, which calls the first with the others."""
        compat.thread.start_new_thread(self.guard, work)

    def guard(self, work, *args):
        """Runs a thread of the stub. A fault of the stub itself would leave requests without an answer, or the
        connection without a reader."""
        try:
            work(*args)
        except:
            self.link.fatal('internal', load('errors').caught())

    def read(self, me):
        """Reads once, with `link.reading` held, which is released here; `me` is the worker who reads, or None.
        True if the reading was passed on to the one thread that got a request."""
        self.link.read(self.request, self.control)
        roused = self.roused
        self.roused = []
        if me in roused:
            roused.remove(me)
        passed = me and len(roused) == 1 and not (me.queue or me.one_shot or roused[0].ended)
        # Released before any thread is roused: one that finishes its request at once must find it free.
        self.link.reading.release()
        for worker in roused:
            # Not to one that could not be started.
            passed = worker.rouse() and passed
        return passed

    def request(self, kind, flags, request, thread, payload, counted):
        """Queues a request at its thread."""
        worker = self.workers.get(thread)
        if worker is None:
            worker = self.link.part('threads').begin(self, thread, flags & wire.ONE_SHOT)
        if flags & wire.MORE or request in self.messages or self.protocol is None:
            payload = self.link.part('large').begin(self, worker, request, payload)
        self.count(worker, counted)
        worker.queue.append((kind, flags, request, payload, counted))
        if worker not in self.roused:
            self.roused.append(worker)

    def count(self, worker, counted):
        """Counts what arrives for a thread against its window."""
        worker.arrived += counted
        waiting = worker.arrived - worker.dropped - worker.returned
        if waiting > THREAD_WINDOW and waiting > counted:
            self.link.fatal('window', 'more than 1 MiB for thread %d' % worker.number)

    def control(self, kind, *frame):
        """Acts on a frame that is not a request; never waits."""
        if kind == wire.PART:
            load.__self__.arrived.append(frame[3])
        elif kind == wire.HELLO or self.protocol is None:
            calls.greet(self, kind, frame[3])
        elif kind == wire.PING:
            self.link.send(wire.PONG, 0, 0, frame[3])
        elif kind == wire.CLOSE and not (self.is_busy() and load.__self__.there('control')):
            self.close()
        else:
            self.link.part('control').act(self, kind, *frame)

    def close(self):
        """Drops what is queued, and lets the main thread end everything after what it runs."""
        for worker in list(self.alive):
            worker.queue.clear()
        self.main.queue.append((wire.CLOSE, 0, 0, b'', 0))
        self.roused.append(self.main)

    def rouse_ticker(self):
        """Starts the ticking, which looks every few ms for what would otherwise wait for a long call."""
        self.ticker_parked = False
        try:
            if self.ticker_start.acquire(False):
                self.start(self.tick)
                return
            if compat.LATE and self.current() is self.main:
                # At an early moment that is not that of the first call.
                __import__('threading')
        except Exception:
            # There is no thread for it, and then none reads while a call runs; or remote code has made the import impossible.
            pass
        load('seldom').release(self.ticker_wake)

    def tick(self):
        """Runs in the ticker thread. What it does is compiled only where a call takes longer than one tick."""
        try:
            self.start(self.carry)
        except compat.thread.error:
            pass
        while True:
            compat.sleep(0.005)
            if self.is_busy():
                load('ticker').tick(self)
            # Set first and checked again second, while a thread that runs does it the other way round.
            self.ticker_parked = True
            if not self.is_busy():
                self.ticker_wake.acquire()
            self.ticker_parked = False

    def is_busy(self):
        """Whether a thread runs requests."""
        return [worker for worker in list(self.alive) if worker.busy]

    def carry(self):
        """Runs in the thread that carries what children print while no call ends."""
        compat.select(self.printed, (), ())
        load('output').carry(self)


wire.postpone(Worker, 'rouse park shielded is_plain stop failed credit')
wire.postpone(Machine, 'current wait look begin_thread stream flush_streams whole')
