# Unpickling requests: references, out-of-band buffers, and data that arrives in chunks.
compat = load('compat')
BytesIO = compat.io.BytesIO
late = load('compat_late')
wire = load('wire')
references = load('references')


def unpickle(machine, flags, payload):
    """The content of a request."""
    def find(identity):
        kind, number = identity[:2]
        if kind == 'c':
            return load('channels').named(machine, *identity[1:])
        if kind == 'k':
            return load('helpers/asks').function(machine, *identity[1:])
        if kind != 'o':
            raise compat.pickle.UnpicklingError('unknown persistent id %r' % (identity,))
        return references.of(machine).held(number)

    source = BytesIO(payload) if isinstance(payload, bytes) else payload
    buffers = None
    if flags & wire.BUFFERS:
        if not late.filled:
            machine.link.fatal('malformed', 'buffers, which this Python does not take')
        source, buffers = split(machine, source)
    value = late.load_from(source, find, buffers)
    # What stands behind the pickle is of no use, but has to be taken.
    while source.read(65536):
        pass
    if flags & wire.REFERENCES and machine.peer == 'rust':
        value = put_in(references.of(machine), value)
    return value


def split(machine, source):
    """A message with the flag BUFFERS as its pickle, a file again, and the buffers (FR-11)."""
    def exactly(size):
        data = bytearray()
        while len(data) < size:
            # Grown as it arrives: a length alone must not take memory. In small steps, because each holds Python's lock.
            start = len(data)
            data.extend(bytearray(min(size - start, 1 << 24)))
            # The view is gone before the next extension.
            if source.readinto(late.filled(data)[start:]) < len(data) - start:
                machine.link.fatal('malformed', 'the buffers do not add up to the message')
        return data

    unpack = wire.struct.unpack
    count, size = unpack('>IQ', bytes(exactly(12)))
    if count > 65536:
        machine.link.fatal('too-large', 'a message with %d buffers' % count)
    lengths = unpack('>%dQ' % count, bytes(exactly(8 * count)))
    pickle = exactly(size)
    buffers = [exactly(length) for length in lengths]
    if source.read(1):
        machine.link.fatal('malformed', 'the buffers do not add up to the message')
    return BytesIO(pickle), buffers


def put_in(held, value):
    """A value of a Rust peer with objects in the places of their tags (ME-7)."""
    kind = type(value)
    if kind is tuple and len(value) == 2 and value[0] == '\0easycluster.object':
        return held.held(value[1])
    if kind is tuple and len(value) == 3 and value[0] == '\0easycluster.channel':
        return load('channels').named(held.machine, *value[1:])
    if kind is tuple and len(value) == 5 and value[0] == '\0easycluster.function':
        return load('helpers/asks').function(held.machine, *value[1:])
    if kind in (list, tuple, set, frozenset):
        return kind([put_in(held, item) for item in value])
    if kind is dict:
        return dict([(put_in(held, key), put_in(held, item)) for key, item in value.items()])
    return value
