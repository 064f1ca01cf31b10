"""Remote globals by dotted name: `client.os.path.join('a', 'b')`, `client.counter.value = 3`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from ._options import split_options

if TYPE_CHECKING:
    from ._caller import Caller

_F = TypeVar('_F', bound=Callable[..., Any])

# Methods of clients that came later than programs, by name.
_later = {'command'}
# The beginnings of statements that make globals, with their names and few other words.
_MAKES = re.compile(
    r'^(?:(?:async[ \t]+)?(?:def|class)[ \t]+\w+|(?:from|import)[ \t].*|\w+(?:[ \t]*,[ \t]*\w+)*[ \t]*=(?!=))',
    re.MULTILINE,
)


def made_by(block: object) -> set[str]:
    """Of the methods that came later than programs those of whose name a block of statements makes a global."""
    if not isinstance(block, str):
        return set()
    return {word for head in _MAKES.findall(block) for word in re.findall(r'\w+', head)} & _later


def unless_defined(method: _F) -> _F:
    """A method of clients that came later than programs, whose definitions or blocks may have a global of its name: then that is
    called."""
    name = method.__name__
    _later.add(name)

    @functools.wraps(method)
    def either(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self._is_own(name):
            return self.call(name, *args, **kwargs)
        return method(self, *args, **kwargs)

    return cast(_F, either)


def not_a_name(given: object) -> TypeError:
    """The exception for a function that is given in place of its name."""
    other = '; run() takes a function' if callable(given) else ''
    return TypeError('call() takes the name of a function there, such as %r, and not a %s%s' % (
        'os.getcwd', type(given).__name__, other))  # fmt: skip


class GlobalProxy:
    """A global of the server. Call it to call the function or class, chain it for attributes and modules in it, read or set
    `value` for the global itself."""

    __slots__ = ('_client', '_name')

    # How the value is had, with the place of the name.
    _reading: ClassVar[str] = 'client.%s.value'

    _client: Caller
    _name: str

    def __init__(self, client: Caller, name: str) -> None:
        object.__setattr__(self, '_client', client)
        object.__setattr__(self, '_name', name)

    def __getattribute__(self, name: str) -> Any:
        # `value` is not a property, because an AttributeError that its remote side raises would be taken for its own absence.
        if name == 'value':
            return client_of(self).send_request(0, 'get_global', (name_of(self),))
        if name[:2] == '__' or name == '_client' or name == '_name':
            return object.__getattribute__(self, name)
        return GlobalProxy(client_of(self), name_of(self) + '.' + name)

    def __setattr__(self, name: str, value: Any) -> None:
        own = name_of(self)
        if name != 'value':
            raise AttributeError('to set a remote global, set its value: client.%s.%s.value = ...' % (own, name))
        client_of(self).send_request(0, 'set_global', (own, value))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = client_of(self)._call
        if kwargs:
            if len(kwargs) == 1 and 'nonblocking' in kwargs:
                # The usual one, without the detour.
                return call(name_of(self), args, {}, kwargs['nonblocking'])
            options = split_options(kwargs)
            if 'timeout' in kwargs:
                return client_of(self)._send_timed(None, name_of(self), args, kwargs, options)
            if options:
                return call(name_of(self), args, kwargs, **options)
        return call(name_of(self), args, kwargs)

    # What a value answers and a name cannot. Without these, Python gives a wrong answer instead of an error.
    def __bool__(self) -> bool:
        raise _no_value(self, 'truth')

    def __format__(self, spec: str) -> str:
        raise _no_value(self, 'text')

    def __str__(self) -> str:
        raise _no_value(self, 'text')

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return '<global %s on %s>' % (name_of(self), client_of(self).peername)


# By what they are called in the error.
_OF_VALUES = {
    'comparison': 'eq ne lt le gt ge',
    'items': 'iter next len getitem setitem delitem contains reversed length_hint',
    'number': 'int float complex index neg pos abs invert round trunc floor ceil',
    'arithmetic': ' '.join(
        '%s r%s i%s' % (name, name, name)
        for name in 'add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor'.split()
    ),
    'text': 'bytes fspath',
    'content': 'enter exit aenter aexit aiter anext await copy deepcopy reduce_ex',
}


def _without_value(what: str) -> Callable[..., Any]:
    def refuse(self: GlobalProxy, *_: Any) -> Any:
        raise _no_value(self, what)

    return refuse


for _what, _names in _OF_VALUES.items():
    for _name in _names.split():
        setattr(GlobalProxy, '__%s__' % _name, _without_value(_what))


def _no_value(proxy: GlobalProxy, what: str) -> TypeError:
    return TypeError(
        '%r stands for a name on the server, which has no %s here; its value is %s'
        % (proxy, what, type(proxy)._reading % name_of(proxy))
    )


# Past __getattribute__, which takes every name for a remote one.
client_of = GlobalProxy.__dict__['_client'].__get__
name_of = GlobalProxy.__dict__['_name'].__get__
