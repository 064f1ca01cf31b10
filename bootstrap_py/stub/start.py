# Starts what is sent with the command: loads its other files as they are needed, and runs the first of them.
import os
import sys
import zlib

# compile() makes all the types of `ast` when it is first called, which takes longer than a file of the stub does. exec() of
# text does not, and the code gets its file name in the way that importlib names code. Not before 3.3.
named = getattr(sys.modules.get('_imp'), '_fix_co_filename', None)
if named:
    named(sys._getframe().f_code, '<easycluster>/start.py')


class Files(object):
    """The files of the stub as text. Each is compiled when it is first asked for, because compiling all of them
    would take longer than starting Python; and those that few connections need arrive only in front of the need."""

    def __init__(self, parts):
        self.sources = {}
        # Those that linecache is not told yet.
        self.waiting = {}
        # Payloads of PART (BS-9), which are inflated when a file is asked for that may be in one.
        self.arrived = []
        self.modules = {}
        self.making = {}
        self.pid = 0
        self.add(parts)

    def add(self, parts):
        """Takes names and texts in turn."""
        for name, source in zip(parts[::2], parts[1::2]):
            name = '<easycluster>/' + name
            self.sources[name] = self.waiting[name] = source

    def there(self, name):
        """Whether the file `name`.py has arrived."""
        name = '<easycluster>/%s.py' % name
        if name not in self.sources:
            with self.locked():
                while self.arrived:
                    try:
                        self.add(str(zlib.decompress(self.arrived[0], -15).decode()).split('\0'))
                    except (ValueError, zlib.error):
                        self.machine.link.fatal('malformed', 'a part is broken')
                    # Only now, because a cancellation may come in between.
                    del self.arrived[0]
        return name in self.sources

    def load(self, name):
        """The module of the file `name`.py."""
        return self.modules.get(name) or self.make(name)

    def make(self, name):
        """The same where it is not there yet; another thread may be at it, or this one, as files name each other."""
        while not self.there(name):
            # Not with the lock held, which the thread that reads may want.
            self.machine.wait(name)
        with self.locked():
            return self.modules.get(name) or self.making.get(name) or self.build(name)

    def locked(self):
        """The lock, which its holder may take again."""
        if self.pid != os.getpid():
            # Also in a forked child process, where no other thread goes on with its work.
            self.pid = os.getpid()
            self.making = {}
            self.lock = self.modules['compat'].RLock()
        return self.lock

    def build(self, name):
        """Compiles a file."""
        filename = '<easycluster>/%s.py' % name
        module = self.making[name] = type(sys)('easycluster_' + name)
        module.load = self.load
        try:
            source = self.sources[filename]
            # Ours begin with a comment, of which the end of its line is left.
            module.named = lambda: named(sys._getframe(1).f_code, filename)
            exec('named()' + source if named and source[:1] == '\n' else compile(source, filename, 'exec', 0, True),
                 module.__dict__)
            self.modules[name] = module
        finally:
            # A cancellation may come in between.
            del self.making[name]
        return module


files = Files(parts[1:])
# Without the lock, which comes from what this one imports.
files.build('compat')
files.load(parts[1][:-3]).main(files, marker)
