"""The comm backend `ec`: what Dask asks for addresses of processes of a cluster. Runs where comm.py does, and is sent behind it."""

from __future__ import annotations

import asyncio
import os
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
        hub = the_hub()
        comm = hub.open(number_of(address))
        comm.deserialize = deserialize
        return comm


class EcBackend(registry.Backend):
    def get_connector(self) -> Connector:
        return EcConnector()

    def get_listener(self, loc: str, handle_comm: Any, deserialize: bool, **connection_args: Any) -> EcListener:
        return EcListener(the_hub(), handle_comm, deserialize)

    def get_address_host(self, loc: str) -> str:
        return str(number_of(loc))

    def resolve_address(self, loc: str) -> str:
        return str(number_of(loc))

    def get_local_address_for(self, loc: str) -> str:
        return str(the_hub().number)


def number_of(address: str) -> int:
    """The process that an address names, with its scheme or without."""
    number = address.rpartition('//')[2].partition(':')[0]
    if not (number.isdecimal() and len(number) <= 5 and int(number) <= MOST_NUMBER):
        raise ValueError('ec://%s is no address of a process of this cluster' % address)
    return int(number)


# By event loop: the master may have several clusters, each with a loop of its own.
_hubs: dict[int, Hub] = {}


def the_hub() -> Hub:
    """The hub of the running event loop."""
    hub = _hubs.get(id(asyncio.get_running_loop()))
    if hub is None:
        raise OSError(
            'ec:// addresses are reached from the event loop of their cluster only, not from process %d' % os.getpid()
        )
    return hub


def register(hub: Hub | None) -> None:
    """Makes a hub that of the running event loop, or with None forgets it."""
    registry.backends['ec'] = EcBackend()
    key = id(asyncio.get_running_loop())
    if hub is None:
        _hubs.pop(key, None)
    else:
        _hubs[key] = hub
