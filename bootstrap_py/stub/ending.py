# The orderly end (ME-15): as at the end of a Python program, nothing that remote code has under way is lost.
compat = load('compat')
gc, io, os, sys = compat.gc, compat.io, compat.os, compat.sys
late = load('compat_late')
wire = load('wire')
# The C module: remote code may have put other functions into `os`, as tests do.
posix = wire.os
# `closing` of the machine, from there on: 0 no, 1 begun, 2 what remote code holds is being dropped, 3 all is written.
load('seldom')
worker = load('worker')
# Seconds from the word to end: until what the main thread waits for is interrupted, until what it has not come to is
# done without it, and until the end whatever happens.
INTERRUPT, TAKE_OVER, LIMIT = 1.6, 1.8, 2.0
# How long something that holds up others is waited for.
MOMENT = 0.1
# In the names of a module that is to go, to find those names again.
MARK = '__easycluster_end__'
# Names of types of what the code of a module is made of, beside classes.
CODE = 'module', 'function', 'builtin_function_or_method', 'classobj'
# `file` of 2.x, which the collector does not know by itself.
file_type = getattr(compat.builtins, 'file', None)


def begin(machine, gone=False):
    """Begins the end, once; `gone` says that nobody takes what is sent any more."""
    if gone:
        machine.link.write = forget
        if machine.output:
            machine.output.credit(1 << 62)
    if machine.closing:
        return
    machine.closing = 1
    machine.deadline = compat.time() + LIMIT
    # What still goes wrong is no news to anybody.
    machine.link.fatal = stay
    for message in list(machine.messages.values()):
        message.abandon()
    try:
        machine.begin_thread(limit, machine)
    except compat.thread.error:
        # Without a thread for it, the system's clock has to end what hangs.
        if compat.thread.get_ident() == machine.main.ident:
            compat.signal.signal(14, lambda *args: machine.link.end())
        compat.signal.alarm(2)


def lost(machine, reading):
    """The client is gone. Called by who reads, and does not return then; or by who writes."""
    link = machine.link
    if reading and link.have:
        link.compress = False
        link.send(wire.FATAL, 0, 0, b'truncated: the connection ended inside a frame')
    if 'requests' not in load.__self__.modules and not machine.main.busy:
        # Nothing has run that could leave anything, and no program runs.
        link.end()
    first = not machine.closing
    begin(machine, True)
    if reading and machine.current() is machine.main:
        load('calls').finish(machine)
    if first:
        (load.__self__.there('control') and load('control').close or worker.Machine.close)(machine)
        for each in list(machine.alive):
            if each.parked:
                each.rouse()
    if reading:
        stay()


def forget(data):
    """Stands for the writing of frames."""


def stay(*args):
    """Where a thread that must not go on waits for the end."""
    while True:
        compat.sleep(LIMIT)


def limit(machine):
    """Runs in a thread of its own: ends everything in time."""
    try:
        compat.sleep(INTERRUPT)
        if compat.signal.getsignal(2) is machine.interrupted:
            # It waits for a thread that does not end, or for an exit handler.
            posix.kill(posix.getpid(), 2)
        compat.sleep(TAKE_OVER - INTERRUPT)
        try:
            machine.start(save, machine)
        except compat.thread.error:
            save(machine)
        # The collector, or other processes, may have held all threads up, and then writing has not begun.
        for turn in turns(max(machine.deadline - compat.time(), 5 * MOMENT), 0.01):
            if machine.closing == 3:
                break
    finally:
        machine.link.end()


def turns(seconds, pause):
    """So long, in turns of a loop with a pause after each. Counted, because on a busy machine what is waited for gets as little of
    the time as this does."""
    for turn in range(int(seconds / pause)):
        yield
        compat.sleep(pause)


def finish(machine):
    """Ends in order, as far as the main thread comes."""
    begin(machine)
    # So that an interruption is raised here.
    machine.main.running = machine.main.cancelled = -1
    for step in settle, end_threads, exit_handlers, flush_streams, save:
        try:
            step(machine)
        except:
            # They have said what there is to say.
            pass


def settle(machine):
    """Gives calls that were interrupted a moment to end."""
    for turn in turns(MOMENT, 0.002):
        if not [each for each in machine.is_busy() if each is not machine.main]:
            break


def end_threads(machine):
    """Waits for the threads that are not daemons, and has pools of threads end, as Python does."""
    threading = sys.modules.get('threading')
    if threading:
        # What cannot be interrupted waits in steps.
        while not late.WAITS_END and [each for each in threading.enumerate() if not each.isDaemon() and
                                      each is not threading.currentThread()]:
            compat.sleep(0.01)
        threading._shutdown()


def exit_handlers(machine):
    """Runs what is registered for the end."""
    if hasattr(sys, 'exitfunc'):
        sys.exitfunc()
    elif 'atexit' in sys.modules:
        sys.modules['atexit']._run_exitfuncs()


def flush_streams(machine):
    """Flushes what stands for the streams, and the unfinished lines of all threads."""
    if machine.output:
        machine.output.flush(True)
    for stream in sys.stdout, sys.stderr:
        # What still stands for one that was not used has nothing to flush.
        if stream not in machine.stand_ins:
            stream.flush()


