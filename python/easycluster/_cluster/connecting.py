"""How a cluster connects, whoever waits for it: to which hosts, how many are enough, and who was lost since."""

from __future__ import annotations

import inspect
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, ClassVar, TypeVar, Union, cast

from .. import _native, _process
from .._caller import Caller, SpecOptions
from .._hosts import HostSpec, with_hint
from .._hosts import hosts as expand
from .._multi import AT_ONCE
from .._native import Spec
from .._options import check_keywords, checked_number, seconds
from .._spec import Path
from .ahead import ScatteredValues
from .mapping import Run
from .members import Host, Members
from .outcomes import Outcomes
from .report import ConnectReport, HostReport, cluster_error
from .slots import Slot

_C = TypeVar('_C', bound=Caller)
_P = TypeVar('_P')
Quorum = Union[int, float, str]
# What is waited for on the way: the next connection, for so many seconds, or outcomes.
Awaited = Union[tuple[_native.Joining, Union[float, None]], Outcomes]
# By host how many processes are missing, and why the last one is.
_Missing = dict[str, tuple[int, Exception]]
Steps = Generator[Awaited, Any, None]


_KEYWORDS = {
    name
    for known in (inspect.signature(Caller).parameters, inspect.signature(Caller.from_spec).parameters)
    for name in (*known, *SpecOptions.__annotations__)
}


def told_slots(host: str, told: Any) -> int:
    """How many processes a host gets that has told how many processors it has."""
    if type(told) is not int or told < 1:
        return 1
    if told > _native.MOST_PROCESSES_TOLD:
        text = '%s says that it has more than %d processors; so many processes are started, slots=NUMBER starts more'
        warnings.warn(text % (host, _native.MOST_PROCESSES_TOLD), stacklevel=2)
    return min(told, _native.MOST_PROCESSES_TOLD)


