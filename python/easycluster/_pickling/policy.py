"""Which names of a server's pickle are found and called here: plain values, exceptions, definitions, and what a client allows."""

from __future__ import annotations

import copyreg
import enum
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, Union

from .. import _errors
from .._shared import objects
from . import dtypes, iterators, tables

# What is done with a name: nothing, CALLED, MADE by `__new__`, or both.
CALLED = 1
MADE = 2

Allowed = Union[str, type, ModuleType, Callable[..., Any]]


def _latin1(text: str, encoding: str = 'latin1') -> bytes:
    # How protocol 2 writes bytes. Other codecs decompress, and one of them is enough to fill the memory.
    if encoding not in ('latin1', 'latin-1', 'iso-8859-1'):
        raise _errors.Refused(
            'a server asked for the codec %r, which this client does not use for pickles' % (encoding,)
        )
    return text.encode('latin1')


_BASES = frozenset((object, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset))


def _reconstruct(kind: type, base: type, value: Any) -> Any:
    # copyreg's own calls whatever base it is given, with the constructor that this one has.
    if base not in _BASES:
        raise _errors.Refused('a server asked for an instance of %r by way of %r' % (kind, base))
    return copyreg._reconstructor(kind, base, value)  # type: ignore[attr-defined]


def _look_up(module: str, name: str) -> Any:
    if module not in sys.modules:
        __import__(module)
    return getattr(sys.modules[module], name)


class Policy:
    """What one client takes from its server."""

    def __init__(self, allow: Allowed | Iterable[Allowed] = (), definitions: Iterable[str] = ()) -> None:
        self.trusted = False
        self.where = 'the server'
        self.definitions = set(definitions)
        self._modules: set[str] = set()
        self._names: set[tuple[str, str]] = set()
        self._cache: dict[tuple[str, str, int], Any] = {}
        if isinstance(allow, (str, type, ModuleType)):
            allow = [allow]
        entries: Iterable[Allowed] = allow  # type: ignore[assignment]
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Allowed) -> None:
        if isinstance(entry, ModuleType):
            self._modules.add(entry.__name__)
        elif isinstance(entry, type) or callable(entry):
            self._names.add((entry.__module__, entry.__qualname__))
        elif not isinstance(entry, str):
            raise TypeError('allow takes names, modules, classes and functions, not %r' % (entry,))
        elif entry == '*':
            self.trusted = True
        elif entry.endswith('.*'):
            self._modules.add(entry[:-2])
        else:
            # `a.b` may be a module or a class in one; which it is shows when a server names it.
            self._modules.add(entry)
            parts = entry.split('.')
            for cut in range(1, len(parts)):
                self._names.add(('.'.join(parts[:cut]), '.'.join(parts[cut:])))

    def find(self, module: str, name: str, uses: int) -> Any:
        """The value of a name that a pickle looks up, for these uses; raises Refused."""
        key = (module, name, uses)
        try:
            return self._cache[key]
        except KeyError:
            pass
        found = self._find(module, name, uses)
        # What a definitions module holds may change.
        if module not in self.definitions:
            self._cache[key] = found
        return found

    def _find(self, module: str, name: str, uses: int) -> Any:
        module = tables.RENAMED_MODULES.get(module, module)
        module, name = tables.RENAMED_NAMES.get((module, name), (module, name))
        if (module, name) in self._names or module in self._modules:
            return self._allowed(module, name)
        if name in tables.VALUES.get(module, ()):
            return _look_up(module, name)
        if (module, name) == ('_codecs', 'encode'):
            return _latin1
        if (module, name) == ('copyreg', '_reconstructor'):
            return _reconstruct
        if uses == CALLED and (module, name) == ('builtins', 'getattr'):
            return dtypes.member
        if uses == CALLED and (module, name) == ('_operator', 'or_'):
            return dtypes.either
        if uses == CALLED and (module, name) in iterators.MAKERS:
            return iterators.MAKERS[module, name]
        if (module, name) == ('zoneinfo', 'ZoneInfo._unpickle'):
            return _look_up('zoneinfo', 'ZoneInfo')._unpickle
        if module in self.definitions:
            return self._defined(module, name, uses)
        if module.split('.', 1)[0] == 'numpy':
            return self._numpy(module, name, uses)
        if module in tables.EXCEPTION_MODULES and '.' not in name:
            found = self._exception(module, name)
            if found is not None:
                return found
        if module == 'easycluster' or module.startswith('easycluster.'):
            shared = self._own(name)
            if shared is not None:
                return shared
        raise self.refusal(module, name)

    def _allowed(self, module: str, name: str) -> Any:
        value = _look_up(module, name.split('.', 1)[0])
        for part in name.split('.')[1:]:
            # Through classes only, so that no module reached by way of an allowed one comes with it.
            if not isinstance(value, type):
                raise self.refusal(module, name)
            value = getattr(value, part)
        if (module, name) not in self._names:
            home = getattr(value, '__module__', None) or module
            if isinstance(value, ModuleType) or (home != module and not _is_within(home, module)):
                raise self.refusal(module, name)
        return value

    def _own(self, name: str) -> type[Exception] | None:
        value = getattr(objects, name, None)
        if isinstance(value, type) and issubclass(value, Exception):
            return value
        return None

    def _exception(self, module: str, name: str) -> type[BaseException] | None:
        try:
            value = _look_up(module, name)
        except (ImportError, AttributeError):
            return None
        if isinstance(value, type) and issubclass(value, BaseException):
            return value
        return None

    def _numpy(self, module: str, name: str, uses: int) -> Any:
        if name in tables.NUMPY_CALLED.get(module, ()):
            return _numpy_look_up(module, name)
        # The array classes are made by `_reconstruct` alone; called, they take memory to interpret.
        if name in tables.NUMPY_VALUES.get(module, ()) and not uses:
            return _numpy_look_up(module, name)
        raise self.refusal(module, name)

    def _defined(self, module: str, name: str, uses: int) -> Any:
        value: Any = sys.modules.get(module)
        if value is None:
            raise self.refusal(module, name)
        for part in name.split('.'):
            value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
        # What the module only imported is not defined in it.
        if not isinstance(value, (type, FunctionType)) or value.__module__ != module:
            raise self.refusal(module, name)
        if uses & CALLED and not _remakes_itself(value):
            raise _errors.Refused(
                '%s sent a pickle that calls %s.%s here; functions and classes of definitions come by name and as instances, '
                'but only exceptions, enumerations and classes with a __reduce__ of their own are called. %s'
                % (self.where, module, name, self._how('%s.%s' % (module, name))),
                '%s.%s' % (module, name),
            )
        if uses & MADE and not isinstance(value, type):
            raise self.refusal(module, name)
        return value

    def _how(self, name: str) -> str:
        return (
            'To allow it, give the client allow=[%r] or the connection spec allow=%s; to trust the server wholly, allow=\'*\''
            % (name, name)
        )

    def refusal(self, module: str, name: str) -> _errors.Refused:
        """The exception for a name that is not allowed."""
        full = '%s.%s' % (module, name)
        return _errors.Refused(
            '%s sent %s, which this client does not unpickle. %s' % (self.where, full, self._how(full)), full
        )


