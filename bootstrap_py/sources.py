# Source text from the client: expressions, blocks, definitions and functions, each known to linecache.
import sys

compat = load('compat')
wire = load('wire')
calls = load('calls')
names = load('names')

# Sources that linecache is not told yet, because loading it at the start would cost more than the rest.
waiting = {}
functions = {}
count = [0]


def register():
    """Tells linecache every source that is in no file."""
    if 'linecache' not in sys.modules:
        __import__('linecache')
    cache = sys.modules['linecache'].cache
    for name, text in files.sources.items():
        waiting.setdefault('<easycluster>/' + name, text)
    for name, text in list(waiting.items()):
        cache[name] = (len(text), None, text.splitlines(True), name)
    waiting.clear()


def note(filename, source):
    """Keeps a source for tracebacks."""
    waiting[filename] = compat.source_text(source)
    if 'linecache' in sys.modules:
        register()


def run(machine, module, source, filename, mode):
    """Compiles and runs source in a module; the value of an expression or of exec_return()."""
    calls.provide(machine, module, source)
    note(filename, source)
    code = compat.compile_source(source, filename, mode)
    try:
        return eval(code, module.__dict__)
    except names.ExecReturn:
        if mode != 'exec':
            raise
        return sys.exc_info()[1].value


def perform(machine, kind, content):
    """Runs a request EVAL, EXEC, DEFINE or RUN."""
    if kind == wire.RUN:
        return run_function(machine, *content)
    if kind == wire.DEFINE:
        name, source, keep = content
        return define(machine, calls.definitions(machine, compat.native(name)), source)
    source, name = content
    if name is None:
        module = machine.module
    else:
        module = calls.definitions(machine, compat.native(name))
    return execute(machine, module, source, 'eval' if kind == wire.EVAL else 'exec')


def execute(machine, module, source, mode):
    """Runs an expression or statements under a filename of their own."""
    count[0] += 1
    filename = '<easycluster %s %d>' % (mode, count[0])
    return run(machine, module, source.strip() if mode == 'eval' else ended(source), filename, mode)


def ended(source):
    """Source that ends with a line end, which 2.6 asks for."""
    return source if source[-1:] == '\n' else source + '\n'


def define(machine, module, source):
    """Runs definitions in their module."""
    count[0] += 1
    run(machine, module, ended(source), '<easycluster definitions %s %d>' % (module.__name__, count[0]), 'exec')
    module._source_code.append(source)
    if 'linecache' in sys.modules:
        register()


def run_function(machine, source, name, filename, line, args, kwargs):
    """Defines a function once and calls it; tracebacks name the client's file and line."""
    key = (source, name, filename, line)
    function = functions.get(key)
    if function is None:
        whole = '\n' * (line - 1) + ended(source)
        filename = compat.native(filename)
        calls.provide(machine, machine.module, source)
        note(filename, whole)
        space = dict(machine.module.__dict__)
        exec(compat.compile_source(whole, filename, 'exec'), space)
        function = functions[key] = space[compat.native(name)]
    return function(*compat.native_arguments(args), **compat.native_keywords(kwargs))
