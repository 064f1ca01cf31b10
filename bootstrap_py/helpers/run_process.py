"""What runs in the process of a program, as `python FILE ARGS` would run it. What few programs need stands in run_seldom.py, because
compiling it takes as long as a short program runs."""
import io
import os
import sys

compat = load('compat')
# The two ends of the pipe by which it tells how far it is (run_progress.py).
told = []
# What it says first.
THERE = b'.'


def become(own, source, filename, argv, given, early=()):
    """Runs a program in this process, which has just been forked for it, and ends the process. What is to be known of the program
    beyond its status goes to the descriptor `own`; `early` holds something if it was interrupted before it began."""
    status = 1
    try:
        os.write(own, THERE)
        become_program(own)
        status = ran(own, source, filename, argv, given, early)
    except:  # noqa: E722  (it is printed, and whatever called this function must not go on here)
        import traceback
        os.write(2, traceback.format_exc().encode('utf-8', 'replace'))
    finally:
        os._exit(status)


def ran(own, source, filename, argv, given, early=()):
    """Runs a program in this process, and gives its status. Until here what was signalled is noted in `early`."""
    try:
        compat.signal.signal(2, compat.signal.default_int_handler)
        if early:
            raise KeyboardInterrupt
        status, text = prepare(given), ''
        if not status:
            status, text = execute(source, filename, argv, shut_threads)
    except KeyboardInterrupt:
        status, text = 130, 'KeyboardInterrupt: before it began\n'
    status = end_program(status)
    if not isinstance(text, bytes):
        text = text.encode('utf-8', 'replace')
    if text:
        tell(own, text[-16000:])
    return status


def tell(own, text):
    """Tells the parent of the program's end, or, where the program has closed what we had open, who reads what it prints."""
    try:
        os.write(own, text)
    except EnvironmentError:
        os.write(2, text)


def given_to(source, filename, given):
    """What a program is given, with names as Python itself holds them; and its source, None where a module is to run."""
    given = dict([(native(name), value) for name, value in dict(given).items()])
    if given.get('module'):
        return None, given['module'], given
    return source, filename, given


def said(report):
    """What is to be known of a program that has ended, beyond its status: where it was interrupted."""
    if compat.select([report], [], [], 0)[0]:
        return os.read(report, 65536)[len(THERE):].decode('utf-8', 'replace')
    return ''


