# What easycluster.server has; stubtest compares it with the module.
from collections.abc import Sequence
from typing import Any, TypeVar, overload

from . import Client

__all__ = ['Server', 'QuietServer', 'run_server', 'server_main', 'server_check_runner', 'spawn_local']

_C = TypeVar("_C", bound=Client)

class Server: ...
class QuietServer(Server): ...

@overload
def spawn_local(*, rpython: str | None = None, verbosity: int = 0, profile: str | None = None, **kw: Any) -> Client: ...
@overload
def spawn_local(
    clientclass: type[_C], rpython: str | None = None, verbosity: int = 0, profile: str | None = None, **kw: Any
) -> _C: ...
def server_main(args: Sequence[str] | None = None) -> int: ...
def server_check_runner() -> None: ...
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
) -> int: ...
