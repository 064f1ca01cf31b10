"""Workers that reach each other directly: their addresses, and whether each can be reached from each."""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import _checked
from .._cluster.cluster import Cluster
from .._native import printable
from .._responses import RemoteException

_HELPERS = 'helpers/workers.'
# Seconds that one machine has to answer another.
_PATIENCE = 5.0
_REMEDY = "Open the ports between them, or use traffic='session', by which all goes over the SSH connections"


class Unreachable(RuntimeError):
    """Machines that should reach each other do not."""

    def __init__(self, reason: str, remedy: str = _REMEDY) -> None:
        super().__init__('%s. %s' % (reason, remedy))


class Addresses:
    """The address of this machine for the hosts of a cluster, and that of each host for the others: those of the SSH connections."""

    def __init__(self, cluster: Cluster) -> None:
        """Raises Unreachable, with the pairs by name, if one machine cannot be reached from another."""
        self._cluster = cluster
        self._lock = threading.Lock()
        self._theirs: dict[str, str] = {}
        hosts = cluster._connected()
        ours: dict[str, list[str]] = {}
        for name, client in hosts:
            for_it, self._theirs[name] = _ends(name, client)
            ours.setdefault(for_it, []).append(name)
        if len(ours) != 1:
            raise Unreachable(
                'this machine has different addresses for the hosts: %s'
                % '; '.join('%s for %s' % (address, ', '.join(names)) for address, names in ours.items()),
                "Reach them all by one network, or use traffic='session'",
            )
        (self.here,) = ours
        _check(self.here, self._theirs, hosts)

    def of(self, host: Any) -> str:
        """The address of a host. One that has joined since is asked for its own, and tried; raises Unreachable if that fails. Blocks."""
        with self._lock:
            known = self._theirs.get(host.name)
            if known is not None:
                return known
            ours, address = _ends(host.name, host.client)
            if ours != self.here:
                raise Unreachable('%s sees this machine as %s, and the others as %s' % (host.name, ours, self.here))
            theirs = dict(self._theirs, **{host.name: address})
            _check(self.here, theirs, [each for each in self._cluster._connected() if each[0] in theirs])
            self._theirs = theirs
            return address


def _asked(name: str, client: Any, doing: str, function: str, *args: Any) -> Any:
    """What a helper of a host gives. `doing` says in an error what it should have done."""
    try:
        return client.call(_HELPERS + function, *args)
    except (RemoteException, OSError) as error:
        why = printable(str(getattr(error, 'orig', None) or error))
        raise Unreachable('%s cannot %s: %s' % (name, doing, why)) from None


def _ends(name: str, client: Any) -> tuple[str, str]:
    """The addresses of an SSH connection: this machine's as the host sees it, and the host's."""
    client._connected_native().send_helper('workers')
    told = _checked.items(name, _asked(name, client, 'tell its address', 'connection'))
    if not told:
        raise Unreachable('%s was not reached by SSH, so its address for the other hosts is not known' % name)
    ours, _, theirs, _ = _checked.parts(name, told, (str,), (str,), (str,), (str,))
    for address in (ours, theirs):
        if not _is_of_one(address):
            raise Unreachable('%s tells %s, which is the address of no machine' % (name, printable(address)))
    return ours, theirs


def _is_of_one(text: str) -> bool:
    """Whether an address is that of one machine. What listens at another is open to more than the hosts of the cluster."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast)


def _check(ours: str, theirs: dict[str, str], hosts: list[tuple[str, Any]]) -> None:
    try:
        here = socket.create_server((ours, 0), family=socket.AF_INET6 if ':' in ours else socket.AF_INET)
    except OSError as error:
        raise Unreachable(
            'the hosts see this machine as %s, which is none of its addresses: %s' % (ours, error)
        ) from None
    with here, ThreadPoolExecutor(max(len(hosts), 1)) as threads:
        listening = [('this machine', ours, here.getsockname()[1])]
        try:
            for name, client in hosts:
                address = theirs[name]
                port = _asked(name, client, 'listen on %s, the address of its sshd' % address, 'listen', address)
                if type(port) is not int:
                    raise _checked.refused(name)
                listening.append((name, address, port))
            asked = []
            for name, client in hosts:
                others = [each for each in listening if each[0] != name]
                asked.append((name, threads.submit(_asked, name, client, 'try the others', 'reach', others, _PATIENCE)))
            failed = [
                '%s from %s: %s' % (printable(other), name, printable(why))
                for name, asking in asked
                for told in _checked.items(name, asking.result())
                for other, why in [_checked.parts(name, told, (str,), (str,))]
            ]
        finally:
            for _, client in hosts:
                try:
                    client.call(_HELPERS + 'unlisten')
                except (RemoteException, OSError):
                    # Its ports ended with it.
                    pass
    if failed:
        raise Unreachable('not reached: %s' % '; '.join(failed))
