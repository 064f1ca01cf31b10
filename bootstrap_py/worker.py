# The threads that run requests, and who of them reads (leader and followers, without hand-over between calls).
import select
import time
from _collections import deque

compat = load('compat')
wire = load('wire')
calls = load('calls')

allocate_lock = compat.thread.allocate_lock
get_ident = compat.thread.get_ident
MORE, NO_REPLY, ONE_SHOT = wire.MORE, wire.NO_REPLY, wire.ONE_SHOT
CALL, RESULT, ERROR = wire.CALL, wire.RESULT, wire.ERROR
# Request flags with which a call leaves the short path.
UNUSUAL = MORE | wire.BUFFERS | NO_REPLY | wire.REFERENCES
THREAD_WINDOW = 1048576
CREDIT_DUE = THREAD_WINDOW // 4
HOLD_LIMIT = 65536
TICK = 0.005
# Requests in a row that found all threads idle, after which the reader thread gives the reading back.
CALM = 16


class Worker(object):
    """One server thread: its queue, and what it is doing."""

    def __init__(self, machine, number):
        self.machine = machine
        self.number = number
        self.queue = deque()
        self.started = False
        self.one_shot = False
        self.ended = False
        self.ident = None
        # The request under way, or 0; `busy` covers a whole batch, also between two of its requests.
        self.running = 0
        self.request = 0
        self.busy = False
        self.seen = 0
        # Cancellation: 0 none, 1 being set, 2 set; see Machine.interrupt.
        self.cancelling = 0
        self.cancelled = self.cancelled_request = 0
        # A thread parks on `wake`, which is a lock that is held while there is nothing to do.
        self.parked = False
        self.wake = allocate_lock()
        self.wake.acquire()
        # Finished frames not yet handed to the connection, because more requests are queued.
        self.held = []
        self.taken = 0

    def rouse(self):
        """Makes the thread look at its queue; starts it first if need be."""
        if not self.started:
            self.started = True
            self.machine.start(self)
        elif self.parked:
            self.parked = False
            try:
                self.wake.release()
            except compat.lock_error:
                # It was roused already and has not run yet.
                pass

    def serve(self):
        """Runs queued requests, and reads when nobody else does, until told to end."""
        self.ident = get_ident()
        machine = self.machine
        reading = machine.link.reading
        while True:
            if self.queue:
                self.run()
                continue
            if self.ended:
                break
            if reading.acquire(False):
                # The reader before may have filled the queue since.
                if self.queue:
                    reading.release()
                elif machine.read(self):
                    # Another thread was given a request and will read after it.
                    self.park(False)
            else:
                self.park(True)
        machine.leave(self)

    def park(self, watch):
        """Waits to be roused; with `watch`, not if the reader has meanwhile left."""
        self.parked = True
        if not (self.queue or self.ended or (watch and not self.machine.link.reading.locked())):
            self.wake.acquire()
        self.parked = False

    def run(self):
        """Runs all that is queued, and sends the answers."""
        machine = self.machine
        queue = self.queue
        held = self.held
        hold = held.append
        number = self.number
        pack = wire.pack
        loads = compat.pickle.loads
        dumps = compat.pickle.dumps
        protocol = machine.protocol
        plain = compat.plain_scalars
        names = machine.names
        cancelled = machine.cancelled
        compress = machine.link.compress
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
            self.running = self.request = request
            flags &= UNUSUAL
            try:
                if kind is None:
                    load('control').finish(machine)
                if cancelled and request in cancelled:
                    cancelled.discard(request)
                    raise calls.Cancelled
                if kind == CALL and not flags:
                    name, args, kwargs = loads(payload)
                    function = names.get(name)
                    if function is None or not machine.direct:
                        value = calls.call(machine, name, args, kwargs)
                    else:
                        value = function(*args, **kwargs)
                else:
                    value = calls.perform(machine, self, kind, flags, request, payload)
                self.running = 0
                if self.cancelling:
                    self.absorb()
                if type(value) in plain:
                    answer = RESULT
                    more = 0
                    data = dumps(value, protocol)
                else:
                    answer, more, data = calls.result(machine, self, request, value)
                value = None
            except BaseException:
                self.running = 0
                if self.cancelling:
                    self.absorb()
                value = None
                answer, more, data = calls.failure(machine, self, request)
            self.taken += counted
            if machine.unflushed:
                machine.flush_streams()
            if not flags & NO_REPLY and data is not None:
                if compress or len(data) > wire.CHUNK:
                    machine.send_message(self, answer, more, request, data)
                else:
                    hold(pack(0x4543, answer, more, len(data), request, number) + data)
                    size += len(data)
            data = None
            if size > HOLD_LIMIT or self.taken >= CREDIT_DUE:
                size = 0
                self.credit()
                self.release()
            elif queue and machine.ticker_parked:
                machine.rouse_ticker()
        self.busy = False
        self.request = 0
        if held:
            self.release()

    def credit(self):
        """Returns what the thread has taken (ME-10)."""
        if self.taken >= CREDIT_DUE:
            taken = self.taken
            self.taken = 0
            self.machine.link.pending.append(wire.pack(
                wire.MAGIC, wire.CREDIT, 0, 4, 0, self.number) + wire.struct.pack('>I', taken))

    def release(self, wait=True):
        """Sends the answers held back, after whatever was printed before them. Without `wait`, not if that
        would have to wait for the client's output window."""
        machine = self.machine
        if machine.printed_poll.poll(0) and not machine.drain(wait):
            return
        held = self.held
        taking = machine.taking
        taking.acquire()
        count = len(held)
        machine.link.pending.extend(held[:count])
        del held[:count]
        taking.release()
        machine.link.flush()

    def absorb(self):
        """Takes back an asynchronous exception that was set for the call that is over."""
        while self.cancelling == 1:
            time.sleep(0)
        if self.cancelling:
            calls.clear_interrupt(self.ident)
            self.cancelling = 0


