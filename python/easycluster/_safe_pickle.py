"""Unpickling what a server sent, so that a server cannot run code here.

Three things keep it so. The extension reads each pickle first and refuses what no pickle of a value does: extension codes, calls
of what was not looked up by name, changes to what was. It also says what is done with each name. And here each name is found only
if it is known, and called only if that is what it is there for.
"""

import copyreg
import enum
import io
import pickle
import sys
from types import FunctionType, ModuleType

from . import _careful, _errors, _iterators, _native

CALLED = 1
MADE = 2

_EXCEPTION_MODULES = (
    'builtins',
    'asyncio.exceptions',
    'binascii',
    'concurrent.futures._base',
    'configparser',
    'copy',
    'csv',
    '_csv',
    'decimal',
    'email.errors',
    'ftplib',
    'getopt',
    'gzip',
    'http.client',
    'imaplib',
    'json.decoder',
    'lzma',
    '_lzma',
    'multiprocessing',
    'multiprocessing.context',
    'netrc',
    'os',
    'pickle',
    '_pickle',
    'poplib',
    'queue',
    '_queue',
    're',
    're._constants',
    'select',
    'shutil',
    'smtplib',
    'socket',
    'sqlite3',
    'ssl',
    'struct',
    'subprocess',
    'tarfile',
    'tokenize',
    'unittest.case',
    'urllib.error',
    'uuid',
    'xml.dom',
    'xml.etree.ElementTree',
    'xml.parsers.expat',
    'xml.sax._exceptions',
    'zipfile',
    'zlib',
    'sre_constants',
    'termios',
    'curses',
    '_curses',
    'resource',
    'mailbox',
    'nntplib',
    'locale',
    'json',
    'signal',
)

# By module: names of value types and the functions that remake them, found and called freely. None of them runs anything that
# the pickle brings along, opens anything, or hands out what it was not given.
_VALUES = {
    'array': {'array', '_array_reconstructor'},
    'builtins': {
        'bool',
        'bytearray',
        'bytes',
        'complex',
        'dict',
        'float',
        'frozenset',
        'int',
        'list',
        'object',
        'range',
        'set',
        'slice',
        'str',
        'tuple',
        'Ellipsis',
        'NotImplemented',
    },
    'collections': {
        'ChainMap',
        'Counter',
        'OrderedDict',
        'UserDict',
        'UserList',
        'UserString',
        'defaultdict',
        'deque',
    },
    'datetime': {'date', 'datetime', 'time', 'timedelta', 'timezone', 'tzinfo'},
    'decimal': {'Decimal'},
    'fractions': {'Fraction'},
    'ipaddress': {'IPv4Address', 'IPv4Interface', 'IPv4Network', 'IPv6Address', 'IPv6Interface', 'IPv6Network'},
    'os': {'stat_result', 'statvfs_result', 'terminal_size', 'times_result', 'uname_result'},
    'pathlib': {'Path', 'PosixPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath', 'WindowsPath'},
    'pathlib._local': {'Path', 'PosixPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath', 'WindowsPath'},
    'platform': {'uname_result'},
    'posix': {'stat_result', 'statvfs_result', 'terminal_size', 'times_result', 'uname_result'},
    'resource': {'struct_rusage'},
    'sys': {'version_info'},
    'time': {'struct_time'},
    'types': {'SimpleNamespace'},
    'uuid': {'SafeUUID', 'UUID'},
    'shutil': {'_ntuple_diskusage'},
    'subprocess': {'CompletedProcess'},
    'urllib.parse': {'DefragResult', 'ParseResult', 'SplitResult'},
    'pwd': {'struct_passwd'},
    'grp': {'struct_group'},
}

# What older Pythons call them.
_RENAMED = {
    '__builtin__': 'builtins',
    'exceptions': 'builtins',
    'copy_reg': 'copyreg',
    'Queue': 'queue',
    'ConfigParser': 'configparser',
    'urllib2': 'urllib.error',
    'httplib': 'http.client',
    'UserDict': 'collections',
    'UserList': 'collections',
    'UserString': 'collections',
    'posix': 'posix',
    'nt': 'os',
    '_collections': 'collections',
    '_decimal': 'decimal',
}
_RENAMED_NAMES = {
    ('builtins', 'unicode'): ('builtins', 'str'),
    ('builtins', 'long'): ('builtins', 'int'),
    ('builtins', 'xrange'): ('builtins', 'range'),
    ('builtins', 'StandardError'): ('builtins', 'Exception'),
}

_NUMPY_CALLED = {
    'numpy': {'dtype'},
    'numpy.core.multiarray': {'_reconstruct', 'scalar'},
    'numpy._core.multiarray': {'_reconstruct', 'scalar'},
    'numpy.core.numeric': {'_frombuffer'},
    'numpy._core.numeric': {'_frombuffer'},
    'numpy.ma.core': {'_mareconstruct'},
}
_NUMPY_VALUES = {'numpy': {'ndarray'}, 'numpy.ma.core': {'MaskedArray'}, 'numpy.ma': {'MaskedArray'}}


