"""Makes values of every type of Python's own library that pickles, for tests/python/test_standard_values.py. Runs on 2.6 to the newest.

As remote code it gives `names()`, `value(name)` and `described(name)`; here `describe()` says what a value is in plain data, in
which releases do not differ.
"""

import os
import pickle
import pkgutil
import sys
import warnings

PY3 = sys.version_info >= (3,)
TEXT = type(''.encode('ascii').decode('ascii'))
# What acts when it is imported, or belongs to programs: not the library.
LEFT_OUT = set(
    'antigravity this test tests idlelib lib2to3 turtledemo tkinter turtle ensurepip pip setuptools __main__ '
    'site-packages dist-packages encodings pydoc_data Tkinter lib-tk plat-linux2 _pyrepl sre_compile sre_parse '
    'distutils bsddb __phello__ xxlimited xxsubtype _test _xxtestfuzz _testcapi _testbuffer _ctypes_test config'.split()
)


def module_names():
    """The modules of the library by name."""
    root = os.path.dirname(os.__file__)
    found = set(sys.builtin_module_names)
    for path in (root, os.path.join(root, 'lib-dynload')):
        if os.path.isdir(path):
            found.update([name for _, name, _ in pkgutil.iter_modules([path])])
    names = set()
    left = [name for name in found if not leaves_out(name)]
    while left:
        name = left.pop()
        names.add(name)
        place = os.path.join(root, *name.split('.'))
        if os.path.isdir(place):
            left.extend([name + '.' + inner for _, inner, _ in pkgutil.iter_modules([place]) if not leaves_out(inner)])
    return sorted(names)


def leaves_out(name):
    return name in LEFT_OUT or name.startswith(
        ('_test', 'test_', '_xx', 'xx', 'idle', 'windows_', 'config-', '_sysconfig')
    )


def classes():
    """Every class of the library that is found by its own name in its own module."""
    found = {}
    for name in module_names():
        try:
            __import__(name)
        except BaseException:
            continue
        module = sys.modules.get(name)
        for attribute in sorted(vars(module)) if module else ():
            value = vars(module)[attribute]
            if isinstance(value, type) and attribute[:2] != '__':
                home = getattr(value, '__module__', None)
                if isinstance(home, str) and getattr(value, '__name__', '') == attribute:
                    if home.split('.')[0] not in LEFT_OUT and getattr(sys.modules.get(home), attribute, None) is value:
                        found[home + '.' + attribute] = value
    return found


def by_the_way(value):
    """What comes out of a pickle of a value; raises where it has none."""
    return pickle.loads(pickle.dumps(value, 2))


ARGUMENTS = [
    ('one',), (), ('one', 'two'), (1, 'two'), ('one', 'two', 3), ('one', 'two', 3, 'four'), ('one', 'two', 3, 'four', 'five'),
    (1, 2, 3), ('utf-8', b'\xff', 0, 1, 'why'), ('utf-8', TEXT('x'), 0, 1, 'why'), (TEXT('x'), 0, 1, 'why'), (1,),
]  # fmt: skip


def exception(kind):
    """An exception of a class, with whatever arguments it takes."""
    group = (
        getattr(__builtins__, 'BaseExceptionGroup', None)
        if not isinstance(__builtins__, dict)
        else __builtins__.get('BaseExceptionGroup')
    )
    more = [('several', [ValueError(1), KeyError('x')])] if group and issubclass(kind, group) else []
    if kind.__name__ == 'HTTPError':
        # It wants a file.
        return None
    for arguments in more + ARGUMENTS:
        try:
            made = kind(*arguments)
            str(made)
            again = by_the_way(made)
            if type(again) is kind and again.args == made.args:
                return made
        except Exception:
            continue
    return None


def members(kind):
    """Members of an enumeration, and flags together."""
    found = list(kind)
    some = found[:2] + found[-1:]
    if issubclass(kind, sys.modules['enum'].Flag if hasattr(sys.modules['enum'], 'Flag') else ()) and len(found) > 1:
        some.append(found[0] | found[-1])
    return [one for one in some if pickles(one)]


def pickles(value):
    try:
        return by_the_way(value) == value
    except Exception:
        return False


def tuples(kind):
    """A result tuple with numbers in its fields."""
    for count in [len(getattr(kind, '_fields', ()))] + [getattr(kind, 'n_sequence_fields', 0)]:
        for make in (
            lambda: kind(*range(count)),
            lambda: kind(range(count)),
            lambda: tuple.__new__(kind, range(count)),
        ):
            try:
                made = make()
                if count and type(by_the_way(made)) is kind and tuple(by_the_way(made)) == tuple(made):
                    return made
            except Exception:
                continue
    return None


