"""Futures of calls on a cluster."""

from __future__ import annotations

from concurrent import futures
from typing import Any, Protocol

from .pump import Pump


class Interruptible(Protocol):
    """What a future's call is to it."""

    def interrupt(self) -> bool:
        """Gives the call up also where it runs."""


class Future(futures.Future):  # type: ignore[type-arg]
    """A future whose call may be interrupted while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self._work: Interruptible | None = None
        # What reads the answer; once it is known to be waited for.
        self._pump: Pump | None = None

    def interrupt(self) -> bool:
        """Gives the call up also where it runs already; the future then ends with CallCancelled, if the call does not end first.
        False if it is done."""
        if self.cancel():
            return True
        work = self._work
        return work is not None and not self.done() and work.interrupt()

    def result(self, timeout: float | None = None) -> Any:
        """As in concurrent.futures. Raises RuntimeError in a completion function that would wait for what it holds up."""
        self._check_wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As result()."""
        self._check_wait()
        return super().exception(timeout)

    def _check_wait(self) -> None:
        if self._pump is not None and not self.done():
            self._pump.check_wait()
