# What a request means: looks names up, runs the code, turns values and failures into answers.
import sys

compat = load('compat')
wire = load('wire')
names = load('names')

ModuleType = type(sys)
MORE, REFERENCES = wire.MORE, wire.REFERENCES
# What `from easycluster import *` gives to definitions; a source that names none of them costs nothing.
PROVIDED = ('ServerObject', 'RemoteProxy', 'DefaultRemoteProxy', 'SelfIterProxy', 'RemoteException',
            'make_server_class', 'make_singleton', 'exec_return', 'get_global', 'set_global', 'easycluster',
            'definitions_module', 'define_common', 'SINGLE', 'VERSION')


class Cancelled(BaseException):
    """Ends a request that was cancelled before it ran."""
    pass


class Package(ModuleType):
    """The module `easycluster` on this side; its content is loaded when first asked for."""

    def __getattr__(self, name):
        if name[:2] == '__' and name not in ('__all__', '__version__'):
            raise AttributeError(name)
        load('package').fill(self)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError("module 'easycluster' has no attribute %r here" % name)


def prepare(machine):
    """Gives the machine what it needs before the client's HELLO."""
    machine.protocol = None
    machine.peer = None
    machine.names = {}
    machine.direct = compat.SAME_NAMES
    machine.references = None
    machine.filled = False


def greet(machine, payload):
    """Takes the client's HELLO (ME-1)."""
    try:
        hello = dict([(compat.native(key), value) for key, value in compat.pickle.loads(payload).items()])
        machine.peer = compat.native(hello['peer'])
        protocol = hello['protocol']
        machine.protocol = min(compat.HIGHEST_PICKLE, hello['pickle'])
        machine.output_window = hello.get('window', 1048576)
    except Exception:
        machine.link.fatal('malformed', 'HELLO cannot be read: %s' % (sys.exc_info()[1],))
    if protocol != 1:
        machine.link.fatal('version', 'the client speaks protocol %s, this end protocol 1' % protocol)
    machine.link.compress = bool(hello.get('compress'))
    machine.version = compat.native(hello.get('version', ''))
    package = Package('easycluster')
    package.__path__ = []
    package.machine = machine
    sys.modules['easycluster'] = package
    machine.package = package
    machine.module = definitions(machine, compat.native(hello.get('definitions') or 'easycluster.remote_code'))
    machine.names = machine.module.__dict__


def definitions(machine, name):
    """The definitions module of that name, made if need be."""
    module = sys.modules.get(name)
    if module is None:
        module = ModuleType(name)
        module._source_code = []
        sys.modules[name] = module
        if '.' in name:
            parent, child = name.rsplit('.', 1)
            __import__(parent)
            setattr(sys.modules[parent], child, module)
    elif not hasattr(module, '_source_code'):
        raise ImportError('%s exists already and is not a definitions module' % name)
    return module


def provide(machine, module, source):
    """Gives a definitions module the names of `easycluster` if the source is about to use one."""
    for name in PROVIDED:
        if name in source:
            load('package').provide(machine.package, module)
            return


def call(machine, name, args, kwargs):
    """Calls a global by its dotted name (ME-5)."""
    name = compat.native(name)
    function = machine.names.get(name)
    if function is None:
        if name in PROVIDED:
            provide(machine, machine.module, name)
        function = names.get_global(name, machine.module, True)
    return function(*compat.native_arguments(args), **compat.native_keywords(kwargs))


def perform(machine, worker, kind, flags, request, payload):
    """Runs any request: unpickles it, and does what its kind says."""
    content = unpickle(machine, worker, flags, request, payload)
    if machine.cancelled and request in machine.cancelled:
        machine.cancelled.discard(request)
        raise Cancelled
    if kind == wire.CALL:
        name, args, kwargs = content
        return call(machine, name, args, kwargs)
    if kind == wire.METHOD:
        oid, method, args, kwargs = content
        args = compat.native_arguments(args)
        kwargs = compat.native_keywords(kwargs)
        method = compat.native(method)
        if oid == 0:
            return getattr(load('root').Root(machine), method)(*args, **kwargs)
        return compat.attribute(references(machine).held(oid), method)(*args, **kwargs)
    return load('sources').perform(machine, kind, content)


def references(machine):
    """The table of objects that the client holds references to."""
    if machine.references is None:
        machine.references = load('references').References(machine)
    return machine.references


def unpickle(machine, worker, flags, request, payload):
    """The content of a request that is not a short plain one."""
    if not flags & ~wire.NO_REPLY:
        try:
            return compat.pickle.loads(payload)
        except compat.pickle.UnpicklingError:
            # It may hold references without saying so.
            pass
        except Exception:
            raise load('errors').Unreadable(sys.exc_info())
    return load('references').unpickle(machine, worker, flags, request, payload)


def result(machine, worker, request, value):
    """A value as (kind, flags, data) of the frames that answer."""
    return load('references').result(machine, worker, request, value)


def failure(machine, worker, request):
    """The exception being handled as (kind, flags, data) of the frames that answer."""
    return wire.ERROR, 0, load('errors').describe(machine, worker, request, sys.exc_info())


def begin_message(machine, worker, request, payload):
    """The first chunk of a request that comes in several."""
    if request in machine.messages:
        machine.link.fatal('malformed', 'request %d begins again while it is under way' % request)
    message = machine.messages[request] = load('large').Message(machine, worker, payload)
    return message


def refuse_thread(machine, worker):
    """Answers for a thread that cannot be started."""
    load('errors').refuse_thread(machine, worker)


def control(machine, kind, flags, request, thread, payload, counted):
    """Acts on a frame that is not a request; called by whoever reads."""
    link = machine.link
    if kind == wire.HELLO_C and machine.protocol is None:
        greet(machine, payload)
    elif machine.protocol is None:
        link.fatal('malformed', 'the first frame is not HELLO')
    elif kind == wire.DATA:
        message = machine.messages.get(request)
        if message is None:
            link.fatal('malformed', 'DATA for request %d, which has no message under way' % request)
        if not flags & MORE:
            del machine.messages[request]
        message.feed(payload, counted, not flags & MORE)
    elif kind == wire.PING:
        if len(payload) > 64:
            link.fatal('malformed', 'PING of %d bytes; at most 64' % len(payload))
        link.send(wire.PONG, request, thread, payload)
    elif kind == wire.RELEASE:
        if len(payload) % 12:
            link.fatal('malformed', 'RELEASE of %d bytes; each entry has 12' % len(payload))
        references(machine).release(payload)
    elif kind == wire.STOP_THREAD:
        worker = machine.workers.get(thread)
        if worker is not None and thread:
            # A later request of this number gets a new thread, also while the old one still ends.
            del machine.workers[thread]
            worker.ended = True
            machine.roused.append(worker)
    else:
        load('control').act(machine, kind, request, thread, payload)


def install_interrupt(worker):
    """Makes SIGINT interrupt the main thread's request if it is the cancelled one, and nothing else."""
    def interrupted(number, frame):
        if worker.running and worker.cancelled == worker.running:
            worker.cancelled = 0
            raise KeyboardInterrupt
    worker.ident = compat.thread.get_ident()
    compat.signal.signal(compat.signal.SIGINT, interrupted)


def clear_interrupt(ident):
    """Takes back an asynchronous exception that has not been raised yet."""
    load('control').set_exception(ident, None)
