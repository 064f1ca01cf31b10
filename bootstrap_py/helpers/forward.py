# Imports modules of the client's program: a hook of Python's import that asks for those under the names that it was given.
import errno
import sys
import zlib
from io import BytesIO, TextIOWrapper

compat = load('compat')
late = load('compat_late')
sources = load('sources')

MODULE, PACKAGE, NAMESPACE, COMPILED = range(4)
# What stands in __path__ of packages, in front of their names; no such folder exists.
PLACE = '<easycluster modules>/'


class Finder(object):
    """Finds modules of the client's program. What it was told of them is asked for once, at the first miss."""

    def __init__(self, prefixes, fetch):
        self.prefixes = prefixes
        self.fetch = fetch
        # Of each prefix that was asked for, all that there is: by name the kind and the file.
        self.modules = {}
        self.known = set()
        # Compressed sources that have come ahead of their use.
        self.ahead = {}

    def entry(self, name):
        """The kind and the file of a module, or None."""
        for prefix in self.prefixes:
            if (name + '.').startswith(prefix + '.') or prefix.startswith(name + '.'):
                if prefix not in self.known:
                    modules, ahead = self.ask('index', prefix)
                    native = compat.native
                    for each in modules:
                        kind, path = modules[each]
                        self.modules[native(each)] = kind, path and native(path)
                    self.ahead.update([(native(each), ahead[each]) for each in ahead])
                    self.known.add(prefix)
                if name in self.modules:
                    return self.modules[name]
        return None

    def ask(self, *args):
        """Asks the client. Before 3.3 all imports share one lock, which the thread that reads the answer may want."""
        held = 0
        if compat.VERSION < (3, 3):
            import imp
            try:
                while imp.lock_held():
                    imp.release_lock()
                    held += 1
            except RuntimeError:
                # Another thread has it.
                pass
        try:
            return self.fetch(*args)
        finally:
            for level in range(held):
                imp.acquire_lock()

    def loader(self, name):
        """What loads a module, or None."""
        found = self.entry(name)
        return found and Loader(self, name, *found)

    def find_spec(self, name, path=None, target=None):
        """For Python from 3.4 on."""
        loader = self.loader(name)
        if loader is None:
            return None
        # ModuleSpec, without an import.
        spec = type(sys.__spec__)(name, loader, origin=loader.path, is_package=loader.packaged)
        spec.has_location = loader.path is not None
        if loader.packaged:
            spec.submodule_search_locations.append(PLACE + name)
        return spec

    def find_module(self, name, path=None):
        """For Python before 3.4."""
        return self.loader(name)

    def invalidate_caches(self):
        """Has everything looked for again."""
        self.modules = {}
        self.known = set()


class Loader(object):
    """Loads one module of the client's program."""

    def __init__(self, finder, name, kind, path):
        self.finder = finder
        self.name = name
        self.kind = kind
        self.path = path
        self.packaged = kind in (PACKAGE, NAMESPACE)

    def create_module(self, spec):
        """None: a module as any."""
        return None

    def exec_module(self, module):
        """Runs its source."""
        if self.kind == COMPILED:
            raise ImportError('%s is compiled, and only source is sent from the client: install its package here, or pass '
                              'environment= where that is taken' % self.name)
        if self.kind != NAMESPACE:
            source = late.native_source(self.get_source(self.name))
            sources.waiting[self.path] = source
            if 'linecache' in sys.modules:
                sources.register()
            eval(late.compiled(source, self.path, 'exec'), module.__dict__)
        return module

    def load_module(self, name):
        """For Python before 3.4: makes the module and runs its source. None is left where that fails."""
        there = name in sys.modules
        module = sys.modules.setdefault(name, type(sys)(name))
        module.__loader__ = self
        if self.path is not None:
            module.__file__ = self.path
        module.__package__ = name if self.packaged else name.rpartition('.')[0]
        if self.packaged:
            module.__path__ = [PLACE + name]
        try:
            self.exec_module(module)
        except:
            if not there:
                sys.modules.pop(name, None)
            raise
        # It may have put another one in its place.
        return sys.modules[name]

    def is_package(self, name):
        """Whether it is a package."""
        return self.packaged

    def get_filename(self, name):
        """Its file on the client."""
        if self.path is None:
            raise ImportError('%s is a package without a file' % name)
        return self.path

    def get_source(self, name):
        """Its source."""
        if self.kind in (NAMESPACE, COMPILED):
            return ''
        packed = self.finder.ahead.pop(name, None)
        if packed is None:
            packed = self.finder.ask('source', name)
        if packed is None:
            raise ImportError('the client has no source of %s any more' % name)
        source = zlib.decompress(packed).decode('utf-8')
        return source if compat.PY3 else source.encode('utf-8')

    def get_code(self, name):
        """Its code."""
        return late.compiled(late.native_source(self.get_source(name)), self.path or PLACE + name, 'exec')

    def get_data(self, path):
        """The content of a file beside the module or below, by its path there."""
        name = self.name if self.kind == PACKAGE else self.name.rpartition('.')[0]
        folder = (self.path or '').rpartition('/')[0] + '/'
        data = None
        if name and path.startswith(folder):
            data = self.finder.ask('data', name, path[len(folder):])
        if data is None:
            raise IOError(errno.ENOENT, 'the client has no such file in %s' % (name or self.name), path)
        return data

    def get_resource_reader(self, name):
        """What importlib.resources asks for the files of a package."""
        if self.kind != PACKAGE:
            return None
        return Resources(self)


