# Failures as data for the client (ME-6): what was raised, with a traceback that shows its source lines.
import sys
import traceback

compat = load('compat')
late = load('compat_late')
wire = load('wire')


class Unreadable(Exception):
    """A request cannot be unpickled, or with `kind` 'pickle' a result not be pickled; `info` says why."""

    def __init__(self, kind):
        Exception.__init__(self, kind)
        self.kind = kind
        self.info = sys.exc_info()


def failure(worker, request, flags):
    """What is being handled as (kind, flags, data) of the answer."""
    machine = worker.machine
    info = sys.exc_info()
    kind = 'exception'
    if isinstance(info[1], Unreadable):
        kind = info[1].kind
        info = info[1].info
    if worker.cancelled == request and isinstance(info[1], KeyboardInterrupt):
        kind = 'cancelled'
    machine.cancelled.discard(request)
    if flags & wire.NO_REPLY and kind != 'cancelled':
        # There is no other way to report it.
        machine.stand_ins[1].write(''.join(lines(info)))
    return wire.ERROR, 0, describe(machine, kind, info)


def describe(machine, kind, info):
    """The payload of ERROR."""
    load('sources').register()
    text = compat.text
    error = info[1]
    try:
        message = text(str(error))
    except Exception:
        message = text(shown(error))
    args = getattr(error, 'args', None)
    fields = [('kind', text(kind)), ('type', text(info[0].__name__)), ('module', text(info[0].__module__)),
              ('message', message), ('traceback', [text(line) for line in lines(info)]),
              ('args', [plain(value) for value in args] if isinstance(args, tuple) else None)]
    if machine.peer == 'python':
        fields.append(('pickle', pickled(machine, error)))
    return compat.pickle.dumps(dict([(text(key), value) for key, value in fields]), 2)


def lines(info):
    """The traceback as lines of text, without the stub's own frames."""
    kind, error, trace = info
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith('<easycluster>/'):
        trace = trace.tb_next
    entries = traceback.format_exception(kind, error, trace)
    entries = [entry for entry in entries if not entry.startswith('  File "<easycluster>/')]
    return ''.join(entries).splitlines(True)


def plain(value):
    """An argument of an exception as plain data: itself or its repr."""
    if type(value) in compat.scalars and type(value) is not bytes:
        return value
    return compat.text(value if type(value) is str else shown(value))


def shown(value):
    """The repr of anything, also where that fails."""
    try:
        return repr(value)
    except Exception:
        return '<%s>' % type(value).__name__


def pickled(machine, error):
    """The exception as a pickle that is known to come back, if need be with the repr of what does not; or None."""
    writing = load('writing')
    for attempt in range(2):
        try:
            if attempt:
                error = type(error)(*[plain(value) for value in error.args])
            data = b''.join(writing.pickled(machine, error, None))
            late.load_from(load('reading').BytesIO(data), id, None)
            return late.kept_bytes(data)
        except Exception:
            pass
    return None
