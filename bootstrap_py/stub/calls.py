# What a request means: looks names up and runs the code.
import sys

compat = load('compat')
wire = load('wire')


class Package(type(sys)):
    """The module `easycluster` on this side; its content is made when first asked for."""

    __path__ = []

    def __getattr__(self, name):
        return load('package').find(self, name)


def greet(machine, kind, payload):
    """Takes the client's HELLO (ME-1)."""
    try:
        if kind != wire.HELLO or machine.protocol is not None:
            raise ValueError(kind)
        hello = compat.native_keywords(compat.pickle.loads(payload))
        machine.peer = compat.native(hello['peer'])
        machine.protocol = min(compat.HIGHEST_PICKLE, hello['pickle'])
        machine.window = hello['window']
        machine.version = compat.native(hello['version'])
        name = compat.native(hello['definitions'])
        machine.link.compress = hello['compress']
        version = hello['protocol']
    except Exception:
        machine.link.fatal('malformed', 'HELLO: %r' % (sys.exc_info()[1],))
    if version != 1:
        machine.link.fatal('version', 'protocol %s, not 1' % version)
    package = machine.package = sys.modules['easycluster'] = Package('easycluster')
    package.machine = machine
    machine.module = definitions(machine, name)
    machine.names = machine.module.__dict__


def definitions(machine, name):
    """The definitions module of that name, made if need be."""
    module = sys.modules.get(name)
    if module is None:
        module = type(sys)(name)
        module._source_code = []
        parent, dot, child = name.rpartition('.')
        if dot:
            __import__(parent)
        # Another thread may have been faster.
        module = sys.modules.setdefault(name, module)
        if dot:
            setattr(sys.modules[parent], child, module)
    elif not hasattr(module, '_source_code'):
        raise ImportError('%s exists already and is not a definitions module' % name)
    return module


def call(machine, name, args, kwargs):
    """Calls a global by its dotted name (ME-5)."""
    name = compat.native(name)
    return find(machine, name)(*args, **compat.native_keywords(kwargs))


def find(machine, name):
    """What a dotted name stands for."""
    if name in machine.names:
        return machine.names[name]
    if name[:8] == 'helpers/':
        # What the client's own program has sent to be called (BS-9).
        name, function = name.split('.')
        return getattr(load(name), function)
    if hasattr(compat.builtins, name):
        return getattr(compat.builtins, name)
    return load('requests').find(machine, name)


def ready(worker):
    """Makes SIGINT interrupt the main thread's request if it is the cancelled one, and nothing else."""
    def interrupted(number, frame):
        worker.machine.settling()
        # Once, however often it was sent.
        if worker.running and worker.struck != worker.running == worker.cancelled:
            worker.struck = worker.running
            worker.deferred = worker.shield
            if not worker.shield:
                raise KeyboardInterrupt
    compat.signal.signal(2, interrupted)
    worker.machine.interrupted = interrupted


def finish(machine):
    """Ends everything; called in the main thread (ME-15). Remote code that may leave something behind replaces this."""
    machine.main.release()
    machine.link.flush()
    machine.link.end()
