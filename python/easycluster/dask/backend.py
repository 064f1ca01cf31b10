"""The comm backend `ec`: what Dask asks for addresses of processes of a cluster. Runs where comm.py does, and is sent behind it."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from typing import Any, Callable

from distributed.comm import registry
from distributed.comm.core import BaseListener, Comm, CommClosedError, Connector

from .comm import MOST_NUMBER, EcComm, Hub


class EcListener(BaseListener):
    """Takes the comms that others open to this process."""

    prefix = 'ec'

    def __init__(self, hub: Hub, handle_comm: Callable[[Comm], Any], deserialize: bool) -> None:
        super().__init__()
        self._hub = hub
        self._handle_comm = handle_comm
        self._deserialize = deserialize

    async def start(self) -> None:
        self._hub.handlers = self._accept

    def stop(self) -> None:
        self._hub.handlers = None
        self.abort_handshaking_comms()

    def _accept(self, comm: EcComm) -> None:
        comm.deserialize = self._deserialize
        asyncio.ensure_future(self._serve(comm))

    async def _serve(self, comm: EcComm) -> None:
        try:
            await self.on_connection(comm)
        except CommClosedError:
            return
        await self._handle_comm(comm)

    @property
    def listen_address(self) -> str:
        return 'ec://%d' % self._hub.number

    contact_address = listen_address


class EcConnector(Connector):
    async def connect(self, address: str, deserialize: bool = True, **connection_args: Any) -> Comm:
        number = number_of(address)
        comm = hub_to(number).open(number)
        comm.deserialize = deserialize
        return comm


class EcBackend(registry.Backend):
    def get_connector(self) -> Connector:
        return EcConnector()

    def get_listener(self, loc: str, handle_comm: Any, deserialize: bool, **connection_args: Any) -> EcListener:
        return EcListener(starting_hub(), handle_comm, deserialize)

    def get_address_host(self, loc: str) -> str:
        return str(number_of(loc))

    def resolve_address(self, loc: str) -> str:
        return str(number_of(loc))

    def get_local_address_for(self, loc: str) -> str:
        return str(some_hub().number)


def number_of(address: str) -> int:
    """The process that an address names, with its scheme or without."""
    number = address.rpartition('//')[2].partition(':')[0]
    if not (number.isdecimal() and len(number) <= 5 and int(number) <= MOST_NUMBER):
        raise ValueError('ec://%s is no address of a process of this cluster' % address)
    return int(number)


# By event loop. One of the master's may have those of several clusters.
_hubs: dict[int, list[Hub]] = {}
# That of the cluster, or of the worker, that is being started.
_starting: ContextVar[Hub] = ContextVar('easycluster_hub')


def hubs_here() -> list[Hub]:
    """The hubs of the running event loop."""
    return _hubs.get(id(asyncio.get_running_loop()), [])


def some_hub() -> Hub:
    """A hub of the running event loop; all of them have the same number."""
    hubs = hubs_here()
    if not hubs:
        raise OSError(
            'ec:// addresses are reached from the event loop of their cluster only, not from process %d' % os.getpid()
        )
    return hubs[-1]


def hub_to(number: int) -> Hub:
    """The hub over which a process is reached."""
    return next((hub for hub in hubs_here() if number in hub.peers), None) or some_hub()


def starting_hub() -> Hub:
    """The hub whose comms are for a listener that is being made."""
    hub = _starting.get(None)
    return hub if hub is not None and hub in hubs_here() else some_hub()


def register(hub: Hub) -> None:
    """Makes a hub one of the running event loop, and that of what this task starts."""
    registry.backends['ec'] = EcBackend()
    _hubs.setdefault(id(asyncio.get_running_loop()), []).append(hub)
    _starting.set(hub)


def forget(hub: Hub) -> None:
    """Takes back register()."""
    key = id(asyncio.get_running_loop())
    left = [each for each in hubs_here() if each is not hub]
    if left:
        _hubs[key] = left
    else:
        _hubs.pop(key, None)
