"""The keyword `timeout` of a call by name: the remote function's own if it takes one, else the time limit of the call.

Programs pass `timeout` on to remote functions, so it cannot simply be the call's. Whose it is only the server knows, and it is
asked once for each callable; the answer comes before the call is made, so that the limit holds from the call's start.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import _kinds, _native, _shared
from ._responses import RemoteException

if TYPE_CHECKING:
    from ._caller import Caller

# Where the server says nothing for so many seconds, the call is not made.
_PATIENCE = 60.0


def _may_be_limit(kwargs: dict[str, Any], options: dict[str, Any]) -> bool:
    # With a limit given otherwise, and where it is not a number of seconds, it can only be the function's.
    return 'call_timeout' not in options and type(kwargs['timeout']) in (int, float, type(None))


def _known(client: Caller, proxy: Any) -> dict[str, bool]:
    # Each proxy has its own, because objects of different classes may share a proxy class.
    known: dict[str, bool] = client._timeouts if proxy is None else proxy.__dict__.setdefault('_timeouts', {})
    return known


def is_open(client: Caller, proxy: Any, name: str, kwargs: dict[str, Any], options: dict[str, Any]) -> bool:
    """Whether the server has to be asked."""
    return not client.proxy_closed and _may_be_limit(kwargs, options) and name not in _known(client, proxy)


def settle(client: Caller, proxy: Any, name: str, takes: bool) -> None:
    """Notes whether a callable takes the keyword."""
    _known(client, proxy)[name] = takes


def question(client: Caller, proxy: Any, name: str, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], float]:
    """The request that asks, and how long to wait for the answer."""
    source = _native.stub_source('helpers/accepts_timeout.py')
    arguments = (proxy, name, client._definitions_name)
    message: tuple[Any, ...] = (source, 'accepts_timeout', '<easycluster>/accepts_timeout.py', 1, arguments, {})
    return message, max(_PATIENCE, kwargs['timeout'] or 0.0)


def send_settled(
    client: Caller, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Makes the call, with `timeout` where it belongs."""
    if _may_be_limit(kwargs, options) and _known(client, proxy).get(name) is False:
        options['timeout'] = kwargs.pop('timeout')
    if proxy is None:
        return client._call(name, args, kwargs, **options)
    return client.send_request(proxy.__dict__['_oid'], name, args, kwargs, **options)


def ask_all(targets: Sequence[tuple[Any, Any]], name: str, kwargs: dict[str, Any], options: dict[str, Any]) -> None:
    """Asks many connections at once, each with a proxy or None beside it."""
    asked = []
    for client, proxy in targets:
        if is_open(client, proxy, name, kwargs, options):
            message, limit = question(client, proxy, name, kwargs)
            response = client._request(
                _kinds.RUN,
                message,
                False,
                nonblocking=True,
                threadid=_kinds.SINGLE,
                origexc=False,
                call_timeout=limit,
            )
            asked.append((client, proxy, response))
    for client, proxy, response in asked:
        try:
            takes = response.wait()
        except RemoteException as error:
            takes = verdict(error)
        settle(client, proxy, name, takes)


def verdict(error: RemoteException) -> bool:
    """What a question that failed means. Raises what concerns the connection, and not the question."""
    if not error.text:
        raise error.orig
    return True


def is_taken_by(func: Callable[..., Any]) -> bool:
    """Whether a function of this program takes `timeout`, or may."""
    helper = _shared.load('accepts_timeout', 'helpers')
    return bool(helper.accepts_timeout(SimpleNamespace(function=inspect.unwrap(func)), 'function', None))


def is_named_by(func: Callable[..., Any], name: str) -> bool:
    """Whether a function of this program has a parameter of that name."""
    try:
        return name in inspect.signature(func).parameters
    except (TypeError, ValueError):
        return False
