"""Mutates pickles with NumPy's data and instances of definitions, and unpickles what comes of it as what a server sent.

    python tests/python/fuzz_pickles.py [COUNT] [SEED]

Ends with an error if anything of the definitions ran, a looked-up class changed, a proxy was asked, or memory grew beyond what was
received; a crash ends it by itself, and the pickle that was on is in the file that it names at the start.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import io
import ipaddress
import os
import pathlib
import pickle
import pickletools
import random
import resource
import sys
import tempfile
import uuid
import warnings

import numpy
from easycluster import define_common
from easycluster._pickling import policy, unpickler
from easycluster._shared import objects

define_common('''
import collections, datetime, decimal, enum, fractions, pathlib

class FuzzRan(object):
    what = []

def fuzz_run(*args):
    FuzzRan.what.append('function')

class FuzzThing(object):
    pass

class FuzzSlots(object):
    __slots__ = ('a', 'b')

class FuzzList(list):
    def append(self, item):
        FuzzRan.what.append('append')

class FuzzHooks(object):
    def hook(self, *args):
        FuzzRan.what.append('hook')
        return 1
    __init__ = __setstate__ = __call__ = __hash__ = __eq__ = __del__ = __iter__ = __len__ = __index__ = __setattr__ = hook
    __float__ = __bool__ = __getitem__ = __setitem__ = __missing__ = __array__ = hook
    __reduce__ = object.__reduce__

class FuzzOops(Exception):
    def __init__(self, *args):
        FuzzRan.what.append('__init__')

class FuzzColor(enum.Enum):
    RED = 1
    BLUE = (2, 3)

# Of each class that values are derived from, one that replaces what Python and the decoder may call or look at.
called = '__init__ __call__ __hash__ __eq__ __lt__ __iter__ __len__ __index__ __int__ __float__ __str__ __bool__ __contains__ ' \
    '__getitem__ __setitem__ __missing__ __setattr__ __getattr__ append extend update add keys items replace utcoffset fromutc'
looked = '__class__ __dict__ __fspath__ _fields _field_defaults numerator denominator real imag _ip _version network_address netmask ' \
    '__array_interface__ parser _flavour'
# Without those by which it would be no key.
keyed = called.replace('__hash__ __eq__', '') + ' as_integer_ratio __array__ __array_ufunc__'
bases = [
    object, bytes, bytearray, str, int, float, complex, list, tuple, dict, set, frozenset, collections.OrderedDict,
    collections.defaultdict, collections.Counter, collections.deque, collections.UserDict, collections.UserList,
    collections.ChainMap, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal,
    fractions.Fraction, pathlib.PurePosixPath, pathlib.PosixPath, collections.namedtuple('pair', 'a b'),
]
for base in bases:
    for number, names in enumerate((called, looked, keyed, '__getattribute__', '')):
        hooks = dict.fromkeys(names.split(), FuzzHooks.hook)
        if names is looked:
            hooks = dict.fromkeys(hooks, property(FuzzHooks.hook))
        name = 'Fuzz_%s_%d' % (base.__name__, number)
        globals()[name] = type(name, (base,), dict(hooks, __module__=__name__))
''', name='fuzz_definitions')  # fmt: skip

REMOTE = 'fuzz_definitions'
# What a mutant of a few hundred bytes may add to the memory that the process has at most, in KiB.
MOST_GROWTH = 200 * 1024


class Asked(Exception):
    pass


class Connection:
    peername = 'fuzz'
    requests = 0

    def send_request(self, *args, **options):
        Connection.requests += 1
        raise Asked


class Reference:
    """Pickles as a proxy."""


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return ('r', 1, 1) if isinstance(value, Reference) else None


def pickled(value, protocol):
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def seeds():
    """Pickles to begin with."""
    module = sys.modules[REMOTE]
    thing = module.FuzzThing()
    thing.me, thing.parts = thing, [1, (2, {'k': thing})]
    slots = module.FuzzSlots()
    slots.a = {1: 2}
    record = numpy.array([(1, 2.5, None)], [('a', 'i4'), ('b', '>f8'), ('c', 'O')])
    nested = numpy.empty(2, object)
    nested[:] = [numpy.arange(2), [1]]
    values = [
        numpy.arange(6).reshape(2, 3), numpy.array(['ab', 'c']), record, nested, numpy.float64(1.5), numpy.dtype('M8[us]'), record.dtype,
        numpy.ma.array([1, 2], mask=[0, 1]), numpy.array('2020-01-02', 'M8[D]'), numpy.asfortranarray(numpy.ones((2, 2))),
        numpy.dtype(('i4', (2, 3))), numpy.array([1, None], object), [numpy.zeros(2)] * 2,
        thing, slots, module.FuzzList(), module.fuzz_run, module.FuzzHooks, module.FuzzColor.RED, module.FuzzColor.BLUE,
        collections.defaultdict(module.fuzz_run, {1: 2}), collections.OrderedDict(a=1), collections.deque([1, 2], 5),
        collections.Counter('aab'), {frozenset([1, 2]): {3}}, fractions.Fraction(1, 3), decimal.Decimal('1e5'), uuid.UUID(int=5),
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), array.array('d', [1.5]), iter([1, 2]), range(5), ValueError('a'),
        OSError(2, 'no'), [Reference(), {'r': Reference()}], (Reference(), numpy.arange(2)), bytearray(b'abc'), 2**100, slice(1, 2),
    ]  # fmt: skip
    found = []
    for value in values:
        for protocol in (2, 3, 4, 5):
            found.append(pickled(value, protocol))
    found += derived_seeds(module.bases)
    for name in (b'FuzzHooks', b'FuzzOops', b'FuzzThing', b'FuzzColor', b'fuzz_run'):
        full = b'c%s\n%s\n' % (REMOTE.encode(), name)
        found += [
            b'\x80\x02' + full + rest
            for rest in (b')R.', b')\x81.', b')\x81}b.', b')\x81K\x01\x85b.', b'K\x01\x85R}b.')
        ]
        found += [b'\x80\x02}' + full + b')\x81Ns.', b'\x80\x04\x8f(' + full + b')\x81\x90.']
    return found


def derived_seeds(bases):
    """Pickles of plain values in which the class is one of the definitions."""
    pair = bases[-1]
    values = [
        b'ab', bytearray(b'ab'), 'ab', 5, 1.5, 1j, [1], (1, 2), {1: 2}, {1}, frozenset([1]), collections.OrderedDict(a=1),
        collections.defaultdict(list, a=1), collections.Counter('aab'), collections.deque([1, 2], 5), collections.UserDict(a=1),
        collections.UserList([1]), collections.ChainMap({1: 2}), datetime.date(2020, 1, 2), datetime.timedelta(1, 2, 3),
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), datetime.time(1, 2), decimal.Decimal('1.5'),
        fractions.Fraction(1, 3), pathlib.PurePosixPath('/a/b'), pathlib.PosixPath('/a'), pair(1, 2),
    ]  # fmt: skip
    found = []
    for base in bases:
        value = next((value for value in values if type(value) is base), None)
        for number in range(5):
            kind = b'c%s\nFuzz_%s_%d\n' % (REMOTE.encode(), base.__name__.encode(), number)
            plain = pickled(tuple(value) if base is pair else value, 2)[2:-1]
            found += [
                b'\x80\x02' + kind + rest + b'.'
                for rest in (b')R', b')\x81', b')\x81}b', plain + b'\x85R', plain + b'\x85\x81')
            ]
            if value is not None and type(value).__module__ != 'builtins' and pair is not base:
                module, name = type(value).__module__.encode(), base.__name__.encode()
                for protocol in (0, 2):
                    whole = pickled(value, protocol).replace(b'c%s\n%s\n' % (module, name), kind)
                    if kind in whole:
                        # Also as what is hashed, compared and held by others.
                        bare = whole[2 * (protocol > 0) : -1]
                        found += [
                            b'\x80\x02' + rest for rest in (bare + b'.', b'}' + bare + b'Ns.', b']' + bare + b'a.')
                        ]
    return found + key_seeds()


def key_seeds():
    """Pickles of keys that are compared with each other, as their hash is the same, some with attributes that comparison may ask."""
    seen = [
        fractions.Fraction(5),
        decimal.Decimal(5),
        5.0,
        numpy.float64(5),
        numpy.int64(5),
        ipaddress.IPv4Network('0.0.0.5/32'),
    ]
    module = b'c%s\n' % REMOTE.encode()
    names = (
        'numerator',
        'as_integer_ratio',
        '_ip',
        '_version',
        'network_address',
        'netmask',
        '__array__',
        '__array_interface__',
    )
    state = b'}(' + b''.join(
        b'X%c\0\0\0%s' % (len(name), name.encode()) + module + b'Fuzz_object_0\n)\x81' for name in names
    ) + b'ub'  # fmt: skip
    found = []
    for one in seen:
        plain = pickletools.optimize(pickled(one, 2))[2:-1]
        for base, value in (
            ('int', hash(one)),
            ('float', float(hash(one))),
            ('Decimal', str(hash(one))),
            ('Fraction', str(hash(one))),
        ):
            content = pickletools.optimize(pickled(value, 2))[2:-1] + b'\x85'
            for number in range(5):
                kind = module + b'Fuzz_%s_%d\n' % (base.encode(), number)
                for how in (b'R', b'\x81'):
                    for rest in (b'', state):
                        other = kind + content + how + rest
                        found += [
                            b'\x80\x02}' + plain + b'Ns' + other + b'Ns.',
                            b'\x80\x02}' + other + b'Ns' + plain + b'Ns.',
                        ]
                        # With the state behind it.
                        found.append(b'\x80\x02}' + kind + content + how + b'q\0Nsh\0' + rest + b'0' + plain + b'Ns.')
    return found


INTERESTING = [
    bytes([code])
    for code in b'.(012NbdeaghijlopqrstuR}]Q)' + bytes(range(0x80, 0x99))
] + [b'\xff\xff\xff\xff', b'\x00\x00\x00\x80', b'h\x00', b'h\x01', b'h\x02', b'h\x03', b'h\x05', b')R', b'\x85R', b'}b', b'\x94', b'2']  # fmt: skip


def mutated(source, others, chance):
    """A pickle with some changes."""
    data = bytearray(source)
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[place % len(data)] = chance.randrange(256)
        elif kind == 1:
            data[place:place] = chance.choice(INTERESTING)
        elif kind == 2:
            del data[place : place + chance.randrange(1, 6)]
        elif kind == 3:
            other = chance.choice(others)
            begin = chance.randrange(len(other))
            data[place:place] = other[begin : begin + chance.randrange(1, 60)]
        elif kind == 4:
            end = place + chance.randrange(1, 40)
            data[place:place] = data[place:end]
        elif kind == 5 and data:
            at = place % len(data)
            data[at : at + 1] = chance.choice(INTERESTING)
        else:
            other = chance.choice(others)
            # The whole value of another one.
            data[place:place] = other[2:-1]
    return bytes(data)


def use(value):
    """Touches what arrived as those do that show it: with NumPy, memory that is not the value's own would show."""
    if type(value) is numpy.ndarray and value.dtype.hasobject:
        for item in value.ravel().tolist():
            type(item)
    elif type(value) is numpy.ndarray:
        value.tobytes()
    elif type(value) in (list, tuple):
        for item in value:
            if type(item) is numpy.ndarray:
                use(item)


