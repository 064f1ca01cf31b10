"""What runs a program as `python FILE ARGS` would, in a process that is the program's own. What few programs need stands in
run_main_seldom.py, because compiling it takes as long as a short program runs."""

import os
import sys

# Whether this is Python 2.
OLD = bytes is str


def set_variables(environment):
    """Sets environment variables: names, and values of bytes."""
    # That of bytes, where names and values are text otherwise.
    variables = getattr(os, 'environb', os.environ)
    for name, value in environment.items():
        variables[name if isinstance(name, bytes) else name.encode('utf-8')] = bytes(value)


def open_streams():
    """Puts streams to descriptors 1 and 2 in the places of sys.stdout and sys.stderr."""
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        if not OLD:
            # Whatever a text holds, printing does not fail over it.
            stream = __import__('io').open(descriptor, 'w', 1, 'utf-8', 'backslashreplace', None, False)
            stream.buffer.raw.name = '<' + name + '>'
            stream.mode = 'w'
        else:
            stream = load('helpers/run_main_seldom').byte_stream(os.fdopen(descriptor, 'w', 1))
        setattr(sys, name, stream)
        setattr(sys, '__' + name + '__', stream)


def execute(source, filename, argv, end_threads):
    """Runs the program and gives its status, and where it stood if it was interrupted; any other exception is printed as
    Python prints it."""
    filename = native(filename)
    main = type(sys)('__main__')
    main.__file__ = filename
    if not OLD:
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
    if source is not None and OLD:
        # 2.6 takes no other end of a line, and none that is missing.
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
            status = load('helpers/run_main_seldom').exit_status(sys.exc_info()[1].code)
        except KeyboardInterrupt:
            raise
        except:  # noqa: E722  (Python 2 can raise what is not a BaseException)
            kind, value, trace = sys.exc_info()
            # The first entry is this function, which is not part of the program.
            load('helpers/run_main_seldom').show(kind, value, trace.tb_next)
            status = 1
        end_threads()
    except KeyboardInterrupt:
        kind, value, trace = sys.exc_info()
        if sys.excepthook is sys.__excepthook__:
            import traceback

            return 130, ''.join(traceback.format_exception(kind, value, trace.tb_next))
        load('helpers/run_main_seldom').show(kind, value, trace.tb_next)
        status = 130
    return status, ''


def watch_imports(filename, entry):
    """Gives linecache a source that is in no file, now or when it is loaded: that takes longer than most of what is run. And has what
    starts child processes anew tell them of the program."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, 'find_spec')]
    later = 'linecache' not in sys.modules and finders
    if finders:
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
            return load('helpers/run_main_seldom').find(self, name, path, target)
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
        return str(text) if OLD else bytes(text).decode('utf-8', 'surrogateescape')
    return text.encode('utf-8')


def shut_threads():
    """Python ends when the threads that are not daemons have ended; so does the program, whose pools are told to end."""
    if 'threading' in sys.modules:
        sys.modules['threading']._shutdown()


def end_program(status):
    """What Python does last: exit handlers, and what is not written yet."""
    try:
        if not OLD:
            if 'atexit' in sys.modules:
                sys.modules['atexit']._run_exitfuncs()
        else:
            getattr(sys, 'exitfunc', int)()
    except:  # noqa: E722  (it is printed, and Python 2 can raise what is not a BaseException)
        if OLD and sys.exc_info()[0] is SystemExit:
            status = load('helpers/run_main_seldom').exit_status(sys.exc_info()[1].code)
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
