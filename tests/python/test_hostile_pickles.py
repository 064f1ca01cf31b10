"""Pickles that did harm when CPython's unpickler, or NumPy's, took their word: each is one case of a kind."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import pickle
import resource
import subprocess
import sys
import threading
import time

import numpy
import pytest
from easycluster import Refused, _native, define_common
from easycluster._pickling import policy, unpickler

define_common('''
import collections
import enum

class Ran(object):
    what = []

def run():
    Ran.what.append('function')
    return 1

class Callable(object):
    def __call__(self, *args):
        Ran.what.append('__call__')

class WithState(object):
    def __setstate__(self, state):
        Ran.what.append('__setstate__')

class WithReduce(object):
    def __init__(self, *args):
        Ran.what.append('__init__')
    def __reduce__(self):
        return WithReduce, (1,)

class WithNew(object):
    def __new__(cls, *args):
        Ran.what.append('__new__')
        return object.__new__(cls)

class WithHash(object):
    def __hash__(self):
        Ran.what.append('__hash__')
        return 1
    def __eq__(self, other):
        Ran.what.append('__eq__')
        return True

class WithMissing(dict):
    def __missing__(self, key):
        Ran.what.append('__missing__')
    def __setitem__(self, key, value):
        Ran.what.append('__setitem__')

class WithAppend(list):
    def append(self, item):
        Ran.what.append('append')
    extend = append

class WithDel(object):
    def __del__(self):
        Ran.what.append('__del__')

class WithSetattr(object):
    def __setattr__(self, name, value):
        Ran.what.append('__setattr__')
    @property
    def attribute(self):
        Ran.what.append('property')
    @property
    def __class__(self):
        Ran.what.append('__class__')
        return tuple

class OopsWithInit(Exception):
    def __init__(self, *args):
        Ran.what.append('__init__')
    def __setstate__(self, state):
        Ran.what.append('__setstate__')

class Odd(enum.Enum):
    A = 1
    @classmethod
    def _missing_(cls, value):
        Ran.what.append('_missing_')

class Slots(object):
    __slots__ = ('a', 'b')

class Plain(object):
    pass

class Point(collections.namedtuple('Point', 'x y')):
    def __new__(cls, *args):
        Ran.what.append('__new__')
        return super(Point, cls).__new__(cls, *args)

class Willing(object):
    __easycluster_untrusted_state__ = True
    def __setstate__(self, state):
        self.state = state
        Ran.what.append('__setstate__')
    def __getstate__(self):
        return {'a': 1}
    def __hash__(self):
        return 5
    def __eq__(self, other):
        return True
''', name='hostile_definitions')  # fmt: skip

REMOTE = 'hostile_definitions'


def no_reference(pid):
    pytest.fail('no reference is expected')


def unpickle(data, allow=(), references=no_reference):
    return unpickler.unpickle_scanned(data, policy.Policy(allow, [REMOTE]), references)


@pytest.fixture
def remote():
    module = sys.modules[REMOTE]
    module.Ran.what.clear()
    return module


class Calls:
    """Pickles as a call, with a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


RECONSTRUCT = numpy.zeros(1).__reduce__()[0]
SCALAR = numpy.float64(1).__reduce__()[0]
FROM_BUFFER = numpy.arange(3).__reduce_ex__(5)[0]


def refused(*values, match=None):
    for value in values:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
            with pytest.raises((Refused, ValueError), match=match):
                unpickle(data)


# -- NumPy


def empty(kind=numpy.ndarray, shape=(0,)):
    return RECONSTRUCT, (kind, shape, b'b')


def test_an_array_is_made_only_of_parts_that_fit():
    objects_of = numpy.dtype('O')
    for state in [
        (1, (1_000_000,), objects_of, False, [None]),
        (1, (2,), objects_of, False, [None]),
        (1, (1,), objects_of, False, b'\x41' * 8),
        (1, (2,), numpy.dtype('i8'), False, b'\x41' * 8),
        (1, (-1,), numpy.dtype('i8'), False, b''),
        (1, (2**62, 4), numpy.dtype('i8'), False, b''),
        (1, (1,), numpy.dtype('i8'), False, [1]),
        (1, (1,), 'i8', False, b'\x41' * 8),
        (1, (2**40,), numpy.dtype('V0'), False, b''),
        (1, (1,), numpy.dtype([('a', 'i8'), ('b', 'O')]), False, [(Calls(int, ()), 1, 2)]),
        (),
        {'shape': (1,)},
    ]:
        refused(Calls(*empty(), state))


