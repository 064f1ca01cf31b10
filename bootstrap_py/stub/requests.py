# Requests that are not a short call of what is known already: imports, and every other kind.
compat = load('compat')
wire = load('wire')
calls = load('calls')
names = load('names')


def find(machine, name):
    """The value of a dotted name, for which modules are imported (ME-5); what `easycluster` provides is looked for
    only where there is nothing else."""
    try:
        return names.get_global(name, machine.module, True)
    except AttributeError:
        if not load('package').provide(machine, machine.module, name):
            raise
    return names.get_global(name, machine.module, True)


def perform(worker, kind, flags, request, payload):
    """Runs a request that is not a short plain call: unpickles it, and does what its kind says."""
    machine = worker.machine
    content = unpickle(worker, flags, request, payload)
    worker.stop(request)
    return do(machine, kind, content)


def do(machine, kind, content):
    """What a request of that kind with that content does."""
    if kind == wire.CALL:
        return calls.call(machine, *content)
    if kind == wire.METHOD:
        return load('root').method(machine, *content)
    return load('sources').perform(machine, kind, content)


def unpickle(worker, flags, request, payload):
    """The content of a request that is not a short plain call."""
    if not flags & ~wire.NO_REPLY:
        try:
            return compat.pickle.loads(payload)
        except Exception:
            # It may hold references; what else is wrong shows again below.
            pass
    return load('references').unpickle(worker, flags, request, payload)


def finish(machine):
    """As the one of calls.py, for whoever has run more than that: ends in order first."""
    if load.__self__.there('ending'):
        load('ending').finish(machine)
    at_once(machine)


at_once, calls.finish = calls.finish, finish