def shell_status(status):
    """What waitpid() gives, as a shell has it: 128 and the signal where one ended it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def prepare(given):
    """Gives the program its variables, folder and input; the status to end with where the folder cannot be entered."""
    # That of bytes, where names and values are text otherwise.
    environment = getattr(os, 'environb', os.environ)
    for name, value in given.get('environment', {}).items():
        environment[name.encode('utf-8')] = bytes(value)
    if 'packages' in given or 'folder' in given or 'input' in given:
        return load('helpers/run_seldom').prepare(given)
    return 0


def forked():
    """As os.fork(). That this process has other threads does not matter to the program, though Python would warn of it."""
    if not sys.warnoptions and 'warnings' not in sys.modules:
        # Nobody has asked for warnings of what is not the main program.
        return os.fork()
    import warnings
    before = warnings.filters[:]
    try:
        warnings.simplefilter('ignore')
        return os.fork()
    finally:
        warnings.filters[:] = before
        getattr(warnings, '_filters_mutated', int)()


def become_program(own):
    """Leaves nothing of the connection in the program's process: no descriptor but `own` and what it tells by, no handler, no
    stream."""
    kept = [own] + told[1:]
    if not hasattr(os, 'get_inheritable'):
        # From 3.4 on pipes are so from the start.
        import fcntl
        for descriptor in kept:
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    try:
        opened = [int(name) for name in os.listdir('/dev/fd')]
    except (EnvironmentError, ValueError):
        opened = range(3, 256)
    for descriptor in opened:
        if descriptor > 2 and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass
    atexit = sys.modules.get('atexit')
    if hasattr(atexit, '_clear'):
        atexit._clear()
    elif atexit:
        del atexit._exithandlers[:]
    open_streams()


def open_streams():
    """Puts streams to descriptors 1 and 2 in the places of sys.stdout and sys.stderr."""
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        if compat.PY3:
            # Whatever a text holds, printing does not fail over it.
            stream = io.open(descriptor, 'w', 1, 'utf-8', 'backslashreplace', None, False)
            stream.buffer.raw.name = '<' + name + '>'
            stream.mode = 'w'
        else:
            stream = load('helpers/run_seldom').byte_stream(os.fdopen(descriptor, 'w', 1))
        setattr(sys, name, stream)
        setattr(sys, '__' + name + '__', stream)


def execute(source, filename, argv, end_threads):
    """Runs the program and gives its status, and where it stood if it was interrupted; any other exception is printed as
    Python prints it."""
    filename = native(filename)
    main = type(sys)('__main__')
    main.__file__ = filename
    if compat.PY3:
        main.__loader__ = Loader(source, filename)
    # Whatever was __main__ before stays referenced: Python 2 empties a module that is not referenced.
    execute.before = sys.modules.get('__main__')
    sys.modules['__main__'] = main
    sys.argv = [native(argument) for argument in argv]
    # Tracebacks show source lines although no such file exists here.
    if source is None:
        lines = ''
    elif isinstance(source, str):
        lines = source
    else:
        lines = source.decode('utf-8', 'replace')
    watch_imports(filename, (len(lines), None, lines.splitlines(True), filename))
    if source is not None and compat.VERSION < (2, 7):
        # Which takes no other end of a line, and none that is missing.
        source = source.replace(b'\r\n', b'\n') + b'\n'
    status = 0
    try:
        try:
            if source is None:
                import runpy
                sys.path.insert(0, os.getcwd())
                runpy._run_module_as_main(filename)
            else:
                # compile() makes all the types of `ast` when it is first called. exec() of text does not, and calls its file so.
                exec(source if filename == '<string>' else compile(source, filename, 'exec', 0, 1), main.__dict__)
        except SystemExit:
            status = load('helpers/run_seldom').exit_status(sys.exc_info()[1].code)
        except KeyboardInterrupt:
            raise
        except:  # noqa: E722  (Python 2 can raise what is not a BaseException)
            kind, value, trace = sys.exc_info()
            # The first entry is this function, which is not part of the program.
            load('helpers/run_seldom').show(kind, value, trace.tb_next)
            status = 1
        end_threads()
    except KeyboardInterrupt:
        kind, value, trace = sys.exc_info()
        if sys.excepthook is sys.__excepthook__:
            import traceback
            return 130, ''.join(traceback.format_exception(kind, value, trace.tb_next))
        load('helpers/run_seldom').show(kind, value, trace.tb_next)
        status = 130
    return status, ''


def watch_imports(filename, entry):
    """Gives linecache a source that is in no file, now or when it is loaded: that takes longer than most of what is run. And has what
    starts child processes anew tell them of the program."""
    later = 'linecache' not in sys.modules and [finder for finder in sys.meta_path if hasattr(finder, 'find_spec')]
    if later or compat.VERSION >= (3, 4):
        sys.meta_path.insert(0, Watcher(later and {filename: entry}))
    if not later:
        __import__('linecache').cache[filename] = entry
    if 'multiprocessing.spawn' in sys.modules:
        load('children').change(sys.modules['multiprocessing.spawn'])


class Watcher(object):
    """Finds no module by itself, but notices when one is imported that is to know of the program."""

    def __init__(self, entries):
        self.entries = entries
        self.spawns = True

    def find_spec(self, name, path=None, target=None):
        """What the import system asks."""
        if name == 'linecache' and self.entries or name[-6:] == '.spawn':
            return load('helpers/run_seldom').find(self, name, path, target)
        return None


class Loader(object):
    """What the program was loaded by. Child processes that it has multiprocessing start anew are sent `program`."""

    def __init__(self, source, filename):
        self.program = source, filename

    def get_source(self, name=None):
        """The program's text."""
        return self.program[0].decode('utf-8', 'replace')


def native(text):
    """Text as this Python's own str, which in Python 2 is bytes."""
    if isinstance(text, str):
        return text
    if isinstance(text, (bytes, bytearray)):
        # An argument that is not text, as this Python has those.
        return bytes(text).decode('utf-8', 'surrogateescape') if compat.PY3 else str(text)
    return text.encode('utf-8')


def shut_threads():
    """Python ends when the threads that are not daemons have ended; so does the program, whose pools are told to end."""
    if 'threading' in sys.modules:
        sys.modules['threading']._shutdown()


def end_program(status):
    """What Python does last: exit handlers, and what is not written yet."""
    try:
        if compat.PY3:
            if 'atexit' in sys.modules:
                sys.modules['atexit']._run_exitfuncs()
        else:
            getattr(sys, 'exitfunc', int)()
    except:  # noqa: E722  (it is printed, and Python 2 can raise what is not a BaseException)
        if not compat.PY3 and sys.exc_info()[0] is SystemExit:
            status = load('helpers/run_seldom').exit_status(sys.exc_info()[1].code)
    flush_streams()
    return status


def flush_streams():
    """Writes what the program has printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, EnvironmentError):
            # The program closed or replaced it.
            pass
