"""The keyword `timeout` of a call by name: the remote function's own if it takes one, else the time limit of the call.

Programs pass `timeout` on to remote functions, so it cannot simply be the call's. Whose it is only the server knows, and it is
asked once for each callable; the answer comes before the call is made, so that the limit holds from the call's start.
"""

import inspect
from types import SimpleNamespace

from . import _source
from ._requests import _RUN
from ._response import RemoteException
from ._takes import takes_timeout

# Where the server says nothing for so many seconds, the call is not made.
_PATIENCE = 60.0
# A thread of its own, which no other call holds up.
_SINGLE = -1


class Timeouts:
    """The part of a client that finds out whose `timeout` is meant."""

    def _send_timed(self, proxy, name, args, kwargs, options):
        """Makes a call with `timeout` among its keywords: of a method of `proxy`, or of a global if that is None."""
        if self._is_open(proxy, name, kwargs, options):
            self._settle(proxy, name, self._ask(*self._question(proxy, name, kwargs)))
        return self._send_settled(proxy, name, args, kwargs, options)

    def _send_settled(self, proxy, name, args, kwargs, options):
        if self._may_be_limit(kwargs, options) and self._known(proxy).get(name) is False:
            options['timeout'] = kwargs.pop('timeout')
        if proxy is None:
            return self._call(name, args, kwargs, **options)
        return self.send_request(proxy.__dict__['_oid'], name, args, kwargs, **options)

    @staticmethod
    def _may_be_limit(kwargs, options):
        # With a limit given otherwise, and where it is no number of seconds, it can only be the function's.
        return 'call_timeout' not in options and type(kwargs['timeout']) in (int, float, type(None))

    def _is_open(self, proxy, name, kwargs, options):
        """Whether the server has to be asked."""
        return self._may_be_limit(kwargs, options) and name not in self._known(proxy)

    def _known(self, proxy):
        # Each proxy has its own, because objects of different classes may share a proxy class.
        return self._timeouts if proxy is None else proxy.__dict__.setdefault('_timeouts', {})

    def _settle(self, proxy, name, takes):
        self._known(proxy)[name] = takes

    def _question(self, proxy, name, kwargs):
        """The request that asks, and how long to wait for the answer."""
        shipped = _source.shipped(takes_timeout)
        arguments = (proxy, name, self._definitions_name)
        message = (shipped.source, shipped.name, shipped.filename, shipped.line, arguments, {})
        return message, max(_PATIENCE, kwargs['timeout'] or 0.0)


def ask_all(targets, name, kwargs, options):
    """Asks many connections at once, each with a proxy or None beside it."""
    asked = []
    for connection, proxy in targets:
        if connection._is_open(proxy, name, kwargs, options):
            message, limit = connection._question(proxy, name, kwargs)
            response = connection._request(
                _RUN, message, False, nonblocking=True, threadid=_SINGLE, origexc=False, call_timeout=limit
            )
            asked.append((connection, proxy, response))
    for connection, proxy, response in asked:
        try:
            takes = response.wait()
        except RemoteException as error:
            takes = verdict(error)
        connection._settle(proxy, name, takes)


def verdict(error):
    """What a question that failed means. Raises what concerns the connection, and not the question."""
    if not error.text:
        raise error.orig
    return True


def is_taken_by(func):
    """Whether a function of this program takes `timeout`, or may."""
    return takes_timeout(SimpleNamespace(function=inspect.unwrap(func)), 'function', None)
