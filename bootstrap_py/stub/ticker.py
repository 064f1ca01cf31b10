# The threads that serve while long calls run: one looks for what waits, one reads.

compat = load('compat')
release = load('seldom').release
TICK = 0.005
# Requests in a row that found all threads idle, after which the reader thread gives the reading back.
CALM = 16


def tick(machine):
    """Runs in the ticker thread: looks every few ms, but parks while there is nothing to look for."""
    link = machine.link
    reads = still = quiet = 0
    while True:
        late = []
        stuck = busy = False
        for worker in list(machine.alive):
            if worker.busy:
                busy = True
                if worker.running and worker.running == worker.seen:
                    stuck = True
                    late.append(worker)
            worker.seen = worker.running
        still = still + 1 if reads == link.reads else 0
        reads = link.reads
        if busy and (stuck or still > 3) and not link.reading.locked() and not machine.reader_active:
            # The thread that reads is in a long call, or behind many short ones.
            machine.reader_active = True
            if machine.reader_started:
                release(machine.reader_wake)
            else:
                machine.reader_wake = compat.thread.allocate_lock()
                machine.reader_wake.acquire()
                machine.reader_started = True
                if not begin(machine, read_on):
                    # Only here: one that has started may have given the reading back by now.
                    machine.reader_started = machine.reader_active = False
        for worker in late:
            if worker.held:
                worker.release(False)
        quiet = 0 if needed(machine) else quiet + 1
        if quiet > 2:
            quiet = 0
            # Set first and checked again second, while a thread that runs does it the other way round.
            machine.ticker_parked = True
            if not needed(machine):
                machine.ticker_wake.acquire()
            machine.ticker_parked = False
        compat.sleep(TICK)


def needed(machine):
    """Whether a call runs while no thread reads, or an answer is held back."""
    for worker in list(machine.alive):
        if worker.busy and (worker.held or not machine.reader_active):
            return True
    return False


def begin(machine, work):
    """Starts a thread; False if the system gives none, where things go on without."""
    try:
        machine.start(work, machine)
    except compat.thread.error:
        return False
    return True


def leave(machine):
    """Gives the reading back. A thread that began to run while the reader was still active has left the ticker
    parked; so it is looked for once more."""
    machine.reader_active = False
    if machine.ticker_parked and needed(machine):
        machine.rouse_ticker()


def read_on(machine):
    """Runs in the reader thread: reads from when the ticker says so until calls are short again."""
    reading = machine.link.reading
    while True:
        if reading.acquire(False):
            read_until_calm(machine)
        leave(machine)
        machine.reader_wake.acquire()


def read_until_calm(machine):
    """Reads, with `reading` held, until CALM requests in a row found all threads idle."""
    link = machine.link
    calm = 0
    while True:
        link.read(machine.request, machine.control)
        roused = machine.roused
        machine.roused = []
        calm += 1
        for worker in list(machine.alive):
            if worker.busy:
                calm = 0
        if calm >= CALM and len(roused) == 1 and not roused[0].ended:
            # Inactive before the release, so that a thread that runs knows to rouse the ticker; released before the
            # thread is roused, which must find it free after its request.
            leave(machine)
            link.reading.release()
            if roused[0].rouse():
                return
            # It could not be started, so it will not read.
            machine.reader_active = True
            if not link.reading.acquire(False):
                return
            continue
        for worker in roused:
            worker.rouse()
