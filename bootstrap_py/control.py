# Control frames that are seldom: cancellation, the output window, the orderly end.
import os
import sys
import time

compat = load('compat')
wire = load('wire')
calls = load('calls')


def act(machine, kind, request, thread, payload):
    """Acts on CREDIT, CANCEL or CLOSE."""
    if kind == wire.CREDIT:
        if len(payload) != 4:
            machine.link.fatal('malformed', 'CREDIT of %d bytes in place of 4' % len(payload))
        load('output').of(machine).credit(wire.struct.unpack('>I', payload)[0])
    elif kind == wire.CANCEL:
        cancel(machine, request)
    elif kind == wire.CLOSE:
        close(machine)
    else:
        machine.link.fatal('malformed', 'a second HELLO')


def cancel(machine, request):
    """Ends one request: drops it if it is queued, interrupts it if it runs (ME-13)."""
    cancelled = machine.cancelled
    if len(cancelled) > 256:
        # Left over from requests that had been answered already.
        cancelled.clear()
    # Noted first and looked for second; a thread that takes the request just now looks the other way round.
    cancelled.add(request)
    message = machine.messages.get(request)
    for worker in list(machine.alive):
        for entry in list(worker.queue):
            if entry[2] == request:
                try:
                    worker.queue.remove(entry)
                except (ValueError, IndexError):
                    # Its thread has taken it.
                    break
                cancelled.discard(request)
                if message is not None:
                    message.abandon()
                worker.taken += entry[4]
                refuse(machine, worker, request, entry[1])
                return
        if worker.running == request:
            if message is not None:
                message.abandon()
            interrupt(machine, worker, request)
            return


def refuse(machine, worker, request, flags):
    """Answers a request that was cancelled before it ran."""
    if flags & wire.NO_REPLY:
        return
    errors = load('errors')
    error = KeyboardInterrupt('cancelled before it ran')
    machine.link.send(wire.ERROR, request, worker.number, errors.payload(
        machine, 'cancelled', (KeyboardInterrupt, error, None)))


def interrupt(machine, worker, request):
    """Interrupts the running request of a thread."""
    worker.cancelled_request = request
    if worker is machine.main:
        worker.cancelled = request
        os.kill(os.getpid(), compat.signal.SIGINT)
        return
    if worker.cancelling:
        return
    # The thread looks at `cancelling` after it has set `running` to 0, so one of the two sees the other.
    worker.cancelling = 1
    if worker.running == request:
        set_exception(worker.ident, KeyboardInterrupt)
        worker.cancelling = 2
    else:
        worker.cancelling = 0


def set_exception(ident, kind):
    """Raises an exception in a thread as soon as it runs Python code; None takes it back."""
    import ctypes
    kind = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(compat.thread_id(ctypes)(ident), kind)


def close(machine):
    """Begins the orderly end (ME-15): at most 2 seconds of exit handlers, then the process group ends."""
    machine.closing = True
    compat.thread.start_new_thread(end_after, (machine, 2.0))
    for worker in list(machine.alive):
        worker.queue.clear()
        if worker.running and worker is not machine.main:
            interrupt(machine, worker, worker.running)
    main = machine.main
    main.queue.append((None, 0, 0, b'', 0))
    if main.running:
        interrupt(machine, main, main.running)
    machine.roused.append(main)


def end_after(machine, seconds):
    """Ends the process however far its exit handlers are."""
    time.sleep(seconds)
    machine.link.end()


def finish(machine):
    """Runs exit handlers, sends what they printed, and ends; called in the main thread."""
    import atexit
    try:
        atexit._run_exitfuncs()
    except BaseException:
        pass
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        machine.flush_streams()
        machine.drain()
    except BaseException:
        pass
    machine.link.flush()
    machine.link.end()