def well_known():
    """What has to be made by hand."""
    import array
    import collections
    import datetime
    import decimal
    import locale
    import platform
    import re
    import socket
    import time

    made = {
        'int': 7, 'large int': 1 << 100, 'float': 1.5, 'complex': 1j, 'text': TEXT('x'), 'none': None, 'bool': True,
        'bytes': b'\xff\x00', 'bytearray': bytearray(b'\xffx'), 'list': [1, [2]], 'tuple': (1, (2,)), 'dict': {'a': 1},
        'set': set([1, 2]), 'frozenset': frozenset([1, 2]), 'slice': None, 'ellipsis': None,
        'range': range(3) if PY3 else xrange(3),  # noqa: F821
        'date': datetime.date(2020, 2, 29), 'time': datetime.time(1, 2, 3, 4), 'datetime': datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
        'timedelta': datetime.timedelta(1, 2, 3), 'decimal': decimal.Decimal('1.50'), 'infinite decimal': decimal.Decimal('-Infinity'),
        'deque': collections.deque([1, 2]), 'defaultdict': collections.defaultdict(list, a=[1]), 'array': array.array('d', [1.5]),
        'pattern': re.compile('a(b+)', re.I | re.M), 'stat': os.stat('/'), 'statvfs': os.statvfs('/'), 'uname': platform.uname(),
        'os.uname': os.uname(), 'struct_time': time.gmtime(0), 'times': os.times(), 'version_info': sys.version_info,
        'flags': sys.flags if sys.version_info >= (2, 6) else None, 'float_info': sys.float_info,
        'addresses': socket.getaddrinfo('127.0.0.1', 80), 'localeconv': locale.localeconv(),
        'family': socket.AF_INET, 'kind': socket.SOCK_STREAM, 'signal': __import__('signal').SIGINT,
        'password': __import__('pwd').getpwuid(0), 'group': __import__('grp').getgrgid(0),
        'usage': __import__('resource').getrusage(0), 'limits': __import__('resource').getrlimit(0),
    }  # fmt: skip
    if PY3:
        made['binary pattern'] = re.compile(b'a\xff')
    for name, source in MORE.items():
        try:
            made[name] = eval(source, {'__import__': __import__})
        except (ImportError, AttributeError, TypeError, NameError):
            pass
        except Exception:
            # No zones here.
            if 'Zone' not in source:
                raise
    return made


MORE = {
    'fraction': '__import__("fractions").Fraction(3, 4)',
    'uuid': '__import__("uuid").UUID(int=5)',
    'OrderedDict': '__import__("collections").OrderedDict([(1, 2)])',
    'Counter': '__import__("collections").Counter("aab")',
    'ChainMap': '__import__("collections").ChainMap({1: 2})',
    'UserDict': '__import__("collections").UserDict({1: 2})',
    'UserList': '__import__("collections").UserList([1, 2])',
    'UserString': '__import__("collections").UserString("x")',
    'timezone': '__import__("datetime").timezone(__import__("datetime").timedelta(hours=1), "one")',
    'utc': '__import__("datetime").timezone.utc',
    'aware datetime': '__import__("datetime").datetime(2020, 7, 1, tzinfo=__import__("datetime").timezone.utc)',
    'folded datetime': '__import__("datetime").datetime(2020, 7, 1, 1, 30, fold=1)',
    'zone': '__import__("zoneinfo").ZoneInfo("Europe/Berlin")',
    'datetime in a zone': '__import__("datetime").datetime(2020, 7, 1, tzinfo=__import__("zoneinfo").ZoneInfo("Europe/Berlin"))',
    'path': '__import__("pathlib").Path("/a/b")',
    'pure path': '__import__("pathlib").PurePosixPath("a")',
    'windows path': '__import__("pathlib").PureWindowsPath("c:/a")',
    'namespace': '__import__("types").SimpleNamespace(a=1)',
    'address': '__import__("ipaddress").ip_address("10.0.0.1")',
    'network': '__import__("ipaddress").ip_network("10.0.0.0/8")',
    'address 6': '__import__("ipaddress").ip_interface("fe80::1/64")',
    'completed': '__import__("subprocess").CompletedProcess(["x"], 0, b"a", None)',
    'url': '__import__("urllib.parse").parse.urlparse("http://h/p?q")',
    'split url': '__import__("urllib.parse").parse.urlsplit("http://h/p?q")',
    'bytes url': '__import__("urllib.parse").parse.urlsplit(b"http://h/p?q")',
    'defrag': '__import__("urllib.parse").parse.urldefrag("http://h/p#q")',
    'old url': '__import__("urlparse").urlparse("http://h/p?q")',
    'old split url': '__import__("urlparse").urlsplit("http://h/p?q")',
    'disk usage': '__import__("shutil").disk_usage("/")',
    'terminal size': '__import__("os").terminal_size((80, 24))',
    'thread_info': '__import__("sys").thread_info',
    'hash_info': '__import__("sys").hash_info',
    'int_info': '__import__("sys").int_info',
    'status': '__import__("http").HTTPStatus(404)',
    'regex flags': '__import__("re").RegexFlag(10)',
    'clock': '__import__("time").get_clock_info("time")',
    'cookie': '__import__("http.cookies").cookies.Morsel()',
    'message': '__import__("email").message_from_string("a: b\\n\\nc")',
    'random': '__import__("random").Random(1)',
    'record': '__import__("logging").LogRecord("a", 1, "b", 2, "c", (), None)',
    'tree': '__import__("ast").parse("1")',
    'graph': '__import__("graphlib").TopologicalSorter({1: [2]})',
    'partial': '__import__("functools").partial(int, base=2)',
    'token': '__import__("tokenize").TokenInfo(1, "x", (1, 0), (1, 1), "x")',
    'normal': '__import__("statistics").NormalDist(1, 2)',
    'spec': '__import__("inspect").getfullargspec(__import__("os.path").path.join)',
    'signature': '__import__("inspect").signature(__import__("os.path").path.join)',
    'parameter': '__import__("inspect").Parameter("a", __import__("inspect").Parameter.KEYWORD_ONLY)',
    'alias': 'list[int]',
    'union': 'int | None',
    'chained': 'None',
}


