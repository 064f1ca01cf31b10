"""What is found by rule: exceptions, enumerations and result tuples of Python's own library, in this Python's own modules.

A server names it; that it is a class of the library, defined by the library, and of one of these three kinds, is seen here.
"""

from __future__ import annotations

import enum
import importlib
import os
import sys
import sysconfig
import warnings
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from .._shared import load
from .settled import Unreadable, settled

moved = load('moved')

# Of the library, and act when they are imported: they print, open a window or a browser, or run tests.
_ACT = frozenset((
    '__main__ __hello__ __phello__ antigravity this idlelib test tests turtle turtledemo ensurepip lib2to3 pip venv readline '
    'rlcompleter site sitecustomize usercustomize'
).split())  # fmt: skip
# Python 3.9 does not say which modules are its own; those of it have no other place.
_NAMES: frozenset[str] | None = getattr(sys, 'stdlib_module_names', None)
_PLACES = tuple(
    os.path.realpath(place) + os.sep
    for place in {os.path.dirname(os.__file__), sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')}
)
# What a metaclass says about its classes is not asked.
_home_of = type.__dict__['__module__'].__get__
_NOT_OURS = ('site-packages', 'dist-packages')


def _is_named_so(module: str) -> bool:
    parts = module.split('.')
    return not _ACT.intersection(parts) and (_NAMES is None or parts[0] in _NAMES)


def _is_at_home(origin: Any) -> bool:
    """Whether a module comes from where Python's own are: a file of the same name beside a program does not."""
    if origin is None or origin in ('built-in', 'frozen'):
        return origin is not None
    place = os.path.realpath(str(origin))
    return place.startswith(_PLACES) and not any(part in _NOT_OURS for part in place.split(os.sep))


def is_standard_module(module: Any) -> bool:
    """Whether a module is one of Python's own."""
    if not isinstance(module, ModuleType):
        return False
    spec = getattr(module, '__spec__', None)
    return spec is not None and _is_named_so(module.__name__) and _is_at_home(spec.origin)


def _spec(name: str) -> ModuleSpec | None:
    """Where Python's own finders have a module; those of other packages may change the process where they are asked."""
    # A program that was made one file has its modules from a finder of its own.
    finders = sys.meta_path if getattr(sys, 'frozen', False) else (BuiltinImporter, FrozenImporter, PathFinder)
    path = getattr(sys.modules.get(name.rpartition('.')[0]), '__path__', None)
    return next(filter(None, (finder.find_spec(name, path) for finder in finders)), None)


def _imported(name: str) -> ModuleType | None:
    # In whose place setuptools would put its own, with all that it changes.
    if name == 'distutils' and '_distutils_hack' in sys.modules:
        return None
    spec = _spec(name)
    if spec is None or not _is_at_home(spec.origin):
        return None
    with warnings.catch_warnings():
        # That it is deprecated, this program did not ask.
        warnings.simplefilter('ignore')
        return importlib.import_module(name)


def module_of(name: str) -> ModuleType | None:
    """A module of Python's own library by name, imported if need be; None for all else."""
    if not _is_named_so(name):
        return None
    module = sys.modules.get(name)
    if module is None:
        parent = name.rpartition('.')[0]
        if parent and module_of(parent) is None:
            return None
        try:
            module = settled(lambda: _imported(name))
        except Unreadable:
            # One that is for another system.
            return None
    return module if is_standard_module(module) else None


def is_standard_class(kind: type) -> bool:
    """Whether a class is defined by Python's own library: found in one of its modules by its own name."""
    home = _home_of(kind)
    if type(home) is not str or not _is_named_so(home):
        return False
    return is_standard_module(sys.modules.get(home))


def _at(module: str, name: str) -> Any:
    value: Any = module_of(module)
    if value is None:
        return None
    for part in name.split('.'):
        # Through classes only, so that no module reached by way of another comes with it.
        if isinstance(value, ModuleType) and value.__name__ != module:
            return None
        value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
    return value


def is_one(value: Any) -> bool:
    """Whether something is of one of the kinds that are taken by rule."""
    if isinstance(value, enum.Enum):
        return is_standard_class(type(value))
    return (
        isinstance(value, type)
        and is_standard_class(value)
        and (issubclass(value, (BaseException, enum.Enum)) or issubclass(value, tuple) and value is not tuple)
    )


def at(module: str, name: str) -> Any:
    """The exception class, enumeration or member of one, or class of result tuples that has this name here; else None."""
    value = _at(module, name)
    return value if is_one(value) else None


def is_structure(kind: type) -> bool:
    """Whether a class is a tuple of C with names, such as os.stat_result."""
    return issubclass(kind, tuple) and hasattr(kind, 'n_sequence_fields')
