"""Values that are sent ahead of the calls that use them: to each process, or once to a host whose processes share them."""

from __future__ import annotations

import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .. import _process
from .._pickling.encode import encode_plain
from .._responses import RemoteException
from .slots import Scattered, Slot, is_lost

# From so many bytes on, processes of a host share a value: for less it is not worth waiting for the first of them.
_SHARED = 1 << 20
# The first protocol in which bytes are bytes.
_BYTES = 3
# Where a value is that a process of a host was to get: it has been settled whether it came, or not; or nobody will learn.
_THERE, _COMING, _UNKNOWN = range(3)
_Encoded = tuple[list[Any], list[memoryview]]


class ScatteredValues:
    """The values that a program has scattered in a cluster. Those it has dropped are forgotten on the hosts."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[weakref.ref[Scattered], Ahead, Callable[[str], bool]]] = {}

    def add(self, value: Any, several: bool, goes_to: Callable[[str], bool]) -> tuple[Scattered, Ahead]:
        """A value that is sent to nobody yet; `goes_to` says which hosts that join later get it."""
        self.forget_dropped()
        ahead = Ahead(value, several)
        scattered = Scattered(ahead.number)
        # Kept before anything is sent, so that a signal handler which raises on the way leaves nothing on a host.
        self._values[ahead.number] = weakref.ref(scattered), ahead, goes_to
        weakref.finalize(scattered, self.forget_dropped).atexit = False
        return scattered, ahead

    def joined(self, slot: Slot) -> None:
        """Sends them to a process of a host that has joined."""
        for _, ahead, goes_to in list(self._values.values()):
            if goes_to(slot.host):
                ahead.send(slot)

    def forget_dropped(self) -> None:
        """Has the processes forget the values that are referred to no more. Of what a signal handler has interrupted, the rest is
        done the next time."""
        for number, (scattered, ahead, _) in list(self._values.items()):
            if scattered() is None:
                ahead.drop()
                self._values.pop(number, None)


class Ahead:
    """One value, and which processes have it or will."""

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, value: Any, several: bool) -> None:
        """`several` says that hosts have several processes."""
        self.number = next(Ahead._numbers)
        self._value = value
        self._several = several
        # Taken again where the garbage collector has the value dropped meanwhile.
        self._lock = threading.RLock()
        self._dropped = False
        self._slots: set[Slot] = set()
        self._hosts: dict[str, _OnHost] = {}

    def send(self, slot: Slot) -> None:
        """Sees to it that a process has the value for the calls that are sent to it from now on. Raises OSError if it is lost."""
        with self._lock:
            if self._dropped or slot in self._slots:
                return
            self._slots.add(slot)
            host = self._hosts.get(slot.host)
            if host is None and self._several:
                host = self._hosts[slot.host] = _OnHost(self.number, self._value)
        if host is None or not host.send(slot):
            slot.hold(self.number, self._value)
        with self._lock:
            dropped = self._dropped
        if dropped:
            # Meanwhile, perhaps in front of it.
            self._forget(slot, host)

    def drop(self) -> None:
        """Has the processes forget the value behind the calls that were sent to them. Told twice it does no harm, and a second time
        goes on where a signal handler raised in the first."""
        with self._lock:
            self._dropped = True
            self._value = None
            slots, hosts = list(self._slots), list(self._hosts.items())
        for slot in slots:
            self._forget(slot, self._hosts.get(slot.host))
        for name, host in hosts:
            host.drop()
            self._hosts.pop(name, None)

    def _forget(self, slot: Slot, host: _OnHost | None) -> None:
        state = _THERE if host is None else host.state(slot)
        slot.drop(self.number, state != _COMING, state == _UNKNOWN)
        self._slots.discard(slot)


class _OnHost:
    """A value on one host: the first process gets it, and keeps it where the others read it."""

    def __init__(self, number: int, value: Any) -> None:
        self._number = number
        self._value = value
        # Guards everything below; nothing is sent with it held. As above.
        self._lock = threading.RLock()
        # Whether it is shared at all; None is not known yet.
        self._shared: bool | None = None
        # Who gets it, or has it; those who had that part; and where it is.
        self._first: Slot | None = None
        self._firsts: set[Slot] = set()
        self._place: Any = None
        self._waiting: list[Slot] = []
        # Those that have not answered.
        self._open: set[Slot] = set()
        # Those to which it was being sent when a signal handler raised: it may be on its way, and no answer is heard.
        self._unknown: set[Slot] = set()
        self._dropped = False

    def send(self, slot: Slot) -> bool:
        """Sends it to a process; False if each gets it by itself."""
        encoded = None
        with self._lock:
            if self._shared is None:
                encoded = self._encoded(slot)
                self._shared = encoded is not None
            if not self._shared:
                return False
        try:
            self._open.add(slot)
            slot.expect(self._number)
            self._give(slot, encoded)
        except BaseException:
            self._unknown.add(slot)
            self._over(slot)
            raise
        return True

    def state(self, slot: Slot) -> int:
        """Whether it is on its way to a process."""
        with self._lock:
            return _UNKNOWN if slot in self._unknown else _COMING if slot in self._open else _THERE

    def drop(self) -> None:
        """Has it given up where it is kept, when all have it who are to get it."""
        with self._lock:
            self._dropped = True
        self._end()

    def _encoded(self, slot: Slot) -> _Encoded | None:
        """The value as a pickle and what is beside it; None where that is small, or names what one process alone has."""
        protocol = slot.client._protocol
        encoded = encode_plain(self._value, protocol) if protocol >= _BYTES else None
        if encoded is None or sum(map(len, encoded[0])) + sum(map(len, encoded[1])) < _SHARED:
            return None
        return encoded

    def _give(self, slot: Slot, encoded: _Encoded | None = None) -> None:
        """Has a process get it in the way that there is now, or wait."""
        with self._lock:
            place = self._place
            if self._shared and place is None:
                if self._first is not None:
                    self._waiting.append(slot)
                    return
                self._first = slot
                self._firsts.add(slot)
            shared = self._shared
        if place is not None:
            slot.aside('adopt', (self._number, place), partial(self._adopted, slot, place), partial(self._failed, slot))
            return
        if shared and encoded is None:
            encoded = self._encoded(slot)
        if shared and encoded is not None:
            pieces = [bytes(piece) for piece in encoded[0]]
            content = self._number, pieces, [pickle.PickleBuffer(view) for view in encoded[1]]
            slot.aside('share', content, partial(self._came, slot), partial(self._failed, slot))
        else:
            slot.aside('hold', (self._number, self._value), partial(self._done, slot), partial(self._failed, slot))

    # -- what processes answer

    def _came(self, slot: Slot, place: Any) -> None:
        """The first has it, and others read it there, or nowhere."""
        with self._lock:
            self._place = place
            self._shared = place is not None
            waiting, self._waiting = self._waiting, []
        self._give_all(waiting)
        self._over(slot)

    def _adopted(self, slot: Slot, place: Any, there: bool) -> None:
        if there is True:
            self._over(slot)
            return
        with self._lock:
            # The one that had it was lost, or is on another machine; so others read it here.
            if self._place is place:
                self._place = self._first = None
        self._give_all([slot])

    def _done(self, slot: Slot, value: Any) -> None:
        self._over(slot)

    def _failed(self, slot: Slot, exc: RemoteException) -> None:
        """A process is lost, or the value is nothing to it."""
        if not is_lost(exc):
            slot.lack(self._number, exc.text[-1].strip() if exc.text else str(exc))
        self._over(slot)

    def _give_all(self, slots: list[Slot]) -> None:
        for slot in slots:
            try:
                self._give(slot)
            except Exception as error:
                if _process.raised_by_handler(error):
                    raise
                if not isinstance(error, OSError):
                    slot.lack(self._number, str(error))
                self._over(slot)

    def _over(self, slot: Slot) -> None:
        """A process has it, or will never have it."""
        with self._lock:
            self._open.discard(slot)
            waiting: list[Slot] = []
            if slot is self._first and self._place is None:
                # The next one is the first.
                self._first = None
                waiting, self._waiting = self._waiting, []
        self._give_all(waiting)
        self._end()

    def _end(self) -> None:
        with self._lock:
            if not self._dropped or self._open:
                return
            firsts = list(self._firsts)
            self._value = None
        for slot in firsts:
            slot.unshare(self._number)
            self._firsts.discard(slot)