def test_no_constructor_leaves_memory_unset():
    for value in [
        Calls(RECONSTRUCT, (numpy.ndarray, (3601,), 'u1')),
        Calls(RECONSTRUCT, (numpy.ndarray, (3601,), b'u1'), (1, (3601,), numpy.dtype('u1'), False, b'')),
        Calls(RECONSTRUCT, (numpy.ndarray, (0,), b'b')),
        [Calls(RECONSTRUCT, (numpy.ndarray, (0,), b'b'))],
        Calls(numpy.ndarray, ((3601,),)),
        Calls(numpy.empty, (3601,)),
    ]:
        refused(value)


def twice(value):
    """A pickle whose value has its state set a second time."""
    data = pickle.dumps(value, 2)
    state = pickle.dumps((1, (1,), numpy.dtype('i8'), False, b'b' * 8), 2)[2:-1]
    assert data.endswith(b'b.')
    # The second state is written without the memo, so that its places do not count.
    plain = b'(K\x01K\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00i8\x89\x88\x87RI00\n'
    assert state
    return data[:-1] + plain + b'c_codecs\nencode\nX\x08\x00\x00\x00bbbbbbbbX\x06\x00\x00\x00latin1\x86Rtb.'


def test_a_state_is_set_once_and_before_anything_holds_the_value():
    array_of = numpy.arange(3)
    assert unpickle(pickle.dumps(array_of, 2)).tolist() == [0, 1, 2]
    refused(twice(array_of), match='twice')
    # What came from a buffer takes no state at all.
    refused(Calls(FROM_BUFFER, (b'\0' * 8, numpy.dtype('i8'), (1,), 'C'), (1, (9,), numpy.dtype('i8'), False, b'')))
    # A list holds it before it has a state.
    refused(
        b'\x80\x02]q\x00cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85X\x01\x00\x00\x00b\x87Rq\x01a0h\x01N}b.',
        match='complete',
    )


def test_a_scalar_of_an_object_is_no_way_to_have_it_changed(remote):
    refused(
        Calls(SCALAR, (numpy.dtype('O'), remote.Plain), {'attribute': 1}),
        Calls(SCALAR, (numpy.dtype('O'), [1])),
        Calls(SCALAR, (numpy.dtype([('a', 'O')]), b'\x41' * 8)),
        Calls(SCALAR, (numpy.dtype('i8'), b'\x41' * 7)),
        Calls(SCALAR, (numpy.dtype('V1000000000'), b'')),
    )
    assert not hasattr(remote.Plain, 'attribute')


def test_masked_arrays_are_made_of_parts_that_fit():
    (make, arguments, state) = numpy.ma.array([1, 2], mask=[0, 1]).__reduce__()
    for changed in [{1: (3,)}, {2: numpy.dtype('O')}, {4: b''}, {5: b'\0'}, {6: Calls(object, ())}]:
        parts = list(state)
        for place, part in changed.items():
            parts[place] = part
        refused(Calls(make, arguments, tuple(parts)))
    refused(Calls(make, arguments))


def test_numpy_data_arrives_as_it_was():
    record = numpy.array([(1, 2.5, 'x', None, [1])], [('a', '>i4'), ('b', 'f8'), ('c', 'U3'), ('d', 'O'), ('e', 'O')])
    nested = numpy.empty(3, object)
    nested[:] = [1, [2, 3], numpy.arange(2)]
    for value in [
        numpy.arange(6).reshape(2, 3), numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)), numpy.zeros((0, 3)), numpy.array(5),
        numpy.array('2020-01-02', 'M8[D]'), numpy.array(['a', 'bc']), numpy.zeros(3, []), record, nested,
        numpy.float32(1.5), numpy.datetime64('2020-01-02', 's'), numpy.str_('text'), numpy.bytes_(b'b'), numpy.bool_(True),
        numpy.zeros(1, [('a', 'i4'), ('b', 'f8')])[0], numpy.ma.array([1.5, 2.5], mask=[0, 1], fill_value=7.0),
    ]:  # fmt: skip
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            got = unpickle(pickle.dumps(value, protocol))
            assert type(got) is type(value) and got.dtype == value.dtype and repr(got) == repr(value)
            if type(got) is numpy.ndarray and not got.dtype.hasobject:
                assert got.flags.writeable and got.flags.fnc == value.flags.fnc


