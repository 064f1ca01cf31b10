# Failures as data for the client (ME-6): what was raised, with a traceback that shows its source lines.
import traceback

compat = load('compat')
wire = load('wire')
calls = load('calls')
main_prefix = '<easycluster>/'


class Unreadable(Exception):
    """The request could not be unpickled; holds what was raised by that."""

    def __init__(self, info):
        Exception.__init__(self, 'the request cannot be read')
        self.info = info


class Unwritable(Exception):
    """The result could not be pickled; holds what was raised by that."""

    def __init__(self, info):
        Exception.__init__(self, 'the result cannot be sent')
        self.info = info


def describe(machine, worker, request, info):
    """The payload of ERROR for what was raised."""
    load('sources').register()
    kind = 'exception'
    error = info[1]
    if isinstance(error, Unreadable):
        kind = 'unpickle'
        info = error.info
    elif isinstance(error, Unwritable):
        kind = 'pickle'
        info = error.info
    elif isinstance(error, calls.Cancelled):
        kind = 'cancelled'
        info = (KeyboardInterrupt, KeyboardInterrupt('cancelled before it ran'), None)
    elif isinstance(error, KeyboardInterrupt) and worker.cancelled_request == request:
        kind = 'cancelled'
    return payload(machine, kind, info)


def payload(machine, kind, info):
    """The payload of ERROR of that kind."""
    error = info[1]
    text = compat.text
    try:
        message = text(str(error))
    except Exception:
        try:
            message = compat.text_type(error)
        except Exception:
            message = text('<its text cannot be made>')
    fields = {
        'kind': text(kind), 'type': text(type(error).__name__), 'module': text(type(error).__module__ or ''),
        'message': message, 'traceback': [text(line) for line in lines(info)],
        'args': plain_args(error),
    }
    if machine.peer == 'python':
        fields['pickle'] = pickled(machine, error)
    return compat.pickle.dumps(dict([(text(key), value) for key, value in fields.items()]), 2)


def plain_args(error):
    """The exception's arguments, each as plain data or as its repr; None if it has none to show."""
    args = getattr(error, 'args', None)
    if not isinstance(args, tuple):
        return None
    plain = []
    for value in args:
        if type(value) is bytes and bytes is str:
            value = compat.text(value)
        elif type(value) not in compat.plain_scalars or type(value) is bytes:
            try:
                value = compat.text(repr(value))
            except Exception:
                value = compat.text('<%s>' % type(value).__name__)
        plain.append(value)
    return plain


def pickled(machine, error):
    """The exception itself as a pickle that is known to come back, or None."""
    try:
        data = load('references').dumps(machine, error)
    except Exception:
        pass
    else:
        try:
            load('references').loads(machine, data)
            return compat.as_bytes_value(data)
        except Exception:
            pass
    try:
        copy = type(error)(*[safe(machine, value) for value in error.args])
        data = load('references').dumps(machine, copy)
        load('references').loads(machine, data)
        return compat.as_bytes_value(data)
    except Exception:
        return None


def safe(machine, value):
    """The value itself if it can be pickled, else its repr."""
    try:
        load('references').dumps(machine, value)
        return value
    except Exception:
        return repr(value)


def lines(info):
    """The traceback as lines of text, chained causes first, without the stub's own frames."""
    made = []
    kind, error, trace = info
    seen = set()
    chain = []
    while error is not None and id(error) not in seen and len(chain) < 50:
        seen.add(id(error))
        link = compat.exception_chain(error)
        chain.append((error, trace, link))
        if link is None:
            break
        error = link[0]
        trace = error.__traceback__
    for error, trace, link in reversed(chain):
        if link is not None:
            made.append('\n' + link[1] + '\n\n')
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(main_prefix):
            trace = trace.tb_next
        if trace is not None:
            made.append('Traceback (most recent call last):\n')
            made.extend([entry for entry in traceback.format_tb(trace) if main_prefix not in entry])
        made.extend(compat.exception_lines(error))
    whole = ''.join([line if isinstance(line, str) else str(line) for line in made])
    return whole.splitlines(True)


def refuse_thread(machine, worker):
    """Answers the requests of a thread that could not be started."""
    machine.workers.pop(worker.number, None)
    while worker.queue:
        kind, flags, request, content, counted = worker.queue.popleft()
        if not flags & wire.NO_REPLY:
            error = RuntimeError("the server cannot start another thread")
            machine.link.send(wire.ERROR, request, worker.number, payload(
                machine, 'exception', (RuntimeError, error, None)))
