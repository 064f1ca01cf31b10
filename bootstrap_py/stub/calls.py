# What a request means: looks names up and runs the code.
import sys

compat = load('compat')
wire = load('wire')
names = load('names')

# What `from easycluster import *` gives to definitions; a source that names none of them costs nothing.
PROVIDED = ('ServerObject RemoteProxy DefaultRemoteProxy SelfIterProxy RemoteException make_server_class '
            'make_singleton exec_return get_global set_global definitions_module define_common SINGLE VERSION '
            'easycluster').split()


class Package(type(sys)):
    """The module `easycluster` on this side; its content is made when first asked for."""

    __path__ = []

    def __getattr__(self, name):
        if name in PROVIDED or name == '__all__':
            load('package').fill(self)
            return self.__dict__[name]
        raise AttributeError(name)


def greet(machine, kind, payload):
    """Takes the client's HELLO (ME-1)."""
    try:
        if kind != wire.HELLO or machine.protocol is not None:
            raise ValueError('HELLO is the first frame and no other')
        hello = dict([(compat.native(key), value) for key, value in compat.pickle.loads(payload).items()])
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
        machine.link.fatal('version', 'the client speaks protocol %s, this server 1' % version)
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
        if '.' in name:
            parent, child = name.rsplit('.', 1)
            __import__(parent)
            setattr(sys.modules[parent], child, module)
        sys.modules[name] = module
    elif not hasattr(module, '_source_code'):
        raise ImportError('%s exists already and is not a definitions module' % name)
    return module


def provide(machine, module, source):
    """Gives a definitions module the names of `easycluster` if the source is about to use one."""
    for name in PROVIDED:
        if name in source:
            return load('package').provide(machine.package, module)


def call(machine, name, args, kwargs):
    """Calls a global by its dotted name (ME-5)."""
    name = compat.native(name)
    if name not in machine.names:
        provide(machine, machine.module, name)
    return names.get_global(name, machine.module, True)(*args, **compat.native_keywords(kwargs))


def stop(worker, request):
    """Ends a request that was cancelled before its code ran."""
    if request in worker.machine.cancelled:
        worker.cancelled = request
        raise KeyboardInterrupt('cancelled before it ran')


def perform(worker, kind, flags, request, payload):
    """Runs any request: unpickles it, and does what its kind says."""
    machine = worker.machine
    if kind == wire.CLOSE:
        load('control').finish(machine)
    content = unpickle(worker, flags, request, payload)
    stop(worker, request)
    if kind == wire.CALL:
        return call(machine, *content)
    if kind == wire.METHOD:
        oid, method, args, kwargs = content
        owner = load('references').of(machine).held(oid) if oid else load('root').Root(machine)
        return compat.attribute(owner, compat.native(method))(*args, **compat.native_keywords(kwargs))
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


def ready(worker):
    """Makes SIGINT interrupt the main thread's request if it is the cancelled one, and nothing else."""
    def interrupted(number, frame):
        if worker.running and worker.cancelled == worker.running:
            worker.deferred = worker.shield
            if not worker.shield:
                raise KeyboardInterrupt
    compat.signal.signal(2, interrupted)