def samples():
    """Values by name: all that pickle under this Python."""
    found = {}
    with_warnings = warnings.catch_warnings()
    with_warnings.__enter__()
    try:
        warnings.simplefilter('ignore')
        enum = None
        try:
            import enum
        except ImportError:
            pass
        for name, kind in classes().items():
            values = {}
            if issubclass(kind, BaseException):
                values[''] = exception(kind)
            elif enum and issubclass(kind, enum.Enum):
                values = dict([(' %d' % place, member) for place, member in enumerate(members(kind))])
            elif issubclass(kind, tuple):
                values[''] = tuples(kind)
            for place, value in values.items():
                if value is not None:
                    found[name + place] = value
        for name, value in well_known().items():
            found['= ' + name] = value
    finally:
        with_warnings.__exit__(None, None, None)
    return found


_made = {}


def names():
    """The names of all samples."""
    if not _made:
        _made.update(samples())
    return sorted(_made)


def value(name):
    """The sample itself, as it crosses."""
    return _made[name]


def described(name):
    """A sample in plain data."""
    return describe(_made[name])


def text(value):
    if isinstance(value, bytes):
        return value.decode('latin-1') if PY3 else value.decode('utf-8', 'replace')
    return TEXT(value)


def describe(value, depth=0):
    """What a value is: its class by name, and its parts."""
    kind = type(value)
    name = getattr(kind, '__name__', '?')
    if depth > 6:
        return text(name)
    if value is None or kind in (bool, float, int) or name == 'long':
        return int(value) if name == 'long' else value
    if kind is complex:
        return [text('complex'), value.real, value.imag]
    if isinstance(value, BaseException):
        state = dict([(key, item) for key, item in vars(value).items() if key not in ('__notes__',)])
        return [text(name), describe(list(value.args), depth + 1), describe(state, depth + 1)]
    enum = sys.modules.get('enum')
    if enum and isinstance(value, enum.Enum):
        # 3.11 gives the members together another name, and 2.x has numbers.
        return [text(kind.__name__), describe(value.value, depth + 1)]
    if kind in (bytes, bytearray, TEXT, str):
        if kind is bytearray:
            return [text('bytearray'), value.decode('latin-1')]
        return value.decode('latin-1') if isinstance(value, bytes) else value
    if isinstance(value, tuple) or hasattr(kind, 'n_sequence_fields'):
        return [text(name)] + [describe(item, depth + 1) for item in tuple(value)]
    if isinstance(value, (list, dict, set, frozenset)) and name in ('list', 'dict', 'set', 'frozenset', 'OrderedDict', 'Counter',
                                                                     'defaultdict'):  # fmt: skip
        if isinstance(value, dict):
            pairs = [[describe(key, depth + 1), describe(item, depth + 1)] for key, item in value.items()]
            return [text(name), sorted(pairs, key=repr)]
        parts = [describe(item, depth + 1) for item in value]
        return [text(name)] + (parts if isinstance(value, list) else sorted(parts, key=repr))
    if name in ('xrange', 'range'):
        return [text('range')] + list(value)
    if name in ('Pattern', 'SRE_Pattern'):
        return [text('pattern'), describe(value.pattern), int(value.flags) & 15]
    if name == 'deque':
        return [text(name), describe(list(value))]
    if name == 'array':
        return [text(name), text(value.typecode), value.tolist()]
    if type(value).__repr__ is not object.__repr__ and not hasattr(value, '__dict__'):
        return [text(name), text(repr(value).replace("u'", "'"))]
    try:
        return [text(name), describe(dict(vars(value)), depth + 1)]
    except TypeError:
        return [text(name), text(repr(value))]
