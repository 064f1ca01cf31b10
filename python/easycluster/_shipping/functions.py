"""How a function of this program gets to a machine: by its name there, as its source, or by value."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Literal, Union

from .forwarding import Forwarding
from .globals import global_names, is_plain
from .source import shipped

By = Literal['auto', 'name', 'source', 'value']
# What is sent of a function: its kind, and the name, the parts of the source, or the pickle.
Sent = tuple[str, Any]
Function = Union[str, Callable[..., Any]]

_WAYS = ('auto', 'name', 'source', 'value')
# From this size on a function by value is told about: it holds data that would better be an argument.
_LARGE = 1 << 20
# What is pickled by value is known to cloudpickle as a whole, and not to each of its pickles.
# So many answers of the parser are kept: of some functions, each for several versions.
_GRAMMARS = 256
_registering = threading.RLock()
# The modules of this program, and what the loaded modules were when they were looked for.
_found_at: tuple[int, str] | None = None
_found: list[ModuleType] = []


def find_cloudpickle() -> ModuleType | None:
    """The package that pickles functions by value, if it is installed."""
    try:
        return __import__('cloudpickle')
    except ImportError:
        return None


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    names = ('stdlib', 'platstdlib', 'purelib', 'platlib')
    return tuple({sysconfig.get_paths()[name] for name in names if name in sysconfig.get_paths()})


def _dotted(func: Callable[..., Any]) -> str:
    """The name by which a machine has a function. Raises TypeError with the reason if it has none."""
    module = getattr(func, '__module__', None)
    name = getattr(func, '__qualname__', None)
    if module is None:
        # A method of a built-in type, or one of a built-in module.
        owner = getattr(func, '__self__', None)
        module = owner.__name__ if isinstance(owner, ModuleType) else None
    if not module or not name or '<' in name:
        raise TypeError('it has no name that another machine could look up')
    if module == '__main__':
        raise TypeError('it is defined in the main program, which other machines do not have')
    home = sys.modules.get(module)
    value: Any = home
    for part in name.split('.'):
        value = getattr(value, part, None)
    if value is not func:
        raise TypeError('%s.%s is something else' % (module, name))
    if hasattr(home, '_source_code') or module == builtins.__name__:
        return str(name)
    return '%s.%s' % (module, name)


def forwarded_name(forwarding: Forwarding | None, func: Callable[..., Any]) -> str | None:
    """The name of a function that machines import from here; None for any other."""
    if forwarding is None or not forwarding.covers(getattr(func, '__module__', None)):
        return None
    try:
        return _dotted(func)
    except TypeError:
        return None


def _is_installed(func: Callable[..., Any]) -> bool:
    """Whether a function is not of this program, but of Python or a package, so that a machine may have it."""
    home = sys.modules.get(getattr(func, '__module__', None) or '')
    if home is None or hasattr(home, '_source_code'):
        return True
    file = getattr(home, '__file__', None)
    return file is None or file.startswith(_installed_folders())


def _is_own(module: Any) -> bool:
    """Whether a module is of this program."""
    file = getattr(module, '__file__', None)
    if not isinstance(module, ModuleType) or not isinstance(file, str) or not file.endswith('.py'):
        return False
    return module.__name__ != '__main__' and not file.startswith(_installed_folders())


def _own_modules() -> list[ModuleType]:
    """The modules of this program. They are looked for again where modules were loaded since, because there may be thousands."""
    global _found_at, _found
    at = len(sys.modules), next(reversed(sys.modules))
    if at != _found_at:
        _found_at, _found = at, [module for module in list(sys.modules.values()) if _is_own(module)]
    return _found


@contextlib.contextmanager
def own_modules_by_value(cloudpickle: Any) -> Iterator[None]:
    """While this lasts, cloudpickle takes functions and classes of this program's modules by value: other machines do not have
    those modules."""
    with _registering:
        own = _own_modules()
        for module in own:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in own:
                cloudpickle.unregister_pickle_by_value(module)


def _uses_data(func: FunctionType) -> list[str]:
    """The globals of a function that its source alone would not bring along: data of its module that is not plain."""
    found = []
    for name in sorted(global_names(func.__code__)):
        if name in func.__globals__:
            value = func.__globals__[name]
            known = isinstance(value, (ModuleType, FunctionType, BuiltinFunctionType, type))
            if not known and not is_plain(value):
                found.append(name)
    return found


class Portable:
    """A function that can be sent, and the ways in which that can be done."""

    def __init__(self, func: Function, by: By = 'auto') -> None:
        """Raises TypeError for what is not a function, ValueError for another way than 'auto', 'name', 'source' and 'value'."""
        if by not in _WAYS:
            raise ValueError('a function is sent by %s, not %r' % (', '.join(map(repr, _WAYS)), by))
        func = getattr(func, 'local', func) if isinstance(func, FunctionType) else func
        if not callable(func) and not isinstance(func, str):
            raise TypeError('%r is neither a function nor the name of one' % (func,))
        self.func = func
        self.by = by
        self.name: str = func if isinstance(func, str) else getattr(func, '__qualname__', None) or repr(func)
        # What is sent, or why nothing is: not the exception, which would keep the function and all that it refers to.
        self._known: dict[str, Sent | str] = {}

    def _way(self, way: str) -> Sent:
        """What is sent in one of the ways; TypeError with the reason if it cannot be. Found out once."""
        known: Sent | str | None = self._known.get(way)
        if known is None:
            try:
                known = getattr(self, '_by_' + way)()
            except TypeError as error:
                known = str(error)
            self._known[way] = known
        if isinstance(known, str):
            raise TypeError(known)
        return known

    def _by_name(self) -> Sent:
        return 'dotted', self.func if isinstance(self.func, str) else _dotted(self.func)

    def _by_source(self) -> Sent:
        if isinstance(self.func, str):
            raise TypeError('it is given by its name')
        function = shipped(self.func)
        return 'source', (function.source, function.name, function.filename, function.line)

    def _by_value(self) -> Sent:
        if isinstance(self.func, str):
            raise TypeError('it is given by its name')
        cloudpickle = find_cloudpickle()
        if cloudpickle is None:
            raise TypeError('cloudpickle is not installed here (pip install cloudpickle)')
        try:
            with own_modules_by_value(cloudpickle):
                return 'value', cloudpickle.dumps(self.func)
        except Exception as error:
            raise TypeError('cloudpickle cannot pickle it: %s' % error) from error

    def _ways(self) -> list[str]:
        if self.by != 'auto':
            return [self.by]
        if isinstance(self.func, str):
            return ['name']
        if _is_installed(self.func):
            return ['name', 'source', 'value']
        if isinstance(self.func, FunctionType) and _uses_data(self.func):
            return ['value', 'source', 'name']
        return ['source', 'value', 'name']

    def sent_to(
        self, host: str, python: tuple[int, ...], implementation: str, forwarding: Forwarding | None = None
    ) -> Sent:
        """What is sent to a machine with this Python, which may import some modules from here. Raises TypeError that says what failed
        each way."""
        reasons = []
        ways = self._ways()
        forwarded = forwarding is not None and forwarding.covers(getattr(self.func, '__module__', None))
        if forwarded and self.by == 'auto':
            ways = ['name', 'source', 'value']
        for way in ways:
            try:
                if way == 'value':
                    check_same(host, python, implementation)
                sent = self._way(way)
                if (
                    way == 'name'
                    and self.by == 'auto'
                    and not forwarded
                    and not isinstance(self.func, str)
                    and not _is_installed(self.func)
                ):
                    raise TypeError("it is of a module of this program; by='name' says that the hosts have that")
                if way == 'source':
                    _check_grammar(sent[1], host, (python[0], python[1]))
                return sent
            except TypeError as error:
                reasons.append('by %s: %s' % (way, error))
        raise TypeError('%s cannot be sent to %s: %s' % (self.name, host, '; '.join(reasons)))


@functools.lru_cache(maxsize=_GRAMMARS)
def _refusal(source: str, python: tuple[int, int]) -> tuple[int, str] | None:
    """The line of a source that an older Python does not understand, and why, as far as the parser here can say so."""
    try:
        ast.parse(source, feature_version=python)
    except SyntaxError as error:
        return error.lineno or 1, error.msg
    except ValueError:
        # It knows no grammar as old as that.
        pass
    return None


def _check_grammar(parts: tuple[str, str, str, int], host: str, python: tuple[int, int]) -> None:
    """Refuses a source for a Python of which it is known not to understand it."""
    source, _, filename, line = parts
    if (3, 0) <= python < sys.version_info[:2]:
        refusal = _refusal(source, python)
        if refusal is not None:
            number, reason = refusal
            raise TypeError(
                '%s, line %d: %s, and %s has %d.%d' % (filename, line + number - 1, reason.lower(), host, *python)
            )


def check_same(host: str, python: tuple[int, ...], implementation: str) -> None:
    """Refuses code by value for another Python than this one, which it could end."""
    ours = sys.version_info[:2]
    if tuple(python[:2]) != ours or implementation.lower() != sys.implementation.name:
        raise TypeError(
            'this is %s %d.%d and %s has %s %s; code by value needs the same'
            % (sys.implementation.name, *ours, host, implementation, '.'.join(map(str, python[:2])))
        )


def size_of(sent: Sent) -> int:
    """How many bytes of a function are sent, about."""
    kind, what = sent
    return len(what) if kind in ('dotted', 'value') else len(what[0])


def is_large(sent: Sent) -> bool:
    """Whether a function holds so much data that it would better be an argument."""
    return sent[0] == 'value' and size_of(sent) > _LARGE


def cloudpickle_source() -> str:
    """The source of cloudpickle, which machines need that get functions by value."""
    package = find_cloudpickle()
    file = None if package is None else sys.modules[package.__name__ + '.cloudpickle'].__file__
    if file is None:
        raise TypeError('cloudpickle is not installed here')
    with open(file, encoding='utf-8') as source:
        return source.read()
