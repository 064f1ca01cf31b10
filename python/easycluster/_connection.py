"""Connection, the base of every client: all of its state, where it is connected to, connecting and closing."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NoReturn

from . import _errors, _native, _process
from ._answers import Answers
from ._callbacks import Asked
from ._kinds import EASYCLUSTER
from ._native import Connection as Native
from ._native import Spec
from ._output import Printer, Sink, Taker, register
from ._pickling.policy import Allowed, Policy
from ._pickling.references import References
from ._responses import RemoteException, Target, Ticket
from ._shipping.forwarding import Forwarding

# A completion as the extension gives it: whose it is, what it holds (`_kinds`), and that.
Completion = tuple[Ticket, int, Any]


class Connection:
    """Base class of clients: one connection to one remote Python, without calls."""

    # Proxies ask whether their connection is gone for good; see ClosedConnection.
    proxy_closed: ClassVar[bool] = False
    # Methods that proxies do not ask the server for, whatever it exports.
    _own_methods: ClassVar[frozenset[str]] = frozenset()
    # Every name that is an own one in this class and those that it is derived from. Never a global of the server.
    _declared: ClassVar[frozenset[str]] = frozenset()
    _local_count: ClassVar[Iterator[int]] = itertools.count(1)

    # What the connection is to be.
    _key: bytes | None
    _ssh: bool | str | os.PathLike[str] | None
    _enable_compression: bool
    _options: dict[str, Any]
    _definitions_name: str
    _defmod: Any
    # Of its methods those of whose name execblock() has made a global.
    _made: set[str]
    # The modules that the other side may import from here.
    _forwarding: Forwarding | None
    _allow: Allowed | Sequence[Allowed]
    _output: str | Callable[[str, str], object] | None
    _keep_alive: tuple[float, float] | None

    # Where it goes, from the first connect() on.
    _peername: str
    _remote_host: str | None
    _remote_port: int | None
    _target: Spec | None

    # The connection that there is. `_native` is set last and taken away first, so a thread that sees it sees the rest.
    _native: Native | None
    _half_closed: Native | None
    _references: References
    _policy: Policy
    _answers: Answers
    # What the other side may call; made when it is first handed a function.
    _asked: Asked | None
    _sink: Sink
    _hello: dict[str, Any] | None
    _protocol: int
    _python2: bool | None
    # Set when the connection is closed here: makes what calls end with that were on their way.
    _closing_error: Callable[[], RemoteException] | None
    # Why it was closed, where close() was told.
    _closed_by: str | RemoteException | None

    # Calls. Their tickets are never used twice, also behind a new connection.
    _call_timeout: float | None
    _default_thread: Any
    _thread_numbers: dict[Any, int]
    _thread_count: Iterator[int]
    _tickets: Iterator[Ticket]
    _pending: dict[Ticket, Target]
    # Tickets of calls that were not asked for by themselves.
    _own_tickets: set[Ticket]
    _definition_count: int
    # Which functions take a keyword `timeout`, as far as the server was asked.
    _timeouts: dict[str, bool]
    # Completions that were taken from the extension and are not delivered yet, oldest first. Each connection has its own.
    _taken: deque[Completion]
    # Told when something was delivered, or given back to be delivered by another thread.
    _delivered: threading.Condition
    _waiters: int
    # The descriptor is kept readable for what is in `_taken`.
    _kept_readable: bool

    def __init__(self, key: bytes | None, enable_compression: bool = False) -> None:
        """Holds the key (None for SSH) and whether what crosses is compressed."""
        if key is not None and not isinstance(key, (bytes, bytearray)):
            raise TypeError(
                'the key must be bytes, not %r; to connect by a connection spec, call %s.from_spec()'
                % (type(key).__name__, type(self).__name__)
            )
        self._key = key
        self._enable_compression = enable_compression
        self._ssh = None
        self._options = {}
        self._definitions_name = 'easycluster.remote_code'
        self._defmod = None
        self._made = set()
        self._forwarding = None
        self._allow = ()
        self._output = 'prefix'
        self._keep_alive = None
        self._peername = ''
        self._remote_host = None
        self._remote_port = None
        self._target = None
        self._native = None
        # One that was closed in part.
        self._half_closed = None
        self._asked = None
        self._hello = None
        self._protocol = 2
        self._python2 = None
        self._closing_error = None
        self._closed_by = None
        self._call_timeout = None
        self._default_thread = 0
        self._thread_numbers = {}
        self._thread_count = itertools.count(0)
        self._tickets = itertools.count(1)
        self._pending = {}
        self._own_tickets = set()
        self._definition_count = 0
        self._timeouts = {}
        self._taken = deque()
        self._renew_locks()
        _process.renew_after_fork(self)
        self._kept_readable = False

    def _renew_locks(self) -> None:
        self._delivered = threading.Condition()
        self._waiters = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._declared = cls._declared | _own_names(cls)

    def __reduce__(self) -> NoReturn:
        raise TypeError('a %s is a connection and cannot be pickled or copied' % type(self).__name__)

    @property
    def peername(self) -> str:
        """What the other end is called: host and port, or `local:N`."""
        return self._peername

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        native = self._native
        return native is not None and native.is_connected()

    @property
    def remote_host(self) -> str | None:
        """The host given to connect(); None for a local connection."""
        return self._remote_host

    @property
    def remote_port(self) -> int | None:
        """The port that is connected to; None for a local connection."""
        return self._remote_port

    @property
    def server_version(self) -> str | None:
        """The version of EasyCluster that the server runs, which is `easycluster.VERSION`: the client brings it along."""
        return EASYCLUSTER if self._native is not None else None

    @property
    def server_info(self) -> dict[str, Any] | None:
        """What the server said of itself: a dict with `python`, `implementation`, `platform`, `pid`, `executable`, `pickle`."""
        return dict(self._hello) if self._hello else None

    def connect(
        self,
        host: str | Spec,
        port: int | None = None,
        peername: str | None = None,
        user: str | None = None,
        ssh: bool | str | os.PathLike[str] | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        """Connects to a host, or as a parsed spec says. Raises ConnectError with the stage that failed and what to do next, which is a ConnectionRefusedError
        where nothing listens; ValueError without a key where there is no SSH."""
        self._aim(host, port, peername, user, ssh, rpython, extra_args)
        self._open()

    def _aim(
        self,
        host: str | Spec,
        port: int | None = None,
        peername: str | None = None,
        user: str | None = None,
        ssh: bool | str | os.PathLike[str] | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        """Notes where the connection goes: to the host, or as the spec says, and what keywords say goes before that."""
        spec = host if isinstance(host, Spec) else Spec.for_host(None if host == ':local' else host)
        if port is not None:
            spec = spec.with_port(port)
        if ssh is None:
            ssh = self._ssh
        given = dict(self._options, user=user, rpython=rpython, extra_args=list(extra_args) or None)
        given['enable_compression'] = bool(self._enable_compression)
        is_local = spec.transport == 'local'
        if not is_local:
            if not ssh and self._key is None:
                raise ValueError(
                    'no key for the standalone server on %s: add user@ or ssh=yes for SSH, or give a key (kf=FILE in a spec)'
                    % spec.host
                )
            given.update(ssh=ssh or False, key=None if ssh else self._key)
        for keyword, value in given.items():
            spec = spec.with_option(keyword, value)
        if peername is None:
            peername = spec.name
        behind = ' (%s)' % spec.steps if spec.steps else ''
        if is_local:
            self._remote_host = self._remote_port = None
            self._peername = peername or 'local:%d%s' % (next(Connection._local_count), behind)
        else:
            name = spec.host if isinstance(host, Spec) else host
            self._remote_host = name
            self._remote_port = spec.port or (22 if ssh else _native.DEFAULT_PORT)
            place = '[%s]' % name if ':' in name else name
            self._peername = peername or '%s:%d%s' % (place, self._remote_port, behind)
        self._target = spec

    def reconnect(self) -> None:
        """Connects again. The remote side starts afresh, and proxies of before raise IOError."""
        if self._target is None:
            raise ValueError('Cannot reconnect before first connection.')
        self._open()

    def _open(self) -> None:
        """Connects to where it was aimed, and waits until the other side runs."""
        if self._native is not None or self._half_closed is not None:
            self.close()
        self._use(_native.open(*self._opening()))

    def _opening(self) -> tuple[Spec, str, int, bool, tuple[float, float] | None]:
        """What the extension opens."""
        if self._target is None:
            raise ValueError('there is no host to connect to')
        self._sink = Sink(self._output_taker())
        self._policy = Policy(self._allow, [self._definitions_name])
        self._policy.where = self._peername or 'the server'
        return (
            self._target,
            self._definitions_name,
            pickle.HIGHEST_PROTOCOL,
            self._policy.trusted,
            self._keep_alive,
        )

    def _use(self, native: Native) -> None:
        """Takes a connection that was opened, and waits until the other side runs."""
        self._reset()
        self._references = References(self, native, self._policy, self._own_methods)
        self._answers = Answers(self._peername, self._policy, self._references, self._is_python2)
        register(native.number, self._sink)
        _process.open_connections[native.number] = native
        self._native = native
        try:
            self._send_first()
            self._greet(native)
        except BaseException:
            self.close()
            raise

    def _reset(self) -> None:
        self._asked = None
        self._hello = None
        self._protocol = 2
        self._python2 = None
        self._own_tickets = set()
        self._definition_count = 0
        self._timeouts = {}
        self._closing_error = None
        self._closed_by = None
        self._taken = deque()
        self._kept_readable = False

    def _send_first(self) -> None:
        """Sends what goes out before the other side has said a word, so that it costs no round trip."""

    def _greet(self, native: Native) -> None:
        hello = native.wait_ready()
        self._protocol = min(hello['pickle'], pickle.HIGHEST_PROTOCOL)
        self._python2 = hello['python'][0] < 3
        self._hello = hello

    def _is_python2(self) -> bool:
        if self._python2 is None:
            # Another thread has an answer before the one that connects has looked. It comes behind what the server says first.
            self._greet(self._connected_native())
        return bool(self._python2)

    def _output_taker(self) -> Taker:
        if self._output == 'prefix':
            return Printer('[%s] ' % self._peername)
        if self._output == 'plain':
            return Printer('')
        if self._output is None or callable(self._output):
            return self._output
        raise TypeError("output is 'prefix', 'plain', None or a function, not %r" % (self._output,))

    def close(self, message: str | RemoteException = 'Connection closed') -> None:
        """Closes the connection. Calls on their way raise IOError with this message, or the RemoteException given in its place;
        proxies raise IOError from now on."""
        native = self._native or self._half_closed
        if native is None:
            return
        try:
            self._native = self._half_closed = None
            self._close(native, message)
        except BaseException:
            # A signal handler has raised; whoever closes it again goes on.
            self._half_closed = native
            raise

    def _close(self, native: Native, message: str | RemoteException) -> None:
        if self._closing_error is None:
            if message != 'Connection closed':
                self._closed_by = message
            # Each call gets an exception of its own, because raising one adds to its traceback.
            # Set first: calls in other threads end with it as soon as the connection does.
            if isinstance(message, RemoteException):
                given = message
                self._closing_error = lambda: RemoteException(_anew(given.orig), given.text)
            else:
                self._closing_error = lambda: RemoteException(IOError(message), '')
        self._asked = None
        self._references.close()
        native.close()
        _process.open_connections.pop(native.number, None)
        self._taken = deque()
        self._end_pending(self._closing_error)
        self._sink.flush()

    def _end_pending(self, error: Callable[[], RemoteException]) -> None:
        """The connection is over: every waiting thread gets an exception."""

    def ready(self) -> bool:
        """True if the server is ready to take requests."""
        native = self._native
        return native is not None and native.is_ready()

    def wait_ready(self) -> None:
        """Waits until the server is ready to take requests."""
        self._connected_native().wait_ready()

    def fileno(self) -> int:
        """A descriptor that is readable while responses wait to be read, for select() and poll()."""
        return self._connected_native().fileno()

    def _connected_native(self) -> Native:
        native = self._native
        if native is None:
            raise self._not_connected()
        return native

    def _not_connected(self) -> IOError:
        """What a call gets where there is no connection, with the reason if the client itself closed it for one."""
        cause = self._closed_by
        if cause is None:
            return IOError('Not connected')
        error = IOError('Not connected: %s' % (str(cause).strip().splitlines() or [''])[-1])
        if isinstance(cause, BaseException):
            error.__cause__ = cause
        return error

    def _lost(self, native: Native) -> Exception:
        """Why the connection ended, as a new exception each time."""
        failure: Exception | None = native.failure()
        return failure or _errors.ConnectionLost('%s: the connection is lost' % self._peername)

    def __repr__(self) -> str:
        return '<%s %s%s>' % (
            type(self).__name__,
            self._peername or 'unconnected',
            '' if self.connected else ', closed',
        )


def _anew(error: Any) -> Any:
    """A copy of an exception that has not been raised yet; itself where it cannot be copied."""
    try:
        copied = copy.copy(error)
    except Exception:
        return error
    return copied.with_traceback(None) if isinstance(copied, BaseException) and copied is not error else error


def _own_names(cls: type) -> frozenset[str]:
    members = vars(cls)
    return frozenset(members) | frozenset(members.get('__annotations__', ()))


Connection._declared = _own_names(Connection)
