"""Client: one connection to one remote Python, used by whoever reads its responses."""

import itertools
import pickle
import threading
from time import monotonic as _monotonic
from time import sleep as _sleep

from . import _encode, _errors, _native, _output, _safe_pickle
from ._answers import Answers
from ._connection import Connection
from ._global_proxy import GlobalProxy
from ._requests import _METHOD, _RUN, Requests
from ._response import NonblockingResponse, RemoteException, _Failed
from ._timeouts import Timeouts, verdict

_BATCH = 4096
_get_ident = threading.get_ident
_dumps = pickle.dumps


class Client(Requests, Timeouts, Answers, Connection):
    """The client's side of a connection.

    Without `key` and `ssh`, or with `ssh`, connects by SSH, else to a standalone server by its shared key. Any attribute that is not
    a method is a global of the server: `client.os.getcwd()`. Calls take these keywords beside the function's own:

    nonblocking: True gives a NonblockingResponse at once.
    oncomplete: a function, or a tuple `(function, argument, ...)`, called with the response when it is there; the call then gives
        its number at once. It is called within read_response(), a wait for any response of this client, or a ClientGroup.
    onerror: as `oncomplete`, called with a RemoteException instead when the call raised one.
    threadid: the number of the server's thread to run in; SINGLE for a thread of its own.
    origexc: True raises the original exception and prints the remote traceback, 'quiet' does not print, False raises RemoteException.
    timeout: seconds after which the call is given up and raises CallTimeout. A remote function that takes a keyword of this name
        gets it instead, as ever; whether it does the server is asked once. `call_timeout` is always the call's.

    Any thread may use a client. After a fork the child has to make its own; using an inherited one raises RuntimeError.
    """

    _response_class = NonblockingResponse  # type: type
    # Methods that proxies do not ask the server for, whatever it exports.
    _own_methods = frozenset()  # type: frozenset

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
        ahead=None,
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
        timeout, identity, known_hosts, config, hostkey, batch, jump, name, ahead: as in a connection spec.
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
            'ahead': ahead,
        }
        self._definitions_name = definitions
        self._allow = allow
        self._output = output
        self._call_timeout = call_timeout
        self._default_thread = 0
        self._thread_numbers = {}
        self._keep_alive = None
        self._pending = {}
        self._tickets = itertools.count(1)
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
        self._timeouts = {}
        self._closing_error = None

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
        error = message if isinstance(message, RemoteException) else RemoteException(IOError(message), '')
        # Set first: calls in other threads end with it as soon as the connection does.
        self._closing_error = error
        native.close()
        self._weak_native.pop(native.number, None)
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
        timeout=None,
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
        if timeout is not None:
            if call_timeout is not None:
                raise TypeError('timeout and call_timeout are the same limit; give one of them')
            call_timeout = timeout
        elif call_timeout is None:
            call_timeout = self._call_timeout
        if kind == _METHOD and message[0]:
            oids = (False, [message[0]]) if not oids else (True, oids[1] + [message[0]])
        if oncomplete is not None:
            target = (oncomplete, oncomplete if onerror is None else onerror)
            return self._submit(native, kind, threadid, content, call_timeout, oids, target)
        if nonblocking:
            response = self._response_class(self, 0, origexc)
            self._submit(native, kind, threadid, content, call_timeout, oids, response)
            return response
        return self._wait_for_call(native, kind, threadid, content, call_timeout, oids, origexc)

    def _submit(self, native, kind, threadid, content, call_timeout, oids, target):
        ticket = next(self._tickets)
        if target.__class__ is NonblockingResponse:
            target.request_id = ticket
        # Registered first: another thread may deliver it before submit() returns.
        self._pending[ticket] = target
        try:
            native.submit(ticket, kind, threadid, content, call_timeout, oids)
        except BaseException:
            self._pending.pop(ticket, None)
            raise
        return ticket

    def _wait_for_call(self, native, kind, threadid, content, call_timeout, oids, origexc):
        ticket = next(self._tickets)
        response = NonblockingResponse(self, ticket, origexc)
        self._pending[ticket] = response
        main = _get_ident() == _main_ident
        try:
            batch = native.call(ticket, kind, threadid, content, call_timeout, oids, False, main)
            # Where close() came first, the response says so.
            if len(batch) == 1 and batch[0][0] == ticket and self._pending.pop(ticket, None) is not None:
                _, tag, value = batch[0]
                if tag:
                    value = self._decode(tag, value)
                    if value.__class__ is _Failed:
                        self._raise(value.exception, origexc)
                return value
            self._dispatch(batch)
            return response.wait()
        except KeyboardInterrupt:
            # Nobody can ask for this call's value any more.
            if self._pending.pop(ticket, None) is not None:
                self._cancel(ticket)
            raise
        except BaseException:
            self._pending.pop(ticket, None)
            raise

    def _ask(self, message, limit):
        """The value that a function gives on the server, in a thread of its own, which no other call holds up. No other response
        is delivered meanwhile."""
        native = self._connected_native()
        content, oids = _encode.encode(message, self._protocol, self)
        oids = (True, oids) if oids else None
        main = _get_ident() == _main_ident
        value = self._single(native.call(next(self._tickets), _RUN, None, content, limit, oids, True, main))
        return verdict(value.exception) if value.__class__ is _Failed else value

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

    def read_response(self, block=True):
        """Reads one response and calls its completion function if it has one.

        Gives True if there was one, False if there was none and `block` is false. Raises EOFError when the connection is lost and
        every response was read.
        """
        native = self._native
        if native is None:
            raise _errors.ConnectionLost('Not connected')
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
