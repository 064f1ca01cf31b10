# The threads that serve while calls run: one looks for what waits, one reads, one carries what children print.
import time

compat = load('compat')
release = load('worker').release
TICK = 0.005
# Requests in a row that found all threads idle, after which the reader thread gives the reading back.
CALM = 16


def tick(machine):
    """Is the ticker thread."""
    link = machine.link
    machine.start(load('output').carry, machine)
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
            # Who reads is in a long call, or behind many short ones.
            machine.reader_active = True
            if machine.reader_started:
                release(machine.reader_wake)
            else:
                machine.reader_started = True
                machine.reader_wake = compat.thread.allocate_lock()
                machine.reader_wake.acquire()
                machine.start(read_on, machine)
        for worker in late:
            if worker.held:
                worker.release(False)
        quiet = 0 if needed(machine) else quiet + 1
        if quiet > 2:
            quiet = 0
            # Told first and looked after again second, while who runs does it the other way round.
            machine.ticker_parked = True
            if not needed(machine):
                machine.ticker_wake.acquire()
            machine.ticker_parked = False
        time.sleep(TICK)


def needed(machine):
    """Whether somebody runs while nobody reads, or an answer is held back."""
    for worker in list(machine.alive):
        if worker.busy and (worker.held or not machine.reader_active):
            return True
    return False


def read_on(machine):
    """Is the reader thread: reads from when the ticker says so until calls are short again."""
    reading = machine.link.reading
    while True:
        if reading.acquire(False):
            read_until_calm(machine)
        machine.reader_active = False
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
            # Inactive before the release, so that who runs knows to rouse the ticker; released before the
            # thread is roused, which must find it free after its request.
            machine.reader_active = False
            link.reading.release()
            roused[0].rouse()
            return
        for worker in roused:
            worker.rouse()
