"""Client: one connection to one remote Python, whose responses the calling thread reads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import _kinds, _process, _reports, _timeouts
from ._caller import Caller
from ._channels import WINDOW, Channel
from ._commands import Line, Request
from ._connection import Completion
from ._files import Copied, CopyOptions, Difference, GetOptions, Local, LocalPlace, Remote, RemotePlace
from ._global_proxy import made_by, not_a_name, unless_defined
from ._native import Connection as Native
from ._options import CompletionFunction, checked_code, names_of_modules, split_options
from ._pickling.encode import encode
from ._reports import ShowProgress
from ._responses import Failed, NonblockingResponse
from ._shared import objects
from ._shipping.functions import forwarded_name
from ._streams import AHEAD, Stream, begin

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NO_KEYWORDS: dict[str, Any] = {}
_NOTHING: Any = object()
_get_ident = threading.get_ident
_room = _process.room


def _move(held: list[Completion], taken: deque[Completion]) -> None:
    """Moves completions to where any thread may deliver them. Each is in one of the two at any time: the iterators are in C, where
    no signal handler runs."""
    taken.extend(islice(iter(partial(held.pop, 0), None), len(held)))


class Client(Caller):
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
    keep: True leaves the result on the server and gives a proxy for it, whatever it is; other values are the function's.

    Names that begin with an underscore are the client's own: `client.call('_name')` calls a global of such a name.
    Any thread may use a client. After a fork the child has to make its own; using an inherited one raises RuntimeError.
    """

    # -- waiting

    def _wait_for_call(
        self, native: Native, kind: int, threadid: Any, content: Any, limit: float | None, keeps: Any, origexc: Any
    ) -> Any:
        _room()
        taken = self._taken
        pending = self._pending
        ticket = next(self._tickets)
        response = NonblockingResponse(self, ticket, origexc)
        pending[ticket] = response
        if limit is not None:
            response.limit = limit
        main = _get_ident() == _process.main_ident
        held: list[Completion] = []
        try:
            native.call(held, ticket, kind, threadid, content, limit, keeps, False, main)
            # The usual one. Where close() came first, the response says so.
            if len(held) == 1 and held[0][0] == ticket and not held[0][1] and not taken:
                if pending.pop(ticket, None) is not None:
                    return held[0][2]
            _move(held, taken)
            self._wait_for_response(response)
        except BaseException:
            _move(held, taken)
            # This call's value cannot be asked for any more.
            if pending.pop(ticket, None) is not None:
                self._cancel(ticket)
            self._keep_readable(taken)
            raise
        value = response._response_val
        if value.__class__ is Failed:
            self._raise(value.exception, origexc)
        return value

    def channel(self, raw: bool = False, window: int = WINDOW) -> Channel:
        """A channel of items, or with `raw` of bytes, to be given to one call as an argument. Takes no round trip.

        window: how many bytes may be on their way or unread in each direction, 16384 to 67108864; more is faster over a long distance.
        """
        return Channel(self, self._connected_native().open_channel(window), raw)

    def _ask(self, message: tuple[Any, ...], limit: float) -> bool:
        native = self._connected_native()
        content, keeps = encode(message, self._protocol, self)
        main = _get_ident() == _process.main_ident
        held: deque[tuple[int, int, Any]] = deque()
        native.call(held, next(self._tickets), _kinds.RUN, None, content, limit, keeps, True, main)
        value = self._single(held)
        return _timeouts.verdict(value.exception) if value.__class__ is Failed else value

    # -- requests

    def raw_call(
        self,
        func: str,
        args: Iterable[Any],
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
        """Calls a global by its dotted name with a tuple and a dict of arguments."""
        return self._call(
            func, tuple(args), kwargs, nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout, keep
        )

    def call(self, _func: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a global by its dotted name. A simple name is looked up in the definitions module first, then among the built-ins;
        modules on the way are imported."""
        if not isinstance(_func, str):
            raise not_a_name(_func)
        options = split_options(kwargs)
        if 'timeout' in kwargs:
            return self._send_timed(None, _func, args, kwargs, options)
        return self._call(_func, args, kwargs, **options)

    def eval(
        self,
        expr: str,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Any:
        """Evaluates an expression in the definitions module."""
        checked_code('eval', expr)
        return self._request(
            _kinds.EVAL,
            (expr, None),
            True,
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
            keep,
        )

    def execblock(
        self,
        code: str,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Any:
        """Runs statements in the definitions module. Gives what they pass to exec_return(), else None."""
        checked_code('execblock', code)
        self._timeouts.clear()
        self._made |= made_by(code)
        return self._request(
            _kinds.EXEC,
            (code, None),
            True,
            nonblocking,
            oncomplete,
            onerror,
            threadid,
            origexc,
            call_timeout,
            timeout,
            keep,
        )

    def import_modules(
        self,
        names: str | Iterable[str],
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Imports modules into the definitions module."""
        arguments = (names_of_modules(names),)
        return self.send_request(
            0,
            'import_modules',
            arguments,
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
        name: str,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Imports one module into the definitions module."""
        return self.import_modules([name], nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout)

    def run(self, func: Callable[..., Any] = _NOTHING, /, *args: Any, **kwargs: Any) -> Any:
        """Runs a function of this program on the server: its source is sent, and the modules that it uses are imported there.

        The function stands by itself: it may use its arguments, what it imports or defines, and what its file imports at the top.
        Annotations and decorators stay here.
        Where definitions have a `run` of their own, or `func` is nothing to call, the server's global `run` is called.
        """
        if not callable(func) or self._is_own('run'):
            return self.call('run', *(() if func is _NOTHING else (func,)), *args, **kwargs)
        name = forwarded_name(self._forwarding, func)
        if name is not None:
            return self.call(name, *args, **kwargs)
        message, options = self._shipped_call(func, args, kwargs)
        return self._request(_kinds.RUN, message, False, **options)

    def command(
        self,
        line: Line = _NOTHING,
        *args: Any,
        input: str | bytes | None = None,
        timeout: float | None = None,
        cwd: Any = None,
        env: Mapping[str, str | bytes] | None = None,
        check: bool = False,
        encoding: str | None = 'utf-8',
        **kwargs: Any,
    ) -> Any:
        """Runs a shell command on the server's machine; gives a CommandResult.

        line: a text is a line for the account's shell there, as with ssh; a list is a program and its arguments, which no shell looks
            at.
        input: its standard input, as text or bytes; empty otherwise.
        timeout: seconds after which it is ended, with all that it has started, and CallTimeout is raised.
        cwd: the folder to run in. env: environment variables to set; no command line shows them.
        check: raise CommandError if it fails. encoding: of its output; None gives bytes.

        Output is collected, not printed. Where definitions have a `command` of their own, that is called.
        """
        if self._is_own('command'):
            given = {'input': input, 'timeout': timeout, 'cwd': cwd, 'env': env}
            kwargs.update((name, value) for name, value in given.items() if value is not None)
            return self.call('command', *(() if line is _NOTHING else (line,)), *args, **kwargs)
        if line is _NOTHING or args or kwargs:
            raise TypeError("command() takes one line or one list of words: command('ls -l') or command(['ls', '-l'])")
        request = Request(line, input, cwd, env, check, encoding)
        return request.result(self.peername, self._send_command(request, timeout))

    @unless_defined
    def put(self, source: Local, dest: RemotePlace, **options: Unpack[CopyOptions]) -> Copied:
        """Copies files and folders of this machine to the server's.

        source: a path, or several. As with rsync, a folder with a slash at its end means what is in it. dest: where to; a single file
            gets this name, unless it is a folder or ends with a slash. Folders on the way are made.
        mode: permissions of files, such as 0o640 (folders get x where r is), or 'all' for what they have with set-user-ID and the like.
        times: whether times are those of here. links: 'copy' links as such, 'follow' them, or 'skip' them.
        skip: files that are not sent again: of the 'same' size and time, of the same 'content' (by SHA-256), or 'never' any.
        delete: remove what is in copied folders there and not here. exclude: patterns of what is left out, which stays there, too.
        resume: leave a large file that was cut off, so that the next attempt goes on. fsync: have each file on the disk first.
        progress: a function that is called with a CopyProgress in this thread, several times a second. What it raises ends the copy.

        Each file takes its name when it is whole. Raises FilesError where something could not be copied; the rest was then. Where
        definitions have a `put` of their own, that is called; so with `get` and `compare`.
        """
        copied: Copied = self._put(False, source, dest, options).one()
        return copied

    @unless_defined
    def get(self, source: Remote, dest: LocalPlace, **options: Unpack[GetOptions]) -> Copied:
        """Copies files and folders of the server's machine to this one. As put(), the other way round.

        max_bytes, max_files: the most that is taken. {host} in `dest` becomes the host's name.

        Nothing that the server names is written outside of `dest`, and no link is followed or made that leads out of it.
        """
        copied: Copied = self._get(source, dest, options).one()
        return copied

    @unless_defined
    def compare(self, source: Local, dest: RemotePlace, **options: Unpack[CopyOptions]) -> list[Difference]:
        """What put() would change; nothing is changed. Takes the same keywords."""
        differences: list[Difference] = self._put(True, source, dest, options).one()
        return differences

    @unless_defined
    def stream(self, func: str | Callable[..., Any], /, *args: Any, ahead: int = AHEAD, **kwargs: Any) -> Stream:
        """Goes through what a function gives, such as a generator, as its items are made: `for item in client.stream(...)`.

        func: a name, or a function of this program as for run(). It runs on a server thread of its own.
        ahead: about how many bytes of items it may be ahead of who reads, 16384 to 67108864; a reader that stops, stops it.

        What is raised there is raised here behind the items before it. Leaving the loop, or close(), ends the generator.
        """
        return Stream(*begin(self, func, args, kwargs, ahead, nonblocking=True))

    @unless_defined
    def forward_logs(self, level: int | str = 'INFO') -> None:
        """Has what remote code logs from now on, from this level on, logged here as well: by `easycluster.HOST.NAME`.

        Records have the attribute `host`. They are never waited for: where too many are on their way, the next one says how many
        were dropped. The level of the root logger there is lowered to this one, if it has no handlers.
        """
        _reports.forward_logs(self, level)

    @unless_defined
    def show_progress(self, show: ShowProgress | None = None) -> None:
        """Shows how far remote code is, which says so by `easycluster.progress`.

        show: a function that is called with a RemoteProgress, at most ten times a second for each, in a thread of the package; bars
            of tqdm otherwise.
        """
        _reports.show_progress(self, _reports.shown_by(show))

    def update_definitions(
        self,
        nonblocking: bool = False,
        oncomplete: CompletionFunction | None = None,
        onerror: CompletionFunction | None = None,
        threadid: Hashable = None,
        origexc: bool | str | None = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Sends what was defined since the last time. Call it after define_common()."""
        return self._send_definitions(nonblocking, oncomplete, onerror, threadid, origexc, call_timeout, timeout)

    def get_root(self) -> objects.RootProxy:
        """A proxy for the root object, which looks up names and attributes on the server."""
        return objects.RootProxy(self, 0)