def _is_within(home: str, module: str) -> bool:
    # Packages name their classes by private submodules: home `a._impl` for what is found in `a`.
    return (
        home.startswith(module + '.')
        or '.' in home
        and module.startswith(home.rsplit('.', 1)[0] + '.')
        and (home.split('.')[0] == module.split('.')[0])
    )


def _remakes_itself(value: Any) -> bool:
    if not isinstance(value, type):
        return False
    if issubclass(value, (BaseException, enum.Enum)):
        return True
    return any(
        '__reduce__' in vars(base) or '__reduce_ex__' in vars(base)
        for base in value.__mro__
        if base.__module__ == value.__module__
    )


def _numpy_look_up(module: str, name: str) -> Any:
    try:
        return _look_up(module, name)
    except ImportError:
        # The private package has had two names; the other end may have the other one.
        if module.startswith('numpy.core.'):
            return _look_up('numpy._core.' + module[11:], name)
        if module.startswith('numpy._core.'):
            return _look_up('numpy.core.' + module[12:], name)
        raise


class _Nothing(Policy):
    """Allows no names but those by which protocol 2 writes bytes."""

    def _find(self, module: str, name: str, uses: int) -> Any:
        if (module, name) == ('_codecs', 'encode'):
            return _latin1
        if name in ('bytearray', 'bytes') and module in ('builtins', '__builtin__'):
            return bytearray if name == 'bytearray' else bytes
        raise _errors.Refused(
            '%s sent %s.%s where plain data is due' % (self.where, module, name), '%s.%s' % (module, name)
        )


NOTHING = _Nothing()
