"""Pickling requests: the short way for plain arguments, the long way for proxies and for what is large."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterable
from typing import Any, Union

from .. import _native
from .references import ReferencePickler, RemoteProxy
from .sent_exceptions import OWN_WAYS, Leaving

dumps = pickle.dumps

# What the extension takes: a pickle, or its pieces and what is sent beside it.
Payload = Union[bytes, tuple[list[Any], list[Any]]]
# Whether a request holds references; the objects and the channels that it names.
Keeps = tuple[bool, list[int], list[Any]]

# From this many bytes on a value is handed over as it is instead of being copied into the pickle.
LARGE = 65536

# What Python says of what it cannot pickle, in different versions.
_REFUSALS = (pickle.PicklingError, AttributeError, TypeError)

_SCALARS = frozenset((int, float, bool, type(None), complex))
_SIZED = frozenset((str, bytes))


class _Pieces:
    """A file for the pickler that keeps what is written as pieces: large strings and bytes come as the objects themselves."""

    __slots__ = ('pieces', 'write')

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.write = self.pieces.append


class _Trying(ReferencePickler):
    """Finds out whether a value can be pickled; names nothing to the connection."""

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        return () if isinstance(value, RemoteProxy) or hasattr(type(value), '_named_in') else None


def is_short(values: Iterable[Any]) -> bool:
    """Whether all values are plain and small, so that the short way is the fast one."""
    for value in values:
        kind = type(value)
        if kind not in _SCALARS and (kind not in _SIZED or len(value) > LARGE):
            return False
    return True


def encode_plain(value: Any, protocol: int) -> tuple[list[Any], list[memoryview]] | None:
    """The pieces and the buffers of a pickle that means the same to every connection. None if it holds proxies, or tuples of a class
    that cannot be named; what else is wrong shows in encode()."""
    file = _Pieces()
    buffers: list[memoryview] = []
    try:
        pickler = pickle.Pickler(file, protocol, buffer_callback=_taking(buffers) if protocol >= 5 else None)
        pickler.dispatch_table = OWN_WAYS
        pickler.dump(value)
        return file.pieces, buffers
    except _REFUSALS:
        return None


def encode(message: Any, protocol: int, client: Any) -> tuple[Payload, Keeps | None]:
    """A request's content: bytes, or pieces and buffers; and the objects and channels that it names."""
    plain = encode_plain(message, protocol)
    if plain is not None:
        return _payload(*plain), None
    try:
        return _encode_with(OWN_WAYS, message, protocol, client)
    except _REFUSALS as error:
        # Not what a method of the value raised by itself, nor an error of ours.
        if type(error) not in _REFUSALS or 'pickle' not in str(error):
            raise
        leaving = Leaving()

        def can_be_sent(value: Any) -> bool:
            pickler = _Trying(_Pieces(), client, protocol=protocol)
            pickler.dispatch_table = leaving
            try:
                pickler.dump(value)
            except Exception:
                return False
            return True

        leaving.can_be_sent = can_be_sent
        with contextlib.suppress(*_REFUSALS):
            return _encode_with(leaving, message, protocol, client)
        raise type(error)(
            '%s: cannot send the arguments: %s. What is sent is a value, a class or function of the definitions, or '
            'easycluster.callback(function) for one of this program' % (client._peername, error)
        ) from error


def _encode_with(ways: Any, message: Any, protocol: int, client: Any) -> tuple[Payload, Keeps | None]:
    """The same, with references; `ways` are those of the types that have one of their own."""
    file = _Pieces()
    buffers: list[memoryview] = []
    pickler = ReferencePickler(
        file, client, protocol=protocol, buffer_callback=_taking(buffers) if protocol >= 5 else None
    )
    pickler.dispatch_table = ways
    pickler.dump(message)
    named = pickler.oids or pickler.channels or pickler.functions
    return _payload(file.pieces, buffers), (True, pickler.oids, pickler.channels) if named else None


def encode_item(item: Any, protocol: int) -> list[Any]:
    """An item of a channel as the pieces of a pickle; it names no objects (ME-34)."""
    file = _Pieces()
    pickler = pickle.Pickler(file, protocol)
    pickler.dispatch_table = OWN_WAYS
    pickler.dump(item)
    return file.pieces


def _taking(buffers: list[memoryview]) -> Any:
    """What a pickler gives its buffers to: only large ones are sent beside the pickle, of which there may be 65,536 (FR-11)."""

    def take(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < LARGE or len(buffers) == _native.MAX_BUFFERS:
            return True
        buffers.append(view)
        return False

    return take


def _payload(pieces: list[Any], buffers: list[memoryview]) -> Payload:
    if not buffers:
        return pieces[0] if len(pieces) == 1 and type(pieces[0]) is bytes else (pieces, [])
    return pieces, buffers
