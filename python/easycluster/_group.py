"""ClientGroup: reads the responses of many clients in one place."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable

from ._client import Client


class ClientGroup:
    """A set of clients whose responses are read together."""

    def __init__(self, clients: Iterable[Client] = ()) -> None:
        """Starts with these clients."""
        self.clients: dict[int, Client] = {}
        for client in clients:
            self.add_client(client)

    def add_client(self, cl: Client) -> None:
        """Adds a client; does nothing if the group has it already."""
        self.clients[cl.fileno()] = cl

    def remove_client(self, cl: Client) -> None:
        """Removes a client; does nothing if the group does not have it."""
        for descriptor, client in list(self.clients.items()):
            if client is cl:
                del self.clients[descriptor]

    def read_responses(self, timeout: float | None = None, max: int = -1) -> None:
        """Reads responses and calls their completion functions, until `timeout` seconds have passed, `max` responses were read, or
        no client has a pending call. A client whose connection is lost leaves the group when its calls have been completed."""
        end = None if timeout is None else time.monotonic() + timeout
        while max:
            waiting = [client for client in self.clients.values() if client._expects_response()]
            if not waiting:
                return
            for client in self._readable(waiting, end):
                if not max:
                    return
                try:
                    if client.read_response(False):
                        max -= 1
                except EOFError as error:
                    if not client._is_lost(error):
                        # A completion function has raised it.
                        raise
                    self.remove_client(client)
            if end is not None and time.monotonic() >= end:
                return

    @staticmethod
    def _readable(clients: list[Client], end: float | None) -> list[Client]:
        poll = select.poll()
        by_descriptor: dict[int, Client] = {}
        for client in clients:
            descriptor = client.fileno()
            by_descriptor[descriptor] = client
            poll.register(descriptor, select.POLLIN)
        left = None if end is None else max(0, (end - time.monotonic()) * 1000)
        return [by_descriptor[descriptor] for descriptor, _ in poll.poll(left)]
