"""Runs one program under the remote Python as `python FILE ARGS` would, and returns its exit status."""


def run_program(source, filename, argv, given=()):
    """Run source (bytes) as __main__ with sys.argv = argv, in a process of its own where the system lets it have one: what
    ends or replaces that process ends the program alone. The dict `given` may have `module`, the name of a module to run
    instead; `environment`, variables as names and bytes; `folder`, to run in; `input`, the bytes of its standard input;
    `packages`, a folder whose packages it is to find before all others."""
    import os
    given = dict([(native(name), value) for name, value in dict(given).items()])
    if given.get('module'):
        source = None
        filename = given['module']
    try:
        report, own = os.pipe()
    except EnvironmentError:
        return run_here(source, filename, argv, given)
    try:
        child = forked()
    except (AttributeError, EnvironmentError):
        os.close(report)
        os.close(own)
        return run_here(source, filename, argv, given)
    if child:
        os.close(own)
        try:
            return wait_for(child, report)
        finally:
            os.close(report)
    status = 1
    try:
        become_program(own)
        text = ''
        status = prepare(given)
        if not status:
            status, text = execute(source, filename, argv, shut_threads)
        status = end_program(status)
        if not isinstance(text, bytes):
            text = text.encode('utf-8', 'replace')
        os.write(own, text[-16000:])
    except:  # noqa: E722  (it is printed, and whatever called this function must not go on here)
        import traceback
        os.write(2, traceback.format_exc().encode('utf-8', 'replace'))
    finally:
        os._exit(status)


def run_here(source, filename, argv, given):
    """The same in this process."""
    status = prepare(given)
    if status:
        return status
    status, text = execute(source, filename, argv, wait_for_threads)
    if text:
        raise KeyboardInterrupt(text)
    flush_streams()
    return status


def prepare(given):
    """Gives the program its variables, folder and input; the status to end with where the folder cannot be entered."""
    import os
    import sys
    # That of bytes, where names and values are text otherwise.
    environment = getattr(os, 'environb', os.environ)
    for name, value in given.get('environment', {}).items():
        environment[name.encode('utf-8')] = bytes(value)
    if given.get('packages'):
        # Programs that it starts find them too.
        sys.path.insert(0, given['packages'])
        before = os.environ.get('PYTHONPATH')
        os.environ['PYTHONPATH'] = given['packages'] + (before and os.pathsep + before or '')
    if given.get('folder'):
        folder = native(given['folder'])
        try:
            os.chdir(folder)
        except EnvironmentError:
            sys.stderr.write('cannot run in %s: %s\n' % (folder, sys.exc_info()[1].strerror))
            return 125
    if given.get('input'):
        feed(given['input'])
    return 0


def feed(data):
    """Has data read at descriptor 0. What no pipe holds is written by a process that is no child of the program's: a thread would
    hold up the end of this one, and a program may wait for any child."""
    import os
    source, sink = os.pipe()
    if len(data) <= 4096:
        os.write(sink, data)
    else:
        child = forked()
        if child:
            os.waitpid(child, 0)
        else:
            try:
                if not forked():
                    # It ends with the last who reads. Nobody waits for what it would print.
                    for descriptor in (source, 0, 1, 2):
                        os.close(descriptor)
                    while data:
                        data = data[os.write(sink, data[:65536]):]
            finally:
                os._exit(0)
    os.close(sink)
    os.dup2(source, 0)
    os.close(source)


def forked():
    """As os.fork(). That this process has other threads does not matter to the program, though Python would warn of it."""
    import os
    import warnings
    before = warnings.filters[:]
    try:
        warnings.simplefilter('ignore')
        return os.fork()
    finally:
        warnings.filters[:] = before
        getattr(warnings, '_filters_mutated', int)()


