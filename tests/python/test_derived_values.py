"""Instances of classes that definitions derive from built-in classes and from those of Python's library, both ways."""

from __future__ import annotations

import pathlib
import pickle
import sys

import pytest
from easycluster import Refused, define_common
from easycluster._pickling import policy, unpickler

REMOTE = 'derived_definitions'
DEFINITIONS = '''
import abc, collections, datetime, decimal, fractions
try:
    from typing import Generic, Mapping, TypeVar
    Generic = Generic[TypeVar('T')]
except ImportError:
    Generic = Mapping = object
try:
    from pathlib import PurePosixPath, PureWindowsPath
except ImportError:
    PurePosixPath = PureWindowsPath = object
pairs = collections.namedtuple('pairs', 'a b')
for name, base in sorted(dict(
    Bytes=bytes, Bytearray=bytearray, Text=str, Integer=int, Float=float, Complex=complex, List=list, Tuple=tuple, Dict=dict, Set=set,
    Frozen=frozenset, Ordered=collections.OrderedDict, Default=collections.defaultdict, Counted=collections.Counter,
    Queue=collections.deque, Date=datetime.date, Moment=datetime.datetime, Time=datetime.time, Span=datetime.timedelta,
    Decimal=decimal.Decimal, Fraction=fractions.Fraction, Posix=PurePosixPath, Windows=PureWindowsPath, Pairs=pairs,
).items()):
    globals()[name] = type(name, (base,), {'__module__': __name__, '__init__': lambda self, *args, **kw: called.append(type(self))})
called = []
# Those that fill themselves by it.
for kind in (Bytearray, List, Set, Ordered, Default, Counted, Queue, Dict):
    del kind.__init__
if PurePosixPath is not object:
    del Posix.__init__, Windows.__init__
class Plain(getattr(abc, 'ABC', object)):
    def __init__(self):
        called.append(self)
        self.a = 1
    def __eq__(self, other):
        return type(self) is type(other) and self.a == other.a
    __hash__ = None
class Of(Generic):
    __init__, __eq__, __hash__ = vars(Plain)['__init__'], vars(Plain)['__eq__'], None
class Looked(Mapping):
    __init__, __eq__, __hash__ = vars(Plain)['__init__'], vars(Plain)['__eq__'], None
    __len__ = __iter__ = __getitem__ = lambda self, *args: called.append(self)
class Zone(datetime.tzinfo):
    def utcoffset(self, moment):
        called.append(self)
        return datetime.timedelta(0)
def same(value):
    return value
def whether(value, wanted):
    return value == wanted and type(value) is type(wanted)
'''  # fmt: skip
VALUES = [
    "Bytes(b'ab')", "Bytes(b'\\xff\\xfe')", 'Bytes()', "Bytearray(b'a\\xff')", 'Bytearray()', "Text('ab')", 'Integer(3)',
    'Integer(2**31)', 'Float(2.5)', 'Complex(1j)', 'List([1])', 'Tuple([1, 2])', 'Dict(a=1)', 'Set([1])', 'Frozen([1])',
    "Ordered([('b', 1), ('a', 2)])", 'Default(list, a=1)', 'Default()', "Counted('aab')", 'Queue([1, 2])', 'Queue([1, 2], 1)',
    'Date(2020, 1, 2)', 'Moment(2020, 1, 2, 3, 4, 5, 6)', 'Time(1, 2, 3, 4)', 'Span(1, 2, 3)', "Decimal('1.5')",
    "Decimal('-Infinity')", 'Fraction(1, 3)', 'Fraction(5)', 'Pairs(1, 2)', 'Plain()', 'Of()', 'Looked()',
    'Moment(2020, 1, 2, tzinfo=Zone())',
]  # fmt: skip
PATHS = ["Posix('/a/b')", "Posix('a')", "Windows('c:/a')"]

define_common(DEFINITIONS, name=REMOTE)


