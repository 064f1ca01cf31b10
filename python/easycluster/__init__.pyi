# The public names with their types. mypy's stubtest holds this file to what the package has.
import argparse
import optparse
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from os import PathLike
from types import ModuleType
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, overload

from typing_extensions import Self

from ._native import DEFAULT_PORT as DEFAULT_PORT

_Function = Callable[..., object] | tuple[Any, ...]
_Path = str | PathLike[str]
_T = TypeVar("_T")

__all__ = [
    'AsyncClient',
    'AutoThreadingClient',
    'CallCancelled',
    'CallTimeout',
    'Client',
    'ClientGroup',
    'ConnectError',
    'Connection',
    'ConnectionLost',
    'DefaultRemoteProxy',
    'NonblockingResponse',
    'Refused',
    'RemoteException',
    'RemoteProxy',
    'SINGLE',
    'SelfIterProxy',
    'ServerObject',
    'ThreadedClient',
    'add_key_options',
    'call_method_multi',
    'call_multi',
    'connect_multi',
    'decode_key',
    'define_common',
    'definitions_module',
    'eval_multi',
    'exec_return',
    'execblock_multi',
    'generate_key',
    'get_global',
    'key_from_options',
    'make_server_class',
    'make_singleton',
    'parse_connection_spec',
    'read_key_file',
    'remote',
    'set_global',
    'write_key_file',
]

VERSION: str
__version__: str
SINGLE: int

class RemoteException(Exception):
    orig: Any
    text: Any
    def __init__(self, orig: Any = None, text: Any = None) -> None: ...

class ConnectError(ConnectionError):
    host: str
    stage: str
    hint: str | None
    output: str
    timed_out: bool
    def __init__(
        self,
        message: str,
        host: str = "",
        stage: str = "",
        hint: str | None = None,
        output: str = "",
        timed_out: bool = False,
    ) -> None: ...

class ConnectionLost(ConnectionError, EOFError): ...

class CallTimeout(TimeoutError):
    stack: list[str]
    def __init__(self, message: str, stack: Iterable[str] = ()) -> None: ...

class CallCancelled(Exception):
    stack: list[str]
    def __init__(self, message: str, stack: Iterable[str] = ()) -> None: ...

class Refused(Exception):
    name: str | None
    def __init__(self, message: str, name: str | None = None) -> None: ...

class NonblockingResponse:
    client: Client
    request_id: int
    def __init__(self, client: Client, request_id: int, origexc: bool | str) -> None: ...
    @property
    def have_response(self) -> bool: ...
    def fileno(self) -> int: ...
    def read_response(self, block: bool = True) -> bool: ...
    def set_response(self, val: Any) -> None: ...
    def cancel(self) -> bool: ...
    def wait(self, origexc: bool | str | None = None, timeout: float | None = None) -> Any: ...

class Connection:
    proxy_closed: ClassVar[bool]
    def __init__(self, key: bytes | None, enable_compression: bool = False) -> None: ...
    @property
    def peername(self) -> str: ...
    @property
    def connected(self) -> bool: ...
    @property
    def remote_host(self) -> str | None: ...
    @property
    def remote_port(self) -> int | None: ...
    def connect(
        self,
        host: str,
        port: int | None = None,
        peername: str | None = None,
        user: str | None = None,
        ssh: bool | _Path | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
    ) -> None: ...
    def reconnect(self) -> None: ...

