"""The base of clients: where they are connected to, how to connect again."""

import atexit
import os
import weakref

from . import _native

# Open connections, to be closed in order when the program ends.
_open_connections: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class Connection:
    """Base class of Client."""

    _weak_native = _open_connections
    _native = None
    _local_count = 0
    # Proxies ask whether their connection is gone for good; see _references.ClosedConnection.
    proxy_closed = False

    def __init__(self, key, enable_compression=False):
        """Holds the key (None for SSH) and whether what crosses is compressed."""
        self._key = key
        self._enable_compression = enable_compression
        self._peername = ''
        self._remote_host = None
        self._remote_port = None
        self._target = None

    @property
    def peername(self):
        """What the other end is called: host and port, or `local:N`."""
        return self._peername

    @property
    def connected(self):
        """True while there is a connection."""
        return self._native is not None and self._native.is_connected()

    @property
    def remote_host(self):
        """The host given to connect(); None for a local connection."""
        return self._remote_host

    @property
    def remote_port(self):
        """The port that is connected to; None for a local connection."""
        return self._remote_port

    def connect(self, host, port=None, peername=None, user=None, ssh=None, rpython=None, extra_args=()):
        """Connects to a host. Raises ConnectError with the stage that failed and what to do next; ValueError without a key where
        there is no SSH."""
        if ssh is None:
            ssh = self._ssh
        if host == ':local':
            self._connect_local(rpython)
            return
        if not ssh and self._key is None:
            raise ValueError(
                'no key for the standalone server on %s: add user@ or ssh=yes for SSH, or give a key (kf=FILE in a spec)' % host
            )
        given_port = port
        if port is None:
            port = 22 if ssh else _native.DEFAULT_PORT
        if peername is None:
            peername = self._options.get('name') or '%s:%d' % ('[%s]' % host if ':' in host else host, port)
        parameters = dict(
            self._options,
            host=host,
            port=given_port if ssh else port,
            user=user,
            ssh=ssh or False,
            rpython=rpython,
            extra_args=list(extra_args) or None,
            enable_compression=bool(self._enable_compression),
            key=None if ssh else self._key,
        )
        self._connect_to((host, port, peername, parameters))

    def _connect_to(self, target):
        if self._native is not None:
            self.close()
        self._target = target
        self._remote_host, self._remote_port, self._peername, parameters = target
        self._open(parameters)

    def _connect_local(self, rpython):
        """Connects to a new Python process on this machine."""
        Connection._local_count += 1
        name = self._options.get('name') or 'local:%d' % Connection._local_count
        parameters = {
            'host': None,
            'rpython': rpython,
            'enable_compression': bool(self._enable_compression),
            'timeout': self._options.get('timeout'),
        }
        self._connect_to((None, None, name, parameters))

    def reconnect(self):
        """Connects again. The remote side starts afresh, and proxies of before raise IOError."""
        if self._target is None:
            raise ValueError('Cannot reconnect before first connection.')
        self.close()
        self._connect_to(self._target)


def _close_all():
    for native in list(_open_connections.values()):
        native.close()


atexit.register(_close_all)


def _forked():
    from . import _client, _output

    _native.forked()
    _open_connections.clear()
    _output.forked()
    _client._forked()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forked)
