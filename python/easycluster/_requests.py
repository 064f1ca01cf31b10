"""What can be asked of a server: calls, expressions, statements, definitions, functions of this program."""

from . import _encode
from ._global_proxy import split_options
from ._references import RootProxy

# Kinds of requests (spec/messages.md).
_CALL, _METHOD, _EVAL, _EXEC, _DEFINE, _RUN = 2, 3, 4, 5, 6, 7

_NO_KEYWORDS: dict = {}
_NOTHING = object()
_is_short = _encode.is_short


class Requests:
    """The part of a client that makes requests. `_request` of the client sends them."""

    def send_request(
        self,
        oid,
        method,
        args,
        kwargs=_NO_KEYWORDS,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Calls a method of the server's object `oid`; 0 is the root object. All proxies go this way."""
        return self._request(
            _METHOD,
            (oid, method, args, kwargs),
            not kwargs and _is_short(args),
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
        )

    def _call(
        self,
        name,
        args,
        kwargs,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        short = _is_short(args) and (not kwargs or _is_short(kwargs.values()))
        return self._request(
            _CALL,
            (name, args, kwargs),
            short,
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
        )

    def raw_call(
        self,
        func,
        args,
        kwargs=_NO_KEYWORDS,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Calls a global by its dotted name with a tuple and a dict of arguments."""
        return self._call(
            func, tuple(args), kwargs, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout
        )

    def call(self, _func, *args, **kwargs):
        """Calls a global by its dotted name. A simple name is looked up in the definitions module first, then among the built-ins;
        modules on the way are imported."""
        options = split_options(kwargs)
        if 'timeout' in kwargs:
            return self._send_timed(None, _func, args, kwargs, options)
        return self._call(_func, args, kwargs, **options)

    def eval(
        self,
        expr,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Evaluates an expression in the definitions module."""
        return self._request(
            _EVAL, (expr, None), True, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout
        )

    def execblock(
        self,
        code,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Runs statements in the definitions module. Gives what they pass to exec_return(), else None."""
        self._timeouts.clear()
        return self._request(
            _EXEC, (code, None), True, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout
        )

    def import_modules(
        self,
        names,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Imports modules into the definitions module."""
        return self.send_request(
            0,
            'import_modules',
            (list(names),),
            {},
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
        )

    def import_module(
        self,
        name,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Imports one module into the definitions module."""
        return self.import_modules([name], nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout)

    def run(self, func=_NOTHING, /, *args, **kwargs):
        """Runs a function of this program on the server: its source is sent, and the modules that it uses are imported there.

        The function stands by itself: it may use its arguments, what it imports or defines, and what its file imports at the top.
        Annotations and decorators stay here.
        Where definitions have a `run` of their own, or `func` is nothing to call, the server's global `run` is called.
        """
        if not callable(func) or 'run' in vars(self._defmod):
            return self.call('run', *(() if func is _NOTHING else (func,)), *args, **kwargs)
        from . import _source, _timeouts

        options = split_options(kwargs)
        shipped = _source.shipped(func)
        if 'timeout' in kwargs and 'call_timeout' not in options and not _timeouts.is_taken_by(func):
            options['timeout'] = kwargs.pop('timeout')
        return self._request(
            _RUN, (shipped.source, shipped.name, shipped.filename, shipped.line, args, kwargs), False, **options
        )

    def update_definitions(
        self,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
        timeout=None,
    ):
        """Sends what was defined since the last time. Call it after define_common()."""
        from ._multi import all_of

        self._timeouts.clear()
        blocks = self._defmod._source_code[self._definition_count :]
        self._definition_count += len(blocks)

        def send(block, **options):
            message = (self._definitions_name, block, True)
            return self._request(
                _DEFINE, message, True, threadid=threadid, call_timeout=call_timeout, timeout=timeout, **options
            )

        if not blocks:
            # So that there is a response even where there is nothing to say.
            return self._request(
                _EVAL, ('None', None), True, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout
            )
        if len(blocks) == 1 or oncomplete is None and not nonblocking:
            for block in blocks[:-1]:
                send(block, origexc=origexc)
            return send(blocks[-1], nonblocking=nonblocking, oncomplete=oncomplete, onerror=onerror, origexc=origexc)
        return all_of(self, send, blocks, nonblocking, oncomplete, onerror, origexc)

    def get_root(self):
        """A proxy for the root object, which looks up names and attributes on the server."""
        return RootProxy(self, 0)
