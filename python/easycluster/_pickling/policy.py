"""Which names of a server's pickle are found and called here: plain values, exceptions, definitions, and what a client allows."""

from __future__ import annotations

import enum
import importlib
import sys
from collections.abc import Callable, Iterable
from types import ClassMethodDescriptorType, FunctionType, ModuleType
from typing import Any, Union

from .. import _errors, _native
from .._shared import names, objects
from . import arrays, classes, contents, exceptions, makers, members, standard, tables, trust
from .made import Name
from .settled import Unreadable, settled

Allowed = Union[str, type, ModuleType, Callable[..., Any]]


def _look_up(module: str, name: str) -> Any:
    names.packages(module)
    # Also where it is there, but another thread is not done with it.
    importlib.import_module(module)
    return getattr(sys.modules[module], name)


class Policy:
    """What one client takes from its server."""

    def __init__(self, allow: Allowed | Iterable[Allowed] = (), definitions: Iterable[str] = ()) -> None:
        self.trusted = False
        self.where = 'the server'
        self.definitions = set(definitions)
        self._modules: set[str] = set()
        self._names: set[tuple[str, str]] = set()
        self._cache: dict[tuple[str, str], Name] = {}
        if isinstance(allow, (str, type, ModuleType)):
            allow = [allow]
        entries: Iterable[Allowed] = allow  # type: ignore[assignment]
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Allowed) -> None:
        if isinstance(entry, ModuleType):
            self._add_name(entry.__name__)
        elif isinstance(entry, type) or callable(entry):
            self._names.add((entry.__module__, entry.__qualname__))
            trust.allow('%s.%s' % (entry.__module__, entry.__qualname__))
        elif not isinstance(entry, str):
            raise TypeError('allow takes names, modules, classes and functions, not %r' % (entry,))
        elif entry == '*':
            self.trusted = True
        elif entry.endswith('.*'):
            self._add_name(entry[:-2])
        else:
            # `a.b` may be a module or a class in one; which it is shows when a server names it.
            self._add_name(entry)
            parts = entry.split('.')
            for cut in range(1, len(parts)):
                self._names.add(('.'.join(parts[:cut]), '.'.join(parts[cut:])))

    def _add_name(self, name: str) -> None:
        self._modules.add(name)
        trust.allow(name)

    def find(self, module: str, name: str) -> Name:
        """What a name that a pickle looks up stands for; raises Refused."""
        key = (module, name)
        try:
            return self._cache[key]
        except KeyError:
            pass
        found = self._find(module, name)
        # What a definitions module holds may change.
        if module not in self.definitions:
            self._cache[key] = found
        return found

    def _find(self, module: str, name: str) -> Name:
        full = '%s.%s' % (module, name)
        if (module, name) in self._names or self._allows(module):
            return _standard(full, self._allowed(module, name))
        for place in [(module, name), *standard.moved.others(module, name)]:
            known = self._known(*place)
            if known is not None:
                return known
            found = standard.at(*place)
            if found is not None:
                return _by_rule(full, found)
        if module in self.definitions:
            return self._defined(module, name)
        if module.split('.', 1)[0] == 'numpy':
            return self._numpy(module, name)
        if module == 'easycluster' or module.startswith('easycluster.'):
            shared = self._own(name)
            if shared is not None:
                return _exception(full, shared)
        raise self.refusal(module, name)

    def _allows(self, module: str) -> bool:
        """Whether a module, or a package that it is in, is allowed."""
        parts = module.split('.')
        return any('.'.join(parts[:length]) in self._modules for length in range(1, len(parts) + 1))

    def _known(self, module: str, name: str) -> Name | None:
        """What the tables know by a name."""
        full = '%s.%s' % (module, name)
        if name in tables.VALUES.get(module, ()):
            value = _look_up(module, name)
            return Name(full, lambda: value, *makers.uses(module, name, value))
        if (module, name) in makers.CALLS:
            return Name(full, call=makers.CALLS[module, name])
        if (module, name) == ('builtins', 'getattr'):
            return Name(full, call=self._attribute)
        if (module, name) == ('_operator', 'or_'):
            return Name(full, call=members.either)
        return None

    def _attribute(self, kind: Any, name: Any) -> Any:
        """What getattr() gives: a member of an enumeration, or a method of a class that makes its instances (3.11 and newer name
        those so)."""
        found = members.member(kind, name)
        if found is not None:
            return found
        if issubclass(type(kind), type) and type(name) is str and not name.startswith('__'):
            module, path = kind.__module__, '%s.%s' % (kind.__qualname__, name)
            full = '%s.%s' % (module, path)
            if (module, path) in makers.CALLS:
                return Name(full, call=makers.CALLS[module, path])
            listed = (module, kind.__qualname__) in self._names or self._allows(module)
            if listed or trust.takes_untrusted_state(kind):
                for base in trust.bases(kind):
                    own = trust.members(base).get(name)
                    if own is not None:
                        # Its methods for instances would be given what the server chooses in place of one.
                        if isinstance(own, (classmethod, staticmethod, ClassMethodDescriptorType)):
                            return Name(full, call=classes.standard_call(getattr(kind, name)))
                        break
        raise members.no_member(kind, name)

    def _allowed(self, module: str, name: str) -> Any:
        value = _look_up(module, name.split('.', 1)[0])
        for part in name.split('.')[1:]:
            # Through classes only, so that no module reached by way of an allowed one comes with it.
            if not isinstance(value, type):
                raise self.refusal(module, name)
            value = getattr(value, part)
        if (module, name) not in self._names:
            home = getattr(value, '__module__', None) or module
            if isinstance(value, ModuleType) or not (
                home == module or _is_within(home, module) or isinstance(home, str) and self._allows(home)
            ):
                raise self.refusal(module, name)
        return value

    def _own(self, name: str) -> type[Exception] | None:
        value = getattr(objects, name, None)
        if isinstance(value, type) and issubclass(value, Exception):
            return value
        return None

    def _numpy(self, module: str, name: str) -> Name:
        full = '%s.%s' % (module, name)
        # Where NumPy keeps its private functions has had two names; what they stand for here is ours.
        call = arrays.CALLS.get((module.replace('numpy._core.', 'numpy.core.', 1), name))
        if call is not None:
            return Name(full, arrays.dtype_class if name == 'dtype' else None, call)
        if name in tables.NUMPY_VALUES.get(module, ()):
            value = _look_up(module, name)
            return Name(full, lambda: value)
        raise self.refusal(module, name)

    def _defined(self, module: str, name: str) -> Name:
        value: Any = sys.modules.get(module)
        if value is None:
            raise self.refusal(module, name)
        for part in name.split('.'):
            value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
        # What the module only imported is not defined in it.
        if not isinstance(value, (type, FunctionType)) or value.__module__ != module:
            raise self.refusal(module, name)
        full = '%s.%s' % (module, name)
        if not isinstance(value, type):
            return Name(full, lambda: value, call=self._not_called(full, 'functions of definitions are never called'))
        if trust.takes_untrusted_state(value):
            return _standard(full, value)
        if issubclass(value, BaseException):
            return _exception(full, value)
        if issubclass(value, enum.Enum):
            return Name(full, lambda: value, call=lambda *args: members.by_value(value, *args))

        def new(*args: Any) -> Any:
            return classes.instance(value, *args)

        # By a call, old-style instances of Python 2 are made, without arguments; and what is pickled as a call by its base.
        base = trust.first_known(value)
        call = new if base in contents.CALLED else self._without_arguments(full, new)
        return Name(full, lambda: value, call, new)

    def _not_called(self, full: str, why: str) -> Callable[..., Any]:
        def refuse(*args: Any) -> Any:
            raise _errors.Refused(
                '%s sent a pickle that calls %s here, but %s. %s'
                % (self.where, _native.printable(full), why, self._how(full)),
                full,
            )

        return refuse

    def _without_arguments(self, full: str, new: Callable[..., Any]) -> Callable[..., Any]:
        refuse = self._not_called(
            full,
            'classes of definitions are called only if they are exceptions or enumerations or say that they take what a server '
            'chooses, by %s = True' % trust.OPT_IN,
        )
        return lambda *args: refuse() if args else new()

    def _how(self, name: str) -> str:
        return (
            'To allow it, give the client allow=[%r] or the connection spec allow=%s; to trust the server wholly, allow=\'*\''
            % (name, name)
        )

    def refusal(self, module: str, name: str) -> _errors.Refused:
        """The exception for a name that is not allowed."""
        full = _native.printable('%s.%s' % (module, name))
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