def save(machine):
    """Drops what remote code holds, and writes what files hold. A second call, while the first hangs in the one, does
    the other."""
    # First of all, because the collector may close what is below a file before that has been written through it.
    files = find_files()
    together(files, lambda file: file.flush())
    patience = MOMENT * (1 + 9 * bool([file for file in files if is_pipe(file)]))
    del files
    if machine.closing < 2:
        machine.closing = 2
        # Other threads find their names gone, and should not come to say so.
        keep_running()
        drop(machine)
        # With what was printed by what went; nothing is shown from here on.
        if machine.current() is machine.main:
            machine.main.release()
            machine.link.flush()
        machine.link.write = forget
    files = find_files()
    together(files, lambda file: file.flush())
    together(files, close)
    wait_for_children(patience)
    machine.closing = 3


def keep_running():
    """Gives other threads their turns seldom."""
    how, much = late.SELDOM
    getattr(sys, how)(much)


def drop(machine):
    """Drops references and definitions."""
    held = machine.references
    if held:
        held.numbers.clear()
        while held.entries:
            held.entries.popitem()
    files = load.__self__
    if 'sources' in files.modules:
        load('sources').functions.clear()
    if 'exports' in files.modules:
        load('exports').singletons.clear()
    spaces = take_modules(machine)
    if late.COLLECTS_ALL:
        # With nothing gone yet that a __del__ may need.
        del spaces
        gc.collect()
        spaces = [each for each in gc.get_objects() if type(each) is dict and MARK in each]
    for space in spaces:
        empty(space)
    if spaces:
        gc.collect()


def take_modules(machine):
    """Takes the definitions modules and the program's own from where modules are found; gives their names."""
    spaces = []
    machine.names = {}
    machine.module = type(sys)('ended')
    for name, module in list(sys.modules.items()):
        # No subclass, because some import more when they are asked for anything.
        if type(module) is type(sys):
            space = module.__dict__
            if name == '__main__' or '_source_code' in space or is_own(space.get('__file__')):
                space[MARK] = True
                spaces.append(space)
                if not late.COLLECTS_ALL:
                    # Before the module goes, and takes them all at once.
                    empty(space)
                del sys.modules[name]
                parent, _, child = name.rpartition('.')
                if parent in sys.modules:
                    sys.modules[parent].__dict__.pop(child, None)
    return spaces


def is_own(path):
    """Whether a module's file is neither the library's nor an installed package's."""
    if not isinstance(path, str) or '-packages' + os.sep in path or path[:1] == '<':
        return False
    prefixes = [getattr(sys, name, None) for name in ('prefix', 'exec_prefix', 'base_prefix', 'base_exec_prefix')]
    return not [prefix for prefix in prefixes if prefix and path.startswith(os.path.join(prefix, 'lib'))]


def empty(space):
    """Drops what the names of a module stand for: first what has something to do then, last what that needs for it."""
    for turn in range(3):
        for name in list(space):
            value = space.get(name)
            kind = type(value)
            needed = turn < 2 and (issubclass(kind, type) or kind.__name__ in CODE)
            waits = turn < 1 and not hasattr(kind, '__del__') and kind.__name__ != 'instance'
            if not (needed or waits or name == '__builtins__'):
                space[name] = value = None


def find_files():
    """Every open file that is written to."""
    roots = [io.IOBase, file_type] + [base for base in io.IOBase.__bases__ if base is not object]
    kinds = {}
    files = {}
    getattr(gc, 'unfreeze', int)()
    known = gc.get_objects()
    for start in range(0, len(known), 1000):
        some = known[start:start + 1000]
        for each in file_type and held_by(some) or some:
            kind = type(each)
            if kind not in kinds:
                kinds[kind] = [base for base in getattr(kind, '__mro__', ()) if base in roots] and (
                    not kind.__module__.startswith('easycluster_'))
            if kinds[kind]:
                try:
                    if each.writable() if kind is not file_type else each.mode.strip('rbU'):
                        files[id(each)] = each
                except Exception:
                    # It is closed.
                    pass
    # It may hold the frame that holds it.
    del known[:], some[:]
    return list(files.values())


def held_by(some):
    """What these hold: the collector of 2.x does not know files, nor containers that hold nothing that it knows."""
    is_known = getattr(gc, 'is_tracked', id)
    found = []
    while some:
        some = gc.get_referents(*some)
        found.extend(some)
        some = [each for each in some if type(each) in (dict, tuple) and not is_known(each)]
    return found


def is_pipe(file):
    """Whether somebody may wait for the end of what is written to a file."""
    try:
        return file.fileno() > 2 and os.path.stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except Exception:
        return False


def close(file):
    """Closes what is whole only then, such as a compressed file, and pipes."""
    if type(file).__module__ not in ('_io', 'io', '__builtin__') or is_pipe(file):
        file.close()


def together(files, action):
    """Does something with every file; one that blocks holds up no other."""
    waiting = compat.deque(files)
    at_work = []

    def work():
        while waiting:
            try:
                action(waiting.popleft())
            except:
                # It is closed, or what it writes to is gone.
                pass
        at_work.pop()

    last = 0
    for turn in turns(4 * MOMENT, 0.001):
        if not (waiting or at_work):
            break
        if waiting and len(waiting) == last or not at_work:
            at_work.append(None)
            try:
                compat.thread.start_new_thread(work, ())
            except compat.thread.error:
                work()
        last = len(waiting)


def wait_for_children(seconds):
    """Gives child processes that waited for the end of their input so long to end."""
    try:
        for turn in turns(seconds, 0.002):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    except OSError:
        # There are none.
        pass
