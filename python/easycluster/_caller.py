"""Caller: how every client makes its calls."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from . import _commands, _files, _habits, _kinds, _timeouts
from ._asker import Asker
from ._errors import CallCancelled
from ._global_proxy import GlobalProxy
from ._native import Connection as Native
from ._native import Spec
from ._options import (
    CallOptions,
    CompletionFunction,
    check_keywords,
    checked_functions,
    limited,
    seconds,
    split_options,
)
from ._pickling.encode import encode, is_short
from ._pickling.policy import Allowed
from ._pickling.references import Receipts
from ._responses import NonblockingResponse, RemoteException, Target, Ticket, all_of, with_limit
from ._shipping.definitions import definitions_module
from ._shipping.forwarding import Forwarding
from ._shipping.source import shipped
from ._spec import Path, parse
from ._steps import Step

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_CALL = _kinds.CALL
_METHOD = _kinds.METHOD
_NAMED_THREADS = _kinds.NAMED_THREADS
_NO_KEYWORDS: dict[str, Any] = {}
_dumps = pickle.dumps


class SpecOptions(TypedDict, total=False):
    """The keywords of a client that are options of a connection spec, and say what they say there (spec/connection-spec.md)."""

    timeout: float | None
    identity: Path | None
    known_hosts: Path | None
    config: Path | None
    hostkey: str | Sequence[str] | None
    batch: bool | None
    jump: str | None
    name: str | None
    ahead: int | None
    max_result: int | str | None
    then: str | Step | Sequence[str | Step] | None
    become: str | None


class Caller(Asker):
    """What blocking and awaited clients have in common. `_wait_for_call` is what they differ in."""

    _response_class: type[NonblockingResponse] = NonblockingResponse

    def __init__(
        self,
        key: bytes | None = None,
        host: str | Spec | None = None,
        port: int | None = None,
        definitions: str = 'easycluster.remote_code',
        enable_compression: bool = False,
        ssh: bool | Path | None = None,
        user: str | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
        *,
        allow: Allowed | Sequence[Allowed] = (),
        output: str | Callable[[str, str], object] | None = 'prefix',
        call_timeout: float | None = None,
        forward: Sequence[str] | Forwarding = (),
        **options: Unpack[SpecOptions],
    ) -> None:
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
        forward: names of packages and modules of this program that remote code may import from here where it does not have them; with `!`
            behind a name also where it does.
        options: SpecOptions, which are those of a connection spec.
        """
        if key is None and ssh is None:
            ssh = True
        super().__init__(None if ssh else key, enable_compression)
        self._ssh = ssh
        check_keywords(type(self), options, SpecOptions.__annotations__)
        self._options = dict(options)
        self._definitions_name = definitions
        self._defmod = definitions_module(definitions)
        self._allow = allow
        self._output = output
        self._call_timeout = seconds(call_timeout, 'call_timeout')
        self._forwarding = forward if isinstance(forward, Forwarding) else Forwarding(forward) if forward else None
        if host is not None:
            self.connect(host, port, ssh=ssh, rpython=rpython, user=user, extra_args=extra_args)

    @classmethod
    def from_spec(
        cls,
        spec: str,
        default_port: int | None = None,
        default_key: bytes | None = None,
        warn: bool = True,
        **options: Any,
    ) -> Self:
        """Connects by a connection spec, `[user@]host[:port][:opt=val]...`; see parse_connection_spec.

        Further keywords are those of the class, and go before what the spec says.
        """
        parsed = cls._parsed(spec, default_port, default_key, warn, options)
        return cls(host=parsed, **options)

    @classmethod
    def _aimed(
        cls,
        spec: str,
        default_port: int | None = None,
        default_key: bytes | None = None,
        warn: bool = True,
        **options: Any,
    ) -> Self:
        """As from_spec(), and does not connect yet: the client is made without a host, and only knows where to go."""
        parsed = cls._parsed(spec, default_port, default_key, warn, options)
        place = {name: options.pop(name) for name in ('port', 'user', 'rpython', 'extra_args') if name in options}
        client = cls(**options)
        client._aim(parsed, **place)
        return client

    @staticmethod
    def _parsed(
        text: str, default_port: int | None, default_key: bytes | None, warn: bool, options: dict[str, Any]
    ) -> Spec:
        """A spec parsed, with what the class itself has to know of it put into its keywords where they do not say it."""
        spec = parse(text, warn)
        if default_port is not None and spec.port is None:
            spec = spec.with_port(default_port)
        options.setdefault('ssh', spec.ssh)
        options.setdefault('enable_compression', spec.compress)
        if spec.allow:
            options.setdefault('allow', spec.allow)
        if spec.forward:
            options.setdefault('forward', spec.forward)
        if 'key' not in options:
            key = spec.key()
            options['key'] = default_key if key is None else key
        return spec

    # -- requests

    def set_default_thread(self, threadid: Hashable) -> None:
        """Sets the server thread that calls run in where they do not name one."""
        self._default_thread = threadid

    def stop_remote_thread(self, threadid: Hashable) -> None:
        """Ends the server thread of that number once it has done what was asked of it."""
        number = self._wire_thread(threadid)
        if number is not None:
            self._connected_native().stop_thread(number)

    def _thread_id(self) -> Hashable:
        """The server's thread for calls that name none."""
        if self._asked is not None:
            running = self._asked.thread()
            if running is not None:
                return running
        return self._default_thread  # type: ignore[no-any-return]

    def _wire_thread(self, threadid: Hashable) -> int | None:
        """The thread number on the wire; None for a thread of its own."""
        if type(threadid) is int and 0 <= threadid < _NAMED_THREADS:
            return threadid
        if threadid == _kinds.SINGLE:
            return None
        # Any other number, or anything hashable: its own place above those.
        number = self._thread_numbers.get(threadid)
        if number is None:
            number = self._thread_numbers.setdefault(threadid, _NAMED_THREADS + next(self._thread_count))
        return number

    def _is_own(self, name: str) -> bool:
        """Whether definitions or blocks have a global of this name, which the method of that name then stands for."""
        return name in vars(self._defmod) or name in self._made

    def _put(
        self, compare: bool, source: _files.Local, dest: _files.RemotePlace, options: _files.CopyOptions
    ) -> _files.Work:
        """Begins to copy files there, or to compare."""
        return _files.put([(self.peername, self._connected_native())], compare, source, dest, options)

    def _get(self, source: _files.Remote, dest: _files.LocalPlace, options: _files.GetOptions) -> _files.Work:
        """Begins to copy files from there."""
        return _files.get([(self.peername, self._connected_native())], source, dest, options)

    def _send_command(
        self,
        request: _commands.Request,
        timeout: float | None,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
    ) -> Any:
        """Has the server run a shell command, in a thread of its own."""
        self._connected_native().send_helper('commands')
        return self._call(
            _commands.FUNCTION,
            request.arguments,
            _NO_KEYWORDS,
            nonblocking,
            oncomplete,
            onerror,
            threadid=_kinds.SINGLE,
            origexc='quiet',
            call_timeout=timeout,
        )

    def send_request(
        self,
        oid: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] = _NO_KEYWORDS,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Any:
        """Calls a method of the server's object `oid`; 0 is the root object. All proxies go this way."""
        return self._request(
            _METHOD,
            (oid, method, args, kwargs),
            not kwargs and is_short(args),
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
            keep,
        )

    def _call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Any:
        """Calls a global by its dotted name."""
        short = is_short(args) and (not kwargs or is_short(kwargs.values()))
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
            keep,
        )

    def _request(
        self,
        kind: int,
        message: tuple[Any, ...],
        short: bool,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Any:
        """Makes one request, as its options say. `short` says that the message is plain and small, `keep` that its result stays
        there (ME-30)."""
        native = self._native
        if native is None:
            raise self._not_connected()
        references = self._references
        if references.dropped:
            references.release_dropped()
        keeps = None
        sent = message
        if keep:
            sent, short = (0, 'keep', (kind, message), {}), False
        if short:
            content: Any = _dumps(message, self._protocol)
        else:
            content, keeps = encode(sent, self._protocol, self)
        if threadid is None:
            threadid = self._thread_id()
        if threadid.__class__ is not int or not 0 <= threadid < _NAMED_THREADS:
            threadid = self._wire_thread(threadid)
        if timeout is not None:
            if call_timeout is not None:
                raise TypeError('timeout and call_timeout are the same limit; give one of them')
            call_timeout = timeout
        elif call_timeout is None:
            call_timeout = self._call_timeout
        if call_timeout is not None:
            call_timeout = limited(call_timeout, kind, message)
        if kind == _METHOD and message[0]:
            keeps = (False, [message[0]], []) if not keeps else (True, keeps[1] + [message[0]], keeps[2])
        if keep:
            kind = _METHOD
        if oncomplete is not None:
            checked_functions(oncomplete, onerror)
            target = (oncomplete, oncomplete if onerror is None else onerror)
            return self._submit(native, kind, threadid, content, call_timeout, keeps, target)
        if nonblocking:
            response = self._response_class(self, 0, origexc)
            self._submit(native, kind, threadid, content, call_timeout, keeps, response)
            return response
        return self._wait_for_call(native, kind, threadid, content, call_timeout, keeps, origexc)

    def call(self, _func: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a global by its dotted name."""
        raise NotImplementedError

    def _wait_for_call(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, origexc: Any
    ) -> Any:
        """Hands a request in; gives its value, or what it is awaited by."""
        raise NotImplementedError

    def _submit(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, target: Target
    ) -> Ticket:
        ticket = next(self._tickets)
        if limit is not None:
            target = with_limit(target, limit)
        if target.__class__ is NonblockingResponse:
            target.request_id = ticket
        # Registered first: another thread may deliver it before submit() returns.
        self._pending[ticket] = target
        try:
            native.submit(ticket, kind, threadid, content, limit, keeps)
        except BaseException:
            # Of what a signal handler has interrupted, the request may be on its way.
            self._pending.pop(ticket, None)
            native.cancel(ticket)
            raise
        return ticket

    def _send_timed(
        self, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> Any:
        """Makes a call with `timeout` among its keywords: of a method of `proxy`, or of a global if that is None."""
        if _timeouts.is_open(self, proxy, name, kwargs, options):
            message, limit = _timeouts.question(self, proxy, name, kwargs)
            _timeouts.settle(self, proxy, name, self._ask(message, limit))
        return _timeouts.send_settled(self, proxy, name, args, kwargs, options)

    def _ask(self, message: tuple[Any, ...], limit: float) -> bool:
        """The value that a function gives on the server, in a thread of its own, which no other call delays. No other response
        is delivered meanwhile."""
        raise NotImplementedError

    def _shipped_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The request that runs a function of this program, and its options."""
        own = {'keep': kwargs.pop('keep')} if 'keep' in kwargs and _timeouts.is_named_by(func, 'keep') else {}
        options = split_options(kwargs)
        kwargs.update(own)
        function = shipped(func)
        if 'timeout' in kwargs and 'call_timeout' not in options and not _timeouts.is_taken_by(func):
            options['timeout'] = kwargs.pop('timeout')
        return (function.source, function.name, function.filename, function.line, args, kwargs), options

    # -- definitions

    def _send_first(self) -> None:
        if self._forwarding is not None:
            self._send_forwarding(self._forwarding)
        if self._defmod._source_code:
            self._own_tickets.add(
                self._send_definitions(False, self._ignore, self._definitions_failed, None, True, None, None)
            )

    @staticmethod
    def _ignore(value: Any) -> None:
        pass

    def _definitions_failed(self, exc: RemoteException) -> None:
        if isinstance(exc.orig, (ConnectionError, CallCancelled)):
            return
        self.report_exception(exc)
        # Nothing works as meant without the definitions, so every call gets the reason.
        self.close(exc)

    def _decode(self, tag: int, value: Any, receipts: Receipts, limit: float | None = None) -> Any:
        value = super()._decode(tag, value, receipts, limit)
        if tag == _kinds.ERROR:
            self._tell_of_names(value.exception)
        return value

    def _tell_of_names(self, exc: RemoteException) -> None:
        """Says in an exception about a name that is not there, that it is only not there yet, or what was meant."""
        unsent = self._defmod._source_code[self._definition_count :] if self._defmod is not None else []
        _habits.tell(exc, type(self).__name__, unsent)

    def _new_definitions(self) -> list[str]:
        """The blocks of definitions that this connection has not got yet."""
        # What a name stands for may be another thing behind new definitions.
        self._timeouts.clear()
        blocks: list[str] = self._defmod._source_code[self._definition_count :] if self._defmod is not None else []
        self._definition_count += len(blocks)
        return blocks

    def _define(self, block: str, **options: Unpack[CallOptions]) -> Any:
        return self._request(_kinds.DEFINE, (self._definitions_name, block, True), True, **options)

    def _send_definitions(
        self,
        nonblocking: bool,
        oncomplete: CompletionFunction | None,
        onerror: CompletionFunction | None,
        threadid: Hashable,
        origexc: bool | str | None,
        call_timeout: float | None,
        timeout: float | None,
    ) -> Any:
        blocks = self._new_definitions()
        limits: Any = {'threadid': threadid, 'call_timeout': call_timeout, 'timeout': timeout}

        def send(block: str, **options: Any) -> Any:
            return self._define(block, **limits, **options)

        if not blocks:
            # So that there is a response even where there is nothing to say.
            return self._request(
                _kinds.EVAL,
                ('None', None),
                True,
                nonblocking,
                oncomplete,
                onerror,
                origexc=origexc,
                **limits,
            )
        if len(blocks) == 1 or oncomplete is None and not nonblocking:
            for block in blocks[:-1]:
                send(block, origexc=origexc)
            return send(blocks[-1], nonblocking=nonblocking, oncomplete=oncomplete, onerror=onerror, origexc=origexc)
        return all_of(self, send, blocks, nonblocking, oncomplete, onerror, origexc)

    def __getattr__(self, attr: str) -> Any:
        if attr[:1] == '_':
            text = '%s has no attribute %r; to call a global of the server by such a name, use client.call(%r)'
            raise AttributeError(text % (type(self).__name__, attr, attr))
        if attr in self._declared:
            # An own one that is not set, or a property that raised AttributeError.
            raise AttributeError(attr)
        return self._global(attr)

    def _global(self, name: str) -> GlobalProxy:
        """The proxy for a global of the server."""
        return GlobalProxy(self, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *info: object) -> None:
        self.close()
