# Pickling results: plain data, references to what stays here, and large buffers out of band.
compat = load('compat')
late = load('compat_late')
wire = load('wire')
references = load('references')
exports = load('exports')

BUILT_IN = frozenset((type(None), bool, int, float, complex, compat.long_type, compat.text_type, bytes, list, tuple,
                      dict, set, frozenset))
OUT_OF_BAND = 65536


class Pieces(list):
    """A file that keeps what is written piece by piece, and so does not copy what is large."""

    def write(self, data):
        """Takes a piece."""
        self.append(data if type(data) is bytes else bytes(data))

    def data(self):
        """Everything: bytes, or if it is large a list of them."""
        if len(self) == 1:
            return self[0]
        return list(self) if sum([len(piece) for piece in self]) > wire.CHUNK else b''.join(self)


class Kept(object):
    """A result that stays here, whatever it is (ME-30)."""

    def __init__(self, value):
        self.value = value


def export_of(value):
    """The export of what stays here; None for what is sent by value."""
    if type(value) in BUILT_IN and not exports.singletons or isinstance(value, type):
        return None
    return exports.export_of(value)


def stays(value):
    """What is not for the quick way: what stays here, and tuples with names of classes that no pickle can name."""
    export = export_of(value)
    return named(value) if export is None else export


# Whether the classes of tuples that were met are found by their names; and the names of the fields of those that are not.
unnamed = {}


def named(value):
    """The persistent id of a tuple with names whose class is not found by its own name (ME-29); None for all else."""
    kind = type(value)
    if kind not in unnamed:
        if len(unnamed) > 4096:
            unnamed.clear()
        unnamed[kind] = None
        # Those of C are no tuples in 2.x.
        if issubclass(kind, tuple) and kind is not tuple or hasattr(kind, 'n_sequence_fields'):
            unnamed[kind] = fields_of(kind, value)
    fields = unnamed.get(kind)
    if fields is None:
        return None
    text = compat.text
    return text('t'), text(kind.__name__), tuple([text(field) for field in fields]), tuple(value)


def fields_of(kind, value):
    """The names of the fields of such a tuple; None if a pickle can name its class."""
    try:
        module = __import__(kind.__module__, None, None, ['*'])
        if getattr(module, getattr(kind, '__qualname__', kind.__name__), None) is kind:
            # This one finds out a part of itself anew wherever it is.
            return UNAME if kind.__name__ == 'uname_result' and kind.__module__ == 'platform' else None
    except ImportError:
        pass
    fields = getattr(kind, '_fields', None)
    if not isinstance(fields, tuple):
        # Those of C show their names only so.
        fields = [part.split('=')[0].split('(')[-1].strip() for part in repr(value).split(',')]
        if len(fields) != len(value) or [field for field in fields if field not in kind.__dict__]:
            fields = ()
    return tuple(fields)


UNAME = 'system', 'node', 'release', 'version', 'machine', 'processor'


def result(machine, value):
    """A value as (kind, flags, data)."""
    if type(value) is Kept:
        value = value.value
        references.of(machine).keep(value, export_of(value) or exports.resolve(
            exports.class_of(value), ('@auto',), ('@auto',), (), None))
    if machine.peer == 'rust':
        pieces = Pieces()
        # The quick way asks only about what is not built-in and so not plain data.
        if not exports.singletons and late.dump(value, pieces, machine.protocol, id, None, True):
            return wire.RESULT, 0, pieces.data()
        return plain_result(machine, value)
    buffers = []
    pieces = pickled(machine, value, buffers)
    if not buffers:
        return wire.RESULT, 0, pieces.data()
    lengths = [len(buffer) for buffer in buffers]
    head = wire.struct.pack('>IQ%dQ' % len(lengths), len(lengths), sum([len(piece) for piece in pieces]), *lengths)
    return wire.RESULT, wire.BUFFERS, [head] + pieces + buffers


def pickled(machine, value, buffers):
    """A value as the pieces of its pickle; large contiguous buffers go to the list `buffers` if there is one."""
    held = references.of(machine)
    sent = []

    def identify(item):
        export = held.kept.get(id(item)) or export_of(item)
        if export is None:
            return late.not_text(item) or named(item)
        return machine.whole(count, item, export)

    def count(item, export):
        number = held.add(item)
        sent.append((number, 1))
        return compat.text('r'), number, held.class_number(type(item).__name__, export)

    def take(buffer):
        view = buffer.raw()
        if buffers is None or view.nbytes < OUT_OF_BAND or len(buffers) == 65536:
            return True
        buffers.append(view)

    def slow(item):
        return held.kept.get(id(item)) or stays(item)

    pieces = Pieces()
    try:
        if exports.singletons or id(value) in held.kept or not late.dump(
                value, pieces, machine.protocol, held.kept and slow or stays, take, True):
            del pieces[:]
            if buffers:
                del buffers[:]
            late.dump(value, pieces, machine.protocol, identify, take, False)
    except BaseException:
        machine.whole(held.give_up, sent)
        raise
    return pieces


def plain_result(machine, value):
    """A value for a peer that reads plain data only (ME-9)."""
    held = references.of(machine)
    sent = {}
    try:
        data = compat.pickle.dumps(plain(held, value, sent), machine.protocol)
        return wire.RESULT, wire.REFERENCES if sent else 0, data
    except BaseException:
        machine.whole(held.give_up, [(number, 1) for number in sent.values()])
        raise


def plain(held, value, sent):
    """A value as plain data and tagged references; each object counts once in a result."""
    kind = type(value)
    export = held.kept.get(id(value)) or export_of(value)
    if export:
        if id(value) not in sent:
            held.machine.whole(lambda: sent.update({id(value): held.add(value)}))
        shown = compat.text(load('errors').shown(value))
        return compat.text('\0easycluster.object'), sent[id(value)], compat.text(kind.__name__), shown[:200]
    if value is None or kind in compat.scalars:
        return value
    for base in (bool, int, compat.long_type, float, compat.text_type):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (bytes, bytearray)):
        return late.plain_bytes(value)
    for base in (list, tuple, set, frozenset):
        if isinstance(value, base):
            return base([plain(held, item, sent) for item in value])
    if isinstance(value, dict):
        return dict([(plain(held, key, sent), plain(held, item, sent)) for key, item in value.items()])
    raise TypeError('a result of type %s.%s is not plain data; return plain data or a server object' % (
        kind.__module__, kind.__name__))
