"""The server side: a private Python on this machine, and the standalone server, which is the program `easycluster -S`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, TypeVar, overload

from . import _native
from ._caller import Caller
from ._client import Client

_C = TypeVar('_C', bound=Caller)

__all__ = ['QuietServer', 'Server', 'run_server', 'server_check_runner', 'server_main', 'spawn_local']


class Server:
    """Names the server class for programs that do; what runs on the server is the stub, which the client sends."""


class QuietServer(Server):
    """The server without a log line for each call, which is the default."""


@overload
def spawn_local(*, rpython: str | None = None, verbosity: int = 0, profile: str | None = None, **kw: Any) -> Client: ...
@overload
def spawn_local(
    clientclass: type[_C], rpython: str | None = None, verbosity: int = 0, profile: str | None = None, **kw: Any
) -> _C: ...
def spawn_local(
    clientclass: type[Any] = Client,
    rpython: str | None = None,
    verbosity: int = 0,
    profile: str | None = None,
    **kw: Any,
) -> Any:
    """Starts a Python process of its own on this machine and connects to it; `close()` ends it.

    rpython: the interpreter; this one unless given. Further keywords are those of the client class. `verbosity` and `profile` are
    taken for programs that give them.
    """
    client = clientclass(None, ssh=True, **kw)
    client.connect(':local', rpython=sys.executable if rpython is None else rpython)
    return client


def server_main(args: Sequence[str] | None = None) -> int:
    """The program `easycluster`; gives its exit status."""
    return _native.main(list(sys.argv[1:] if args is None else args))


def server_check_runner() -> None:
    """Does nothing; kept for programs that call it at their start."""


def run_server(
    port: int,
    key: bytes,
    bindaddr: str | None = None,
    allow: Sequence[str] = (),
    verbosity: int = 0,
    daemonize: bool = False,
    pidfile: str | None = None,
    disable_ipv6: bool = False,
    profile: str | None = None,
) -> int:
    """Runs a standalone server until it is ended.

    port: the TCP port. key: the shared key as bytes. bindaddr: the address to listen on, all if None. allow: networks to take
    connections from, all if empty. verbosity: 0, 1 for a line a connection, 2 for a line a request. daemonize: go into the
    background. pidfile: where to write the process number. profile: a file name pattern for profiles.
    """
    key_file = tempfile.NamedTemporaryFile('w', prefix='easycluster-key-', delete=False)
    try:
        key_file.close()
        _native.write_key_file(key_file.name, key, True)
        arguments = ['-S', '-k', key_file.name, '-p', str(port)]
        if bindaddr is not None:
            arguments += ['-b', bindaddr]
        for network in allow:
            arguments += ['-a', str(network)]
        arguments += ['-v'] * int(verbosity or 0)
        if daemonize:
            arguments.append('-d')
        if pidfile:
            arguments += ['-P', pidfile]
        if disable_ipv6:
            arguments.append('-N')
        if profile:
            arguments += ['--profile', profile]
        return server_main(arguments)
    finally:
        os.unlink(key_file.name)


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(server_main())
