"""Clients that many tests use one after the other: what is put right between two of them, and when there has to be another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .leftovers import CLEAN, MODULE, PREPARE, definitions
from .processes import poll

SECONDS = 20
"""How long a client may take until it is as it was; another takes its place then."""
SECONDS_TO_ANSWER = 1
"""How long what a test has given up may take to be answered."""
CHANGING = {
    # Counted up and filled as a client works, and renewed below.
    '_tickets', '_thread_count', '_next_thread', '_references', '_answers', '_asked', '_own_tickets', '_pending', '_taken',
    '_timeouts', '_made', '_thread_numbers', '_waiters', '_kept_readable', '_reader', '_own', '_protocol', '_python2', '_hello',
}  # fmt: skip
INSTALL = """
(lambda module: (__import__('sys').modules.__setitem__(%r, module), eval(compile(%r, %r, 'exec'), module.__dict__)))(
    type(__import__('sys'))(%r))
"""


@dataclass
class Kept:
    """One client, and what it and its other side were like when it was new."""

    client: Any
    native: Any
    settings: dict[str, Any]
    found: list[Any]


class SharedClients:
    """The clients of one interpreter that tests share, each for as long as they leave it as it was."""

    def __init__(self) -> None:
        self.rpython: str | None = None
        self.kept: dict[Any, Kept] = {}

    def take(self, make, way, clientclass, rpython, **options):
        """A client as `make` gives a new one of these arguments."""
        if rpython != self.rpython:
            self.end()
            self.rpython = rpython
        key = way, clientclass, tuple(sorted(options.items()))
        kept = self.kept.get(key)
        if kept is None or not kept.client.connected:
            self._drop(key)
            client = make(way, clientclass, rpython, **options)
            code = definitions(options.get('definitions', 'easycluster.remote_code'))
            client.eval((INSTALL % (MODULE, code, MODULE, MODULE)).strip())
            client.call(PREPARE)
            found = client.call(CLEAN)
            kept = self.kept[key] = Kept(client, client._native, settings(client), found)
        return kept.client

    def give_back(self, client, failed):
        """Ends it unless it is as a new one for the next test."""
        for key, kept in list(self.kept.items()):
            if kept.client is client and (failed or difference(kept)):
                self._drop(key)

    def end(self):
        for key in list(self.kept):
            self._drop(key)

    def _drop(self, key):
        kept = self.kept.pop(key, None)
        if kept is not None:
            kept.client.close()


def settings(client):
    """What of a client only a program changes."""
    return {name: value for name, value in vars(client).items() if name not in CHANGING}


def difference(kept):
    """What of it is not as it was, or nothing."""
    client = kept.client
    if client._native is not kept.native or not client.connected:
        return 'it has ended'
    if settings(client) != kept.settings:
        return 'it was set otherwise'
    # What was given up is still to be answered.
    if client._pending or client._taken or not poll(lambda: not kept.native.outstanding(), SECONDS_TO_ANSWER):
        return 'answers are awaited'
    if client._asked is not None and client._asked._running:
        return 'functions of here run'
    for thread in list(client._thread_numbers):
        client._end_thread(thread)
    try:
        # As a block, after which nothing that was known of functions there holds.
        now = client.execblock('exec_return(__import__(%r).clean())' % MODULE, call_timeout=SECONDS, origexc='quiet')
    except Exception as error:
        return error
    client._made = set()
    return [one for one, before in zip(now, kept.found) if one != before]
