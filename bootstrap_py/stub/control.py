# Control frames that are seldom: chunks, references given up, cancellation, the end of a thread and of all.
compat = load('compat')
os, sys = compat.os, compat.sys
late = load('compat_late')
wire = load('wire')
threads = load('threads')


def act(machine, kind, flags, request, thread, payload, counted):
    """Acts on any control frame but HELLO and PING."""
    if kind == wire.DATA:
        message = machine.messages.get(request)
        if message is None:
            machine.link.fatal('malformed', 'DATA for request %d, which has no message' % request)
        message.feed(payload, counted, not flags & wire.MORE)
    elif kind == wire.CREDIT:
        load('output').of(machine).credit(*wire.struct.unpack('>I', payload))
    elif kind == wire.RELEASE:
        load('references').of(machine).release(payload)
    elif kind == wire.CANCEL:
        cancel(machine, request)
    elif kind == wire.CLOSE:
        close(machine)
    elif kind == wire.STOP_THREAD:
        if thread in machine.workers and thread:
            # A later request of this number gets a new thread, also while the old one still ends.
            worker = machine.workers.pop(thread)
            worker.ended = True
            machine.roused.append(worker)
    else:
        machine.link.part('channels').act(machine, kind, flags, request, payload)


def cancel(machine, request):
    """Ends one request: drops it if it is queued, interrupts it if it runs (ME-13, ME-19)."""
    if len(machine.cancelled) > 256:
        # Left over from requests that had been answered already, but for the last few.
        machine.cancelled.difference_update(sorted(machine.cancelled)[:128])
    # Noted first and looked for second; a thread that takes the request just now does it the other way round.
    machine.cancelled.add(request)
    message = machine.messages.pop(request, None)
    if message is not None:
        threads.drop(message.worker, message.abandon())
    for worker in list(machine.alive):
        for entry in list(worker.queue):
            if entry[2] == request:
                try:
                    worker.queue.remove(entry)
                except (ValueError, IndexError):
                    # Its thread has just taken it.
                    break
                threads.drop(worker, entry[4] + threads.untaken(request))
                threads.refuse(worker, entry, KeyboardInterrupt('cancelled before it ran'), 'cancelled')
                return
        if worker.request == request:
            # Also where its code is done, and what it printed waits for the client.
            interrupt(worker, request)
            return


def interrupt(worker, request):
    """Interrupts the running request of a thread."""
    worker.cancelled = request
    if worker is worker.machine.main and is_heard():
        os.kill(os.getpid(), 2)
    else:
        strike(worker, request)
    load('descendants').watch(worker, request)
    if worker.machine.output:
        # It may be waiting there for the client to take what it prints.
        worker.machine.output.credit(0)


# Who sets an exception in a thread; and the requests for which that was not possible yet.
striking, missed = compat.thread.allocate_lock(), set()


def strike(worker, request):
    """Interrupts the request of a thread beside the main one, once, unless it is over."""
    # Not while `cancelling` is 1, for the end of which the thread may wait amid an import.
    late.imported('ctypes')
    striking.acquire()
    # Where it is over already, what is set may be for the next one.
    if worker.running == request and (not worker.cancelling or request in missed):
        # The thread looks at `cancelling` after it has set `running` to 0, and at `deferred` after `shield`;
        # this looks at each the other way round, so one of the two sees the other.
        worker.cancelling = 1
        worker.deferred = True
        missed.discard(request)
        if worker.running != request:
            # Its code is over, and nothing is left to be taken back at the end of the next request.
            worker.deferred = False
            worker.cancelling = 0
        else:
            if not worker.shield:
                worker.deferred = False
                if not set_exception(worker, KeyboardInterrupt):
                    missed.add(request)
            worker.cancelling = 2
    striking.release()


def is_heard():
    """Whether signal 2 runs code here. Where remote code has left it to the system, that would end the process, or do nothing."""
    return callable(compat.signal.getsignal(2))


def absorb(worker):
    """Takes back an interruption that has not been raised when its request is over."""
    while worker.cancelling == 1:
        compat.sleep(0)
    set_exception(worker, None)
    worker.cancelling = 0
    worker.deferred = False
    with striking:
        if hurried and not [each for each in list(worker.machine.alive) if each.cancelling]:
            sys.setcheckinterval(hurried.pop())


def set_exception(worker, kind):
    """Raises an exception in a thread as soon as it runs Python code; None takes it back. Whether it is set."""
    try:
        ctypes = late.imported('ctypes')
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            late.thread_id(ctypes)(worker.ident), kind and ctypes.py_object(kind))
        if kind:
            hurry()
        return True
    except Exception:
        # Some Pythons come without it; the client gives the call up by itself then. Or it is still being imported.
        pass


hurried = []


def hurry():
    """Has threads look more often while interruptions wait: one that mostly sleeps would do so after seconds."""
    if late.COUNTS and not hurried:
        hurried.append(sys.getcheckinterval())
        sys.setcheckinterval(3)
        # It holds after what is left of the old count.
        for tick in compat.ticks:
            pass


def close(machine):
    """Begins the orderly end (ME-15): drops what is queued and interrupts what runs."""
    load('ending').begin(machine)
    for worker in list(machine.alive):
        if worker.running:
            interrupt(worker, worker.running)
    machine.close()
