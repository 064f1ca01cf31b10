"""Client: one connection to one remote Python, used by whoever reads its responses."""

import pickle
import sys
import threading
from time import monotonic as _monotonic
from time import sleep as _sleep

from . import _encode, _errors, _native, _output, _safe_pickle
from ._connection import Connection
from ._global_proxy import GlobalProxy, split_options
from ._references import DefaultRemoteProxy
from ._response import NonblockingResponse, RemoteException, _Failed

# Kinds of requests (spec/messages.md).
_CALL, _METHOD, _EVAL, _EXEC, _DEFINE, _RUN = 2, 3, 4, 5, 6, 7
# What a completion is (src/python/convert.rs).
_VALUE, _PICKLED, _ERROR, _CANCELLED, _TIMED_OUT, _LOST, _REFUSED, _OUTPUT = 0, 1, 2, 3, 4, 5, 6, 7

_BATCH = 4096
_NO_KEYWORDS: dict = {}
_get_ident = threading.get_ident
_dumps = pickle.dumps
_is_short = _encode.is_short


class Client(Connection):
    """The client's side of a connection.

    Without `key` and `ssh`, or with `ssh`, connects by SSH, else to a standalone server by its shared key. Any attribute that is not
    a method is a global of the server: `client.os.getcwd()`. Calls take these keywords beside the function's own:

    nonblocking: True gives a NonblockingResponse at once.
    oncomplete: a function, or a tuple `(function, argument, ...)`, called with the response when it is there; the call then gives
        its number at once. It is called within read_response(), a wait for any response of this client, or a ClientGroup.
    onerror: as `oncomplete`, called with a RemoteException instead when the call raised one.
    threadid: the number of the server's thread to run in; SINGLE for a thread of its own.
    origexc: True raises the original exception and prints the remote traceback, 'quiet' does not print, False raises RemoteException.
    call_timeout: seconds after which the call is given up and raises CallTimeout.

    Any thread may use a client. After a fork the child has to make its own; using an inherited one raises RuntimeError.
    """

    def __init__(
        self,
        key=None,
        host=None,
        port=None,
        definitions='easycluster.remote_code',
        enable_compression=False,
        ssh=None,
        user=None,
        rpython=None,
        extra_args=(),
        *,
        allow=(),
        output='prefix',
        call_timeout=None,
        timeout=None,
        identity=None,
        known_hosts=None,
        config=None,
        hostkey=None,
        batch=None,
        jump=None,
        name=None,
    ):
        """Makes a client, and connects if `host` is given.

        key: the shared key of a standalone server, as bytes (see read_key_file); None for SSH.
        host, port: where to connect; the port is 22 or what ssh_config says for SSH, else DEFAULT_PORT.
        definitions: the name of the definitions module.
        enable_compression: compress what crosses.
        ssh: True for SSH, a path to use that ssh program, False for the standalone server.
        user: the remote user. rpython: the remote interpreter. extra_args: further arguments in the manner of `ssh`.
        allow: what may be unpickled beside plain data: modules and classes, or their names; '*' trusts the server wholly.
        output: what becomes of what remote code prints: 'prefix' writes it to stdout and stderr with the peer's name in front,
            'plain' without, None throws it away, a function is called as `output('stdout' or 'stderr', text)`.
        call_timeout: the time limit in seconds of calls that give none.
        timeout, identity, known_hosts, config, hostkey, batch, jump, name: as in a connection spec.
        """
        if key is None and ssh is None:
            ssh = True
        super().__init__(None if ssh else key, enable_compression)
        self._ssh = ssh
        self._options = {
            'timeout': timeout,
            'identity': identity,
            'known_hosts': known_hosts,
            'config': config,
            'hostkey': hostkey,
            'batch': batch,
            'jump': jump,
            'name': name,
        }
        self._definitions_name = definitions
        self._allow = allow
        self._output = output
        self._call_timeout = call_timeout
        self._default_thread = 0
        self._thread_numbers = {}
        self._keep_alive = None
        self._pending = {}
        self._defmod = self._definitions_module(definitions)
        self._definition_count = 0
        self._reset()
        if host is not None:
            self.connect(host, port, ssh=ssh, rpython=rpython, user=user, extra_args=extra_args)

    @staticmethod
    def _definitions_module(name):
        from ._definitions import definitions_module

        return definitions_module(name)

    @classmethod
    def from_spec(cls, spec, default_port=None, default_key=None, warn=True, **options):
        """Connects by a connection spec, `[user@]host[:port][:opt=val]...`; see parse_connection_spec.

        Further keywords are those of the class, and go before what the spec says.
        """
        from ._spec import parse_connection_spec

        params = parse_connection_spec(spec, default_port, default_key, warn=warn)
        params.update(options)
        return cls(**params)

    # -- connecting

    def _reset(self):
        self._native = None
        self._references = None
        self._hello = None
        self._protocol = 2
        self._python2 = False
        self._sink = None
        self._own_tickets = set()

    def _open(self, parameters):
        """Connects as the parameters say, sends the definitions behind it, and waits until the other side runs."""
        policy = _safe_pickle.Policy(self._allow, [self._definitions_name])
        policy.where = self._peername or 'the server'
        native = _native.open(
            parameters, self._definitions_name, pickle.HIGHEST_PROTOCOL, policy.trusted, self._keep_alive
        )
        self._reset()
        self._native = native
        self._policy = policy
        from . import _references

        self._references = _references.References(self, native, policy)
        self._sink = _output.Sink(self._output_taker())
        _output.register(native.number, self._sink)
        self._weak_native[native.number] = native
        self._definition_count = 0
        try:
            # The definitions go out before the other side has said a word, so that they cost no round trip.
            if self._defmod._source_code:
                own = self.update_definitions(oncomplete=self._ignore, onerror=self._definitions_failed)
                self._own_tickets.add(own)
            self._hello = native.wait_ready()
        except BaseException:
            self.close()
            raise
        self._protocol = min(self._hello['pickle'], pickle.HIGHEST_PROTOCOL)
        self._python2 = self._hello['python'][0] < 3

    def _output_taker(self):
        if self._output == 'prefix':
            return _output.Printer('[%s] ' % self._peername)
        if self._output == 'plain':
            return _output.Printer('')
        if self._output is None or callable(self._output):
            return self._output
        raise TypeError("output is 'prefix', 'plain', None or a function, not %r" % (self._output,))

    @staticmethod
    def _ignore(value):
        pass

    def _definitions_failed(self, exc):
        if isinstance(exc.orig, (ConnectionError, _errors.CallCancelled)):
            return
        self.report_exception(exc)
        # Nothing works as meant without the definitions, so everybody is told.
        self.close(exc)

    def close(self, message='Connection closed'):
        """Closes the connection. Calls on their way raise IOError with this message, or the RemoteException given in its place;
        proxies raise IOError from now on."""
        native, self._native = self._native, None
        if native is None:
            return
        if self._references is not None:
            self._references.close()
        native.close()
        self._weak_native.pop(native.number, None)
        error = message if isinstance(message, RemoteException) else RemoteException(IOError(message), '')
        self._fail_pending(error)
        if self._sink is not None:
            _output.show()
            self._sink.flush()

    def _fail_pending(self, error):
        failed = _Failed(error)
        while self._pending:
            try:
                _, target = self._pending.popitem()
            except KeyError:
                break
            try:
                self._deliver(target, failed)
            except Exception:
                # The others must be told as well.
                pass

    def ready(self):
        """True if the server is ready to take requests."""
        return self._native is not None and self._native.is_ready()

    def wait_ready(self):
        """Waits until the server is ready to take requests."""
        self._connected_native().wait_ready()

    @property
    def server_version(self):
        """The version of EasyCluster that the server runs, which is this one: the client brings it along."""
        return _native.VERSION if self._native is not None else None

    @property
    def server_info(self):
        """What the server said of itself: a dict with `python`, `implementation`, `platform`, `pid`, `executable`, `pickle`."""
        return dict(self._hello) if self._hello else None

    def fileno(self):
        """A descriptor that is readable while responses wait to be read, for select() and poll()."""
        return self._connected_native().fileno()

    def _connected_native(self):
        native = self._native
        if native is None:
            raise IOError('Not connected')
        return native

    # -- requests

    def set_default_thread(self, threadid):
        """Sets the server thread that calls run in where they do not name one."""
        self._default_thread = threadid

    def stop_remote_thread(self, threadid):
        """Ends the server thread of that number once it has done what was asked of it."""
        self._connected_native().stop_thread(self._wire_thread(threadid))

    def _thread_id(self):
        return self._default_thread

    def _wire_thread(self, threadid):
        """The thread number on the wire; None for a thread of its own."""
        if threadid.__class__ is int and 0 <= threadid < 0x20000000:
            return threadid
        if threadid == -1:
            return None
        # Any other number, or anything hashable: its own place above those.
        return self._thread_numbers.setdefault(threadid, 0x20000000 + len(self._thread_numbers))

    def _request(
        self,
        kind,
        message,
        short,
        nonblocking=False,
        oncomplete=None,
        onerror=None,
        threadid=None,
        origexc=True,
        call_timeout=None,
    ):
        native = self._native
        if native is None:
            raise IOError('Not connected')
        references = self._references
        if references._dropped:
            references.release_dropped()
        if short:
            content = _dumps(message, self._protocol)
            oids = None
        else:
            content, oids = _encode.encode(message, self._protocol, self)
            if oids:
                oids = (True, oids)
        if threadid is None:
            threadid = self._thread_id()
        if threadid.__class__ is not int or not 0 <= threadid < 0x20000000:
            threadid = self._wire_thread(threadid)
        if call_timeout is None:
            call_timeout = self._call_timeout
        if kind == _METHOD and message[0]:
            oids = (False, [message[0]]) if not oids else (True, oids[1] + [message[0]])
        if oncomplete is not None:
            target = (oncomplete, oncomplete if onerror is None else onerror)
            return self._submit(native, kind, threadid, content, call_timeout, oids, target)
        if nonblocking:
            response = NonblockingResponse(self, 0, origexc)
            self._submit(native, kind, threadid, content, call_timeout, oids, response)
            return response
        return self._wait_for_call(native, kind, threadid, content, call_timeout, oids, origexc)

    def _submit(self, native, kind, threadid, content, call_timeout, oids, target):
        ticket = native.submit(kind, threadid, content, call_timeout, oids)
        if target.__class__ is NonblockingResponse:
            target.request_id = ticket
        self._pending[ticket] = target
        if not native.is_connected():
            self._fail_if_lost(native)
        return ticket

    def _wait_for_call(self, native, kind, threadid, content, call_timeout, oids, origexc):
        main = _get_ident() == _main_ident
        ticket, batch = native.call(kind, threadid, content, call_timeout, oids, False, main)
        if len(batch) == 1 and batch[0][0] == ticket:
            _, tag, value = batch[0]
            if tag:
                value = self._decode(tag, value)
                if value.__class__ is _Failed:
                    self._raise(value.exception, origexc)
            return value
        response = NonblockingResponse(self, ticket, origexc)
        self._pending[ticket] = response
        try:
            self._dispatch(batch)
            return response.wait()
        except KeyboardInterrupt:
            # Nobody can ask for this call's value any more.
            if not response._have_response:
                self._cancel(ticket)
            raise

    def _wait_for_response(self, response, timeout=None):
        native = self._native
        main = _get_ident() == _main_ident
        ticket = response.request_id
        end = None if timeout is None else _monotonic() + timeout
        while not response._have_response:
            if native is None or self._native is not native:
                # Closed meanwhile; close() tells every response before it returns.
                if not response._have_response:
                    self._deliver(response, _Failed(RemoteException(IOError('Connection closed'), '')))
                return
            left = None if end is None else max(0.0, end - _monotonic())
            batch = native.take(ticket, _BATCH, left, main)
            if batch:
                self._dispatch(batch)
            elif response._have_response:
                return
            elif not native.is_done(ticket):
                if end is not None and _monotonic() >= end:
                    raise TimeoutError('%s: no response within %s s; the call goes on' % (self._peername, timeout))
            elif not native.is_connected() and not native.ready_count():
                self._fail_if_lost(native)
            else:
                # Another thread has taken the completion and is about to deliver it.
                _sleep(0.0002)

    def _fail_if_lost(self, native):
        if native is self._native and not native.outstanding() and not native.ready_count():
            failure = native.failure() or _errors.ConnectionLost('%s: the connection is lost' % self._peername)
            self._fail_pending(RemoteException(failure, ''))

    def _has_response(self, response):
        return False

    def _expects_response(self):
        native = self._native
        return native is not None and bool(native.outstanding() or native.ready_count() or not native.is_connected())

    def _cancel(self, ticket):
        native = self._native
        return native is not None and native.cancel(ticket)

    def _dispatch(self, batch):
        """Delivers completions. What a completion function raises is raised when all are delivered."""
        pop = self._pending.pop
        raised = None
        for ticket, tag, value in batch:
            if tag:
                if tag == _OUTPUT:
                    _output.show()
                    continue
                value = self._decode(tag, value)
            target = pop(ticket, None)
            if target.__class__ is NonblockingResponse:
                target._response_val = value
                target._have_response = True
            elif target is not None:
                try:
                    self._deliver(target, value)
                except BaseException as error:
                    raised = raised or error
        if raised is not None:
            raise raised

    def _deliver(self, target, value):
        if isinstance(target, NonblockingResponse):
            target.set_response(value)
            return
        if value.__class__ is _Failed:
            function, value = target[1], value.exception
        else:
            function = target[0]
        if isinstance(function, tuple):
            function[0](value, *function[1:])
        else:
            function(value)

    def _decode(self, tag, value):
        """The value of a completion, or its exception as _Failed."""
        if tag == _PICKLED:
            try:
                return _safe_pickle.unpickle(*value, self._policy, self._references.load, self._python2)
            except RecursionError:
                raise
            except Exception as error:
                return _Failed(RemoteException(error, ''))
        if tag == _ERROR:
            return _Failed(self._remote_exception(value))
        if tag == _CANCELLED:
            return _Failed(
                RemoteException(
                    _errors.CallCancelled('%s: the call was cancelled' % self._peername, self._stack(value)), ''
                )
            )
        if tag == _TIMED_OUT:
            return _Failed(
                RemoteException(
                    _errors.CallTimeout('%s: no result within the time limit' % self._peername, self._stack(value)), ''
                )
            )
        if tag == _LOST:
            return _Failed(RemoteException(value, ''))
        return _Failed(RemoteException(pickle.PicklingError('%s: %s' % (self._peername, value)), ''))

    def _plain(self, pickled):
        # ME-6 promises plain data; anything else in it is refused like everywhere.
        return _safe_pickle.unpickle_scanned(pickled, _safe_pickle.NOTHING, self._references.load, True)

    def _stack(self, pickled):
        if pickled is None:
            return []
        try:
            return self._plain(pickled)['traceback']
        except Exception:
            return []

    def _remote_exception(self, pickled):
        """RemoteException for an ERROR (ME-6)."""
        try:
            fields = self._plain(pickled)
            text = list(fields['traceback'])
            kind, name, message = fields['kind'], fields['type'], fields['message']
        except Exception as error:
            return RemoteException(error, '')
        if kind == 'cancelled':
            return RemoteException(_errors.CallCancelled('%s: the call was interrupted' % self._peername, text), text)
        orig = None
        refusal = None
        if fields.get('pickle'):
            try:
                orig = _safe_pickle.unpickle_scanned(
                    bytes(fields['pickle']), self._policy, self._references.load, self._python2
                )
            except Exception as error:
                refusal = error
        if not isinstance(orig, BaseException):
            orig = self._stand_in(fields, name, message)
        if refusal is not None:
            orig.__cause__ = refusal
        if kind == 'unpickle':
            orig = pickle.UnpicklingError('%s cannot read the arguments: %s: %s' % (self._peername, name, message))
        elif kind == 'pickle':
            orig = pickle.PicklingError('%s cannot send the result: %s: %s' % (self._peername, name, message))
        return RemoteException(orig, text)

    def _stand_in(self, fields, name, message):
        """An exception in place of one that did not come: the built-in of that name, or a RuntimeError that tells it."""
        import builtins

        known = getattr(builtins, name, None) if fields.get('module') in ('builtins', 'exceptions') else None
        if isinstance(known, type) and issubclass(known, BaseException):
            try:
                return known(*(fields.get('args') or ()))
            except Exception:
                pass
        return RuntimeError('%s.%s: %s' % (fields.get('module'), name, message))

    def _raise(self, exc, origexc):
        """Raises a RemoteException the way `origexc` says."""
        if not origexc:
            raise exc
        if origexc != 'quiet':
            self.report_exception(exc)
        orig = exc.orig
        # What ends a program or a thread there must not end this one.
        if not isinstance(orig, Exception):
            raise exc
        raise orig

    def read_response(self, block=True):
        """Reads one response and calls its completion function if it has one.

        Gives True if there was one, False if there was none and `block` is false. Raises EOFError when the connection is lost and
        every response was read.
        """
        native = self._connected_native()
        main = _get_ident() == _main_ident
        timeout = None if block else 0.0
        while True:
            batch = native.take(None, 1, timeout, main)
            if not batch:
                break
            ticket = batch[-1][0]
            own = ticket in self._own_tickets
            self._dispatch(batch)
            # Neither output nor the answer to the definitions is a response that anybody asked for.
            if ticket and not own:
                return True
            self._own_tickets.discard(ticket)
        if not native.is_connected():
            failure = native.failure()
            self._fail_pending(RemoteException(failure, ''))
            raise failure
        return False

    def report_exception(self, exc):
        """Reports the remote exception `exc` (a RemoteException) to stderr, before its original is raised. Override it to report
        otherwise, or not at all."""
        # Remote iterators end by this one.
        if isinstance(exc.orig, (StopIteration, StopAsyncIteration)):
            return
        if exc.text:
            print('*** Remote exception from %s:' % self._peername, file=sys.stderr)
            print(''.join(exc.text), file=sys.stderr)

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
        )

    # -- what can be asked

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
    ):
        short = _is_short(args) and (not kwargs or _is_short(kwargs.values()))
        return self._request(
            _CALL, (name, args, kwargs), short, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout
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
    ):
        """Calls a global by its dotted name with a tuple and a dict of arguments."""
        return self._call(func, tuple(args), kwargs, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout)

    def call(self, _func, *args, **kwargs):
        """Calls a global by its dotted name. A simple name is looked up in the definitions module first, then among the built-ins;
        modules on the way are imported."""
        options = split_options(kwargs)
        return self._call(_func, args, kwargs, **options)

    def eval(
        self, expr, nonblocking=False, oncomplete=None, onerror=None, threadid=None, origexc=True, call_timeout=None
    ):
        """Evaluates an expression in the definitions module."""
        return self._request(
            _EVAL, (expr, None), True, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout
        )

    def execblock(
        self, code, nonblocking=False, oncomplete=None, onerror=None, threadid=None, origexc=True, call_timeout=None
    ):
        """Runs statements in the definitions module. Gives what they pass to exec_return(), else None."""
        return self._request(
            _EXEC, (code, None), True, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout
        )

    def import_modules(
        self, names, nonblocking=False, oncomplete=None, onerror=None, threadid=None, origexc=True, call_timeout=None
    ):
        """Imports modules into the definitions module."""
        return self.send_request(
            0, 'import_modules', (list(names),), {}, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout
        )

    def import_module(
        self, name, nonblocking=False, oncomplete=None, onerror=None, threadid=None, origexc=True, call_timeout=None
    ):
        """Imports one module into the definitions module."""
        return self.import_modules([name], nonblocking, oncomplete, onerror, threadid, origexc, call_timeout)

    def run(self, func, *args, **kwargs):
        """Runs a function of this program on the server: its source is sent, and the modules that it uses are imported there.

        The function stands by itself: it may use its arguments, what it imports or defines, and modules that its file imports.
        """
        from . import _source

        options = split_options(kwargs)
        shipped = _source.shipped(func)
        return self._request(
            _RUN, (shipped.source, shipped.name, shipped.filename, shipped.line, args, kwargs), False, **options
        )

    def update_definitions(
        self, nonblocking=False, oncomplete=None, onerror=None, threadid=None, origexc=True, call_timeout=None
    ):
        """Sends what was defined since the last time. Call it after define_common()."""
        from ._multi import all_of

        blocks = self._defmod._source_code[self._definition_count :]
        self._definition_count += len(blocks)

        def send(block, **options):
            message = (self._definitions_name, block, True)
            return self._request(_DEFINE, message, True, threadid=threadid, call_timeout=call_timeout, **options)

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
        return DefaultRemoteProxy(self, 0)

    def __getattr__(self, attr):
        if attr[:2] == '__' and attr[-2:] == '__':
            raise AttributeError(attr)
        if attr in _OWN:
            # An own attribute that is not set yet; never a global of the server.
            raise AttributeError(attr)
        return GlobalProxy(self, attr)

    def __enter__(self):
        return self

    def __exit__(self, *info):
        self.close()

    def __repr__(self):
        return '<%s %s%s>' % (
            type(self).__name__,
            self._peername or 'unconnected',
            '' if self.connected else ', closed',
        )


_OWN = frozenset(
    ('_native', '_references', '_pending', '_peername', '_hello', '_defmod', '_sink', '_policy', '_call_timeout')
)
_main_ident = threading.main_thread().ident


def _forked():
    global _main_ident
    _main_ident = threading.get_ident()
