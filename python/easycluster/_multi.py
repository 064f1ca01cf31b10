"""The same on many connections at once."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union

from . import _native, _process, _timeouts
from ._client import Client
from ._commands import CommandError, CommandResult, Line, Request
from ._options import CallOptions
from ._responses import NonblockingResponse

# To how many hosts is connected at the same time.
AT_ONCE = 64
# What becomes of failures: the first is raised, they stand in the list, or all are raised as an ExceptionGroup.
Failures = Union[bool, Literal['group']]


def _wait_all(responses: Iterable[Any], return_exceptions: Failures = False) -> list[Any]:
    # Every call is waited for before a failure is raised, so that none is left running unnoticed.
    values: list[Any] = []
    failures: list[Exception] = []
    failed_on: list[str] = []
    responses = list(responses)
    for response in responses:
        try:
            values.append(response.wait())
        except BaseException as error:
            if not response._is_own(error) or not isinstance(error, Exception):
                # A signal handler has raised it. Nobody can ask for the others any more.
                for other in responses:
                    other.cancel()
                raise
            values.append(error)
            failures.append(error)
            failed_on.append(response.client.peername)
    if not failures or return_exceptions is True:
        return values
    told = 'failed on %d of %d: %s' % (len(failures), len(values), ', '.join(failed_on))
    if sys.version_info >= (3, 11):
        if return_exceptions == 'group':
            raise builtins.ExceptionGroup(told, failures)
        if len(failures) > 1:
            failures[0].add_note(told)
    raise failures[0]


def _check(return_exceptions: Failures) -> None:
    if return_exceptions not in (False, True, 'group'):
        raise ValueError("return_exceptions is True, False or 'group', not %r" % (return_exceptions,))
    if return_exceptions == 'group' and sys.version_info < (3, 11):
        raise ValueError("return_exceptions='group' raises an ExceptionGroup, which Python has from 3.11 on")


def _at_once(
    threadid: Hashable, origexc: bool | str | None, call_timeout: float | None, timeout: float | None
) -> CallOptions:
    return {
        'nonblocking': True,
        'threadid': threadid,
        'origexc': origexc,
        'call_timeout': call_timeout,
        'timeout': timeout,
    }


def eval_multi(
    connections: Iterable[Client],
    code: str,
    threadid: Hashable = None,
    origexc: bool | str | None = True,
    call_timeout: float | None = None,
    timeout: float | None = None,
    return_exceptions: Failures = False,
) -> list[Any]:
    """Evaluates an expression on many connections at once; gives a list of the values in their order. `return_exceptions` as for
    call_multi()."""
    options = _at_once(threadid, origexc, call_timeout, timeout)
    _check(return_exceptions)
    return _wait_all([connection.eval(code, **options) for connection in connections], return_exceptions)


def execblock_multi(
    connections: Iterable[Client],
    code: str,
    threadid: Hashable = None,
    origexc: bool | str | None = True,
    call_timeout: float | None = None,
    timeout: float | None = None,
    return_exceptions: Failures = False,
) -> list[Any]:
    """Runs statements on many connections at once; gives a list of what they pass to exec_return(), in their order.
    `return_exceptions` as for call_multi()."""
    options = _at_once(threadid, origexc, call_timeout, timeout)
    _check(return_exceptions)
    return _wait_all([connection.execblock(code, **options) for connection in connections], return_exceptions)


def call_multi(_connections: Iterable[Client], _func: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Calls a function by its name on many connections at once; gives a list of the values in their order.

    All keywords are the function's, but `call_timeout`, and `timeout` if the function takes none: the time limit in seconds; and
    `return_exceptions`. Failures do not keep the other calls from their ends. Then the first is raised; with
    `return_exceptions=True` they stand in the list in place of values, and with 'group' all are raised as an ExceptionGroup.
    """
    return _call_all([(connection, None) for connection in _connections], _func, args, kwargs)