def _latin1(text, encoding='latin1'):
    # How protocol 2 writes bytes. Other codecs decompress, and one of them is enough to fill the memory.
    if encoding not in ('latin1', 'latin-1', 'iso-8859-1'):
        raise _errors.Refused(
            'a server asked for the codec %r, which this client does not use for pickles' % (encoding,)
        )
    return text.encode('latin1')


_BASES = frozenset((object, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset))


def _reconstruct(kind, base, value):
    # copyreg's own calls whatever base it is given, with the constructor that this one has.
    if base not in _BASES:
        raise _errors.Refused('a server asked for an instance of %r by way of %r' % (kind, base))
    return copyreg._reconstructor(kind, base, value)


def _look_up(module, name):
    if module not in sys.modules:
        __import__(module)
    return getattr(sys.modules[module], name)


class Policy:
    """What one client takes from its server."""

    def __init__(self, allow=(), definitions=()):
        self.trusted = False
        self.where = 'the server'
        self.definitions = set(definitions)
        self._modules = set()
        self._names = set()
        self._cache = {}
        if isinstance(allow, (str, type, ModuleType)):
            allow = [allow]
        for entry in allow:
            self._add(entry)

    def _add(self, entry):
        if isinstance(entry, ModuleType):
            self._modules.add(entry.__name__)
        elif isinstance(entry, type) or callable(entry):
            self._names.add((entry.__module__, entry.__qualname__))
        elif not isinstance(entry, str):
            raise TypeError('allow takes names, modules, classes and functions, not %r' % (entry,))
        elif entry == '*':
            self.trusted = True
        elif entry.endswith('.*'):
            self._modules.add(entry[:-2])
        else:
            # `a.b` may be a module or a class in one; which it is shows when a server names it.
            self._modules.add(entry)
            parts = entry.split('.')
            for cut in range(1, len(parts)):
                self._names.add(('.'.join(parts[:cut]), '.'.join(parts[cut:])))

    def find(self, module, name, uses):
        """The value of a name that a pickle looks up, for these uses; raises Refused."""
        key = (module, name, uses)
        try:
            return self._cache[key]
        except KeyError:
            pass
        found = self._find(module, name, uses)
        # What a definitions module holds may change.
        if module not in self.definitions:
            self._cache[key] = found
        return found

    def _find(self, module, name, uses):
        module = _RENAMED.get(module, module)
        module, name = _RENAMED_NAMES.get((module, name), (module, name))
        if (module, name) in self._names or module in self._modules:
            return self._allowed(module, name)
        if name in _VALUES.get(module, ()):
            return _look_up(module, name)
        if (module, name) == ('_codecs', 'encode'):
            return _latin1
        if (module, name) == ('copyreg', '_reconstructor'):
            return _reconstruct
        if uses == CALLED and (module, name) == ('builtins', 'getattr'):
            return _careful.member
        if uses == CALLED and (module, name) == ('_operator', 'or_'):
            return _careful.either
        if uses == CALLED and (module, name) in _iterators.MAKERS:
            return _iterators.MAKERS[module, name]
        if (module, name) == ('zoneinfo', 'ZoneInfo._unpickle'):
            return _look_up('zoneinfo', 'ZoneInfo')._unpickle
        if module in self.definitions:
            return self._defined(module, name, uses)
        if module.split('.', 1)[0] == 'numpy':
            return self._numpy(module, name, uses)
        if module in _EXCEPTION_MODULES and '.' not in name:
            found = self._exception(module, name)
            if found is not None:
                return found
        if module == 'easycluster' or module.startswith('easycluster.'):
            shared = self._own(name)
            if shared is not None:
                return shared
        raise self.refusal(module, name)

    def _allowed(self, module, name):
        value = _look_up(module, name.split('.', 1)[0])
        for part in name.split('.')[1:]:
            # Through classes only, so that no module reached by way of an allowed one comes with it.
            if not isinstance(value, type):
                raise self.refusal(module, name)
            value = getattr(value, part)
        if (module, name) not in self._names:
            home = getattr(value, '__module__', None) or module
            if isinstance(value, ModuleType) or (home != module and not _is_within(home, module)):
                raise self.refusal(module, name)
        return value

    def _own(self, name):
        from . import _shared

        value = getattr(_shared.load('objects'), name, None)
        if isinstance(value, type) and issubclass(value, Exception):
            return value
        return None

    def _exception(self, module, name):
        try:
            value = _look_up(module, name)
        except (ImportError, AttributeError):
            return None
        if isinstance(value, type) and issubclass(value, BaseException):
            return value
        return None

    def _numpy(self, module, name, uses):
        if name in _NUMPY_CALLED.get(module, ()):
            return _numpy_look_up(module, name)
        # The array classes are made by `_reconstruct` alone; called, they take memory to interpret.
        if name in _NUMPY_VALUES.get(module, ()) and not uses:
            return _numpy_look_up(module, name)
        raise self.refusal(module, name)

    def _defined(self, module, name, uses):
        value = sys.modules.get(module)
        if value is None:
            raise self.refusal(module, name)
        for part in name.split('.'):
            value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
        # What the module only imported is not defined in it.
        if not isinstance(value, (type, FunctionType)) or value.__module__ != module:
            raise self.refusal(module, name)
        if uses & CALLED and not _remakes_itself(value):
            raise _errors.Refused(
                '%s sent a pickle that calls %s.%s here; functions and classes of definitions come by name and as instances, '
                'but only exceptions, enumerations and classes with a __reduce__ of their own are called. %s'
                % (self.where, module, name, self._how('%s.%s' % (module, name))),
                '%s.%s' % (module, name),
            )
        if uses & MADE and not isinstance(value, type):
            raise self.refusal(module, name)
        return value

    def _how(self, name):
        return (
            'To allow it, give the client allow=[%r] or the connection spec allow=%s; to trust the server wholly, allow=\'*\''
            % (name, name)
        )

    def refusal(self, module, name):
        """The exception for a name that is not allowed."""
        full = '%s.%s' % (module, name)
        return _errors.Refused(
            '%s sent %s, which this client does not unpickle. %s' % (self.where, full, self._how(full)), full
        )