def test_they_travel_both_ways(connect, interpreter):
    here = vars(sys.modules[REMOTE])
    client = connect(rpython=interpreter.path, definitions=REMOTE)
    client.execblock(DEFINITIONS)
    for source in VALUES + (PATHS if client.sys.version_info.value > (3, 4) else []):
        wanted = eval(source, here)
        del here['called'][:]
        got = client.eval('same(%s)' % source)
        assert type(got) is type(wanted), source
        # No method of theirs has run on what a server sent.
        assert here['called'] == [], source
        assert got == wanted, source
        if source.startswith('Queue'):
            assert got.maxlen == wanted.maxlen
        if source.startswith('Default'):
            assert got.default_factory is wanted.default_factory
        if source in PATHS:
            assert str(got) == str(wanted) and got.parts == wanted.parts and got / 'x' == wanted / 'x'
        assert client.whether(got, client.call('same', wanted)), source


def test_a_derived_array_is_refused_by_name_unless_it_takes_what_a_server_sends(connect, interpreter):
    definitions = (
        'import array\nclass Numbers(array.array):\n    pass\nclass Open(array.array):\n'
        '    __easycluster_untrusted_state__ = True\ndef made(kind):\n    return globals()[kind]("i", [1, 2])\n'
    )
    define_common(definitions, name='derived_arrays')
    client = connect(rpython=interpreter.path, definitions='derived_arrays')
    got = client.made('Open')
    assert type(got) is sys.modules['derived_arrays'].Open and list(got) == [1, 2]
    with pytest.raises(Refused, match=r'derived_arrays\.Numbers.*__easycluster_untrusted_state__'):
        client.made('Numbers')


def unpickle(data):
    allowed = policy.Policy((), [REMOTE])
    return unpickler.unpickle_scanned(data, allowed, lambda pid: pytest.fail('no reference'))


def test_keys_run_no_method_of_theirs():
    here = vars(sys.modules[REMOTE])
    for source in (
        "Text('a')",
        "Bytes(b'a')",
        'Integer(1)',
        'Tuple([1])',
        'Frozen([1])',
        'Fraction(1, 2)',
        'Date(2020, 1, 2)',
    ):
        key = eval(source, here)
        assert unpickle(pickle.dumps({key: 1}, 2)) == {key: 1}, source
    zone = here['Zone']()
    for key in (
        here['Moment'](2020, 1, 2, tzinfo=zone),
        here['Time'](1, tzinfo=zone),
        here['Tuple']([here['Time'](1, tzinfo=zone)]),
    ):
        data = pickle.dumps({key: 1}, 2)
        del here['called'][:]
        with pytest.raises(Refused, match='Zone as a key'):
            unpickle(data)
        assert here['called'] == []


def test_long_keys_are_counted_in_derived_classes_too():
    here = vars(sys.modules[REMOTE])
    # One long number, which is hashed for each of many keys.
    long = here['Integer'](1 << 4_000_000)
    with pytest.raises(Refused):
        unpickle(pickle.dumps([{(long, number): 1} for number in range(3000)], 2))


class Called:
    """Pickles as a call."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    'name, args',
    [
        ('Bytearray', (2**30,)), ('Bytearray', ('x', 'zip')), ('Counted', ([1],)), ('Ordered', (['ab'],)), ('Default', ([],)),
        ('Queue', ('ab', -1)), ('Queue', (2**30,)), ('Date', (2020, 1, 2)), ('Date', (b'\xff\xff\xff\xff',)), ('Span', (1.5,)),
        ('Span', (10**20,)), ('Decimal', (1,)), ('Fraction', ('1e200000000',)), ('Fraction', (1, 0)), ('Posix', (1,)),
        ('List', ([1],)), ('Integer', (1,)),
    ],
)  # fmt: skip
def test_they_are_made_of_their_content_alone(name, args):
    kind = vars(sys.modules[REMOTE])[name]
    with pytest.raises(Refused):
        unpickle(pickle.dumps(Called(kind, args)))


@pytest.mark.parametrize('kind', [pathlib.Path, pathlib.PurePath, type(pathlib.Path()), pathlib.PurePosixPath])
def test_paths_are_made_of_text_alone(kind):
    assert unpickle(pickle.dumps(Called(kind, ('a', 'b')))) == kind('a', 'b')
    with pytest.raises(Refused, match='not text'):
        unpickle(pickle.dumps(Called(kind, (1,))))
