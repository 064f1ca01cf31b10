"""Runs one program under the remote Python as `python FILE ARGS` would, and returns its exit status. What its process does stands in
run_process.py."""

import os
import sys

compat = load('compat')
process = load('helpers/run_process')
native = load('helpers/run_main').native


def run_program(source, filename, argv, given=()):
    """Run source (bytes) as __main__ with sys.argv = argv, in a process of its own where the system lets it have one: what
    ends or replaces that process ends the program alone. The dict `given` may have `module`, the name of a module to run
    instead; `environment`, variables as names and bytes; `folder`, to run in; `input`, the bytes of its standard input;
    `packages`, a folder whose packages it is to find before all others; `progress`, if how far it is will be asked for."""
    source, filename, given = process.given_to(source, filename, given)
    # The program's process can not wait for parts of the stub, which are right behind this call.
    while not load.__self__.there('children'):
        load.__self__.machine.wait('children')
    try:
        report, own = os.pipe()
    except EnvironmentError:
        return load('helpers/run_seldom').run_as_call(source, filename, argv, given)
    me = load.__self__.machine.current()
    told = process.told
    early = []
    try:
        # Until it is waited for, an interruption would leave the program running.
        me.shield = True
        told[:] = given.get('progress') and os.pipe() or ()
        child = begin(me, early)
    except (AttributeError, EnvironmentError):
        os.close(report)
        os.close(own)
        unshield(me)
        return load('helpers/run_seldom').run_as_call(source, filename, argv, given)
    if not child:
        process.become(own, source, filename, argv, given, early)
    try:
        os.close(own)
        if told:
            os.close(told[1])
        return wait_for(me, child, report)
    finally:
        me.shield = False
        os.close(report)


def begin(me, early):
    """As forked(). A signal that reaches the child before that handles signals is noted in `early` there."""
    parent = os.getpid()
    heard = compat.signal.getsignal(2)
    if me is not me.machine.main or heard is not me.machine.interrupted:
        return process.forked()

    def note(*signalled):
        if os.getpid() == parent:
            heard(*signalled)
        else:
            early.append(True)

    compat.signal.signal(2, note)
    try:
        return process.forked()
    finally:
        if os.getpid() == parent:
            compat.signal.signal(2, heard)


def unshield(me):
    """Raises an interruption that came meanwhile, and any that comes from here on."""
    me.shield = False
    if me.deferred and me.running == me.cancelled:
        me.deferred = False
        raise KeyboardInterrupt


def wait_for(me, child, report):
    """The status of the program as a shell has it, 128 and the signal for one that a signal ended. An interruption is passed
    on to it, once."""
    interrupted = False
    status = None
    while status is None:
        try:
            if me.shield:
                unshield(me)
            status = os.waitpid(child, 0)[1]
        except KeyboardInterrupt:
            interrupted = True
            others = load.__self__.modules.get('descendants')
            # Else that has sent one, because on a busy machine it takes a while until this one comes here.
            if status is None and (not others or others.claim(me.running, child)):
                try:
                    # Not before it says that it is there: what comes while it is being forked is lost.
                    compat.select([report], [], [], 2)
                    os.kill(child, 2)
                except OSError:
                    # It has just ended.
                    pass
        except OSError:
            # Of another signal; else it has been waited for already, just as the interruption came.
            if sys.exc_info()[1].errno != 4:
                status = 0
    text = process.said(report)
    if interrupted and text:
        raise KeyboardInterrupt(native('\n' + text))
    if text:
        sys.stderr.write(native(text))
    return process.shell_status(status)
