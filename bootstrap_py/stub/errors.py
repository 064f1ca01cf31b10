# Failures as data for the client (ME-6): what was raised, with a traceback that shows its source lines.
compat = load('compat')
sys = compat.sys
late = load('compat_late')
wire = load('wire')


# Most exceptions behind one that are sent with it.
MAX_RELATED = 32


class Unreadable(Exception):
    """A request cannot be unpickled, or with `kind` 'pickle' a result not be pickled; `info` says why."""

    def __init__(self, kind):
        Exception.__init__(self, kind)
        self.kind = kind
        self.info = sys.exc_info()


def first(*ways):
    """What the first of these functions gives that raises nothing. They ask what belongs to remote code, which may raise anything,
    and one call's error must not become that of the connection."""
    for way in ways:
        try:
            return way()
        except:
            pass


def text_of(*ways):
    """The text that the first of these functions gives, also of a class of its own."""
    return first(*[lambda way=way: compat.text('').join((compat.text(way()),)) for way in ways])


def failure(worker, request, flags):
    """What is being handled as (kind, flags, data) of the answer."""
    machine = worker.machine
    info = sys.exc_info()
    kind = 'exception'
    # Not isinstance(), which asks the exception.
    if info[0] is Unreadable:
        kind = info[1].kind
        info = info[1].info
    if worker.cancelled == request and issubclass(info[0], KeyboardInterrupt):
        kind = 'cancelled'
    machine.cancelled.discard(request)
    if flags & wire.NO_REPLY and kind != 'cancelled':
        # There is no other way to report it.
        machine.stand_ins[1].write(''.join(lines(info)))
    return wire.ERROR, 0, describe(machine, kind, info)


def describe(machine, kind, info):
    """The payload of ERROR."""
    first(load('sources').register)
    error = info[1]
    args = first(lambda: error.args)
    fields = [('kind', compat.text(kind)), ('message', said(error)), ('traceback', lines(info)),
              ('args', [plain(value) for value in args] if type(args) is tuple else None)]
    fields += zip(('type', 'module'), named(info[0]))
    # Not of a call that was cancelled, of which the client makes what it raises by itself: who reads tells of one that had not begun,
    # and pickling a class imports its module, which in 2.x waits while remote code is in any import.
    if machine.peer == 'python' and kind == 'cancelled':
        fields.append(('pickle', None))
    elif machine.peer == 'python':
        fields.append(('pickle', pickled(machine, error)))
        others, links = related(error)
        if others:
            fields.append(('related', [(pickled(machine, other),) + named(type(other)) + (said(other)[:1000],)
                                        for other in others]))
            fields.append(('links', links))
    return compat.pickle.dumps(dict([(compat.text(key), value) for key, value in fields]), 2)


def named(kind):
    """The names of a class and of its module."""
    return text_of(lambda: kind.__name__, lambda: 'exception'), text_of(lambda: kind.__module__, lambda: '')


def said(error):
    """What an exception says."""
    return text_of(lambda: str(error), lambda: shown(error))


def lines(info):
    """The traceback as lines of text, without the stub's own frames."""
    kind, error, trace = info
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith('<easycluster>/'):
        trace = trace.tb_next
    entries = [entry for entry in formatted(kind, error, trace) if not entry.startswith('  File "<easycluster>/')]
    return ''.join(entries).splitlines(True)


def formatted(kind, error, trace):
    """The entries of a traceback."""
    return first(lambda: [compat.text(entry) for entry in late.imported('traceback').format_exception(kind, error, trace)],
                 lambda: barely(kind, error, trace))


def caught():
    """The traceback of what is being handled, as one text."""
    return ''.join(formatted(*sys.exc_info()))


def barely(kind, error, trace):
    """The entries of a traceback where Python's own way to them is broken, or what it asks the exception."""
    entries = ['Traceback (most recent call last):\n']
    while trace is not None:
        code = trace.tb_frame.f_code
        entries.append(compat.text('  File "%s", line %d, in %s\n' % (code.co_filename, trace.tb_lineno, code.co_name)))
        trace = trace.tb_next
    return entries + ['%s: %s\n' % (named(kind)[0], said(error))]


def plain(value):
    """An argument of an exception as plain data: itself or its repr."""
    if type(value) in compat.scalars and type(value) is not bytes:
        return value
    return text_of(lambda: value if type(value) is str else shown(value))


def shown(value):
    """The repr of anything, also where that fails."""
    return first(lambda: repr(value) + '', lambda: '<%s>' % type(value).__name__, lambda: '<?>')


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
                headers = [(compat.text(name), compat.text(value)) for name, value in (error.hdrs or {}).items()]
                made = Parts(type(error), (error.filename, error.code, error.msg, tuple(headers)))
            elif attempt:
                args, state = getattr(error, 'args', ()), dict(getattr(error, '__dict__', None) or {})
                if attempt > 1:
                    args = tuple([crossing(machine, value) for value in args])
                    state = dict([(name, crossing(machine, value)) for name, value in state.items()])
                made = Parts(type(error), args, state)
            data = b''.join(load('writing').pickled(machine, made, None))
            return late.kept_bytes(data)
        except:
            pass
    return None


def crossing(machine, value):
    """The value, if it can be pickled, else its repr."""
    try:
        load('writing').pickled(machine, value, None)
        return value
    except:
        return plain(value)


def related(error):
    """The exceptions behind one by `__cause__` and `__context__`, each once; and for it and each of them the places of its cause
    and its context among them, from 1 on, and whether the context is not shown."""
    found, links = [error], []
    while len(links) < len(found) and len(links) < MAX_RELATED:
        each = found[len(links)]
        link = []
        for name in ('__cause__', '__context__'):
            other = first(lambda: getattr(each, name))
            place = None
            if issubclass(type(other), BaseException):
                places = [number for number, known in enumerate(found) if known is other]
                if not places and len(found) < MAX_RELATED:
                    places = [len(found)]
                    found.append(other)
                if places:
                    place = places[0]
            link.append(place)
        links.append(link + [bool(first(lambda: getattr(each, '__suppress_context__') is True))])
    return found[1:], links