def run(count, seed):
    """Unpickles so many mutants; gives how many of them arrived."""
    chance = random.Random(seed)
    begin = seeds()
    known = list(begin)
    module = sys.modules[REMOTE]
    state = {name: dict(vars(value)) for name, value in vars(module).items() if isinstance(value, type)}
    kind = objects.make_proxy_class(
        'Thing',
        ('__iter__', '__len__', '__hash__', '__eq__', '__getitem__', '__bool__', '__index__'),
        ('@auto',),
        (),
        'easycluster',
    )
    proxy = kind(Connection(), 1)
    allowed = policy.Policy((), [REMOTE])
    current = tempfile.NamedTemporaryFile(prefix='fuzz_pickles_', delete=False)  # noqa: SIM115
    print('the pickle that is on: %s' % current.name, flush=True)
    arrived = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        data = begin[number] if number < len(begin) else mutated(chance.choice(known), begin, chance)
        current.seek(0)
        current.truncate()
        current.write(data)
        current.flush()
        module.FuzzRan.what.clear()
        try:
            value = unpickler.unpickle_scanned(data, allowed, lambda pid: proxy)
        except Exception:
            pass
        else:
            arrived += 1
            use(value)
            if len(data) < 600 and chance.randrange(8) == 0 and len(known) < 5000:
                known.append(data)
            del value
        assert not module.FuzzRan.what, (module.FuzzRan.what, data)
        assert not Connection.requests, data
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < MOST_GROWTH, (grown, data)
    current.close()
    os.unlink(current.name)
    for name, had in state.items():
        assert {key: value for key, value in vars(getattr(module, name)).items() if key in had} == had, name
        assert set(vars(getattr(module, name))) == set(had), name
    assert module.FuzzColor.RED.value == 1 and isinstance(module.FuzzColor.RED, enum.Enum)
    return arrived


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print('%d of %d arrived' % (run(COUNT, SEED), COUNT))