class Machine(object):
    """The threads together, and what they share."""

    def __init__(self, link, printed):
        self.link = link
        self.printed = printed
        self.printed_poll = select.poll()
        self.printed_poll.register(printed, select.POLLIN)
        self.taking = allocate_lock()
        self.main = Worker(self, 0)
        self.main.started = True
        # Threads that take requests, by number; and all, also those that only finish what they have.
        self.workers = {0: self.main}
        self.alive = set([self.main])
        self.output = None
        self.roused = []
        self.cancelled = set()
        self.messages = {}
        self.unflushed = False
        self.ticker_parked = True
        self.ticker_started = False
        self.ticker_wake = allocate_lock()
        self.ticker_wake.acquire()
        self.reader_active = False
        self.reader_started = False
        self.reader_wake = allocate_lock()
        self.reader_wake.acquire()
        self.closing = False
        calls.prepare(self)

    def run(self):
        """Is the main thread."""
        calls.install_interrupt(self.main)
        self.main.serve()

    # Reading.

    def read(self, me):
        """Reads once, with `link.reading` held, which is released here. `me` is the reading worker or None.

        True if the reading was passed on to the one thread that got a request."""
        link = self.link
        link.read(self.request, self.control)
        roused = self.roused
        if not roused:
            link.reading.release()
            return False
        self.roused = []
        passed = False
        if me is not None:
            others = [worker for worker in roused if worker is not me]
            passed = (len(others) == 1 and not me.queue and not others[0].one_shot and me.one_shot is False
                      and not self.reader_active)
        else:
            others = roused
        # Released before anyone is roused: whoever finishes his request at once must find it free.
        link.reading.release()
        for worker in others:
            worker.rouse()
        return passed

    def request(self, kind, flags, request, thread, payload, counted):
        """Queues a request at its thread."""
        worker = self.workers.get(thread)
        if worker is None:
            worker = Worker(self, thread)
            self.alive.add(worker)
            if flags & ONE_SHOT:
                worker.one_shot = worker.ended = True
            else:
                self.workers[thread] = worker
        if flags & MORE or request in self.messages:
            payload = calls.begin_message(self, worker, request, payload)
        worker.queue.append((kind, flags, request, payload, counted))
        if worker not in self.roused:
            self.roused.append(worker)

    def control(self, kind, flags, request, thread, payload, counted):
        """Acts on a frame that is not a request; never waits."""
        calls.control(self, kind, flags, request, thread, payload, counted)

    # Threads.

    def start(self, worker):
        """Starts the thread of a worker."""
        compat.repair_main_thread(self.main.ident)
        try:
            compat.thread.start_new_thread(worker.serve, ())
        except compat.lock_error:
            calls.refuse_thread(self, worker)

    def leave(self, worker):
        """The end of a thread: somebody else must read if it was the one."""
        self.alive.discard(worker)
        self.main.rouse()

    # The ticker: a thread that looks every 5 ms, while something runs, for what would otherwise wait for it.

    def rouse_ticker(self):
        """Starts the ticking."""
        self.ticker_parked = False
        if not self.ticker_started:
            self.ticker_started = True
            compat.thread.start_new_thread(self.tick, ())
            return
        try:
            self.ticker_wake.release()
        except compat.lock_error:
            pass

    def needed(self):
        """True if the ticker must go on: somebody runs and nobody reads, or an answer is held back."""
        for worker in list(self.alive):
            if worker.busy and (worker.held or not self.reader_active):
                return True
        return False

    def tick(self):
        """Is the ticker thread."""
        link = self.link
        reads = still = quiet = 0
        while True:
            time.sleep(TICK)
            stuck = busy = False
            late = []
            for worker in list(self.alive):
                if worker.busy:
                    busy = True
                    if worker.running and worker.running == worker.seen:
                        stuck = True
                        if worker.held:
                            late.append(worker)
                worker.seen = worker.running
            still = still + 1 if reads == link.reads else 0
            reads = link.reads
            if busy and (stuck or still >= 4) and not link.reading.locked():
                self.give_to_reader()
            for worker in late:
                worker.release(False)
            quiet = 0 if self.needed() else quiet + 1
            if quiet > 2:
                quiet = 0
                # Told first and looked after again second, while a runner does it the other way round.
                self.ticker_parked = True
                if not self.needed():
                    self.ticker_wake.acquire()
                self.ticker_parked = False

    def give_to_reader(self):
        """Lets the reader thread read, because the one who did is in a long call."""
        self.reader_active = True
        if not self.reader_started:
            self.reader_started = True
            compat.thread.start_new_thread(self.read_on, ())
        try:
            self.reader_wake.release()
        except compat.lock_error:
            pass

    def read_on(self):
        """Is the reader thread: reads until calls are short again."""
        link = self.link
        while True:
            self.reader_wake.acquire()
            if link.reading.acquire(False):
                self.read_until_calm()
            self.reader_active = False

    def read_until_calm(self):
        """Reads, with `link.reading` held, until CALM requests in a row found all threads idle."""
        link = self.link
        calm = 0
        while True:
            link.read(self.request, self.control)
            roused = self.roused
            if not roused:
                continue
            self.roused = []
            calm += 1
            for worker in list(self.alive):
                if worker.busy:
                    calm = 0
                    break
            if calm >= CALM and len(roused) == 1 and not roused[0].ended:
                # Inactive before the release, so that a runner knows to rouse the ticker; released before
                # the thread is roused, which must find it free after its request.
                self.reader_active = False
                link.reading.release()
                roused[0].rouse()
                return
            for worker in roused:
                worker.rouse()

    # Output.

    def streams(self):
        """sys.stdout and sys.stderr, which are made when something is first printed."""
        output = load('output')
        return output.of(self).streams or output.install(self)

    def drain(self, wait=True):
        """Sends what child processes and C code have printed to descriptor 1 up to now; False if it would
        have had to wait for that."""
        return load('output').of(self).pump(wait)

    def flush_streams(self):
        """Sends what was printed through sys.stdout without an end of line."""
        load('output').of(self).flush_all()

    def send_message(self, worker, kind, flags, request, data):
        """Sends an answer that needs chunks or compression."""
        worker.release()
        load('large').send(self, worker, kind, flags, request, data)
