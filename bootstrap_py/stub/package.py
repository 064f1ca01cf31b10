# The module `easycluster` on this side, and what definitions get of it.
import itertools

compat = load('compat')
calls = load('calls')
names = load('names')
exports = load('exports')
sources = load('sources')
PROVIDED = sources.PROVIDED


class RemoteProxy(object):
    """Here only to be derived from: proxies are used on the client."""

    __module__ = 'easycluster'


class progress(object):
    """How far something is, for a client that shows it: goes through items, or is told by update()."""

    count = itertools.count(1)

    def __init__(self, items=None, total=None, desc=''):
        self.items = items
        if total is None and hasattr(items, '__len__'):
            total = len(items)
        self.total, self.desc = total, desc
        self.number, self.done, self.told = next(self.count), 0, 0

    def __iter__(self):
        try:
            for item in self.items:
                yield item
                self.update()
        finally:
            self.close()

    def update(self, count=1):
        """So many more are done."""
        self.done += count
        self.tell()

    def tell(self, last=False):
        """Tells the client, if it listens: ten times a second at most."""
        # Also where the clock was set back meanwhile.
        if last or not 0 <= compat.time() - self.told < 0.1:
            self.told = compat.time()
            for name in 'helpers/reports', 'helpers/run_progress':
                if load.__self__.there(name):
                    load(name).report(self, last)

    def close(self):
        """It is over."""
        self.tell(True)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()


def find(package, name):
    """A name of the package that has not been asked for yet."""
    if name == 'progress':
        # Not among those that definitions get by themselves.
        return progress
    if name not in PROVIDED and name != '__all__':
        raise AttributeError(name)
    with load.__self__.locked():
        # By one thread: classes of one name must not be two.
        if name not in package.__dict__:
            fill(package)
    return package.__dict__[name]


def fill(package):
    """Puts the names into the package."""
    machine = package.machine
    # From here on remote code may say of an object of any type that it stays here.
    machine.singletons = exports.singletons

    def definitions_module(name, keep_source=True):
        """The definitions module of that name, made if there is none."""
        module = calls.definitions(machine, name)
        module.define = lambda code, local=True: sources.define(machine, module, code)
        return module

    def define_common(code, name=machine.module.__name__, local=True):
        """Adds definitions to the definitions module of that name."""
        definitions_module(name).define(code)

    found = dict([(name, getattr(owner, name)) for owner in (exports, names) for name in PROVIDED
                  if hasattr(owner, name)])
    found.update({'SINGLE': -1, 'VERSION': machine.version, 'RemoteProxy': RemoteProxy,
                  'definitions_module': definitions_module, 'define_common': define_common})
    for name in ('DefaultRemoteProxy', 'SelfIterProxy'):
        found[name] = type(name, (RemoteProxy,), {'__module__': 'easycluster'})
    package.__dict__.update(found)
    package.__all__ = list(found)
    package.easycluster = package


def provide(machine, module, source):
    """Puts the names into a definitions module, where they are not taken, if the source names one."""
    wanted = [name for name in PROVIDED if name in source]
    if wanted:
        for name in PROVIDED:
            module.__dict__.setdefault(name, getattr(machine.package, name))
    return wanted
