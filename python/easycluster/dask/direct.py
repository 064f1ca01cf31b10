"""Workers that reach each other directly: their addresses, and whether each can be reached from each."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .._cluster.cluster import Cluster

_HELPERS = 'helpers/workers.'
# Seconds that one machine has to answer another.
_PATIENCE = 5.0


class Unreachable(RuntimeError):
    """Machines that should reach each other do not."""


def direct_addresses(cluster: Cluster) -> tuple[str, dict[str, str]]:
    """The address of this machine for the hosts, and that of each host for the others: those of the SSH connections. Raises
    Unreachable, with the pairs by name, if one cannot be reached from another."""
    hosts = cluster._connected()
    ours: dict[str, list[str]] = {}
    theirs: dict[str, str] = {}
    for name, client in hosts:
        client._connected_native().send_part('workers')
        told = client.call(_HELPERS + 'connection')
        if len(told) != 4:
            raise Unreachable('%s was not reached by SSH, so its address for the other hosts is not known' % name)
        ours.setdefault(told[0], []).append(name)
        theirs[name] = told[2]
    if len(ours) != 1:
        raise Unreachable(
            'this machine has different addresses for the hosts: %s'
            % '; '.join('%s for %s' % (address, ', '.join(names)) for address, names in ours.items())
        )
    (address,) = ours
    _check(address, theirs, hosts)
    return address, theirs


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
                listening.append((name, theirs[name], client.call(_HELPERS + 'listen', theirs[name])))
            asked = [
                (
                    name,
                    threads.submit(
                        client.call, _HELPERS + 'reach', [each for each in listening if each[0] != name], _PATIENCE
                    ),
                )
                for name, client in hosts
            ]
            failed = ['%s from %s: %s' % (other, name, why) for name, asking in asked for other, why in asking.result()]
        finally:
            for _, client in hosts:
                client.call(_HELPERS + 'unlisten')
    if failed:
        raise Unreachable(
            "not reached: %s. With traffic='session' all goes over the SSH connections" % '; '.join(failed)
        )
