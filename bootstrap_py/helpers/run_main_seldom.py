"""What few programs need of those that run_main.py runs: a folder, exceptions, exit statuses that are no numbers, modules that are to
know of the program, and Python 2."""

import os
import sys

main = load('helpers/run_main')


def enter(folder):
    """Makes a folder the current one; the status to end with where it cannot be entered."""
    folder = main.native(folder)
    try:
        os.chdir(folder)
    except EnvironmentError:
        sys.stderr.write('cannot run in %s: %s\n' % (folder, sys.exc_info()[1].strerror))
        return 125
    return 0


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
        return code & 0xFF if -1 << 63 <= code < 1 << 63 else 0xFF
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
