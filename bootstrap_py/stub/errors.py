# Failures as data for the client (ME-6): what was raised, with a traceback that shows its source lines.
import sys
import traceback

compat = load('compat')
late = load('compat_late')
wire = load('wire')


# Most exceptions behind one that are sent with it.
MAX_RELATED = 32
text_of = compat.text


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
        others, links = related(error)
        if others:
            fields.append(('related', [(pickled(machine, other), text(type(other).__name__), text(type(other).__module__),
                                        shortened(other)) for other in others]))
            fields.append(('links', links))
    return compat.pickle.dumps(dict([(text(key), value) for key, value in fields]), 2)


def shortened(error):
    """What an exception says, as text."""
    try:
        return text_of(str(error))[:1000]
    except Exception:
        return text_of(shown(error))[:1000]


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


class Parts(object):
    """Pickled, a call of a class and a state: an exception by what it is made of, whatever its own way is."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def pickled(machine, error):
    """The exception as a pickle: as it says itself, else by its arguments and attributes, with the repr of what cannot be
    pickled. None if nothing helps."""
    made = error
    for attempt in range(3):
        try:
            if hasattr(error, 'fp') and hasattr(error, 'code'):
                # An HTTPError, which is a file too.
                headers = [(text_of(name), text_of(value)) for name, value in (error.hdrs or {}).items()]
                made = Parts(type(error), (error.filename, error.code, error.msg, tuple(headers)))
            elif attempt:
                args, state = getattr(error, 'args', ()), dict(getattr(error, '__dict__', None) or {})
                if attempt > 1:
                    args = tuple([crossing(machine, value) for value in args])
                    state = dict([(name, crossing(machine, value)) for name, value in state.items()])
                made = Parts(type(error), args, state)
            data = b''.join(load('writing').pickled(machine, made, None))
            return late.kept_bytes(data)
        except Exception:
            pass
    return None


def crossing(machine, value):
    """The value, if it can be pickled, else its repr."""
    try:
        load('writing').pickled(machine, value, None)
        return value
    except Exception:
        return plain(value)


def related(error):
    """The exceptions behind one by `__cause__` and `__context__`, each once; and for it and each of them the places of its cause
    and its context among them, from 1 on, and whether the context is not shown."""
    found, links = [error], []
    while len(links) < len(found) and len(links) < MAX_RELATED:
        each = found[len(links)]
        link = []
        for name in ('__cause__', '__context__'):
            other = getattr(each, name, None)
            place = None
            if isinstance(other, BaseException):
                places = [number for number, known in enumerate(found) if known is other]
                if not places and len(found) < MAX_RELATED:
                    places = [len(found)]
                    found.append(other)
                if places:
                    place = places[0]
            link.append(place)
        links.append(link + [bool(getattr(each, '__suppress_context__', False))])
    return found[1:], links