# -- hooks of classes


def key_of(kind):
    return b'\x80\x02}c%s\n%s\n)\x81Ns.' % (REMOTE.encode(), kind.encode())


def attempts(remote):
    """Values whose unpickling would call something of the definitions."""
    missing = collections.defaultdict(remote.run)
    yield Calls(dict, (collections.ChainMap(missing, {'k': None}),))
    yield Calls(collections.OrderedDict, (missing,))
    yield Calls(collections.defaultdict, (remote.Callable(),))
    yield Calls(remote.run, ())
    yield Calls(list, (collections.ChainMap(missing, {'k': None}),))
    for name in ('WithState', 'WithSetattr'):
        yield b'\x80\x02c%s\n%s\n)\x81}X\x01\x00\x00\x00aK\x01sb.' % (REMOTE.encode(), name.encode())
    yield b'\x80\x02c%s\nWithSetattr\n)\x81}X\x09\x00\x00\x00attributeK\x01sb.' % REMOTE.encode()
    for name in ('WithReduce', 'WithNew'):
        yield b'\x80\x02c%s\n%s\nK\x01\x85R.' % (REMOTE.encode(), name.encode())
        yield b'\x80\x02c%s\n%s\nK\x01\x85\x81.' % (REMOTE.encode(), name.encode())
    yield b'\x80\x02c%s\nWithDel\n)\x81.' % REMOTE.encode()
    for name in ('WithHash', 'WithSetattr'):
        yield key_of(name)
        yield b'\x80\x04\x8f(c%s\n%s\n)\x81c%s\n%s\n)\x81\x90.' % ((REMOTE.encode(), name.encode()) * 2)
        yield b'\x80\x04(c%s\n%s\n)\x81\x91.' % (REMOTE.encode(), name.encode())
        yield b'\x80\x02}(c%s\n%s\n)\x81K\x01\x86Nu.' % (REMOTE.encode(), name.encode())
        yield b'\x80\x02cbuiltins\nset\n](c%s\n%s\n)\x81e\x85R.' % (REMOTE.encode(), name.encode())
    yield b'\x80\x02c%s\nWithMissing\n)\x81K\x01K\x02s.' % REMOTE.encode()
    yield b'\x80\x02c%s\nWithAppend\n)\x81K\x01a(K\x01K\x02e.' % REMOTE.encode()
    yield b'\x80\x02c%s\nOopsWithInit\nK\x01\x85R}X\x01\x00\x00\x00aK\x01sb.' % REMOTE.encode()
    yield b'\x80\x02c%s\nOopsWithInit\nK\x01\x85R.' % REMOTE.encode()
    yield b'\x80\x02c%s\nOdd\nK\x05\x85R.' % REMOTE.encode()
    yield b'\x80\x02c%s\nPoint\nK\x01K\x02\x86\x81.' % REMOTE.encode()
    yield Calls(array.array, ('d', [remote.Callable()]))
    yield Calls(complex, (remote.Callable(), 1))


def test_nothing_of_the_definitions_runs_on_what_a_server_sends(remote):
    # Pickled before, because this runs some of them.
    pickled = [value if isinstance(value, bytes) else pickle.dumps(value, 4) for value in attempts(remote)]
    remote.Ran.what.clear()
    for data in pickled:
        try:
            value = unpickle(data)
        except Refused:
            continue
        finally:
            assert remote.Ran.what == [], data
        del value
        assert remote.Ran.what == [], data


def test_most_of_these_run_on_the_plain_unpickler(remote):
    """They would be worth nothing as tests if they did not."""
    ran = set()
    for value in attempts(remote):
        data = value if isinstance(value, bytes) else pickle.dumps(value, 4)
        remote.Ran.what.clear()
        try:
            del value
            pickle.loads(data)
        except Exception:
            pass
        ran.update(remote.Ran.what)
    assert ran >= {
        'function',
        '__setstate__',
        '__init__',
        '__new__',
        '__hash__',
        '__eq__',
        '__setitem__',
        '__del__',
        '_missing_',
    }


