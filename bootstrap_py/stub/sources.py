# Source text from the client: expressions, blocks, definitions and functions, each known to linecache.
compat = load('compat')
sys = compat.sys
late = load('compat_late')
wire = load('wire')
calls = load('calls')
names = load('names')

# What `from easycluster import *` gives to definitions; a source that names none of them costs nothing.
PROVIDED = ('ServerObject RemoteProxy DefaultRemoteProxy SelfIterProxy RemoteException make_server_class '
            'make_singleton exec_return get_global set_global definitions_module define_common SINGLE VERSION '
            'easycluster').split()
# Sources that linecache is not told yet, because loading it at the start would cost more than the rest; those
# of the stub itself among them.
waiting = load.__self__.waiting
functions = {}
# The lines that tracebacks show of the client's files, by name: those of every function that came from there.
shown = {}
# One step for all threads, which a number and its successor would not be: numbers without end, each in front of a 0.
count = enumerate(iter(int, 1))


class Watcher(object):
    """Finds no module, but notices when what starts child processes anew is imported."""

    def find_spec(self, name, path=None, target=None):
        """None; of such a module its spec, changed."""
        if name[-6:] == '.spawn' and load.__self__.there('children'):
            return load('children').find(self, name, path)
        return None


class StandIn(type(load.__self__.machine.stand_ins[0])):
    """What stands for a stream, for who asks which class that is of."""

    __class__ = property(lambda self: type(self.machine.stream(self)))


for stand_in in load.__self__.machine.stand_ins:
    stand_in.__class__ = StandIn
if late.SPAWNS:
    sys.meta_path.insert(0, Watcher())
    if 'multiprocessing.spawn' in sys.modules:
        load('children').change(sys.modules['multiprocessing.spawn'])


def register():
    """Tells linecache every source that is in no file."""
    try:
        cache = late.imported('linecache').cache
        while waiting:
            name, source = waiting.popitem()
            cache[name] = len(source), None, source.splitlines(True), name
    except Exception:
        # Another thread was faster. Or remote code has put something else there; then tracebacks show no lines.
        pass


def run(machine, module, source, mode, filename=None, space=None):
    """Compiles and runs source in a module; the value of an expression, or of exec_return()."""
    for name in PROVIDED:
        if name in source:
            load('package').provide(machine, module, source)
            break
    if filename is None:
        # Numbers come round again, so that tracebacks keep the last few thousand sources and not all.
        filename = '<easycluster %s %d>' % (mode, next(count)[0] % 4096 + 1)
    source = late.native_source(source)
    if filename not in shown:
        waiting[filename] = source
    code = late.compiled(source, filename, 'eval' if mode == 'eval' else 'exec')
    try:
        return eval(code, module.__dict__ if space is None else space)
    except names.ExecReturn:
        return sys.exc_info()[1].value
    finally:
        if 'linecache' in sys.modules:
            register()


def perform(machine, kind, content):
    """Runs a request EVAL, EXEC, DEFINE or RUN."""
    if kind == wire.RUN:
        return run_function(machine, *content)
    if kind == wire.DEFINE:
        name, source, keep = content
        return define(machine, calls.definitions(machine, compat.native(name)), source)
    source, name = content
    module = machine.module if name is None else calls.definitions(machine, compat.native(name))
    if kind == wire.EVAL:
        return run(machine, module, source.strip(), 'eval')
    return run(machine, module, source, 'exec')


def define(machine, module, source):
    """Runs definitions in their module."""
    run(machine, module, source, 'definitions')
    module._source_code.append(source)


def run_function(machine, source, name, filename, line, args, kwargs):
    """Defines a function once and calls it; tracebacks name the client's file and line."""
    return function(machine, source, name, filename, line)(*args, **compat.native_keywords(kwargs))


def function(machine, source, name, filename, line):
    """A function from its source, which is run once."""
    key = source, name, filename, line
    if key not in functions:
        space = dict(machine.module.__dict__)
        filename = compat.native(filename)
        lines = late.native_source(source).split('\n')[:-1]
        # What it needs was put in front of it, where the file has other lines.
        first = [number for number, text in enumerate(lines) if text.lstrip()[:4] == 'def '][:1] or [0]
        show(filename, line - 1 + first[0], lines[first[0]:])
        run(machine, machine.module, '\n' * (line - 1) + source, 'function', filename, space)
        functions[key] = space[compat.native(name)]
    return functions[key]


def show(filename, before, lines):
    """Has tracebacks show these lines of a file, and those of other functions that came from it."""
    known = shown.setdefault(filename, [])
    known.extend([''] * (before + len(lines) - len(known)))
    known[before:before + len(lines)] = lines
    waiting[filename] = '\n'.join(known) + '\n'
