"""A map over the slots of a cluster: batches go to the slots that are free, and each item has an outcome of its own."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Callable

from .. import _checked, _errors, _process
from .._native import Balancer
from .._responses import RemoteException, Retold
from .._shipping.functions import Portable
from .outcomes import Inbox
from .report import HostLost
from .slots import Slot, is_lost, original

# In order, items run this far ahead of the first that is not done, and no further.
_RUN_AHEAD = 65536
# How many items of an iterator without a length are read ahead, so that it is known where the end is.
_LOOK_AHEAD = 1024
_Outcome = tuple[bool, Any]
_numbers = itertools.count(1)


class _Flying:
    """A batch on its way."""

    __slots__ = ('slot', 'place', 'ticket', 'received', 'salvaged', 'done', 'error')

    def __init__(self, slot: Slot, place: int) -> None:
        self.slot = slot
        self.place = place
        self.ticket = 0
        # Batches that are forgotten there when this one begins, which it may never do.
        self.received: list[int] = []
        # Outcomes that are fetched one by one, where the answer as a whole cannot be had.
        self.salvaged: list[_Outcome] = []
        self.done = 0
        self.error: BaseException | None = None


class Run:
    """One map that is under way. Everything happens in the thread or the event loop that asks for results, but `joined`."""

    def __init__(
        self,
        function: Portable,
        items: Iterable[tuple[Any, ...]],
        left: int | None,
        batch: int | None,
        retries: int,
        outstanding: int,
        timeout: float | None,
        deadline: float | None,
        ordered: bool,
        events: Inbox,
        nobody: Callable[[str], HostLost],
    ) -> None:
        """`items` are tuples of arguments, and `left` how many there are, if that is known. `events` are for `outcomes`, or an event
        loop's for `awaited`. `nobody` says that a function has no host."""
        # Batches of several maps may be at the same slot.
        self._number = next(_numbers)
        self._function = function
        self._items = iter(items)
        self._left = left
        self._ahead: deque[tuple[Any, ...]] = deque()
        self._exhausted = False
        self._timeout = timeout
        self._limit = deadline
        self._deadline = None if deadline is None else time.monotonic() + deadline
        self._ordered = ordered
        # The limit of an item begins when it is sent, so it must not wait there behind another.
        self._balancer = Balancer(outstanding, batch, retries) if timeout is None else Balancer(1, 1, retries)
        self._slots: list[Slot] = []
        self._numbers: dict[int, int] = {}
        self._received: dict[int, list[int]] = {}
        self._waiting: dict[int, tuple[Any, ...]] = {}
        self._flying: dict[int, _Flying] = {}
        # What came back: what is to be called with it, until it was, and a value.
        self._events = events
        self._nobody = nobody
        self._taken = 0
        self._next_out = 0
        self._held: dict[int, _Outcome] = {}
        self._ready: deque[tuple[int, _Outcome]] = deque()

    # -- slots

    def add(self, slot: Slot) -> None:
        """Gives the map a slot before it begins. Raises TypeError if the function cannot be sent there."""
        place = self._balancer.add_slot(len(self._slots))
        self._slots.append(slot)
        self._received[place] = []
        try:
            self._numbers[place] = slot.number_of(self._function)
        except OSError as error:
            if _process.raised_by_handler(error) or not slot.is_lost(error):
                raise
            # Others may not be.
            self._balancer.retire(place)

    def joined(self, slot: Slot) -> None:
        """Gives the map a slot while it runs. Any thread may call it."""
        self._events.put_nowait(([self._take_in, None], slot))

    def _take_in(self, slot: Slot, _: None) -> None:
        try:
            self.add(slot)
        except TypeError:
            # The others go on without it.
            self._balancer.retire(len(self._slots) - 1)

    # -- input

    def _next_item(self) -> bool:
        """Reads one item of the input."""
        if self._exhausted:
            return False
        try:
            self._ahead.append(next(self._items))
        except StopIteration:
            self._exhausted = True
            return False
        return True

    def _count_left(self) -> int | None:
        if self._exhausted:
            return len(self._ahead)
        if self._left is not None:
            return max(self._left - self._taken, 0)
        return None

    def _read_ahead(self, wanted: int) -> None:
        while len(self._ahead) < wanted and self._next_item():
            pass

    # -- sending

    def _fill(self) -> None:
        """Gives each slot as much as it wants."""
        sent = True
        while sent:
            sent = False
            for place in range(len(self._slots)):
                sent = self._send_to(place) or sent

    def _send_to(self, place: int) -> bool:
        balancer = self._balancer
        balancer.set_left(self._count_left())
        wanted = balancer.wanted(place)
        if not wanted:
            return False
        if self._count_left() is None:
            # Whether the end is near decides how much one slot gets.
            self._read_ahead(min(wanted * 2 * len(self._slots), _LOOK_AHEAD))
            balancer.set_left(self._count_left())
            wanted = balancer.wanted(place)
        items: list[int] = balancer.take_again(wanted)
        while len(items) < wanted and (not self._ordered or self._taken - self._next_out < _RUN_AHEAD):
            self._read_ahead(1)
            if not self._ahead:
                break
            self._waiting[self._taken] = self._ahead.popleft()
            items.append(self._taken)
            self._taken += 1
        if not items:
            return False
        return self._send(place, items)

    def _send(self, place: int, items: list[int]) -> bool:
        slot = self._slots[place]
        batch = self._balancer.send(place, items)
        values = [self._waiting[item] for item in items]
        flying = self._flying[batch] = _Flying(slot, place)
        flying.received, self._received[place] = self._received[place], []
        keys = [(self._number, each) for each in flying.received]
        arguments = (self._numbers[place], (self._number, batch), values, True, keys)
        try:
            flying.ticket = slot.ask(
                'batch',
                arguments,
                self._telling(self._arrived, batch),
                self._telling(self._failed, batch),
                self._timeout,
            )
        except Exception as error:
            if _process.raised_by_handler(error):
                raise
            if slot.is_lost(error):
                self._lost(place, str(error))
            else:
                self._not_sent(batch, items, error)
        return True

    def _not_sent(self, batch: int, items: list[int], error: Exception) -> None:
        """Arguments that cannot be pickled are the fault of one item, which is looked for."""
        flying = self._flying.pop(batch)
        self._received[flying.place] += flying.received
        if len(items) == 1:
            self._balancer.done(batch, 1, 0.05)
            self._finish(items[0], (False, error))
            return
        self._balancer.done(batch, 0, 0.0)
        for item in self._balancer.take_again(len(items)):
            self._send(flying.place, [item])

    # -- what comes back

    def _arrived(self, value: Any, batch: int) -> None:
        flying = self._flying.get(batch)
        if flying is None:
            return
        try:
            seconds, outcomes = _checked.batch(flying.slot.host, value, len(self._balancer.items(batch)))
        except _errors.Refused as error:
            self._distrust(flying, error)
            return
        self._take(batch, [self._outcome(flying.slot, *outcome) for outcome in outcomes], seconds)

    def _distrust(self, flying: _Flying, error: _errors.Refused) -> None:
        """Gives up a process that answers what no stub does: others do its work."""
        flying.slot.client.close(str(error))
        self._lost(flying.place, str(error))

    def _outcome(self, slot: Slot, succeeded: bool, value: Any) -> _Outcome:
        return (True, value) if succeeded else (False, slot.exception_of(value))

    def _take(self, batch: int, outcomes: list[_Outcome], seconds: float) -> None:
        flying = self._flying.pop(batch)
        items = self._balancer.items(batch)
        self._balancer.done(batch, len(outcomes), seconds)
        self._received[flying.place].append(batch)
        for item, outcome in zip(items, outcomes):
            self._finish(item, outcome)

    def _failed(self, exc: RemoteException, batch: int) -> None:
        flying = self._failed_alive(exc, batch)
        if flying is None:
            return
        # It may not have begun.
        self._received[flying.place] += flying.received
        flying.error = original(exc)
        if isinstance(flying.error, _errors.CallTimeout):
            # It had that one item, and where it cannot be interrupted the thread answers nothing for now.
            self._take(batch, [(False, flying.error)], 0.1)
            return
        self._ask(flying, batch, 'count', ((self._number, batch),), self._counted)

    def _failed_alive(self, exc: RemoteException, batch: int) -> _Flying | None:
        """The batch of which a request failed; None if it is given up already, or lost now with its process."""
        flying = self._flying.get(batch)
        if flying is not None and is_lost(exc):
            self._lost(flying.place, str(exc.orig))
            return None
        return flying

    def _ask(
        self, flying: _Flying, batch: int, name: str, args: tuple[Any, ...], done: Callable[[Any, int], None]
    ) -> None:
        try:
            flying.slot.ask(name, args, self._telling(done, batch), self._telling(self._salvage_failed, batch))
        except OSError as error:
            if _process.raised_by_handler(error):
                raise
            self._lost(flying.place, str(error))

    def _counted(self, done: Any, batch: int) -> None:
        flying = self._flying.get(batch)
        if flying is not None:
            # A server may answer anything: what is no number counts as none.
            flying.done = min(done, len(self._balancer.items(batch))) if type(done) is int else 0
            self._salvage(flying, batch)

    def _salvage(self, flying: _Flying, batch: int) -> None:
        """Fetches the outcomes of a batch one by one."""
        place = len(flying.salvaged)
        if place < flying.done:
            self._ask(flying, batch, 'outcome', ((self._number, batch), place), self._salvaged)
            return
        outcomes = flying.salvaged
        if len(outcomes) < len(self._balancer.items(batch)) and flying.error is not None:
            # The one that ran has ended the batch.
            outcomes.append((False, flying.error))
        self._take(batch, outcomes, 0.1)

    def _salvaged(self, outcome: Any, batch: int) -> None:
        flying = self._flying.get(batch)
        if flying is None:
            return
        try:
            checked = _checked.outcome(flying.slot.host, outcome)
        except _errors.Refused as error:
            self._distrust(flying, error)
            return
        flying.salvaged.append(self._outcome(flying.slot, *checked))
        self._salvage(flying, batch)

    def _salvage_failed(self, exc: RemoteException, batch: int) -> None:
        flying = self._failed_alive(exc, batch)
        if flying is None:
            return
        flying.salvaged.append((False, original(exc)))
        self._salvage(flying, batch)

    def _lost(self, place: int, reason: str) -> None:
        for batch in [batch for batch, flying in self._flying.items() if flying.place == place]:
            del self._flying[batch]
        for item, places in self._balancer.lost(place):
            if places is not None:
                hosts = [self._slots[each].host for each in places]
                if len(hosts) > 1:
                    text = 'each of %s was lost with this item; the last: %s' % (', '.join(hosts), reason)
                else:
                    text = '%s was lost with this item: %s' % (hosts[0], reason)
                self._finish(item, (False, HostLost(text, hosts)))

    # -- results

    def _finish(self, item: int, outcome: _Outcome) -> None:
        self._waiting.pop(item, None)
        if not self._ordered:
            self._ready.append((item, outcome))
            return
        self._held[item] = outcome
        while self._next_out in self._held:
            self._ready.append((self._next_out, self._held.pop(self._next_out)))
            self._next_out += 1

    def _fail_one(self) -> bool:
        """Ends an item that no slot is left for; False if there is none."""
        items = self._balancer.take_again(1)
        if not items:
            self._read_ahead(1)
            if not self._ahead:
                return False
            self._ahead.popleft()
            items = [self._taken]
            self._taken += 1
        self._finish(items[0], (False, self._nobody(self._function.name)))
        return True

    def outcomes(self) -> Iterator[tuple[int, _Outcome]]:
        """The position of each item, whether it succeeded, and its value or exception."""
        assert isinstance(self._events, SimpleQueue)
        try:
            for outcome in self._steps():
                if outcome is not None:
                    yield outcome
                    continue
                try:
                    self._happen(self._events.get(timeout=self._seconds_left()))
                except Empty:
                    raise self._too_late() from None
        finally:
            self.stop()

    async def awaited(self) -> AsyncIterator[tuple[int, _Outcome]]:
        """As outcomes(), in an event loop."""
        assert isinstance(self._events, asyncio.Queue)
        try:
            for outcome in self._steps():
                if outcome is not None:
                    yield outcome
                    continue
                left = self._seconds_left()
                try:
                    event = self._events.get()
                    self._happen(await (event if left is None else asyncio.wait_for(event, left)))
                except asyncio.TimeoutError:
                    raise self._too_late() from None
        finally:
            self.stop()

    def _steps(self) -> Iterator[tuple[int, _Outcome] | None]:
        """Outcomes, and None where the next event has to happen first."""
        while True:
            while self._ready:
                yield self._ready.popleft()
            self._fill()
            if self._ready:
                continue
            if self._flying or not self._events.empty():
                yield None
            elif not self._fail_one():
                return

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_late()
        return left

    def _too_late(self) -> TimeoutError:
        return TimeoutError('the map was not done within %g s' % (self._limit or 0))

    def _telling(self, function: Callable[[Any, int], None], batch: int) -> Retold:
        """A completion function that has another one called in the thread that waits for results."""
        return Retold(_put, self._events, [function, batch])

    def _happen(self, event: tuple[list[Any], Any]) -> None:
        what, value = event
        # It may have been told twice.
        if what:
            function, about = what
            what.clear()
            function(value, about)

    def stop(self) -> None:
        """Gives up what is on its way, and has the processes forget the outcomes that they keep."""
        flying, self._flying = self._flying, {}
        for batch, each in flying.items():
            each.slot.cancel(each.ticket)
            self._received[each.place] += [batch, *each.received]
        for place, batches in self._received.items():
            self._received[place] = []
            if batches:
                self._slots[place].forget_outcomes([(self._number, batch) for batch in batches])


def _put(events: Inbox, what: list[Any], value: Any) -> None:
    """Tells the thread that waits for results of one."""
    events.put_nowait((what, value))


def length_of(iterables: tuple[Any, ...]) -> int | None:
    """How many items the shortest has; None if one of them does not say."""
    lengths = []
    for each in iterables:
        try:
            lengths.append(len(each))
        except TypeError:
            return None
    return min(lengths)
