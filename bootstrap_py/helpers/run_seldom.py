"""What few programs need of those that run_process.py runs: a folder, packages, input, exceptions, exit statuses that are no numbers,
modules that are to know of the program, and Python 2."""
import os
import sys

process = load('helpers/run_process')


def run_as_call(source, filename, argv, given):
    """Runs a program as a call of this process, which goes on when it has ended, where the system gives it none of its own."""
    # This process then has what it leaves behind, and ends as one that remote code has run in.
    load('requests')
    load('sources')
    status = process.prepare(given)
    if status:
        return status
    status, text = process.execute(source, filename, argv, wait_for_threads)
    if text:
        raise KeyboardInterrupt(text)
    process.flush_streams()
    return status


def wait_for_threads():
    """Python ends when the threads that are not daemons have ended; so does a program run here."""
    threading = sys.modules.get('threading')
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def prepare(given):
    """As prepare() of run_process.py, for what is seldom given."""
    if given.get('packages'):
        # Programs that it starts find them too.
        sys.path.insert(0, given['packages'])
        before = os.environ.get('PYTHONPATH')
        os.environ['PYTHONPATH'] = given['packages'] + (before and os.pathsep + before or '')
    if given.get('folder'):
        folder = process.native(given['folder'])
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
    source, sink = os.pipe()
    if len(data) <= 4096:
        os.write(sink, data)
    else:
        child = process.forked()
        if child:
            os.waitpid(child, 0)
        else:
            try:
                if not process.forked():
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


def show(kind, value, trace):
    """Prints an exception as Python does, by the program's own hook if it has one."""
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


def exit_status(code):
    """What the system would see of sys.exit(code)."""
    if code is None:
        return 0
    if isinstance(code, type(sys.maxsize)) or isinstance(code, type(1 << 100)):
        # A number that is no C long is -1 to Python.
        return code & 0xff if -1 << 63 <= code < 1 << 63 else 0xff
    sys.stderr.write(str(code) + '\n')
    return 1


def find(watcher, name, path, target):
    """The spec of a module that is to know of the program, for the one who has noticed that it is imported."""
    if name[-6:] == '.spawn':
        # Once, for as long as this one asks all the others.
        first, watcher.spawns = watcher.spawns, False
        if not first:
            return None
        return load('children').find(watcher, name, path)
    entries, watcher.entries = watcher.entries, None
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path, target)
        if spec:
            spec.loader = Telling(spec.loader, entries)
            return spec


class Telling(object):
    """The loader of linecache, which adds entries to its cache."""

    def __init__(self, loader, entries):
        self.loader = loader
        self.entries = entries

    def create_module(self, spec):
        """As the module's own loader."""
        return self.loader.create_module(spec)

    def exec_module(self, module):
        """The same, and the entries."""
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        module.cache.update(self.entries)
