"""Small pickles that would take years of work, and values that C makes of any bytes: days, letters and truth values that there
are not."""

from __future__ import annotations

import array
import collections
import datetime
import pickle
import re
import struct
import subprocess
import sys
import time
import traceback
import zoneinfo

import numpy
import pytest
from easycluster import Refused, _native
from easycluster._pickling import policy, unpickler


def unpickle(data):
    return unpickler.unpickle_scanned(data, policy.Policy(), references)


def references(pid):
    return ('named', pid)


class Calls:
    """Pickles as a call, with a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def text(value):
    encoded = value.encode()
    return b'X' + struct.pack('<I', len(encoded)) + encoded


def long(length):
    return b'\x8b' + struct.pack('<i', length) + b'\x7f' * length


# Sixty values, each of which holds the one before twice.
TUPLES = b')' + b'2\x86' * 60
FROZEN = (
    b'(\x91q\x000'
    + b''.join(b'(h%ch%cK\x01\x86h%ch%cK\x02\x86\x86\x91q%c0' % (n, n, n, n, n + 1) for n in range(60))
    + b'h\x3c'
)
WORK = {
    'tuples of tuples as a key': b'\x80\x04}' + TUPLES + b'Ns.',
    'among others': b'\x80\x04}(K\x01N' + TUPLES + b'Nu.',
    'of a dict at once': b'\x80\x04(' + TUPLES + b'Nd.',
    'in a set': b'\x80\x04\x8f(' + TUPLES + b'\x90.',
    'in a frozenset': b'\x80\x04(' + TUPLES + b'\x91.',
    'in a set that is called': b'\x80\x04cbuiltins\nset\n](' + TUPLES + b'e\x85R.',
    'in a frozenset that is called': b'\x80\x04cbuiltins\nfrozenset\n(' + TUPLES + b't\x85R.',
    'in an OrderedDict': b'\x80\x04ccollections\nOrderedDict\n](](' + TUPLES + b'K\x01ee\x85R.',
    'as the value of an enumeration': b'\x80\x04csignal\nSignals\n' + TUPLES + b'\x85R.',
    'frozensets of frozensets': b'\x80\x04}' + FROZEN + b'Ns.',
    'a long number again and again': b'\x80\x04' + long(1 << 20) + b'q\x000}(' + b'h\x00N' * 100_000 + b'u.',
    'in a tuple': b'\x80\x04' + long(1 << 20) + b'\x85q\x000}(' + b'h\x00N' * 100_000 + b'u.',
    'a long text compared again and again': b'\x80\x04}' + text('x' * (1 << 20)) + b'Ns'
    + text('x' * (1 << 20)) + b'q\x00Ns(' + b'h\x00N' * 500_000 + b'u.',
    'a range of long numbers': b'\x80\x04cbuiltins\nrange\n' + long(1 << 20) + b'\x85R.',
    'a step': b'\x80\x04cbuiltins\nrange\nK\x00' + long(8 << 20) + long(4 << 20) + b'\x87R.',
    'a long fraction': b'\x80\x04cfractions\nFraction\n' + long(1 << 20) + long(1 << 20) + b'\x86R\x940}(' + b'h\x00N' * 10_000
    + b'u.',
    'flags of many bits': b'\x80\x04cre\nRegexFlag\n' + long(125_000) + b'\x85R.',
    'many flags': b'\x80\x04cre\nRegexFlag\nq\x000](' + b''.join(
        b'h\x00J' + struct.pack('<i', number) + b'\x85R' for number in range(100_000)) + b'e.',
    'many zones': b'\x80\x04czoneinfo\nZoneInfo._unpickle\nq\x000](' + b''.join(
        b'h\x00' + text(name) + b'\x88\x86R0' for name in sorted(zoneinfo.available_timezones()) * 20) + b'e.',
    'many patterns': b'\x80\x04cre\n_compile\nq\x000](' + b''.join(
        b'h\x00' + text('[%d]+|x' % number * 40) + b'K\x00\x86R0' for number in range(20_000)) + b'e.',
    'many classes': b'\x80\x04](' + b''.join(
        b'(' + text('t') + text('T') + b'(' + text('f%d' % number) + b'tK\x01\x85tQ' for number in range(20_000)) + b'e.',
}  # fmt: skip


def named(pid):
    from easycluster._pickling import references as proxies

    return proxies.References.find(None, pid)[0]


SECONDS = 20
"""Far more than all the work that one pickle may take."""
TIMES = 8
"""So many times what it is counts what the package says that it does, where that is what ends it: it ends so much sooner."""


def refused_within(kind, seconds):
    begin = time.process_time()
    with pytest.raises((Refused, ValueError)):
        unpickler.unpickle_scanned(WORK[kind], policy.Policy(), named)
    assert time.process_time() - begin < seconds


def test_all_the_work_that_one_pickle_may_take_is_little():
    refused_within('in a set that is called', SECONDS)


@pytest.mark.parametrize('kind', WORK)
def test_no_pickle_takes_far_more_work_than_what_was_received(kind, monkeypatch):
    spend = _native.spend_work
    monkeypatch.setattr(_native, 'spend_work', lambda work: spend(TIMES * work))
    refused_within(kind, SECONDS / TIMES)


def test_enumerations_keep_no_more_flags_than_there_may_be():
    with pytest.raises(Refused):
        unpickle(WORK['many flags'])
    assert len(re.RegexFlag._value2member_map_) <= 5_000
    assert unpickle(pickle.dumps(re.I | re.M)) == re.I | re.M


MEMORY = """
import resource
from easycluster import Refused
from easycluster._pickling import policy, unpickler
resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28))
for one, count in [(b'\\x8f', 1_500_000), (b')\\x85', 3_000_000), (b'}', 4_000_000)]:
    try:
        unpickler.unpickle_scanned(b'\\x80\\x04](' + one * count + b'e.', policy.Policy(), None)
    except Refused as refused:
        print('memory' in str(refused))
