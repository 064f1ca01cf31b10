"""Call Python on machines that have only sshd and Python.

    >>> from easycluster import *
    >>> define_common('''
    ... def addvals(a, b):
    ...     return a + b
    ... ''')
    >>> rmt = Client.from_spec('user@example.com')
    >>> rmt.addvals(3, 4)
    7

Nothing is installed on the remote machine, which may have any Python from 2.6 on. See Client, define_common and ServerObject.
"""

from __future__ import annotations

from typing import Any as _Any

from . import _native
from ._async import AsyncClient
from ._callbacks import callback as callback
from ._channels import AsyncChannel as AsyncChannel
from ._channels import Channel as Channel
from ._client import Client
from ._cluster.async_cluster import AsyncCluster
from ._cluster.cluster import Cluster
from ._cluster.report import ClusterError, ConnectReport, HostLost, HostReport
from ._commands import CommandError, CommandResult
from ._connection import Connection
from ._environments import Environment as Environment
from ._environments import EnvironmentFailed as EnvironmentFailed
from ._errors import (
    CallCancelled,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    ConnectRefusedError,
    ConnectTimeoutError,
    Refused,
)
from ._files import Copied, CopyProgress, Difference, FilesError
from ._group import ClientGroup

# Reached by their full names only: `from easycluster import *` gives no names as short as these.
from ._hosts import HostSpec as HostSpec
from ._hosts import hosts as hosts
from ._kinds import EASYCLUSTER as _EASYCLUSTER
from ._kinds import SINGLE as SINGLE
from ._multi import call_method_multi, call_multi, command_multi, connect_multi, eval_multi, execblock_multi
from ._read_ahead import read_ahead
from ._reports import RemoteProgress as RemoteProgress
from ._reports import progress as progress
from ._responses import NonblockingResponse, RemoteException
from ._shared import names as _names
from ._shared import objects as _objects
from ._shipping.definitions import define_common, definitions_module
from ._shipping.source import remote
from ._spec import (
    add_key_options,
    decode_key,
    generate_key,
    key_from_options,
    parse_connection_spec,
    read_key_file,
    write_key_file,
)
from ._steps import AskedPassword as AskedPassword
from ._steps import Chroot as Chroot
from ._steps import Doas as Doas
from ._steps import Docker as Docker
from ._steps import Incus as Incus
from ._steps import Kubectl as Kubectl
from ._steps import Lxc as Lxc
from ._steps import Machinectl as Machinectl
from ._steps import Nsenter as Nsenter
from ._steps import Podman as Podman
from ._steps import Run as Run
from ._steps import Ssh as Ssh
from ._steps import Step as Step
from ._steps import Su as Su
from ._steps import Sudo as Sudo
from ._steps import Tty as Tty
from ._streams import AsyncStream as AsyncStream
from ._streams import Stream as Stream
from ._threaded import AutoThreadingClient, ThreadedClient

RemoteProxy = _objects.RemoteProxy
DefaultRemoteProxy = _objects.DefaultRemoteProxy
SelfIterProxy = _objects.SelfIterProxy
GeneratorProxy = _objects.GeneratorProxy
FileProxy = _objects.FileProxy
ServerObject = _objects.ServerObject
make_server_class = _objects.make_server_class
make_singleton = _objects.make_singleton
exec_return = _names.exec_return
get_global = _names.get_global
set_global = _names.set_global

_value: _Any
for _value in list(globals().values()):
    # What is public is shown and pickled by its public name, and not by where it happens to stand.
    if getattr(_value, '__module__', '').startswith('easycluster._') and callable(_value):
        _value.__module__ = __name__
del _value

# That of the interface, which programs for EasyCluster compare; and this package's own.
VERSION = _EASYCLUSTER
__version__ = _native.VERSION
DEFAULT_PORT = _native.DEFAULT_PORT

__all__ = [
    'SINGLE',
    'AsyncClient',
    'AsyncCluster',
    'AutoThreadingClient',
    'CallCancelled',
    'AsyncChannel',
    'CallTimeout',
    'Channel',
    'Client',
    'ClientGroup',
    'Cluster',
    'ClusterError',
    'CommandError',
    'CommandResult',
    'Copied',
    'Difference',
    'FilesError',
    'CopyProgress',
    'ConnectError',
    'ConnectRefusedError',
    'ConnectReport',
    'ConnectTimeoutError',
    'Connection',
    'ConnectionLost',
    'DefaultRemoteProxy',
    'Environment',
    'EnvironmentFailed',
    'HostLost',
    'HostReport',
    'NonblockingResponse',
    'Refused',
    'RemoteException',
    'RemoteProxy',
    'SelfIterProxy',
    'ServerObject',
    'ThreadedClient',
    'add_key_options',
    'call_method_multi',
    'call_multi',
    'command_multi',
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
    'read_ahead',
    'read_key_file',
    'remote',
    'set_global',
    'write_key_file',
]
