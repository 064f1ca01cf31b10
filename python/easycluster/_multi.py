"""The same on many connections at once."""

from . import _timeouts
from ._response import NonblockingResponse, _Failed


def _wait_all(responses):
    # Every call is waited for before the first failure is raised, so that none is left running unnoticed.
    values = []
    failure = None
    for response in responses:
        try:
            values.append(response.wait())
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return values


def eval_multi(connections, code, threadid=None, origexc=True, call_timeout=None, timeout=None):
    """Evaluates an expression on many connections at once; gives a list of the values in their order."""
    options = (True, None, None, threadid, origexc, call_timeout, timeout)
    return _wait_all([connection.eval(code, *options) for connection in connections])


def execblock_multi(connections, code, threadid=None, origexc=True, call_timeout=None, timeout=None):
    """Runs statements on many connections at once; gives a list of what they pass to exec_return(), in their order."""
    options = (True, None, None, threadid, origexc, call_timeout, timeout)
    return _wait_all([connection.execblock(code, *options) for connection in connections])


def call_multi(_connections, _func, *args, **kwargs):
    """Calls a function by its name on many connections at once; gives a list of the values in their order.

    All keywords are the function's, but `call_timeout`, and `timeout` if the function takes none: the time limit in seconds.
    """
    return _call_all([(connection, None) for connection in _connections], _func, args, kwargs)


def call_method_multi(_proxies, _method, *args, **kwargs):
    """Calls a method of many proxies at once; gives a list of the values in their order. Keywords as for call_multi()."""
    return _call_all([(proxy._connection, proxy) for proxy in _proxies], _method, args, kwargs)


def _call_all(targets, name, args, kwargs):
    """One call on many connections; of a method where a proxy stands beside the connection."""
    options = {'nonblocking': True}
    if 'call_timeout' in kwargs:
        options['call_timeout'] = kwargs.pop('call_timeout')
    if 'timeout' in kwargs:
        _timeouts.ask_all(targets, name, kwargs, options)
        return _wait_all(
            [connection._send_timed(proxy, name, args, dict(kwargs), dict(options)) for connection, proxy in targets]
        )
    return _wait_all(
        [
            connection.raw_call(name, args, kwargs, **options)
            if proxy is None
            else proxy.raw_call_method(name, args, kwargs, **options)
            for connection, proxy in targets
        ]
    )


def connect_multi(specs, clientclass=None, return_exceptions=False, **options):
    """Connects to many hosts at once by their connection specs; gives a list of clients in their order.

    If some fail, those that did connect are closed and the first failure is raised; with `return_exceptions` failures stand in
    the list in place of clients. `clientclass` is Client unless given, `options` are keywords of its `from_spec`.
    """
    import concurrent.futures

    if clientclass is None:
        from ._client import Client as clientclass
    specs = list(specs)
    if not specs:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(len(specs), 64), 'easycluster connect') as pool:
        futures = [pool.submit(clientclass.from_spec, spec, **options) for spec in specs]
        concurrent.futures.wait(futures)
    results = [future.exception() or future.result() for future in futures]
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures and not return_exceptions:
        for result in results:
            if not isinstance(result, BaseException):
                result.close()
        raise failures[0]
    return results


def all_of(client, send, items, nonblocking, oncomplete, onerror, origexc):
    """One response for many requests: the last one's value, or the first one's exception."""
    left = [len(items), None]
    whole = _Whole(client, 0, origexc) if oncomplete is None else None

    def done(value, failed):
        left[0] -= 1
        if failed and left[1] is None:
            left[1] = value
        if left[0]:
            return
        failure = left[1]
        if whole is not None:
            whole.set_response(value if failure is None else _Failed(failure))
        else:
            function = oncomplete if failure is None else onerror or oncomplete
            argument = value if failure is None else failure
            if isinstance(function, tuple):
                function[0](argument, *function[1:])
            else:
                function(argument)

    tickets = [send(item, oncomplete=(done, False), onerror=(done, True)) for item in items]
    # They are one response to whoever reads responses.
    client._own_tickets.update(tickets[:-1])
    if whole is None:
        return tickets[-1]
    whole.request_id = tickets[-1]
    return whole


class _Whole(NonblockingResponse):
    """A response that completion functions set."""

    __slots__ = ()

    @property
    def have_response(self):
        """True if the response is there."""
        return self._have_response
