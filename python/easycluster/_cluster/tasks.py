"""What an executor has taken on, and the processes that it is given to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._shipping.functions import Portable
from .future import Future
from .slots import Slot


class Task:
    """One call, or a chunk of calls, and where it is."""

    __slots__ = ('future', 'function', 'name', 'args', 'kwargs', 'ticket', 'place', 'lost_on', 'prepare', 'given_up')

    def __init__(
        self,
        function: Portable | None,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        prepare: Callable[[Slot], None] | None = None,
    ) -> None:
        """`name` is the helper that makes the call. `prepare` is called with a slot in front of sending."""
        self.future = Future()
        self.future._work = self
        self.function = function
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.ticket = 0
        self.place: Place | None = None
        self.lost_on: list[str] = []
        self.prepare = prepare
        self.given_up = False

    def arguments_at(self, slot: Slot) -> tuple[Any, ...]:
        """The helper's arguments at a slot, where the function is made known first."""
        if self.prepare is not None:
            self.prepare(slot)
        if self.function is None:
            return self.args
        number = slot.number_of(self.function)
        return (number, *self.args) if self.name == 'chunk' else (number, self.args, self.kwargs)

    def interrupt(self) -> bool:
        # In this order; a thread that is just sending it does it the other way round.
        self.given_up = True
        place = self.place
        if place is not None:
            place.slot.cancel(self.ticket)
        return True


class Place:
    """A slot and what is on its way there."""

    __slots__ = ('slot', 'works', 'gone')

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.works: set[Task] = set()
        self.gone = False
