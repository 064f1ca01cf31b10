"""Much at once: calls by the hundred thousand, a gigabyte in one value, arrays without copies of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest
from support.interpreters import interpreters
from support.parts import need

MIB = 1 << 20


def test_100000_calls_before_the_first_answer_is_read(connect):
    client = connect('ssh')
    responses = [client.call('abs', -number, nonblocking=True) for number in range(100000)]
    assert [response.wait() for response in responses] == list(range(100000))


# One after the other, because a machine may not have the memory for both.
@pytest.mark.xdist_group('memory')
def test_a_gigabyte_as_one_argument(connect):
    client = connect('ssh')
    data = bytes(1024 * MIB)
    assert client.call('len', data) == len(data)


@pytest.mark.xdist_group('memory')
def test_more_than_two_gigabytes_as_one_value(connect):
    client = connect('local')
    size = (2 << 30) + 5
    assert client.call('len', bytes(size)) == size


def test_arrays_go_both_ways_and_can_be_written_to(connect, way):
    client = connect(way)
    array = numpy.arange(4 * MIB, dtype='f8').reshape(1024, -1)
    client.execblock('import numpy\ndef double(array):\n    array *= 2\n    return array\n')
    result = client.double(array)
    assert result.flags.writeable and numpy.array_equal(result, array * 2)
    assert client.call('numpy.sum', array) == array.sum()
    # A view that is not contiguous, and many at once.
    assert numpy.array_equal(client.double(array[:, ::2]), array[:, ::2] * 2)
    many = client.call('list', [array] * 3)
    assert len(many) == 3 and many[0] is many[1]


def peak():
    """The most memory that this process has had at once, in KiB."""
    (line,) = [line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM:')]
    return int(line.split()[1])


def test_a_large_array_is_not_held_twice_here(connect):
    client = connect('local')
    client.import_module('numpy')
    array = numpy.zeros(256 * MIB, dtype='u1')
    client.call('len', array[:100])
    # The most so far, which other tests of this process have driven up, begins again.
    Path('/proc/self/clear_refs').write_text('5')
    before = peak()
    assert client.call('len', array) == len(array)
    grown = (peak() - before) // 1024
    assert grown < 128, '%d MiB more for an array of 256 MiB' % grown


TYPES = [
    None, True, 0, 2**100, -(2**70), 1.5, 'text', 'hällo €', b'', b'bytes \xff', (1, 'a'), [1, [2]], {1, 2}, frozenset('ab'),
    {'a': {1: None}}, bytearray(b'x'), 1j,
]  # fmt: skip


def test_types_between_versions(connect, interpreter):
    """docs/types.md says what becomes of what; here Python 3 and 2 exchange each of them both ways."""
    client = connect(rpython=interpreter.path)
    client.execblock('def echo(value):\n    return value\ndef kind(value):\n    return type(value).__name__\n')
    two = {'str': 'unicode', 'bytes': 'str'}
    for value in TYPES:
        got = client.echo(value)
        if interpreter.version[0] == 2 and type(value) is bytes:
            # Bytes are str there, and a str that is text comes back as text.
            assert got == (value if b'\xff' in value else value.decode())
        else:
            assert got == value and type(got) is type(value)
        expected = type(value).__name__
        if interpreter.version[0] == 2:
            expected = two.get(expected, expected)
            if type(value) is int and abs(value) >= 1 << 63:
                expected = 'long'
        assert client.kind(value) == expected, value


def test_what_python_2_makes_comes_without_surprises(connect, sshd):
    old = need('python2', [entry for entry in interpreters() if entry.version[0] == 2])
    client = connect(rpython=old[0].path)
    assert client.os.getcwd().startswith('/')
    assert client.eval("'plain'") == 'plain'
    assert client.eval(r"'h\xc3\xa4llo'") == 'hällo'
    assert client.eval(r"'\xff\x00'") == b'\xff\x00'
    assert client.eval(r"['a', '\xff', {'k': ('\xfe', 1)}]") == ['a', b'\xff', {'k': (b'\xfe', 1)}]
    assert client.eval(r"bytearray('\xff\x00')") == bytearray(b'\xff\x00')
    assert client.eval("u'\\u20ac'") == '€'
    assert client.eval('set([1, 2])') == {1, 2}
    assert client.eval('2 ** 80') == 2**80
    assert client.eval('{"a": [1L, (2.5, None)]}') == {'a': [1, (2.5, None)]}
    assert client.eval("__import__('datetime').date(2020, 1, 2)").isoformat() == '2020-01-02'
    assert list(client.eval('xrange(3)')) == [0, 1, 2]
    assert sys.version_info[0] == 3