class Resources(object):
    """The files of a package, as importlib.resources has them."""

    def __init__(self, loader):
        self.loader = loader

    def files(self):
        """The package's folder."""
        listed = self.loader.finder.ask('files', self.loader.name)
        return Resource(self.loader, [compat.native(path) for path in listed], '')

    def contents(self):
        """The names in the folder."""
        return [each.name for each in self.files().iterdir()]

    def is_resource(self, name):
        """Whether there is a file of that name."""
        return self.files().joinpath(name).is_file()

    def open_resource(self, name):
        """A file, opened."""
        return self.files().joinpath(name).open('rb')

    def resource_path(self, name):
        """There is none: it is no file here."""
        raise IOError(errno.ENOENT, 'it is on the client', name)


class Resource(object):
    """A file or a folder of a package."""

    def __init__(self, loader, listed, path):
        self.loader = loader
        self.listed = listed
        self.path = path
        self.name = path.rpartition('/')[2] or loader.name.rpartition('.')[2]

    def is_file(self):
        """Whether it is a file."""
        return self.path in self.listed

    def is_dir(self):
        """Whether it is a folder."""
        return not self.path or bool(self.below())

    def below(self):
        """The paths in the folder, from there on."""
        start = self.path and self.path + '/'
        return [path[len(start):] for path in self.listed if path.startswith(start)]

    def iterdir(self):
        """What is in the folder."""
        return iter([self.joinpath(name) for name in sorted(set([path.partition('/')[0] for path in self.below()]))])

    def joinpath(self, *names):
        """A file or a folder below."""
        parts = [part for name in names for part in str(name).split('/')]
        return Resource(self.loader, self.listed, '/'.join((self.path and [self.path] or []) + parts))

    def __truediv__(self, name):
        return self.joinpath(name)

    def read_bytes(self):
        """The content."""
        folder = self.loader.path.rpartition('/')[0] + '/'
        return self.loader.get_data(folder + self.path)

    def read_text(self, encoding=None, errors=None):
        """The content as text."""
        return self.read_bytes().decode(encoding or 'utf-8', errors or 'strict')

    def open(self, mode='r', *args, **options):
        """A file of the content."""
        opened = BytesIO(self.read_bytes())
        return opened if 'b' in mode else TextIOWrapper(opened, *args, **options)


class Listing(object):
    """What is in the __path__ of a package, for pkgutil."""

    def __init__(self, finder, path):
        if not path.startswith(PLACE):
            raise ImportError(path)
        self.finder = finder
        self.package = path[len(PLACE):]

    def find_spec(self, name, target=None):
        """None: the finder finds it."""
        return None

    def find_module(self, name, path=None):
        """None: the finder finds it."""
        return None

    def iter_modules(self, prefix=''):
        """The names of the modules of the package, each with whether it is a package itself."""
        start = self.package + '.'
        for name in sorted(self.finder.modules):
            if name.startswith(start) and '.' not in name[len(start):]:
                yield prefix + name[len(start):], self.finder.modules[name][0] in (PACKAGE, NAMESPACE)


def install(prefixes, fetch):
    """Imports from here on what is under these names and is not here; with `!` behind a name, what is here is not looked for."""
    for first in (True, False):
        names = [compat.native(name).rstrip('!') for name in prefixes if (name[-1:] == '!') == first]
        if names:
            finder = Finder(names, fetch)
            sys.meta_path.insert(0 if first else len(sys.meta_path), finder)
            sys.path_hooks.append(lambda path, finder=finder: Listing(finder, path))
