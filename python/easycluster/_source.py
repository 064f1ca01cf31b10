"""Functions of this program as source, to be run elsewhere."""

import ast
import builtins
import functools
import inspect
import textwrap
from types import FunctionType, ModuleType


class Shipped:
    """A function's source, its name, and where it stands."""

    __slots__ = ('source', 'name', 'filename', 'line')

    def __init__(self, source, name, filename, line):
        self.source = source
        self.name = name
        self.filename = filename
        self.line = line


_known: dict = {}


def shipped(func):
    """The source of a function. Raises TypeError with the reason for one that cannot be sent."""
    func = inspect.unwrap(func)
    if not isinstance(func, FunctionType):
        raise TypeError('run() takes a function written in Python, not %r' % (func,))
    code = func.__code__
    found = _known.get(code)
    if found is None:
        found = _known[code] = _read(func, code)
    return found


def _read(func, code):
    if func.__name__ == '<lambda>':
        raise TypeError(
            'a lambda cannot be sent, because its source cannot be told from what stands around it; write it with def'
        )
    if code.co_freevars:
        raise TypeError(
            '%s uses %s of the function around it, which stay here; pass them as arguments'
            % (func.__qualname__, ', '.join(code.co_freevars))
        )
    try:
        lines, first = inspect.getsourcelines(func)
    except (OSError, TypeError) as error:
        raise TypeError(
            'the source of %s cannot be found (%s); use define_common() for code made at run time'
            % (func.__qualname__, error)
        ) from None
    source = textwrap.dedent(''.join(lines))
    node = ast.parse(source).body[0]
    if isinstance(node, ast.AsyncFunctionDef):
        raise TypeError('%s is a coroutine function; the server has no event loop to run it in' % func.__qualname__)
    # Decorators stay here; they belong to this program.
    body = ''.join(source.splitlines(True)[node.lineno - 1 :])
    imports = _imports(func, code)
    line = first + node.lineno - 1
    head = ''.join(text + '\n' for text in imports)
    return Shipped(head + body, func.__name__, code.co_filename, max(1, line - len(imports)))


def _names(code):
    """The names that code looks up globally, also in functions within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names |= _names(constant)
    return names


def _imports(func, code):
    """Import statements for the modules that the function uses by global names."""
    imports = []
    for name in sorted(_names(code)):
        value = func.__globals__.get(name)
        if isinstance(value, ModuleType):
            imports.append('import %s' % name if value.__name__ == name else _import_as(value.__name__, name))
        elif (
            isinstance(value, (FunctionType, type))
            and not hasattr(builtins, name)
            and value.__module__ == func.__module__
            and (value is not func)
            and _is_called(func, name)
        ):
            raise TypeError(
                '%s uses %s, which is defined in this program and not on the server; define both with define_common(), '
                'or put one into the other' % (func.__qualname__, name)
            )
    return imports


def _import_as(module, name):
    if '.' in module and module.split('.')[0] == name:
        return 'import %s' % module
    return 'import %s as %s' % (module, name)


def _is_called(func, name):
    """Whether the name is looked up as a global, and not only as an attribute of the same name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(func)))
    body = tree.body[0]
    return any(isinstance(node, ast.Name) and node.id == name for part in body.body for node in ast.walk(part))


def remote(func=None, **options):
    """A decorator for functions to be run on servers: `function(client, *args)` runs it there, `function.local(*args)` here.

    Options are those of any call, such as `nonblocking=True`.
    """
    if func is None:
        return functools.partial(remote, **options)

    @functools.wraps(func)
    def call(client, *args, **kwargs):
        return client.run(func, *args, **dict(options, **kwargs))

    call.local = func
    return call
