# Unpickling requests: references, out-of-band buffers, and data that arrives in chunks.
compat = load('compat')
wire = load('wire')
calls = load('calls')

BUFFERS, REFERENCES, MORE = wire.BUFFERS, wire.REFERENCES, wire.MORE
MAX_BUFFERS = 65536
TAG = compat.text('\x00easycluster.object')


def lookup(machine):
    """The function that turns a persistent id of the client into the object."""
    def load_id(identity):
        if isinstance(identity, tuple) and len(identity) == 2 and identity[0] == 'o':
            return calls.references(machine).held(identity[1])
        raise compat.pickle.UnpicklingError('unknown persistent id %r' % (identity,))
    return load_id


def loads(machine, data):
    """The value of one whole pickle that may hold references, those of this side included."""
    def load_id(identity):
        return None
    return compat.unpickler(compat.bytes_file(data), load_id, None).load()


def unpickle(machine, worker, flags, payload):
    """The content of a request."""
    source = compat.bytes_file(payload) if isinstance(payload, bytes) else payload
    if flags & BUFFERS:
        value = unpickle_buffers(machine, source)
    else:
        value = compat.unpickler(source, lookup(machine), None).load()
    if flags & MORE:
        # What stands behind the pickle is of no use, but has to be taken.
        while source.read(65536):
            pass
    if flags & REFERENCES and machine.peer == 'rust':
        value = put_in(machine, value)
    return value


def unpickle_buffers(machine, source):
    """A message with the flag BUFFERS (FR-11)."""
    unpack = wire.struct.unpack
    count, size = unpack('>IQ', exactly(machine, source, 12))
    if count > MAX_BUFFERS:
        machine.link.fatal('too-large', 'a message with %d buffers; at most %d' % (count, MAX_BUFFERS))
    lengths = unpack('>%dQ' % count, exactly(machine, source, 8 * count))
    data = exactly(machine, source, size)
    buffers = []
    for length in lengths:
        buffer = bytearray(min(length, 1 << 20))
        done = 0
        while done < length:
            if done == len(buffer):
                # Grown as it arrives: a length alone must not take memory.
                buffer.extend(bytes(min(length - done, max(done, 1 << 20))))
            view = memoryview(buffer)
            got = source.readinto(view[done:])
            view.release()
            if not got:
                short(machine)
            done += got
        buffers.append(buffer)
    if source.read(1):
        machine.link.fatal('malformed', 'the lengths of the buffers do not add up to the message')
    return compat.unpickler(compat.bytes_file(data), lookup(machine), buffers).load()


def short(machine):
    """The message ends before its buffers do."""
    machine.link.fatal('malformed', 'the lengths of the buffers do not add up to the message')


def exactly(machine, source, size):
    """The next `size` bytes of a message."""
    data = source.read(size)
    if len(data) < size:
        short(machine)
    return data


def put_in(machine, value):
    """A value of a Rust peer with objects in the places of their tags (ME-7)."""
    kind = type(value)
    if kind is tuple:
        if len(value) == 2 and value[0] == TAG:
            return calls.references(machine).held(value[1])
        return tuple([put_in(machine, item) for item in value])
    if kind is list:
        return [put_in(machine, item) for item in value]
    if kind is dict:
        return dict([(put_in(machine, key), put_in(machine, item)) for key, item in value.items()])
    if kind is set or kind is frozenset:
        return kind([put_in(machine, item) for item in value])
    return value