print(len(unpickler.unpickle_scanned(b'\\x80\\x04](' + b'\\x8f' * 125_000 + b'e.', policy.Policy(), None)))
"""


def test_what_takes_more_memory_than_there_is_is_refused_before_it_is_made():
    done = subprocess.run([sys.executable, '-c', MEMORY], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ['True'] * 3 + ['125000'], done.stderr[-1000:]


def test_keys_in_proportion_pass():
    wide = tuple(range(100_000))
    shared = ('a', 'b', ('c', 1))
    for value in [
        {wide: 1, (wide, 2): 3}, [{shared: number} for number in range(20_000)], {frozenset(range(10_000)): 1},
        {frozenset([shared, (shared, 2)]): 1, 7**20_000: 2, 'x' * 1_000_000: 3}, [{'x' * 1_000_000: 1}] * 1_000,
        [range(2**70), range(-(2**64), 0, 2**10)],
        [datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo(name)) for name in sorted(zoneinfo.available_timezones())],
        [re.compile('a%d|[b-z]+' % number) for number in range(100)],
    ]:  # fmt: skip
        for protocol in (2, pickle.HIGHEST_PROTOCOL):
            assert unpickle(pickle.dumps(value, protocol)) == value


MADE_OF_BYTES = [
    Calls(datetime.date, (b'\x07\xe4\x01\xff',)),
    Calls(datetime.date, (b'\x07\xe4\x02\x1e',)),
    Calls(datetime.date, (b'\x00\x00\x01\x01',)),
    Calls(datetime.date, (b'\xff\xff\x01\x01',)),
    Calls(datetime.datetime, (b'\x07\xe4\x01\x01\x18\x00\x00\x00\x00\x00',)),
    Calls(datetime.datetime, (b'\x07\xe4\x01\x01\x00\x3c\x00\x00\x00\x00',)),
    Calls(datetime.datetime, (b'\x07\xe4\x01\x01\x00\x00\x00\xff\xff\xff', datetime.timezone.utc)),
    Calls(datetime.time, (b'\x18\x00\x00\x00\x00\x00',)),
    Calls(datetime.time, (b'\x00\x00\x00\xff\xff\xff',)),
    Calls(array._array_reconstructor, (array.array, 'u', 20, b'\xff\xff\xff\xff')),
    Calls(array.array, ('u', b'\x00\x00\x11\x00')),
]
RECONSTRUCT = numpy.zeros(1).__reduce__()[0]
SCALAR = numpy.float64(1).__reduce__()[0]
FROM_BUFFER = numpy.arange(3).__reduce_ex__(5)[0]
FIELDS = numpy.dtype([('a', 'i1'), ('b', [('c', 'U1', (2,)), ('d', '?')])])


def array_of(dtype, shape, data):
    return Calls(RECONSTRUCT, (numpy.ndarray, (0,), b'b'), (1, shape, numpy.dtype(dtype), False, data))


MADE_OF_BYTES += [
    array_of('U2', (1,), b'\0\0\0\0\0\0\x11\0'),
    array_of('>U1', (1,), b'\0\x11\0\0'),
    array_of('?', (4,), b'\0\1\2\1'),
    array_of(FIELDS, (1,), b'\0' + b'\0' * 4 + b'\xff' * 4 + b'\0'),
    array_of(FIELDS, (2,), b'\0' * 19 + b'\x80'),
    Calls(SCALAR, (numpy.dtype('U1'), b'\xff' * 4)),
    Calls(FROM_BUFFER, (b'\xff' * 4, numpy.dtype('U1'), (1,), 'C')),
]


@pytest.mark.parametrize('place', range(len(MADE_OF_BYTES)))
def test_bytes_are_those_of_a_value(place):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(Refused):
            unpickle(pickle.dumps(MADE_OF_BYTES[place], protocol))


def test_values_at_their_ends_pass():
    record = numpy.zeros(3, FIELDS)
    record['b']['c'] = '\U0010ffff'
    record['b']['d'] = True
    for value in [
        datetime.date.min, datetime.date.max, datetime.datetime.max, datetime.time.max, datetime.datetime(2020, 2, 29, fold=1),
        array.array('u', 'a\U0010ffff\ud800'),
    ]:  # fmt: skip
        assert unpickle(pickle.dumps(value)) == value
    for value in [record, numpy.array(['a', '\U0010ffff']), numpy.array(['ab']).astype('>U2'), numpy.array([True, False]),
                  numpy.zeros((0, 2), '?'), numpy.zeros((2, 3), 'U0'), numpy.zeros(2, [])]:  # fmt: skip
        for protocol in (2, pickle.HIGHEST_PROTOCOL):
            got = unpickle(pickle.dumps(value, protocol))
            assert got.dtype.newbyteorder('=') == value.dtype.newbyteorder('=') and repr(got.tolist()) == repr(
                value.tolist()
            )


def test_no_exception_lacks_what_printing_it_needs():
    for data in [
        b'\x80\x04curllib.error\nHTTPError\n)R.',
        b'\x80\x04curllib.error\nHTTPError\n)\x81.',
        b'\x80\x04curllib.error\nHTTPError\n)R}' + text('file') + text('x') + b'sb.',
    ]:
        error = unpickle(data)
        assert 'HTTPError' in ''.join(traceback.format_exception(type(error), error, None))


def test_notes_are_text_that_is_safe_to_show():
    note = b'X' + struct.pack('<I', 5) + b'a\x1b[2J'
    for notes, got in [(b'](' + note + b'K\x05e', ['a\\u{1b}[2J']), (b'K\x05', []), (note, [])]:
        error = unpickle(b'\x80\x04cbuiltins\nValueError\n)R}' + text('__notes__') + notes + b'sb.')
        assert error.__notes__ == got


def test_a_named_tuple_of_many_names_arrives():
    kinds = [collections.namedtuple('Row', ['c%d' % number]) for number in range(200)]
    assert len(kinds) == 200
    data = b'\x80\x04](' + b''.join(
        b'(' + text('t') + text('Row') + b'(' + text('c%d' % number) + b'tK\x01\x85tQ' for number in range(200)
    )
    got = unpickler.unpickle_scanned(data + b'e.', policy.Policy(), named)
    assert [row._fields for row in got] == [kind._fields for kind in kinds]
