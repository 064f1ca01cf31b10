"""What a function of this program uses by global names, as statements for the server: imports, and plain constants."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterable, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any


def global_names(code: CodeType) -> set[str]:
    """The names that code looks up globally, also in functions within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names |= global_names(constant)
    return names


def defaults(node: ast.FunctionDef) -> list[ast.expr]:
    """The default values of arguments, which are looked up when the function is defined."""
    return node.args.defaults + [default for default in node.args.kw_defaults if default is not None]


def names_in(nodes: Sequence[ast.AST]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _names_by_from(func: FunctionType) -> dict[str, str]:
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


_SCALARS = (type(None), bool, int, float, complex, str, bytes)
# Larger data would better be an argument.
_LONGEST = 65536


def is_plain(value: Any) -> bool:
    """Whether the repr of a constant, as every Python reads it, is the constant, and is not too long to be sent with each function."""
    return _has_plain_repr(value) and len(repr(value)) <= _LONGEST


def _has_plain_repr(value: Any, depth: int = 8) -> bool:
    kind = type(value)
    if kind in (float, complex):
        # Neither inf nor nan is a literal.
        return bool(value - value == 0)
    if kind in _SCALARS:
        return True
    if depth and kind is dict:
        return all(_has_plain_repr(each, depth - 1) for pair in value.items() for each in pair)
    return bool(depth) and kind in (tuple, list) and all(_has_plain_repr(each, depth - 1) for each in value)


def _is_ours(value: Any) -> bool:
    # Definitions are on the server already.
    home = getattr(value, '__module__', None)
    return home == 'easycluster' or hasattr(sys.modules.get(str(home)), '_source_code')


def imports_of(func: FunctionType, names: Iterable[str]) -> list[str]:
    """Statements for what the function uses by global names: modules, what the file imports out of modules, and plain constants."""
    imports = []
    by_from = _names_by_from(func)
    for name in sorted(names):
        value = func.__globals__.get(name)
        if value is not None and name in by_from and not _is_ours(value):
            imports.append(by_from[name])
        elif name in func.__globals__ and is_plain(value):
            imports.append('%s = %r' % (name, value))
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


def _import_as(module: str, name: str) -> str:
    if '.' in module and module.split('.')[0] == name:
        return 'import %s' % module
    return 'import %s as %s' % (module, name)
