# Pickling results: plain data, references to what stays here, and large buffers out of band.
import sys

compat = load('compat')
wire = load('wire')
calls = load('calls')
objects = load('objects')

PLAIN = frozenset((type(None), bool, int, float, complex, compat.long_type, compat.text_type, bytes, list, tuple, dict,
                   set, frozenset))
TAG = compat.text('\x00easycluster.object')
OUT_OF_BAND = 65536


class Pieces(object):
    """A file that keeps what is written piece by piece, large pieces without copying them."""

    def __init__(self):
        self.pieces = []

    def write(self, data):
        """Takes a piece."""
        self.pieces.append(data if type(data) is bytes else bytes(data))


def result(machine, value):
    """A value as (kind, flags, data or pieces)."""
    if machine.peer == 'rust':
        return plain_result(machine, value)
    quick = compat.quick_pickle(value, machine.protocol, objects)
    if quick is not None:
        return wire.RESULT, 0, quick
    pieces, buffers = pickled(machine, value)
    if not buffers:
        return wire.RESULT, 0, pieces[0] if len(pieces) == 1 else pieces
    size = 0
    for piece in pieces:
        size += len(piece)
    lengths = [len(buffer) for buffer in buffers]
    head = wire.struct.pack('>IQ%dQ' % len(lengths), len(lengths), size, *lengths)
    return wire.RESULT, wire.BUFFERS, [head] + pieces + buffers


def pickled(machine, value):
    """A value for a Python peer: the pieces of its pickle, and its buffers."""
    references = calls.references(machine)
    sent = []
    buffers = []

    def identify(item):
        if type(item) in PLAIN and not objects.singletons:
            return compat.not_text(item)
        if isinstance(item, type):
            return None
        export = objects.export_of(item)
        if export is None:
            return compat.not_text(item)
        number = references.add(item)
        sent.append(number)
        return compat.text('r'), number, references.class_number(item, export)

    def take(buffer):
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND or len(buffers) == 65536:
            return True
        buffers.append(view)
        return False

    target = Pieces()
    try:
        compat.dump(value, target, machine.protocol, identify, take)
    except BaseException:
        references.undo(sent)
        raise
    return target.pieces, buffers


def plain_result(machine, value):
    """A value for a peer that reads plain data only (ME-9)."""
    quick = compat.quick_plain(value, machine.protocol)
    if quick is not None:
        return wire.RESULT, 0, quick
    references = calls.references(machine)
    sent = []
    try:
        value = plain(references, value, sent)
        data = compat.pickle.dumps(value, machine.protocol)
    except BaseException:
        references.undo(sent)
        raise
    return wire.RESULT, wire.REFERENCES if sent else 0, data


def plain(references, value, sent):
    """A value as plain data and tagged references."""
    kind = type(value)
    if kind not in PLAIN or objects.singletons:
        export = None if isinstance(value, type) else objects.export_of(value)
        if export is not None:
            number = references.add(value)
            sent.append(number)
            try:
                shown = repr(value)[:200]
            except Exception:
                shown = '<%s>' % kind.__name__
            return TAG, number, compat.text(kind.__name__), compat.text(shown)
    if value is None or kind in compat.plain_scalars:
        return value
    for base in (bool, int, compat.long_type, float, compat.text_type):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (bytes, bytearray)):
        return compat.plain_bytes(value)
    for base in (list, tuple, set, frozenset):
        if isinstance(value, base):
            return base([plain(references, item, sent) for item in value])
    if isinstance(value, dict):
        return dict([(plain(references, key, sent), plain(references, item, sent)) for key, item in value.items()])
    name = kind.__name__
    if kind.__module__ not in ('builtins', '__builtin__'):
        name = '%s.%s' % (kind.__module__, name)
    raise TypeError('a result of type %s is not plain data; return plain data, or make it a server object' % name)
