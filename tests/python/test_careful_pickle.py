"""States that would do harm as they come: NumPy's data types, members of enumerations, bases of instances."""

from __future__ import annotations

import copyreg
import datetime
import enum
import operator
import os
import pickle
import re
import subprocess
import sys
import uuid

import easycluster
import numpy
import pytest
from easycluster import Refused, define_common
from easycluster._pickling import policy, unpickler

define_common('''
import enum

class CarefulColor(enum.Enum):
    RED = 1
    GREEN = 2

class CarefulFlag(enum.IntFlag):
    A = 1
    B = 2

class CarefulCommand(object):
    ran = []
    def __init__(self, command='default'):
        CarefulCommand.ran.append(command)

class CarefulList(list):
    pass
''', name='careful_definitions')  # fmt: skip

REMOTE = 'careful_definitions'


def unpickle(data, buffers=()):
    allowed = policy.Policy((), [REMOTE])
    if not buffers:
        return unpickler.unpickle_scanned(data, allowed, lambda pid: pytest.fail('no reference is expected'))
    uses = easycluster._native.scan_pickle(data)
    return unpickler.unpickle(data, buffers, uses, allowed, None)


class Pickled:
    """Pickles as the call of a function, with a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def array_of(dtype, data=b'\x41' * 8):
    reconstruct = numpy.zeros(1).__reduce__()[0]
    return Pickled(reconstruct, (numpy.ndarray, (0,), b'b'), (1, (1,), dtype, False, data))


def dtype_of(code, *state):
    return Pickled(numpy.dtype, (code, False, True), state)


OBJECT = numpy.dtype('O')
INT = numpy.dtype('i8')
BAD_TYPES = {
    'objects in a field, with flags that say there are none': (3, '|', None, ('a',), {'a': (OBJECT, 0)}, 8, 1, 0),
    'a field behind the end': (3, '|', None, ('a',), {'a': (INT, 1 << 28)}, 8, 1, 0),
    'a field before the start': (3, '|', None, ('a',), {'a': (INT, -8)}, 8, 1, 0),
    'more than there is room for': (3, '|', (INT, (1 << 26,)), None, None, 8, 1, 0),
    'objects in more than there is room for': (3, '|', (OBJECT, (1 << 26,)), None, None, 8, 1, 0),
    'a part that is not a type': (3, '|', None, ('a',), {'a': ('O', 0)}, 8, 1, 0),
    'a name without a field': (3, '|', None, ('a',), {}, 8, 1, 0),
    'fields without names': (3, '|', None, None, {'a': (OBJECT, 0)}, 8, 1, 0),
    'an old version': (0, '|', None, ('a',), {'a': (OBJECT, 0)}, 8),
    'a state that is short': (3,),
    'a size that is none': (3, '|', None, ('a',), {'a': (INT, 0)}, -1, 1, 0),
}


def test_numbers_of_numpy_are_keys(connect):
    counted = "dict(zip(*__import__('numpy').unique([3, 1, 3], return_counts=True)))"
    got = connect().eval(counted)
    assert got == {1: 1, 3: 2} and {type(key) for key in got} == {numpy.int64}
    for key in (numpy.float32(1.5), numpy.str_('a'), numpy.bool_(True), numpy.datetime64('2020-01-01'), numpy.uint8(3)):
        assert unpickle(pickle.dumps({key: 1, (key, 'x'): 2})) == {key: 1, (key, 'x'): 2}
    # One that has parts is none.
    structures = numpy.zeros(1, [('a', 'i4')])
    structures.flags.writeable = False
    with pytest.raises(Refused):
        unpickle(pickle.dumps({structures[0]: 1}))


@pytest.mark.parametrize('kind', BAD_TYPES)
@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_types_with_a_false_state_are_refused(kind, protocol):
    dtype = dtype_of('V8', *BAD_TYPES[kind])
    for value in (dtype, array_of(dtype), [array_of(dtype)]):
        with pytest.raises(Refused):
            unpickle(pickle.dumps(value, protocol))


def test_objects_whose_flags_are_hidden_do_not_become_pointers():
    for flags in (0, 0x10, 0x3E):
        dtype = dtype_of('O8', 3, '|', None, None, None, -1, -1, flags)
        for value in (dtype, array_of(dtype)):
            with pytest.raises(Refused):
                unpickle(pickle.dumps(value))
    with pytest.raises(Refused, match='state that is none'):
        # Bytes are not objects with the right flags either.
        unpickle(pickle.dumps(array_of(OBJECT)))
    scalar = numpy.float64(1).__reduce__()[0]
    with pytest.raises(Refused):
        bad = dtype_of('V8', *BAD_TYPES['objects in a field, with flags that say there are none'])
        unpickle(pickle.dumps(Pickled(scalar, (bad, b'\x41' * 8))))


def test_false_types_end_a_process_that_takes_them():
    """The attack is worth nothing as a test if NumPy refused it by itself."""
    program = (
        'import pickle, sys\n'
        'array = pickle.loads(sys.stdin.buffer.read())\n'
        'print(array.dtype.hasobject, flush=True)\n'
        'print(array["a"][0])\n'
    )
    data = pickle.dumps(array_of(dtype_of('V8', *BAD_TYPES['objects in a field, with flags that say there are none'])))
    done = subprocess.run([sys.executable, '-c', program], input=data, capture_output=True, timeout=60)
    assert done.stdout.startswith(b'False') and done.returncode < 0


GOOD_TYPES = [
    'i4', '>i4', '<f8', '>f8', '?', 'c16', 'S5', 'U3', '>U3', 'V7', 'O', 'M8[us]', 'm8[D]', '>M8[25s]', 'M8', 'm8',
    [('x', 'i4'), ('y', '>f8')],
    [('x', 'i4'), ('inner', [('a', 'O'), ('b', 'S3')])],
    [('matrix', 'f4', (2, 3)), ('when', 'M8[ns]')],
    [(('a title', 'x'), 'i4'), ('y', 'f8')],
    {'names': ['a', 'b'], 'formats': ['i1', 'i8'], 'offsets': [3, 16], 'itemsize': 40},
    {'names': ['a', 'b'], 'formats': ['i4', 'i2'], 'offsets': [0, 2]},
    [],
]  # fmt: skip


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('spec', GOOD_TYPES, ids=str)
def test_data_types_arrive(spec, protocol):
    for dtype in (
        numpy.dtype(spec),
        numpy.dtype((spec, (2,))),
        numpy.dtype([('only', spec)]),
        numpy.dtype([('a', spec)], align=True),
    ):
        if dtype.isalignedstruct and spec == [] and numpy.__version__ < '2':
            # NumPy 1 crashes where it makes it of its parts.
            with pytest.raises(pickle.UnpicklingError):
                unpickle(pickle.dumps(dtype, protocol))
            continue
        got = unpickle(pickle.dumps(dtype, protocol))
        assert got == dtype and got.__reduce__() == dtype.__reduce__() and got.isalignedstruct == dtype.isalignedstruct
    array = numpy.zeros(3, spec)
    data = pickle.dumps([array, array, array[:1]], protocol)
    got = unpickle(data)
    # As the plain unpickler has it, which turns foreign byte orders into this machine's.
    # NumPy 1.26 divides by zero where items have no bytes.
    expected = pickle.loads(data) if array.dtype.itemsize else [array, array, array[:1]]
    assert got[0] is got[1]
    for arrived, plain in zip(got, expected):
        assert (
            arrived.dtype == plain.dtype and repr(arrived.tolist()) == repr(plain.tolist()) and arrived.flags.writeable
        )


def test_data_types_with_metadata_and_alignment_arrive():
    for dtype in (
        numpy.dtype('i4', metadata={'unit': 'm'}),
        numpy.dtype([('a', 'i1'), ('b', 'i8')], align=True),
        numpy.dtype('M8[us]', metadata={'zone': 'UTC'}),
        numpy.dtype([('a', 'i1')], metadata={1: 2}),
    ):
        got = unpickle(pickle.dumps(dtype, 4))
        assert got == dtype and got.metadata == dtype.metadata and got.isalignedstruct == dtype.isalignedstruct


def test_arrays_arrive_with_buffers_beside_the_pickle():
    for array in (numpy.arange(1000.0), numpy.zeros(5, [('x', 'i4'), ('y', 'O')]), numpy.array(['a', None], object)):
        buffers = []
        data = pickle.dumps([array, {'k': array}], 5, buffer_callback=buffers.append)
        got = unpickle(data, [bytearray(buffer.raw()) for buffer in buffers])
        assert got[0] is got[1]['k'] and got[0].dtype == array.dtype and got[0].tolist() == array.tolist()


def test_references_are_received_once_where_the_pickle_is_read_twice(client):
    client.execblock('''
import numpy, weakref
alive = weakref.WeakSet()
class Thing(ServerObject):
    def __init__(self):
        alive.add(self)
def mixed():
    thing = Thing()
    return [thing, thing, numpy.arange(3), thing, numpy.zeros(1, [("a", "O")]), Thing()]
''')
    for _ in range(3):
        got = client.mixed()
        assert got[0] is got[1] is got[3] is not got[5] and got[2].tolist() == [0, 1, 2]
        assert client.call('len', got[:2]) == 2
        oid = got[0].proxy_object_id
        assert client._references._refs[oid].times == 3
    del got
    client.eval('1')
    assert client.eval('len(alive)') == 0


def test_members_of_enumerations_arrive_and_are_not_changed():
    remote_code = sys.modules[REMOTE]

    red = remote_code.CarefulColor.RED
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in (
            red,
            remote_code.CarefulFlag.A | remote_code.CarefulFlag.B,
            uuid.UUID(int=5),
            remote_code.CarefulColor,
        ):
            assert unpickle(pickle.dumps([value, value], protocol)) == [value, value]
        with pytest.raises(Refused, match='changes'):
            unpickle(pickle.dumps(Pickled(remote_code.CarefulColor, (1,), {'_value_': 7}), protocol))
        with pytest.raises(Refused, match='changes'):
            unpickle(pickle.dumps(Pickled(uuid.SafeUUID, (0,), {'_value_': 7}), protocol))
        # The way of some releases of 3.11.
        assert unpickle(pickle.dumps(Pickled(getattr, (remote_code.CarefulColor, 'RED')), protocol)) is red
        flags = (remote_code.CarefulFlag.A, remote_code.CarefulFlag.B)
        assert unpickle(pickle.dumps(Pickled(operator.or_, flags), protocol)) is flags[0] | flags[1]
        for pair in [(1, 2), ({1: 1}, {2: 2}), (flags[0], 1), (flags[0], remote_code.CarefulColor.RED)]:
            with pytest.raises(Refused, match='asked for'):
                unpickle(pickle.dumps(Pickled(operator.or_, pair), protocol))
        for owner, name in [(remote_code.CarefulColor, '__class__'), (int, 'real'), (red, 'value')]:
            with pytest.raises(Refused):
                unpickle(pickle.dumps(Pickled(getattr, (owner, name)), protocol))
        with pytest.raises(Refused, match='changes'):
            unpickle(pickle.dumps(Pickled(getattr, (remote_code.CarefulColor, 'RED'), {'_value_': 7}), protocol))
    assert red.value == 1 and isinstance(red, enum.Enum)


def test_instances_are_made_by_way_of_built_in_bases_only():
    remote_code = sys.modules[REMOTE]

    command = remote_code.CarefulCommand
    with pytest.raises(Refused):
        unpickle(pickle.dumps(Pickled(copyreg._reconstructor, (command, command, 'x'))))
    # It works on the plain unpickler.
    pickle.loads(pickle.dumps(Pickled(copyreg._reconstructor, (command, command, 'x'))))
    assert command.ran == ['x']
    command.ran.clear()
    for protocol in (0, 1, 2):
        got = unpickle(pickle.dumps(remote_code.CarefulList([1, 2]), protocol))
        assert type(got) is remote_code.CarefulList and got == [1, 2]
    assert command.ran == []


def test_iterators_are_remade_of_plain_data_only():
    remote_code = sys.modules[REMOTE]

    for value in (iter, reversed, enumerate, zip):
        with pytest.raises(Refused):
            unpickle(pickle.dumps(Pickled(value, (remote_code.CarefulList([1]),))))
    with pytest.raises(Refused):
        unpickle(pickle.dumps(Pickled(iter, (remote_code.CarefulCommand, None))))
    with pytest.raises(Refused):
        unpickle(pickle.dumps(map(os.system, ['true'])))
    assert next(unpickle(pickle.dumps(iter([datetime.date(2020, 1, 2)])))) == datetime.date(2020, 1, 2)


def test_every_way_to_write_the_name_is_noticed():
    """A name in escapes, which no search for its text finds."""
    dtype = dtype_of('V8', *BAD_TYPES['objects in a field, with flags that say there are none'])
    data = pickle.dumps(array_of(dtype), 4)
    text = b'\x8c\x05numpy'
    assert text in data
    hidden = re.sub(re.escape(text), b'V\\\\u006eumpy\n', data).replace(data[2:11], b'', 1)
    assert pickle.loads(hidden).dtype.names == ('a',)
    with pytest.raises(Refused):
        unpickle(hidden)
