"""Pickling requests: the short way for plain arguments, the long way for proxies and for what is large."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any, Union

from .._shared import objects
from .references import ReferencePickler

ProxyPickled = objects.ProxyPickled
dumps = pickle.dumps

# What the extension takes: a pickle, or its pieces and what is sent beside it.
Payload = Union[bytes, tuple[list[Any], list[Any]]]

# From this many bytes on a value is handed over as it is instead of being copied into the pickle.
LARGE = 65536

_SCALARS = frozenset((int, float, bool, type(None), complex))
_SIZED = frozenset((str, bytes))


class _Pieces:
    """A file for the pickler that keeps what is written as pieces: large strings and bytes come as the objects themselves."""

    __slots__ = ('pieces', 'write')

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.write = self.pieces.append


def is_short(values: Iterable[Any]) -> bool:
    """Whether all values are plain and small, so that the short way is the fast one."""
    for value in values:
        kind = type(value)
        if kind not in _SCALARS and (kind not in _SIZED or len(value) > LARGE):
            return False
    return True


def encode(message: Any, protocol: int, client: Any) -> tuple[Payload, list[int] | None]:
    """A request's content as `(payload, oids)`: bytes, or pieces and buffers; and the objects that it names."""
    try:
        if protocol < 5:
            return _in_pieces(message, protocol, None), None
        return _in_pieces(message, protocol, []), None
    except ProxyPickled:
        pass
    buffers: list[Any] | None = [] if protocol >= 5 else None
    file = _Pieces()
    options: dict[str, Any] = {} if buffers is None else {'buffer_callback': buffers.append}
    pickler = ReferencePickler(file, client, protocol=protocol, **options)
    pickler.dump(message)
    return _payload(file.pieces, buffers), pickler.oids


def _in_pieces(message: Any, protocol: int, buffers: list[Any] | None) -> Payload:
    file = _Pieces()
    if buffers is None:
        pickle.Pickler(file, protocol).dump(message)
    else:
        pickle.Pickler(file, protocol, buffer_callback=buffers.append).dump(message)
    return _payload(file.pieces, buffers)


def _payload(pieces: list[Any], buffers: list[Any] | None) -> Payload:
    if not buffers:
        return pieces[0] if len(pieces) == 1 and type(pieces[0]) is bytes else (pieces, [])
    return pieces, [buffer.raw() for buffer in buffers]
