"""Functions of this program as source, to be run elsewhere."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any, overload

from .._options import CallOptions
from .annotations import without_annotations
from .globals import defaults, global_names, imports_of, names_in

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Shipped:
    """A function's source, its name, and where it stands."""

    __slots__ = ('source', 'name', 'filename', 'line')

    def __init__(self, source: str, name: str, filename: str, line: int) -> None:
        self.source = source
        self.name = name
        self.filename = filename
        self.line = line


_known: dict[CodeType, Shipped] = {}


def shipped(func: Callable[..., Any]) -> Shipped:
    """The source of a function. Raises TypeError with the reason for one that cannot be sent."""
    func = inspect.unwrap(func)
    if not isinstance(func, FunctionType):
        raise TypeError('%r is not a function written in Python; %s' % (func, _instead(func)))
    code = func.__code__
    found = _known.get(code)
    if found is None:
        found = _known[code] = _read(func, code)
    return found


def _instead(func: Any) -> str:
    """What to do with what is no function written in Python."""
    if not isinstance(func, BuiltinFunctionType) or not isinstance(getattr(func, '__module__', None), str):
        return 'write one with def that calls it'
    name = func.__qualname__ if func.__module__ == 'builtins' else '%s.%s' % (func.__module__, func.__qualname__)
    return 'call(), map() and stream() take the name of a remote one as text: %r' % name


def _read(func: FunctionType, code: CodeType) -> Shipped:
    if func.__name__ == '<lambda>':
        raise TypeError(
            'a lambda cannot be sent, because its source cannot be separated from the code around it; write it with def'
        )
    if code.co_freevars:
        raise TypeError(
            '%s uses %s of the enclosing function, which are not sent; pass them as arguments'
            % (func.__qualname__, ', '.join(code.co_freevars))
        )
    try:
        lines, _ = inspect.findsource(code)
    except (OSError, TypeError) as error:
        raise TypeError(
            'the source of %s cannot be found (%s); use define_common() for code made at run time'
            % (func.__qualname__, error)
        ) from None
    node = _definition(lines, code)
    if node is None:
        raise TypeError(
            'the source of %s is not where it was: %s has changed since it was imported'
            % (func.__qualname__, code.co_filename)
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise TypeError('%s is a coroutine function; the server has no event loop to run it in' % func.__qualname__)
    # Decorators stay here; they belong to this program. What is indented stays so, below a line of its own: what stands at the
    # margin within a function, such as the rest of a string or of a call, is not indentation and must not be moved.
    own = ''.join(lines[node.lineno - 1 : node.end_lineno]).rstrip('\r\n') + '\n'
    above = 'if 1:\n' if node.col_offset else ''
    body = without_annotations(above + own)
    # In code objects, attributes stand among the names.
    names = global_names(code) & names_in(node.body)
    imports = imports_of(func, names | names_in(defaults(node)))
    head = ''.join(text + '\n' for text in imports)
    line = node.lineno - len(imports) - bool(above)
    return Shipped(head + body, node.name, code.co_filename, max(1, line))


def _definition(lines: list[str], code: CodeType) -> Any:
    """The definition in a file whose code this is; None if there is none at its place any more."""
    try:
        tree = ast.parse(''.join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            if min(part.lineno for part in (node, *node.decorator_list)) == code.co_firstlineno:
                return node
    return None


@overload
def remote(func: Callable[..., Any], **options: Unpack[CallOptions]) -> Callable[..., Any]: ...
@overload
def remote(func: None = None, **options: Unpack[CallOptions]) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
def remote(func: Callable[..., Any] | None = None, **options: Unpack[CallOptions]) -> Callable[..., Any]:
    """A decorator for functions to be run on servers: `function(client, *args)` runs it there, `function.local(*args)` here.

    Options are those of any call, such as `nonblocking=True`.
    """
    if func is None:
        return functools.partial(remote, **options)

    @functools.wraps(func)
    def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return client.run(func, *args, **dict(options, **kwargs))

    call.local = func  # type: ignore[attr-defined]
    return call