def _standard(full: str, value: Any) -> Name:
    if isinstance(value, type) and issubclass(value, BaseException):
        return Name(full, lambda: value, _allowed_exception(value), classes.standard_new(value))
    new = classes.standard_new(value) if isinstance(value, type) else None
    return Name(full, lambda: value, classes.standard_call(value), new)


def _allowed_exception(kind: Any) -> Callable[..., Any]:
    """Calls an exception's class; where its constructor takes other arguments than it has, it is made without, as those of definitions."""
    construct = classes.standard_call(kind)

    def make(*args: Any) -> Any:
        try:
            return settled(lambda: construct(*args))
        except Unreadable:
            return exceptions.exception(kind, *args)

    return make


def _exception(full: str, kind: Any) -> Name:
    def make(*args: Any) -> Any:
        return exceptions.exception(kind, *args)

    return Name(full, lambda: kind, make, make)


def _by_rule(full: str, value: Any) -> Name:
    """An exception, an enumeration or a member of one, or a result tuple of the library."""
    if isinstance(value, enum.Enum):
        return Name(full, lambda: value)
    if issubclass(value, BaseException):
        return _exception(full, value)
    if issubclass(value, enum.Enum):
        return Name(full, lambda: value, lambda *args: members.by_value(value, *args))
    return Name(full, lambda: value, *makers.result_tuple(value))


class _Nothing(Policy):
    """Allows no names but those by which protocol 2 writes bytes."""

    def _find(self, module: str, name: str) -> Name:
        module = 'builtins' if module == '__builtin__' else module
        if (module, name) in (('_codecs', 'encode'), ('builtins', 'bytearray'), ('builtins', 'bytes')):
            return Name(name, call=makers.CALLS[module, name])
        full = _native.printable('%s.%s' % (module, name))
        raise _errors.Refused('%s sent %s where plain data is due' % (self.where, full), full)


NOTHING = _Nothing()
