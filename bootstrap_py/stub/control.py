# Control frames that are seldom: chunks, references given up, cancellation, the end of a thread and of all.
import atexit
import os
import sys
import time

compat = load('compat')
wire = load('wire')
calls = load('calls')


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
    elif kind == wire.STOP_THREAD:
        if thread in machine.workers and thread:
            # A later request of this number gets a new thread, also while the old one still ends.
            worker = machine.workers.pop(thread)
            worker.ended = True
            machine.roused.append(worker)
    else:
        close(machine)


def cancel(machine, request):
    """Ends one request: drops it if it is queued, interrupts it if it runs (ME-13, ME-19)."""
    if len(machine.cancelled) > 256:
        # Left over from requests that had been answered already.
        machine.cancelled.clear()
    # Noted first and looked for second; a thread that takes the request just now does it the other way round.
    machine.cancelled.add(request)
    message = machine.messages.pop(request, None)
    if message is not None:
        message.worker.drop(message.abandon())
    for worker in list(machine.alive):
        for entry in list(worker.queue):
            if entry[2] == request:
                try:
                    worker.queue.remove(entry)
                except (ValueError, IndexError):
                    # Its thread has just taken it.
                    break
                worker.drop(entry[4])
                refuse(worker, entry, KeyboardInterrupt('cancelled before it ran'), 'cancelled')
                return
        if worker.request == request:
            # Also where its code is done, and what it printed waits for the client.
            interrupt(worker, request)
            return


def refuse(worker, entry, error, kind):
    """Answers a request that never ran."""
    if not entry[1] & wire.NO_REPLY:
        data = load('errors').describe(worker.machine, kind, (type(error), error, None))
        worker.machine.link.send(wire.ERROR, entry[2], worker.number, data)


def refuse_thread(worker):
    """Answers the requests of a thread that cannot be started."""
    machine = worker.machine
    machine.workers.pop(worker.number, None)
    machine.alive.discard(worker)
    while worker.queue:
        refuse(worker, worker.queue.popleft(), RuntimeError('the server cannot start another thread'), 'exception')


def interrupt(worker, request):
    """Interrupts the running request of a thread."""
    worker.cancelled = request
    if worker is worker.machine.main:
        os.kill(os.getpid(), 2)
    elif not worker.cancelling:
        # The thread looks at `cancelling` after it has set `running` to 0, and at `deferred` after `shield`;
        # this looks at each the other way round, so one of the two sees the other.
        worker.cancelling = 1
        worker.deferred = True
        if not worker.shield:
            worker.deferred = False
            if worker.running == request:
                set_exception(worker, KeyboardInterrupt)
        worker.cancelling = 2
    if worker.machine.output:
        # It may be waiting there for the client to take what it prints.
        worker.machine.output.credit(0)


def absorb(worker):
    """Takes back an interruption that has not been raised when its request is over."""
    while worker.cancelling == 1:
        time.sleep(0)
    set_exception(worker, None)
    worker.cancelling = 0
    worker.deferred = False


def set_exception(worker, kind):
    """Raises an exception in a thread as soon as it runs Python code; None takes it back."""
    try:
        import ctypes
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            compat.thread_id(ctypes)(worker.ident), kind and ctypes.py_object(kind))
    except Exception:
        # Some Pythons come without it; the client gives the call up by itself then.
        pass


def close(machine):
    """Begins the orderly end (ME-15)."""
    machine.start(end_after, machine)
    for worker in list(machine.alive):
        worker.queue.clear()
        if worker.running:
            interrupt(worker, worker.running)
    machine.main.queue.append((wire.CLOSE, 0, 0, b'', 0))
    machine.roused.append(machine.main)


def end_after(machine):
    """Ends the process however far its exit handlers are."""
    time.sleep(2)
    machine.link.end()


def finish(machine):
    """Runs exit handlers, sends what they printed, and ends; called in the main thread."""
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except:
        # They have said what there is to say.
        pass
    machine.main.release()
    machine.link.flush()
    machine.link.end()