def call_method_multi(_proxies: Iterable[Any], _method: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Calls a method of many proxies at once; gives a list of the values in their order. Keywords as for call_multi()."""
    return _call_all([(proxy._connection, proxy) for proxy in _proxies], _method, args, kwargs)


def _call_all(
    targets: Sequence[tuple[Any, Any]], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Any]:
    """One call on many connections; of a method where a proxy stands beside the connection."""
    options: dict[str, Any] = {'nonblocking': True}
    return_exceptions = kwargs.pop('return_exceptions', False)
    _check(return_exceptions)
    if 'call_timeout' in kwargs:
        options['call_timeout'] = kwargs.pop('call_timeout')
    if 'timeout' in kwargs:
        _timeouts.ask_all(targets, name, kwargs, options)
        return _wait_all(
            [connection._send_timed(proxy, name, args, dict(kwargs), dict(options)) for connection, proxy in targets],
            return_exceptions,
        )
    return _wait_all(
        [
            connection.raw_call(name, args, kwargs, **options)
            if proxy is None
            else proxy.raw_call_method(name, args, kwargs, **options)
            for connection, proxy in targets
        ],
        return_exceptions,
    )


def command_multi(
    connections: Iterable[Client],
    line: Line,
    *,
    input: str | bytes | None = None,
    timeout: float | None = None,
    cwd: Any = None,
    env: Mapping[str, str | bytes] | None = None,
    check: bool = False,
    encoding: str | None = 'utf-8',
    return_exceptions: Failures = False,
) -> list[Any]:
    """Runs a shell command on many machines at once; gives a list of CommandResults in their order. Arguments as for
    Client.command(), `return_exceptions` as for call_multi()."""
    _check(return_exceptions)
    request = Request(line, input, cwd, env, check, encoding)
    responses = [connection._send_command(request, timeout, nonblocking=True) for connection in connections]
    return _wait_all([_CommandResponse(request, response) for response in responses], return_exceptions)


class _CommandResponse:
    """The response to a command, whose value is a CommandResult."""

    def __init__(self, request: Request, response: NonblockingResponse) -> None:
        self._request = request
        self._response = response
        self.client = response.client

    def wait(self) -> CommandResult:
        """Waits for the command's end."""
        return self._request.result(self.client.peername, self._response.wait())

    def cancel(self) -> bool:
        """Gives the command up."""
        return self._response.cancel()

    def _is_own(self, error: BaseException) -> bool:
        """Whether what wait() raised is the command's outcome."""
        return isinstance(error, CommandError) or self._response._is_own(error)


def connect_multi(
    specs: str | Iterable[str],
    clientclass: type[Any] | None = None,
    return_exceptions: bool = False,
    **options: Any,
) -> list[Any]:
    """Connects to many hosts at once by their connection specs; gives a list of clients in their order.

    If some fail, those that did connect are closed and the first failure is raised; with `return_exceptions` failures stand in
    the list in place of clients. `clientclass` is Client unless given, `options` are keywords of its `from_spec`. Each client is made
    without a host, and gets its connection then.
    """
    made_by: type[Any] = Client if clientclass is None else clientclass
    results: list[Any] = []
    for spec in [specs] if isinstance(specs, str) else specs:
        try:
            results.append(made_by._aimed(spec, **options))
        except Exception as error:
            if _process.raised_by_handler(error):
                raise
            results.append(error)
    aimed = [place for place, result in enumerate(results) if not isinstance(result, Exception)]
    try:
        joining = _native.join([results[place]._opening() for place in aimed], AT_ONCE, 1, 0.0, 0.0)
        while not joining.is_done():
            arrived = joining.next()
            if arrived is None:
                continue
            place, native = aimed[arrived[0]], arrived[1]
            try:
                if isinstance(native, BaseException):
                    raise native
                results[place]._use(native)
            except Exception as error:
                if _process.raised_by_handler(error):
                    raise
                results[place] = error
        failures = [result for result in results if isinstance(result, Exception)]
        if failures and not return_exceptions:
            raise failures[0]
    except BaseException:
        for result in results:
            if not isinstance(result, Exception):
                result.close()
        raise
    return results