def test_plain_instances_arrive(remote):
    thing = remote.Plain()
    thing.me = thing
    thing.slots = remote.Slots()
    thing.slots.a = (1, [2])
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        got = unpickle(pickle.dumps(thing, protocol))
        assert type(got) is remote.Plain and got.me is got and got.slots.a == (1, [2]) and not hasattr(got.slots, 'b')
        error = remote.OopsWithInit('a', 2)
        error.__dict__['extra'] = 1
        assert unpickle(pickle.dumps(remote.Odd.A, protocol)) is remote.Odd.A
    remote.Ran.what.clear()
    point = unpickle(b'\x80\x02c%s\nPoint\nK\x01K\x02\x86\x81.' % REMOTE.encode())
    assert type(point) is remote.Point and point == (1, 2) and remote.Ran.what == []


def test_a_class_that_says_so_takes_what_a_server_sends(remote):
    data = pickle.dumps({remote.Willing(): 1})
    (got,) = unpickle(data)
    assert got.state == {'a': 1} and remote.Ran.what == ['__setstate__']
    with pytest.raises(Refused, match='__easycluster_untrusted_state__'):
        unpickle(key_of('WithHash'))


def same(value):
    return value


def test_what_was_looked_up_is_not_changed_by_way_of_a_call(remote):
    for change in (b'}X\x09\x00\x00\x00attributeK\x01sb.', b'K\x01a.', b'X\x01\x00\x00\x00aK\x01s.'):
        for found in (b'c%s\nPlain\n' % REMOTE.encode(), b'c%s\nOdd\nK\x01\x85R' % REMOTE.encode()):
            with pytest.raises(Refused):
                unpickle(b'\x80\x02' + found + change)
            data = b'\x80\x02c%s\nsame\n' % __name__.encode() + found + b'\x85R' + change
            with pytest.raises(Refused):
                unpickle(data, [same])
    assert not hasattr(remote.Plain, 'attribute') and not hasattr(remote.Odd.A, 'attribute')


# -- how much


def nested(step, depth, begin=b')'):
    return b'\x80\x04' + begin + step * depth


NESTS = {
    'tuples as a key': (b'\x80\x04}' + b')', b'\x85', b'Ns.'),
    'slices': (b'\x80\x04cbuiltins\nslice\nq\x000N', b'q\x01h\x00h\x01\x85R', b'.'),
    'iterators': (b'\x80\x04cbuiltins\nenumerate\nq\x000cbuiltins\niter\n]\x85R', b'q\x01h\x00h\x01\x85R', b'.'),
    'exceptions': (b'\x80\x04cbuiltins\nValueError\nq\x000N', b'q\x01h\x00h\x01\x85R', b'.'),
}


@pytest.mark.parametrize('kind', NESTS)
def test_deep_nesting_is_refused_and_what_passes_is_safe(kind):
    begin, step, end = NESTS[kind]
    for depth in (1_100, 1_000_000):
        with pytest.raises((Refused, ValueError), match='deep'):
            unpickle(begin + step * depth + end)
    outcome = []

    def use():
        # In a small stack, where hashing and freeing recurse in C.
        value = unpickle(begin + step * 450 + end)
        outcome.append(type(value))
        del value

    threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=use)
        thread.start()
    finally:
        threading.stack_size(0)
    thread.join(60)
    assert outcome