def needed(quorum: Quorum, count: int) -> int:
    """How many of `count` hosts a quorum is: 'all', 'any', a number, a share below 1, or text such as '80%'."""
    if quorum == 'all':
        return count
    if quorum == 'any':
        return min(1, count)
    if isinstance(quorum, str) and quorum.endswith('%'):
        try:
            share = float(quorum[:-1]) / 100
        except ValueError:
            share = -1.0
    elif isinstance(quorum, float):
        share = quorum
    elif isinstance(quorum, int) and not isinstance(quorum, bool) and quorum >= 0:
        if quorum > count:
            raise ValueError('a quorum of %d is more than the number of hosts, %d' % (quorum, count))
        return min(max(quorum, 1), count)
    else:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(
            "a quorum is 'all', 'any', a number of hosts, a share such as 0.8 or '80%%', not %r" % (quorum,)
        )
    return min(max(-int(-(count * share - 1e-9) // 1), 1), count)


class Connecting(Members[_C, _P]):
    """The hosts of a cluster and its connections to them. Cluster and AsyncCluster are derived from it."""

    # The class of clients unless another is given.
    _client_class: ClassVar[type[Any]]

    def __init__(
        self,
        hosts: str | Iterable[str],
        *,
        inventory: Path | Iterable[Path] | None = None,
        exclude: str | Iterable[str] = (),
        quorum: Quorum = 'all',
        retries: int = 2,
        at_once: int = AT_ONCE,
        slots: int | str = 1,
        deadline: float | None = None,
        allow_duplicates: bool = False,
        clientclass: type[_C] | None = None,
        **options: Any,
    ) -> None:
        """Connects to all hosts, and goes on when enough are connected and it is known of the others.

        hosts: connection specs, with ranges and commas as for hosts(), and what hosts() gives. inventory, exclude: as for hosts(),
        for which `hosts` are patterns then, such as 'web:&prod'.
        quorum: how many must be connected: 'all', 'any', a number, or a share such as '80%'. retries: how often a host is tried again
        where the reason may pass; never with another key or password. at_once: to how many hosts at the same time. slots: how many
        processes on each host, so that a map uses several processors; 'cpus' for as many as it has. deadline: after so many seconds
        go on with those that are connected, if they are enough; the others join when they come. allow_duplicates: whether a host may
        be there twice, which otherwise is one with a warning. options: keywords of the class of clients.

        Raises ClusterError if too few are connected; those that are get closed. Raises ValueError for a quorum that is more than the hosts.
        """
        self._root = self
        self._renew_locks()
        _process.renew_after_fork(self)
        self._closed = False
        # Whether it is still to be awaited, or entered.
        self._unopened = False
        self._make_client: type[_C] = self._client_class if clientclass is None else clientclass
        self._options = options
        self._slots = slots
        # Maps that are under way, and whether they take a host of a name.
        self._runs: weakref.WeakKeyDictionary[Run, Callable[[str], bool]] = weakref.WeakKeyDictionary()
        self._scattered = ScatteredValues()
        self._listeners: list[Callable[[Slot], None]] = [self._scattered.joined]
        self._joining: _native.Joining | None = None
        # Further processes of hosts that have come late.
        self._later: list[_native.Joining] = []
        self._hosts: list[Host[_C]] = []
        if slots != 'cpus' and (not isinstance(slots, int) or slots < 1):
            raise ValueError("slots is a number from 1 on or 'cpus', not %r" % (slots,))
        if isinstance(hosts, (bytes, os.PathLike)) or not isinstance(hosts, Iterable):
            text = 'hosts are a connection spec, or a list of those, and not %r' % type(hosts).__name__
            raise TypeError(with_hint(text, hosts))
        checked_number('retries', retries, 0)
        checked_number('at_once', at_once, 1)
        deadline = seconds(deadline, 'deadline')
        if not issubclass(self._make_client, Caller):
            raise TypeError(
                'clientclass is a class derived from %s, not %r' % (self._client_class.__name__, clientclass)
            )
        if clientclass is None:
            # One of the program's own may take others.
            check_keywords(Caller, options, _KEYWORDS, type(self))
        given = [hosts] if isinstance(hosts, str) else hosts
        clients = self._aim(_expanded(given, inventory, exclude), allow_duplicates)
        count = needed(quorum, len(clients))
        self.report = ConnectReport((host.name for host in self._hosts), count)
        self._steps = self._connect(clients, at_once, retries, deadline, count)
        self._begin()

    def _renew_locks(self) -> None:
        self._lock = threading.Lock()

    def _begin(self) -> None:
        """Goes the steps of connecting, or leaves them for later."""
        raise NotImplementedError

    def _read(self, client: _C) -> None:
        """Has the client's responses read from now on, and `_client_lost` called when it is lost."""
        raise NotImplementedError

    def _watch(self, joining: _native.Joining, take: Callable[[], bool]) -> None:
        """Has `take` called for what still connects, while it gives true."""
        raise NotImplementedError

    def _soon(self, function: Callable[[], object]) -> bool:
        """Has a function called in the thread that reads; False where that has ended."""
        raise NotImplementedError

    def _aim(self, specs: list[HostSpec], allow_duplicates: bool) -> list[_C]:
        """Notes the hosts; gives their clients, which are not connected yet."""
        clients: list[_C] = []
        known: dict[str, int] = {}
        for spec in specs:
            parsed = Spec.parse(spec, None)
            name = parsed.label
            seen = known.get(name, 0)
            known[name] = seen + 1
            if seen and not allow_duplicates:
                warnings.warn('%s is given twice, and connected to once' % name, stacklevel=4)
                continue
            if seen:
                name = '%s#%d' % (name, seen + 1)
            clients.append(self._make_client._aimed(spec, **self._options))
            self._hosts.append(Host(name, spec, spec.groups))
        return clients

    def _connect(self, clients: list[_C], at_once: int, retries: int, deadline: float | None, count: int) -> Steps:
        """Connects: gives what is to be waited for, and takes what came of it."""
        begun = time.monotonic()
        joining = self._joining = self._join(clients, at_once, retries)
        while not joining.is_done():
            left = None if deadline is None else begun + deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            arrived = yield joining, left
            if arrived is not None:
                self._take(clients, *arrived)
        self.report.seconds = time.monotonic() - begun
        if self.report.connected < count:
            errors = {
                host.host: host.error if isinstance(host.error, Exception) else _not_yet(host)
                for host in self.report.missing
            }
            error = cluster_error(errors, dict.fromkeys(self.clients))
            error.report = self.report  # type: ignore[attr-defined]
            raise error
        yield from self._add_slots()
        if joining.is_done():
            self._joining = None
        else:
            self._watch(joining, partial(self._late, joining, clients))

    @staticmethod
    def _join(clients: list[_C], at_once: int, retries: int) -> _native.Joining:
        return _native.join([client._opening() for client in clients], at_once, retries + 1, 1.0, 15.0)

    def _take(self, clients: list[_C], place: int, native: Any, attempts: int, seconds: float) -> None:
        """Takes in what came of connecting to a host."""
        report = self.report.hosts[place]
        report.attempts = attempts
        report.seconds = seconds
        host = self._hosts[place]
        client = clients[place]
        try:
            if isinstance(native, BaseException):
                raise native
            client._use(native)
        except Exception as error:
            if _process.raised_by_handler(error):
                raise
            report.error = error
            return
        host.client = client
        report.connected = True
        self._add_slot(host, client)

    def _add_slot(self, host: Host[_C], client: _C) -> None:
        slot = Slot(host.name, client)
        host.slots.append(slot)
        self._read(client)
        for run, takes in list(self._runs.items()):
            if takes(host.name):
                run.joined(slot)
        for listener in list(self._listeners):
            listener(slot)

    def _late(self, joining: _native.Joining, clients: list[_C]) -> bool:
        """Takes in hosts that come behind the deadline; False when no more will."""
        while True:
            arrived = joining.next(0.0)
            if arrived is None:
                return not joining.is_done()
            if self._closed:
                return False
            self._take(clients, *arrived)
            host = self._hosts[arrived[0]]
            if host.client is None or self._slots == 1:
                continue
            if self._slots == 'cpus':
                host.slots[0].ask('processors', (), (self._start_told, host), _ignore)
            else:
                self._start_later(int(self._slots), host)

    def _start_told(self, told: Any, host: Host[_C]) -> None:
        self._start_later(told_slots(host.name, told), host)

    def _start_later(self, count: int, host: Host[_C]) -> None:
        """Starts further processes on a host that has come late, so that there are `count`; waits for none of them."""
        if self._closed:
            return
        more = [(host, self._make_client._aimed(host.spec, **self._options)) for _ in range(count - 1)]
        if more:
            joining = self._join([client for _, client in more], AT_ONCE, 0)
            self._later.append(joining)
            self._watch(joining, partial(self._late_slots, joining, more, {}))

    def _late_slots(self, joining: _native.Joining, more: list[tuple[Host[_C], _C]], missing: _Missing) -> bool:
        """Takes in further processes of a host that has come late; False when no more will come."""
        while not self._closed:
            arrived = joining.next(0.0)
            if arrived is not None:
                self._take_slot(more, arrived, missing)
            elif joining.is_done():
                # Where warnings are errors it comes again.
                if joining in self._later:
                    self._later.remove(joining)
                    _warn_of(missing)
                break
            else:
                return True
        return False

    def _take_slot(self, more: list[tuple[Host[_C], _C]], arrived: tuple[Any, ...], missing: _Missing) -> None:
        """Takes in a further process of a host, or why there is none."""
        host, client = more[arrived[0]]
        try:
            if isinstance(arrived[1], BaseException):
                raise arrived[1]
            client._use(arrived[1])
            self._add_slot(host, client)
        except Exception as error:
            if _process.raised_by_handler(error):
                raise
            missing[host.name] = (missing.get(host.name, (0,))[0] + 1, error)

    def _add_slots(self) -> Steps:
        """Starts further processes on each host, as many as `slots` says."""
        if self._slots == 1:
            return
        wanted: dict[str, int] = {}
        if self._slots == 'cpus':
            # A host that does not say, or not in time, has the one process that it has.
            wanted = self._together((yield self._sent_helper('processors', (), _native.STUB_SECONDS)), True)
        more: list[tuple[Host[_C], _C]] = []
        for host in self._hosts_now():
            told = self._slots == 'cpus'
            count = told_slots(host.name, wanted.get(host.name)) if told else int(self._slots)
            for _ in range(count - 1):
                more.append((host, self._make_client._aimed(host.spec, **self._options)))
        if not more:
            return
        joining = self._join([client for _, client in more], AT_ONCE, 0)
        # Given up with the cluster.
        self._later.append(joining)
        missing: _Missing = {}
        while not joining.is_done():
            arrived = yield joining, None
            if arrived is not None:
                self._take_slot(more, arrived, missing)
        self._later.remove(joining)
        _warn_of(missing)

    # -- hosts

    def _hosts_now(self) -> list[Host[_C]]:
        with self._lock:
            return [host for host in self._hosts if host.client is not None and host.slots]

    def _has(self, name: str) -> bool:
        return True

    def _client_lost(self, client: Caller) -> None:
        """Notes that a connection has ended."""
        if self._closed:
            return
        with self._lock:
            for host, report in zip(self._hosts, self.report.hosts):
                host.slots = [slot for slot in host.slots if slot.client is not client]
                if host.client is client:
                    host.client = cast('_C', host.slots[0].client) if host.slots else None
                if report.connected and not host.slots:
                    report.lost = True

    @property
    def lost(self) -> list[str]:
        """The hosts whose connections have ended since."""
        return [host.host for host in self.report.hosts if host.lost]

    def _joinings(self) -> list[_native.Joining]:
        """Where hosts and processes may still come from."""
        return [*self._later, *([] if self._joining is None else [self._joining])]

    def _end(self) -> None:
        """Closes all connections."""
        self._closed = True
        for joining in self._joinings():
            joining.abort()
        for host in self._hosts:
            for slot in host.slots:
                slot.client.close()
            if host.client is not None:
                host.client.close()

    def __repr__(self) -> str:
        return '<%s: %s>' % (type(self).__name__, 'closed' if self._closed else self.report._head())


def _expanded(
    given: Iterable[str], inventory: Path | Iterable[Path] | None, exclude: str | Iterable[str]
) -> list[HostSpec]:
    """The specs that ranges, lists and patterns stand for; hosts go by SSH if nothing else is said."""
    if inventory is not None:
        return expand(*given, inventory=inventory, exclude=exclude)
    specs: list[HostSpec] = []
    for each in given:
        specs.extend([each] if isinstance(each, HostSpec) else expand(each, exclude=exclude))
    return specs


def _ignore(value: Any) -> None:
    pass


def _warn_of(missing: _Missing) -> None:
    """Says which hosts have fewer processes than wanted."""
    if missing:
        counts = ', '.join('%s: %d' % (host, count) for host, (count, _) in missing.items())
        reason = list(missing.values())[-1][1]
        warnings.warn('fewer processes than wanted (%s missing): %s' % (counts, reason), stacklevel=7)


def _not_yet(host: HostReport) -> TimeoutError:
    return TimeoutError('%s: still connecting at the deadline' % host.host)
