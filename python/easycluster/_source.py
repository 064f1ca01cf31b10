"""Functions of this program as source, to be run elsewhere."""

import ast
import builtins
import functools
import inspect
import sys
import textwrap
from types import FunctionType, ModuleType

from ._annotations import without_annotations


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
    body = without_annotations(''.join(source.splitlines(True)[node.lineno - 1 :]))
    # In code objects, attributes stand among the names.
    names = _names(code) & _names_in(node.body)
    imports = _imports(func, names | _names_in(_defaults(node)))
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


def _defaults(node):
    """The default values of arguments, which are looked up when the function is defined."""
    return node.args.defaults + [default for default in node.args.kw_defaults if default is not None]


def _names_in(nodes):
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _names_by_from(func):
    """Import statements for what the function's file imports out of modules, by name."""
    try:
        lines, _ = inspect.findsource(func)
        tree = ast.parse(''.join(lines))
    except (OSError, SyntaxError):
        return {}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level and node.module != '__future__':
            for alias in node.names:
                found[alias.asname or alias.name] = 'from %s import %s as %s' % (
                    node.module,
                    alias.name,
                    alias.asname or alias.name,
                )
    return found


def _is_ours(value):
    # Definitions are on the server already.
    home = getattr(value, '__module__', None)
    return home == 'easycluster' or hasattr(sys.modules.get(home), '_source_code')


def _imports(func, names):
    """Import statements for the modules, and what the file imports out of modules, that the function uses by global names."""
    imports = []
    by_from = _names_by_from(func)
    for name in sorted(names):
        value = func.__globals__.get(name)
        if value is not None and name in by_from and not _is_ours(value):
            imports.append(by_from[name])
        elif isinstance(value, ModuleType):
            imports.append('import %s' % name if value.__name__ == name else _import_as(value.__name__, name))
        elif (
            isinstance(value, (FunctionType, type))
            and not hasattr(builtins, name)
            and value.__module__ == func.__module__
            and (value is not func)
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
