"""Values that are sent ahead of the calls that use them: to each process, or once to a host whose processes share them."""

from __future__ import annotations

import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .. import _process
from .._pickling.encode import encode_plain
from .._responses import RemoteException, Retold
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
    """A value on one host: the first process gets it, and keeps it where the others read it.

    A signal handler may raise anywhere in here. So what is known is kept such that each step may be taken again: an answer is told again
    that was not heard to its end, whoever comes next goes on with what can be done, and a process may be given the value twice.
    """

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, number: int, value: Any) -> None:
        self._number = number
        self._value = value
        # Guards everything below; nothing is sent with it held. As above.
        self._lock = threading.RLock()
        # Whether it is shared at all; None is not known yet.
        self._shared: bool | None = None
        # Where it is; the request that is to bring it there, if it has no answer yet; and those who were sent such a request.
        self._place: Any = None
        self._first = 0
        self._firsts: set[Slot] = set()
        # By numbers of their own the processes that wait for a place, the requests that have no answer, and those that are being sent. Of
        # those that a signal handler has interrupted, which stay among the last, no answer is heard.
        self._waiting: dict[int, Slot] = {}
        self._open: dict[int, Slot] = {}
        self._sending: dict[int, Slot] = {}
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
        number = next(_OnHost._numbers)
        try:
            slot.expect(self._number)
            self._give(slot, number, encoded)
        except BaseException:
            # Who called knows that it does not come. Others may have waited for it.
            self._waiting.pop(number, None)
            self._go_on()
            raise
        return True

    def state(self, slot: Slot) -> int:
        """Whether it is on its way to a process."""
        with self._lock:
            if slot in self._sending.values():
                return _UNKNOWN
            return _COMING if slot in self._waiting.values() or slot in self._open.values() else _THERE

    def drop(self) -> None:
        """Has it given up where it is kept, when all have it who are to get it."""
        with self._lock:
            self._dropped = True
        self._go_on()

    def _encoded(self, slot: Slot) -> _Encoded | None:
        """The value as a pickle and what is beside it; None where that is small, or names what one process alone has."""
        protocol = slot.client._protocol
        encoded = encode_plain(self._value, protocol) if protocol >= _BYTES else None
        if encoded is None or sum(map(len, encoded[0])) + sum(map(len, encoded[1])) < _SHARED:
            return None
        return encoded

    def _give(self, slot: Slot, waits: int, encoded: _Encoded | None = None) -> None:
        """Has a process get it in the way that there is now, or wait under the number `waits`, under which it waits no more then."""
        number = next(_OnHost._numbers)
        try:
            with self._lock:
                place, shared = self._place, self._shared
                if shared and place is None:
                    if self._first in self._open:
                        self._waiting[waits] = slot
                        return
                    self._firsts.add(slot)
                    self._first = number
                self._sending[number] = self._open[number] = slot
            self._ask(slot, number, place, shared, encoded)
        except BaseException as error:
            self._open.pop(number, None)
            if isinstance(error, Exception) and not _process.raised_by_handler(error):
                # It is not on its way at all.
                self._sending.pop(number, None)
            raise
        self._waiting.pop(waits, None)
        self._sending.pop(number, None)

    def _ask(self, slot: Slot, number: int, place: Any, shared: bool | None, encoded: _Encoded | None) -> None:
        failed = Retold(self._failed, slot, number)
        if place is not None:
            slot.aside('adopt', (self._number, place), Retold(self._adopted, slot, number, place), failed)
            return
        if shared and encoded is None:
            encoded = self._encoded(slot)
        if shared and encoded is not None:
            pieces = [bytes(piece) for piece in encoded[0]]
            content = self._number, pieces, [pickle.PickleBuffer(view) for view in encoded[1]]
            slot.aside('share', content, Retold(self._came, number), failed)
        else:
            slot.aside('hold', (self._number, self._value), Retold(self._answered, number), failed)

    # -- what processes answer. All of it may be told again.

    def _came(self, number: int, place: Any) -> None:
        """The first has it, and others read it there, or nowhere."""
        with self._lock:
            if number in self._open:
                self._place, self._shared = place, place is not None
        self._answered(number)

    def _adopted(self, slot: Slot, number: int, place: Any, there: bool) -> None:
        with self._lock:
            if there is not True and number in self._open:
                # The one that had it was lost, or is on another machine; so others read it here.
                if self._place is place:
                    self._place = None
                self._waiting[number] = slot
        self._answered(number)

    def _failed(self, slot: Slot, number: int, exc: RemoteException) -> None:
        """A process is lost, or the value is nothing to it."""
        if not is_lost(exc):
            slot.lack(self._number, exc.text[-1].strip() if exc.text else str(exc))
        self._answered(number)

    def _answered(self, number: int, value: Any = None) -> None:
        self._open.pop(number, None)
        self._go_on()

    def _go_on(self) -> None:
        """Does what can be done now: gives it to those who wait, and gives it up when it is dropped and nobody waits any more."""
        while True:
            with self._lock:
                waits, slot = next(iter(self._waiting.items()), (0, None))
                if slot is None or (self._shared and self._place is None and self._first in self._open):
                    break
            try:
                self._give(slot, waits)
            except Exception as error:
                if _process.raised_by_handler(error):
                    raise
                if not isinstance(error, OSError):
                    slot.lack(self._number, str(error))
                self._waiting.pop(waits, None)
        with self._lock:
            if not self._dropped or self._waiting or self._open:
                return
            firsts = list(self._firsts)
            self._value = None
        for slot in firsts:
            slot.unshare(self._number)
            self._firsts.discard(slot)
