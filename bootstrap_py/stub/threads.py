# Server threads beside the main one, and methods of all of them that come with this part. See wire.postpone().
compat = load('compat')
os, sys = compat.os, compat.sys
wire = load('wire')
worker = load('worker')


def settle(machine):
    """Sees to it that threading is imported, and by the main thread, before another one may run remote code."""
    try:
        machine.current().task = os.readlink('/proc/thread-self')
    except (AttributeError, EnvironmentError):
        # A system that does not say; then its child processes are not found.
        pass
    if not compat.LATE or 'threading' in sys.modules:
        return
    if compat.thread.get_ident() == machine.main.ident:
        try:
            __import__('threading')
        except Exception:
            # Remote code has made it impossible.
            pass
        return
    failed = []

    def settling():
        """In the main thread, at any moment."""
        try:
            __import__('threading')
        except Exception:
            # It is amid importing what that needs.
            failed.append(True)

    # It runs remote code or waits; a signal reaches it in both, unless remote code has taken that over.
    machine.settling = settling
    if compat.signal.getsignal(2) is machine.interrupted:
        os.kill(os.getpid(), 2)
        # In C code that does not look for signals it would not be soon, and this thread has its own work to do.
        until = compat.time() + 1
        while 'threading' not in sys.modules and compat.time() < until:
            compat.sleep(0.001)
            if failed:
                failed.pop()
                os.kill(os.getpid(), 2)


def begin(machine, number, one_shot):
    """The thread of that number, which starts when it is roused."""
    made = worker.Worker(machine, number, one_shot)
    machine.alive.add(made)
    if not one_shot:
        machine.workers[number] = made
    return made


def start(worker):
    """Starts the thread; where the system gives none, its requests are refused, and this is False."""
    machine = worker.machine
    if machine.main.ident == compat.thread.get_ident():
        settle(machine)
    try:
        machine.begin_thread(worker.work)
    except compat.thread.error:
        # Again for what comes meanwhile.
        worker.unstarted.append(worker)
        refuse_all(worker)
        return False
    return True


def begin_thread(self, *work):
    """As start(), but waits until the thread runs: before that, Python takes it for the one that starts it, and an
    interruption of that one would hit it."""
    begun = compat.thread.allocate_lock()
    begun.acquire()

    def announced(first, *others):
        begun.release()
        first(*others)

    self.start(announced, *work)
    begun.acquire()


def whole(self, action, *args):
    """Calls something with no interruption in the middle, which might leave a lock taken, or work half done; from any thread."""
    me = self.current()
    return me.shielded(action, *args) if me else action(*args)


def drop(worker, size):
    """Returns what will not be run; called by the thread that reads."""
    worker.dropped += size
    if not worker.one_shot:
        worker.machine.link.send(wire.CREDIT, 0, worker.number, wire.struct.pack('>I', size))


def untaken(request):
    """The size of the chunks of a request that is over, which its thread has not taken."""
    large = load.__self__.modules.get('large')
    return large.give_up(request) if large else 0


def refuse(worker, entry, error, kind):
    """Answers a request that never ran."""
    if not entry[1] & wire.NO_REPLY:
        data = load('errors').describe(worker.machine, kind, (type(error), error, None))
        worker.machine.link.send(wire.ERROR, entry[2], worker.number, data)


def refuse_all(worker):
    """Answers the requests of a thread that cannot be started."""
    machine = worker.machine
    machine.workers.pop(worker.number, None)
    machine.alive.discard(worker)
    while worker.queue:
        entry = worker.queue.popleft()
        drop(worker, entry[4] + untaken(entry[2]))
        refuse(worker, entry, RuntimeError('the server cannot start another thread'), 'exception')


def stop(self, request):
    """Ends a request that was cancelled before its code ran."""
    if request in self.machine.cancelled:
        self.cancelled = request
        raise KeyboardInterrupt('cancelled before it ran')


def failed(self, request, flags, pid):
    """The answer of a request whose code has raised what is being handled."""
    self.running = 0
    if os.getpid() != pid:
        os._exit(1)
    if self.cancelling:
        load('control').absorb(self)
    self.taken += untaken(request)
    return load('errors').failure(self, request, flags)


def credit(self, least, reading=False):
    """Returns what the thread has taken, if it is that much (ME-10); `reading` says that it waits for more of its message."""
    taken = self.taken
    # The number of a thread of one call may belong to the next such call already once its answer is there.
    if taken >= least and (reading or not self.one_shot):
        self.taken = 0
        self.returned += taken
        self.machine.link.send(wire.CREDIT, 0, self.number, wire.struct.pack('>I', taken))


def stream(self, stand_in):
    """The real stream instead of the proxy that stands for it."""
    return load('printing').stream(load('output').of(self), stand_in)


def flush_streams(self):
    """Sends what was printed through sys.stdout without an end of line."""
    load('output').of(self).flush()