class Client(Connection):
    def __init__(
        self,
        key: bytes | None = None,
        host: str | None = None,
        port: int | None = None,
        definitions: str = "easycluster.remote_code",
        enable_compression: bool = False,
        ssh: bool | _Path | None = None,
        user: str | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
        *,
        allow: str | type | ModuleType | Iterable[str | type | ModuleType | Callable[..., Any]] = (),
        output: str | Callable[[str, str], object] | None = "prefix",
        call_timeout: float | None = None,
        timeout: float | None = None,
        identity: _Path | None = None,
        known_hosts: _Path | None = None,
        config: _Path | None = None,
        hostkey: str | None = None,
        batch: bool | None = None,
        jump: str | None = None,
        name: str | None = None,
        ahead: int | None = None,
    ) -> None: ...
    @classmethod
    def from_spec(
        cls,
        spec: str,
        default_port: int | None = None,
        default_key: bytes | None = None,
        warn: bool = True,
        **options: Any,
    ) -> Self: ...
    def close(self, message: str | RemoteException = "Connection closed") -> None: ...
    def ready(self) -> bool: ...
    def wait_ready(self) -> None: ...
    @property
    def server_version(self) -> str | None: ...
    @property
    def server_info(self) -> dict[str, Any] | None: ...
    def fileno(self) -> int: ...
    def set_default_thread(self, threadid: Hashable) -> None: ...
    def stop_remote_thread(self, threadid: Hashable) -> None: ...
    def read_response(self, block: bool = True) -> bool: ...
    def report_exception(self, exc: RemoteException) -> None: ...
    def send_request(
        self,
        oid: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] = ...,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def raw_call(
        self,
        func: str,
        args: Iterable[Any],
        kwargs: Mapping[str, Any] = ...,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def call(self, _func: str, *args: Any, **kwargs: Any) -> Any: ...
    def eval(
        self,
        expr: str,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def execblock(
        self,
        code: str,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def import_modules(
        self,
        names: Iterable[str],
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def import_module(
        self,
        name: str,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def run(self, func: Callable[..., Any] = ..., /, *args: Any, **kwargs: Any) -> Any: ...
    def update_definitions(
        self,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def get_root(self) -> DefaultRemoteProxy: ...
    def __getattr__(self, attr: str) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *info: object) -> None: ...

class ThreadedClient(Client):
    def __init__(
        self,
        key: bytes | None = None,
        host: str | None = None,
        port: int | None = None,
        definitions: str = "easycluster.remote_code",
        enable_compression: bool = False,
        ssh: bool | _Path | None = None,
        user: str | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
        keep_alive_interval: float | None = 10,
        keep_alive_timeout: float | None = 60,
        **options: Any,
    ) -> None: ...
    def check_threads(self) -> None: ...
    def read_response(self, block: bool = True) -> NoReturn: ...

AutoThreadingClient = ThreadedClient

class AsyncClient(Client):
    @classmethod
    def open(cls, spec: str, **options: Any) -> Any: ...
    async def get(self, name: str) -> Any: ...
    async def set(self, name: str, value: Any) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *info: object) -> None: ...

class ClientGroup:
    clients: dict[int, Client]
    def __init__(self, clients: Iterable[Client] = ()) -> None: ...
    def add_client(self, cl: Client) -> None: ...
    def remove_client(self, cl: Client) -> None: ...
    def read_responses(self, timeout: float | None = None, max: int = -1) -> None: ...

class _ProxyType(type):
    def __new__(meta, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Any: ...

class RemoteProxy(metaclass=_ProxyType):
    proxy_methods: ClassVar[Sequence[str]]
    proxy_attrs: ClassVar[Sequence[str]]
    proxy_attrs_cache: ClassVar[Sequence[str]]
    def __init__(self, connection: Client, oid: int) -> None: ...
    @property
    def proxy_connection(self) -> Client | None: ...
    @property
    def proxy_object_id(self) -> int: ...
    def raw_call_method(
        self,
        method: str,
        args: Iterable[Any],
        kwargs: Mapping[str, Any] = ...,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def raw_get_attribute(
        self,
        attr: str,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def raw_set_attribute(
        self,
        attr: str,
        value: Any,
        nonblocking: bool = False,
        oncomplete: _Function | None = None,
        onerror: _Function | None = None,
        threadid: Hashable | None = None,
        origexc: bool | str = True,
        call_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def __reduce_ex__(self, protocol: Any) -> NoReturn: ...

class DefaultRemoteProxy(RemoteProxy):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __getattr__(self, attr: str) -> Any: ...
    def __setattr__(self, attr: str, value: Any) -> Any: ...
    def __delattr__(self, attr: str) -> Any: ...

class SelfIterProxy(RemoteProxy):
    def __iter__(self) -> Self: ...
    def __next__(self, *args: Any, **kwargs: Any) -> Any: ...
    def next(self) -> Any: ...

class GeneratorProxy(SelfIterProxy):
    def send(self, *args: Any, **kwargs: Any) -> Any: ...
    def throw(self, *args: Any, **kwargs: Any) -> Any: ...
    def close(self, *args: Any, **kwargs: Any) -> Any: ...

class FileProxy(SelfIterProxy):
    closed: Any
    encoding: Any
    errors: Any
    mode: Any
    name: Any
    newlines: Any
    def close(self, *args: Any, **kwargs: Any) -> Any: ...
    def fileno(self, *args: Any, **kwargs: Any) -> Any: ...
    def flush(self, *args: Any, **kwargs: Any) -> Any: ...
    def isatty(self, *args: Any, **kwargs: Any) -> Any: ...
    def read(self, *args: Any, **kwargs: Any) -> Any: ...
    def readable(self, *args: Any, **kwargs: Any) -> Any: ...
    def readinto(self, *args: Any, **kwargs: Any) -> Any: ...
    def readline(self, *args: Any, **kwargs: Any) -> Any: ...
    def readlines(self, *args: Any, **kwargs: Any) -> Any: ...
    def seek(self, *args: Any, **kwargs: Any) -> Any: ...
    def seekable(self, *args: Any, **kwargs: Any) -> Any: ...
    def tell(self, *args: Any, **kwargs: Any) -> Any: ...
    def truncate(self, *args: Any, **kwargs: Any) -> Any: ...
    def writable(self, *args: Any, **kwargs: Any) -> Any: ...
    def write(self, *args: Any, **kwargs: Any) -> Any: ...
    def writelines(self, *args: Any, **kwargs: Any) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *info: object) -> None: ...

class ServerObject:
    export_methods: ClassVar[Sequence[str]]
    export_attrs: ClassVar[Sequence[str]]
    export_attrs_cache: ClassVar[Sequence[str]]
    proxy_class: ClassVar[type[RemoteProxy] | None]

def make_server_class(
    typ: type,
    export_methods: Sequence[str] = ...,
    export_attrs: Sequence[str] = ...,
    export_attrs_cache: Sequence[str] = (),
    proxy_class: type[RemoteProxy] | None = None,
) -> None: ...
def make_singleton(
    typ_or_obj: _T,
    export_methods: Sequence[str] = ...,
    export_attrs: Sequence[str] = ...,
    export_attrs_cache: Sequence[str] = (),
    proxy_class: type[RemoteProxy] | None = None,
) -> _T: ...
def define_common(code: str, name: str = "easycluster.remote_code", local: bool = True) -> None: ...
def definitions_module(name: str, keep_source: bool = True) -> Any: ...
def exec_return(value: Any) -> NoReturn: ...
def get_global(name: str, context: ModuleType | None = None, auto_import: bool = False) -> Any: ...
def set_global(name: str, value: Any, context: ModuleType | None = None) -> None: ...
def eval_multi(
    connections: Iterable[Client],
    code: str,
    threadid: Hashable | None = None,
    origexc: bool | str = True,
    call_timeout: float | None = None,
    timeout: float | None = None,
) -> list[Any]: ...
def execblock_multi(
    connections: Iterable[Client],
    code: str,
    threadid: Hashable | None = None,
    origexc: bool | str = True,
    call_timeout: float | None = None,
    timeout: float | None = None,
) -> list[Any]: ...
def call_multi(_connections: Iterable[Client], _func: str, *args: Any, **kwargs: Any) -> list[Any]: ...
def call_method_multi(_proxies: Iterable[Any], _method: str, *args: Any, **kwargs: Any) -> list[Any]: ...
def connect_multi(
    specs: Iterable[str], clientclass: type[Client] | None = None, return_exceptions: bool = False, **options: Any
) -> list[Any]: ...
@overload
def remote(func: Callable[..., Any], **options: Any) -> Callable[..., Any]: ...
@overload
def remote(func: None = None, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
def generate_key() -> bytes: ...
def decode_key(key: str | bytes) -> bytes: ...
def read_key_file(path: _Path) -> bytes: ...
def write_key_file(path: _Path, key: bytes, overwrite: bool = False) -> bool: ...
def add_key_options(
    options: optparse.OptionParser | argparse.ArgumentParser, key_option: str = "-K", keyfile_option: str = "-k"
) -> None: ...
def key_from_options(opts: Any, warn: bool = True) -> bytes: ...
def parse_connection_spec(
    spec: str,
    default_port: int | None = None,
    default_key: bytes | None = b"",
    default_enable_compression: bool = False,
    custom_options: Iterable[str] | Literal[True] = (),
    warn: bool = True,
) -> Any: ...