def _is_within(home, module):
    # Packages name their classes by private submodules: home `a._impl` for what is found in `a`.
    return (
        home.startswith(module + '.')
        or '.' in home
        and module.startswith(home.rsplit('.', 1)[0] + '.')
        and (home.split('.')[0] == module.split('.')[0])
    )


def _remakes_itself(value):
    if not isinstance(value, type):
        return False
    if issubclass(value, (BaseException, enum.Enum)):
        return True
    return any(
        '__reduce__' in vars(base) or '__reduce_ex__' in vars(base)
        for base in value.__mro__
        if base.__module__ == value.__module__
    )


def _numpy_look_up(module, name):
    try:
        return _look_up(module, name)
    except ImportError:
        # The private package has had two names; the other end may have the other one.
        if module.startswith('numpy.core.'):
            return _look_up('numpy._core.' + module[11:], name)
        if module.startswith('numpy._core.'):
            return _look_up('numpy.core.' + module[12:], name)
        raise


class _Finding:
    """What both unpicklers of a server that is not trusted do."""

    def persistent_load(self, pid):
        return self._references(pid)

    def find_class(self, module, name):
        uses = next(self._uses, None)
        if uses is None:
            raise _errors.Refused('the pickle looks up more names than were found in it')
        return self._policy.find(module, name, uses)

    def set_up(self, policy, uses, references):
        self._policy = policy
        self._uses = iter(uses)
        self._references = references
        return self


class _Restricted(_Finding, pickle.Unpickler):
    def find_class(self, module, name):
        found = super().find_class(module, name)
        if _careful.needs_care(found):
            raise _careful.NeedsCare
        return found


class _Careful(_Finding, _careful.CarefulUnpickler):
    pass


def _load_restricted(pickled, policy, uses, references, options):
    received = []

    def receive(pid):
        received.append(references(pid))
        return received[-1]

    def receive_again(pid):
        # Each receipt counts, so what was received before the second start is not received anew.
        return received.pop(0) if received else references(pid)

    try:
        return _Restricted(io.BytesIO(pickled), **options).set_up(policy, uses, receive).load()
    except _careful.NeedsCare:
        return _Careful(io.BytesIO(pickled), **options).set_up(policy, uses, receive_again).load()


class _Trusting(pickle.Unpickler):
    def __init__(self, file, references, **options):
        super().__init__(file, **options)
        self._references = references

    def persistent_load(self, pid):
        return self._references(pid)


def unpickle(pickled, buffers, uses, policy, references, python2=False):
    """The value of a pickle. `uses` is what the extension's scan found, None for a trusted server."""
    options = {'encoding': 'utf-8', 'errors': 'surrogateescape' if python2 else 'strict'}
    if buffers:
        options['buffers'] = buffers
    if python2 and _has_binary_state(pickled):
        # These write their state as a Python 2 str of arbitrary bytes, and read it back from this encoding alone.
        options['encoding'] = 'latin1'
    if uses is None:
        return _Trusting(io.BytesIO(pickled), references, **options).load()
    return _load_restricted(pickled, policy, uses, references, options)


def _has_binary_state(pickled):
    return b'cnumpy' in pickled or b'cdatetime\n' in pickled or b'carray\n' in pickled


def unpickle_scanned(pickled, policy, references, python2=False):
    """As `unpickle`, for a pickle that the extension has not looked at."""
    try:
        uses = _native.scan_pickle(pickled)
    except ValueError as error:
        if not policy.trusted:
            raise _errors.Refused('%s: %s' % (policy.where, error)) from None
        uses = b''
    return unpickle(pickled, [], None if policy.trusted else (uses or b''), policy, references, python2)


class _Nothing(Policy):
    """Allows no names but those by which protocol 2 writes bytes."""

    def _find(self, module, name, uses):
        if (module, name) == ('_codecs', 'encode'):
            return _latin1
        if name in ('bytearray', 'bytes') and module in ('builtins', '__builtin__'):
            return bytearray if name == 'bytearray' else bytes
        raise _errors.Refused(
            '%s sent %s.%s where plain data is due' % (self.where, module, name), '%s.%s' % (module, name)
        )


NOTHING = _Nothing()
