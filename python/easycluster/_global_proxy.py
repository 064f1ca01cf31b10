"""Remote globals by dotted name: `client.os.path.join('a', 'b')`, `client.counter.value = 3`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from ._options import split_options

if TYPE_CHECKING:
    from ._caller import Caller

_F = TypeVar('_F', bound=Callable[..., Any])


def unless_defined(method: _F) -> _F:
    """A method of clients that came later than programs, whose definitions may have a global of its name: then that is called."""
    name = method.__name__

    @functools.wraps(method)
    def either(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self._is_own(name):
            return self.call(name, *args, **kwargs)
        return method(self, *args, **kwargs)

    return cast(_F, either)


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

    def __eq__(self, other: object) -> bool:
        raise _no_value(self, 'comparison')

    def __ne__(self, other: object) -> bool:
        raise _no_value(self, 'comparison')

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return '<global %s on %s>' % (name_of(self), client_of(self).peername)


def _no_value(proxy: GlobalProxy, what: str) -> TypeError:
    return TypeError(
        '%r stands for a name on the server, which has no %s here; its value is %s'
        % (proxy, what, type(proxy)._reading % name_of(proxy))
    )


# Past __getattribute__, which takes every name for a remote one.
client_of = GlobalProxy.__dict__['_client'].__get__
name_of = GlobalProxy.__dict__['_name'].__get__
