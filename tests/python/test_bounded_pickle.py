"""What decoding a server's pickle may take is settled before it is decoded: depth, memo, and the names of requests' kinds."""

from __future__ import annotations

import pickle
import pickletools

import pytest
from easycluster import _kinds, _native

DEPTH = 1_000


def nested(depth: int) -> bytes:
    """A tuple in a tuple and so on, as the key of a dictionary."""
    return b'\x80\x04})' + b'\x85' * (depth - 1) + b'Ns.'


def test_what_is_nested_too_deep_is_refused_before_it_is_decoded():
    assert _native.scan_pickle(nested(DEPTH - 1)) is None
    # What passes can be hashed and freed.
    assert len(pickle.loads(nested(DEPTH - 1))) == 1
    for depth in (DEPTH + 1, 1_000_000):
        with pytest.raises(ValueError, match='too deep'):
            _native.scan_pickle(nested(depth))


@pytest.mark.parametrize(
    'hostile',
    [
        b'\x80\x04Nr\x00\x00\x00\x08.',
        b'\x80\x04Nr\xff\xff\xff\xff.',
        b'Np134217728\n.',
        b'\x80\x04Nq\x02.',
        b'\x80\x04h\x05.',
    ],
)
def test_a_memo_out_of_order_is_refused_before_it_is_decoded(hostile):
    with pytest.raises(ValueError, match='memo is out of order|not there'):
        _native.scan_pickle(hostile)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_picklers_write_passes(protocol):
    shared = ['shared', {'a': (1, 2.5, None)}]
    recursive: list = [shared, shared, {'text'}, frozenset([b'bytes']), 2**100]
    recursive.append(recursive)
    pickled = pickle.dumps(recursive, protocol)
    _native.scan_pickle(pickled)
    _native.scan_pickle(pickletools.optimize(pickled))
    many = [str(number) for number in range(1000)]
    assert _native.scan_pickle(pickle.dumps(many, protocol)) is None


def test_the_kinds_of_requests_are_those_of_the_contract():
    kinds = {'CALL': 2, 'METHOD': 3, 'EVAL': 4, 'EXEC': 5, 'DEFINE': 6, 'RUN': 7}
    assert kinds == _native.REQUEST_KINDS


def test_the_kinds_of_completions_are_those_of_the_extension():
    assert sorted(_native.COMPLETION_KINDS.values()) == list(range(9))
    for name, number in _native.COMPLETION_KINDS.items():
        assert getattr(_kinds, name) == number
