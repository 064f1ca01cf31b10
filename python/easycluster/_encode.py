"""Pickling requests: the short way for plain arguments, the long way for proxies and for what is large."""

import pickle

from . import _references, _shared

ProxyPickled = _shared.load('objects').ProxyPickled
dumps = pickle.dumps

# From this many bytes on a value is handed over as it is instead of being copied into the pickle.
LARGE = 65536

_SCALARS = frozenset((int, float, bool, type(None), complex))
_SIZED = frozenset((str, bytes))


class _Pieces:
    """A file for the pickler that keeps what is written as pieces: large strings and bytes come as the objects themselves."""

    __slots__ = ('pieces', 'write')

    def __init__(self):
        self.pieces = []
        self.write = self.pieces.append


def is_short(values):
    """Whether all values are plain and small, so that the short way is the fast one."""
    for value in values:
        kind = type(value)
        if kind not in _SCALARS and (kind not in _SIZED or len(value) > LARGE):
            return False
    return True


def encode(message, protocol, client):
    """A request's content as `(payload, oids)`: bytes, or pieces and buffers; and the objects that it names."""
    try:
        if protocol < 5:
            return _in_pieces(message, protocol, None), None
        buffers = []
        return _in_pieces(message, protocol, buffers), None
    except ProxyPickled:
        pass
    buffers = [] if protocol >= 5 else None
    file = _Pieces()
    options = {} if buffers is None else {'buffer_callback': buffers.append}
    pickler = _references.ReferencePickler(file, client, protocol=protocol, **options)
    pickler.dump(message)
    return _payload(file.pieces, buffers), pickler.oids


def _in_pieces(message, protocol, buffers):
    file = _Pieces()
    if buffers is None:
        pickle.Pickler(file, protocol).dump(message)
    else:
        pickle.Pickler(file, protocol, buffer_callback=buffers.append).dump(message)
    return _payload(file.pieces, buffers)


def _payload(pieces, buffers):
    if not buffers:
        return pieces[0] if len(pieces) == 1 and type(pieces[0]) is bytes else (pieces, [])
    return pieces, [buffer.raw() for buffer in buffers]