def wait_for(child, report):
    """The status of the program as a shell has it, 128 and the signal for one that a signal ended. An interruption is passed
    on to it."""
    import errno
    import os
    import select
    import sys
    interrupted = False
    status = None
    while status is None:
        try:
            status = os.waitpid(child, 0)[1]
        except KeyboardInterrupt:
            interrupted = True
            os.kill(child, 2)
        except OSError:
            if sys.exc_info()[1].errno != errno.EINTR:
                # It has been waited for already, just as the interruption came.
                status = 0
    text = ''
    if select.select([report], [], [], 0)[0]:
        text = os.read(report, 65536).decode('utf-8', 'replace')
    if interrupted and text:
        raise KeyboardInterrupt(native('\n' + text))
    if text:
        sys.stderr.write(native(text))
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def become_program(own):
    """Leaves nothing of the connection in the program's process: no descriptor but `own`, no handler, no stream."""
    import io
    import os
    import sys
    # Where there is this one, the other makes enumerations of it, which takes longer than the rest.
    signal = sys.modules.get('_signal') or __import__('signal')
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(os, 'get_inheritable'):
        # From 3.4 on pipes are so from the start.
        import fcntl
        fcntl.fcntl(own, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    try:
        opened = [int(name) for name in os.listdir('/dev/fd')]
    except (EnvironmentError, ValueError):
        opened = range(3, 256)
    for descriptor in opened:
        if descriptor > 2 and descriptor != own:
            try:
                os.close(descriptor)
            except OSError:
                pass
    atexit = sys.modules.get('atexit')
    if hasattr(atexit, '_clear'):
        atexit._clear()
    elif atexit:
        del atexit._exithandlers[:]
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        if sys.version_info >= (3,):
            # Whatever a text holds, printing does not fail over it.
            stream = io.open(descriptor, 'w', 1, 'utf-8', 'backslashreplace', None, False)
            stream.buffer.raw.name = '<' + name + '>'
            stream.mode = 'w'
        else:
            stream = byte_stream(os.fdopen(descriptor, 'w', 1))
        setattr(sys, name, stream)
        setattr(sys, '__' + name + '__', stream)


def byte_stream(opened):
    """A file of Python 2 that takes all text, as the streams of a terminal do."""
    class Stream(object):
        encoding = 'utf-8'

        def write(self, data):
            if not isinstance(data, str):
                data = data.encode('utf-8')
            opened.write(data)

        def __getattr__(self, name):
            return getattr(opened, name)
    return Stream()


def execute(source, filename, argv, end_threads):
    """Runs the program and gives its status, and where it stood if it was interrupted; any other exception is printed as
    Python prints it."""
    import sys
    filename = native(filename)
    main = type(sys)('__main__')
    main.__file__ = filename
    if sys.version_info >= (3,):
        main.__loader__ = Loader(source, filename)
    # Whatever was __main__ before stays referenced: Python 2 empties a module that is not referenced.
    run_program.before = sys.modules.get('__main__')
    sys.modules['__main__'] = main
    sys.argv = [native(argument) for argument in argv]
    # Tracebacks show source lines although no such file exists here.
    if source is None:
        lines = ''
    elif isinstance(source, str):
        lines = source
    else:
        lines = source.decode('utf-8', 'replace')
    tell_linecache(filename, (len(lines), None, lines.splitlines(True), filename))
    if source is not None and sys.version_info < (2, 7):
        # Which takes no other end of a line, and none that is missing.
        source = source.replace(b'\r\n', b'\n') + b'\n'
    status = 0
    try:
        try:
            if source is None:
                import os
                import runpy
                sys.path.insert(0, os.getcwd())
                runpy._run_module_as_main(filename)
            else:
                exec(compile(source, filename, 'exec', 0, 1), main.__dict__)
        except SystemExit:
            status = exit_status(sys.exc_info()[1].code)
        except KeyboardInterrupt:
            raise
        except:  # noqa: E722  (Python 2 can raise what is not a BaseException)
            kind, value, trace = sys.exc_info()
            # The first entry is this function, which is not part of the program.
            show(kind, value, trace.tb_next)
            status = 1
        end_threads()
    except KeyboardInterrupt:
        kind, value, trace = sys.exc_info()
        if sys.excepthook is sys.__excepthook__:
            import traceback
            return 130, ''.join(traceback.format_exception(kind, value, trace.tb_next))
        show(kind, value, trace.tb_next)
        status = 130
    return status, ''


def tell_linecache(filename, entry):
    """Gives linecache a source that is in no file, now or when it is loaded: that takes longer than most of what is run."""
    import sys
    if 'linecache' not in sys.modules and [finder for finder in sys.meta_path if hasattr(finder, 'find_spec')]:
        sys.meta_path.insert(0, Telling(filename, entry))
    else:
        __import__('linecache').cache[filename] = entry


class Telling(object):
    """Finds linecache, once, as the other finders do, and adds an entry to its cache."""

    def __init__(self, filename, entry):
        self.filename = filename
        self.entry = entry

    def find_spec(self, name, path=None, target=None):
        """What the import system asks."""
        if name != 'linecache':
            return None
        import sys
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec:
                self.loader = spec.loader
                spec.loader = self
                return spec

    def create_module(self, spec):
        """As the module's own loader."""
        return self.loader.create_module(spec)

    def exec_module(self, module):
        """The same, and the entry."""
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        module.cache[self.filename] = self.entry


class Loader(object):
    """What the program was loaded by. Child processes that it has multiprocessing start anew are sent `program`."""

    def __init__(self, source, filename):
        self.program = source, filename

    def get_source(self, name=None):
        """The program's text."""
        return self.program[0].decode('utf-8', 'replace')


def show(kind, value, trace):
    """Prints an exception as Python does, by the program's own hook if it has one."""
    import sys
    import traceback
    if sys.excepthook is not sys.__excepthook__:
        try:
            return sys.excepthook(kind, value, trace)
        except Exception:
            sys.stderr.write('Error in sys.excepthook:\n')
            traceback.print_exc()
            sys.stderr.write('\nOriginal exception was:\n')
    # Not the default hook, which looks for the source in files only.
    traceback.print_exception(kind, value, trace)


def native(text):
    """Text as this Python's own str, which in Python 2 is bytes."""
    if isinstance(text, str):
        return text
    if isinstance(text, (bytes, bytearray)):
        # An argument that is not text, as this Python has those.
        import sys
        if sys.version_info < (3,):
            return str(text)
        return bytes(text).decode('utf-8', 'surrogateescape')
    return text.encode('utf-8')


def exit_status(code):
    """What the system would see of sys.exit(code)."""
    import sys
    if code is None:
        return 0
    if isinstance(code, type(sys.maxsize)) or isinstance(code, type(1 << 100)):
        # A number that is no C long is -1 to Python.
        return code & 0xff if -1 << 63 <= code < 1 << 63 else 0xff
    sys.stderr.write(str(code) + '\n')
    return 1


def wait_for_threads():
    """Python ends when the threads that are not daemons have ended; so does a program run here."""
    import sys
    threading = sys.modules.get('threading')
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def shut_threads():
    """The same where the process ends with the program; pools of threads are told to end, too."""
    import sys
    if 'threading' in sys.modules:
        sys.modules['threading']._shutdown()


def end_program(status):
    """What Python does last: exit handlers, and what is not written yet."""
    import sys
    try:
        if sys.version_info >= (3,):
            import atexit
            atexit._run_exitfuncs()
        else:
            getattr(sys, 'exitfunc', int)()
    except:  # noqa: E722  (it is printed, and Python 2 can raise what is not a BaseException)
        if sys.version_info < (3,) and sys.exc_info()[0] is SystemExit:
            status = exit_status(sys.exc_info()[1].code)
    flush_streams()
    return status


def flush_streams():
    """Writes what the program has printed."""
    import sys
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, EnvironmentError):
            # The program closed or replaced it.
            pass