MANY = b'\x80\x04B' + (1 << 20).to_bytes(4, 'little') + b'x' * (1 << 20) + b'\x85q\x010'
AMPLIFIED = {
    'memo': b'\x80\x04Nr\x00\x00\x00\x08.',
    'bytearray': pickle.dumps(Calls(bytearray, (2**30,))),
    'bytes': pickle.dumps(Calls(bytes, (2**30,))),
    'list of a range': pickle.dumps(Calls(list, (range(2**26),))),
    'tuple of a range': pickle.dumps(Calls(tuple, (range(2**26),))),
    'set of a range': pickle.dumps(Calls(set, (range(2**26),))),
    'deque of a range': pickle.dumps(Calls(collections.deque, (range(2**26),))),
    'array of a range': pickle.dumps(Calls(array.array, ('b', range(2**26)))),
    'Fraction': pickle.dumps(Calls(fractions.Fraction, ('1e200000000',))),
    'Fraction of long text': pickle.dumps(Calls(fractions.Fraction, ('7' * 1_000_000,))),
    'int of text': pickle.dumps(Calls(int, ('7' * 1_000_000,))),
    'int by an instruction': b'I' + b'7' * 1_000_000 + b'\n.',
    'Fraction of a float': pickle.dumps(Calls(fractions.Fraction, (5e-324,))),
    'Fraction of a Decimal': pickle.dumps(Calls(fractions.Fraction, (decimal.Decimal('1e99999999'),))),
    'int of a Decimal': pickle.dumps(Calls(int, (decimal.Decimal('1e99999999'),))),
    'one buffer copied again and again': MANY + b'](' + b'cbuiltins\nbytearray\nq\x02h\x01R' + b'h\x02h\x01R' * 1000 + b'e.',
    'array copied again and again': b'\x80\x04cbuiltins\nlist\nq\x000](' + b'K\x01' * (1 << 20) + b'e\x85q\x010]('
    + b'h\x00h\x01R' * 1000 + b'e.',
    'dtype': pickle.dumps(Calls(numpy.dtype, ('i4,' * 100_000,))),
    'shape': pickle.dumps(Calls(*empty(), (1, (2**33,), numpy.dtype('u1'), False, b''))),
    'subarray': pickle.dumps(Calls(*empty(), (1, (1,), numpy.dtype(('u1', (2**20,))), False, b''))),
}  # fmt: skip


@pytest.mark.parametrize('kind', AMPLIFIED)
def test_no_constructor_makes_far_more_than_was_received(kind):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    with pytest.raises((Refused, ValueError)):
        unpickle(AMPLIFIED[kind])
    assert time.process_time() - begin < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


def test_large_parts_in_proportion_pass():
    for value in [
        fractions.Fraction(3**5000, 2**5000), decimal.Decimal('1e99999999'), 7**100_000, bytearray(5_000_000), set(range(100_000)),
        array.array('d', range(100_000)), collections.deque(range(10), 2**62), [datetime.date(2020, 1, 2)] * 100_000,
    ]:  # fmt: skip
        if not (isinstance(value, fractions.Fraction) and sys.version_info < (3, 12)):
            assert unpickle(pickle.dumps(value)) == value


def test_what_was_allowed_before_the_class_was_changed_is_asked_anew(remote):
    """What decides over a class is looked at each time, as definitions may change."""
    data = pickle.dumps(remote.Plain())
    assert type(unpickle(data)) is remote.Plain
    remote.Plain.__setstate__ = lambda self, state: remote.Ran.what.append('__setstate__')
    try:
        with pytest.raises(Refused):
            unpickle(b'\x80\x02c%s\nPlain\n)\x81}X\x01\x00\x00\x00aK\x01sb.' % REMOTE.encode())
    finally:
        del remote.Plain.__setstate__
    assert remote.Ran.what == []


def test_a_process_that_takes_them_dies():
    """The attacks on NumPy are worth nothing as tests if it refused them by itself."""
    data = pickle.dumps(Calls(*empty(), (1, (1_000_000,), numpy.dtype('O'), False, [None])))
    program = (
        'import pickle, sys\n'
        'array = pickle.loads(sys.stdin.buffer.read())\n'
        'print(len(array), flush=True)\n'
        'for place in range(len(array)):\n'
        '    repr(array[place])\n'
    )
    done = subprocess.run([sys.executable, '-c', program], input=data, capture_output=True, timeout=60)
    assert done.returncode != 0


def test_text_of_a_server_in_a_refusal_is_visible():
    with pytest.raises(Refused) as raised:
        unpickle(b'\x80\x04\x8c\x05a\x1b[2J\x8c\x03b\rc\x93.')
    assert '\x1b' not in str(raised.value) and '\r' not in str(raised.value) and 'u{1b}' in str(raised.value)
    assert _native.printable('a\x1b\u202e\n\ud800') == 'a\\u{1b}\\u{202e}\n\\ud800'
