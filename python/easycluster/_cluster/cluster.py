"""Cluster: many hosts as one."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Union

from .. import _native
from .._client import Client
from .._hosts import HostSpec
from .._hosts import hosts as expand
from .._native import Spec
from .calls import Calls, Host
from .mapping import Run
from .pump import Pump, needs_pump
from .report import ConnectReport, HostReport, cluster_error
from .slots import Slot

if TYPE_CHECKING:
    from typing_extensions import Self

Quorum = Union[int, float, str]


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
        return min(max(quorum, 1), count)
    else:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(
            "a quorum is 'all', 'any', a number of hosts, a share such as 0.8 or '80%%', not %r" % (quorum,)
        )
    return min(max(-int(-(count * share - 1e-9) // 1), 1), count)


class Cluster(Calls):
    """Many hosts as one: connects to all, and takes calls for all, maps over items, and executors.

        with easycluster.Cluster(['web1', 'web2', 'db1'], quorum='80%') as cluster:
            print(cluster.call('os.getloadavg'))
            for result in cluster.map(check, paths):
                ...

    Remote exceptions come with the host as a note and the remote traceback as their cause, and are not printed.
    """

    def __init__(
        self,
        hosts: str | Iterable[str],
        *,
        quorum: Quorum = 'all',
        retries: int = 2,
        at_once: int = 64,
        slots: int | str = 1,
        deadline: float | None = None,
        allow_duplicates: bool = False,
        clientclass: type[Client] = Client,
        **options: Any,
    ) -> None:
        """Connects to all hosts, and returns when enough are connected and it is known of the others.

        hosts: connection specs, with ranges and commas as for hosts(), and what hosts() gives. quorum: how many must be connected: 'all', 'any', a number, or a share such as '80%'. retries: how
        often a host is tried again where the reason may pass; never with another key or password. at_once: to how many hosts at the
        same time. slots: how many processes on each host, so that a map uses several processors; 'cpus' for as many as it has.
        deadline: after so many seconds go on with those that are connected, if they are enough; the others join when they come.
        allow_duplicates: whether a host may be there twice, which otherwise is one with a warning. options: keywords of the client class.

        Raises ClusterError if too few are connected; those that are get closed.
        """
        self._root = self
        self._lock = threading.Lock()
        self._closed = False
        self._clientclass = clientclass
        self._options = options
        self._slots = slots
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        self._listeners: list[Callable[[Slot], None]] = []
        self._pump = Pump('easycluster-cluster', self._client_lost)
        if slots != 'cpus' and (not isinstance(slots, int) or slots < 1):
            raise ValueError("slots is a number from 1 on or 'cpus', not %r" % (slots,))
        specs = _expanded([hosts] if isinstance(hosts, str) else hosts)
        aimed = self._aim(specs, allow_duplicates)
        count = needed(quorum, len(aimed))
        self.report = ConnectReport((host.name for host, _ in aimed), count)
        self._hosts = [host for host, _ in aimed]
        self._joining: _native.Joining | None = None
        try:
            self._open([client for _, client in aimed], at_once, retries, deadline, count)
        except BaseException:
            self.close()
            raise

    def _aim(self, specs: list[str], allow_duplicates: bool) -> list[tuple[Host, Client]]:
        """The hosts and their clients, which are not connected yet."""
        found: list[tuple[Host, Client]] = []
        known: dict[str, int] = {}
        for spec in specs:
            parsed = Spec.parse(spec, None)
            name = parsed.label
            seen = known.get(name, 0)
            known[name] = seen + 1
            if seen and not allow_duplicates:
                warnings.warn('%s is given twice, and connected to once' % name, stacklevel=3)
                continue
            if seen:
                name = '%s#%d' % (name, seen + 1)
            found.append((Host(name, spec), self._clientclass._aimed(spec, **self._options)))
        return found

    # -- connecting

    def _open(self, clients: list[Client], at_once: int, retries: int, deadline: float | None, count: int) -> None:
        begun = time.monotonic()
        joining = self._join(clients, at_once, retries)
        self._joining = joining
        while not joining.is_done():
            left = None if deadline is None else begun + deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            arrived = joining.next(left)
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
        self._add_slots()
        if joining.is_done():
            self._joining = None
        else:
            self._pump.watch(joining.fileno(), partial(self._late, joining, clients))

    @staticmethod
    def _join(clients: list[Client], at_once: int, retries: int) -> _native.Joining:
        return _native.join([client._opening() for client in clients], at_once, retries + 1, 1.0, 15.0)

    def _take(self, clients: list[Client], place: int, native: Any, attempts: int, seconds: float) -> Host | None:
        """Takes in what came of connecting to a host; the host if it is connected."""
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
            report.error = error
            return None
        host.client = client
        report.connected = True
        self._add_slot(host, client)
        return host

    def _add_slot(self, host: Host, client: Client) -> None:
        slot = Slot(host.name, client)
        host.slots.append(slot)
        if needs_pump(client):
            self._pump.add(client)
        for run in list(self._runs):
            run.joined(slot)
        for listener in list(self._listeners):
            listener(slot)

    def _late(self, joining: _native.Joining, clients: list[Client]) -> bool:
        """Takes in hosts that come behind the deadline; called in the pump's thread."""
        while True:
            arrived = joining.next(0.0)
            if arrived is None:
                return not joining.is_done()
            if self._closed:
                return False
            self._take(clients, *arrived)

    def _add_slots(self) -> None:
        """Starts further processes on each host, as many as `slots` says."""
        if self._slots == 1:
            return
        wanted: dict[str, int] = {}
        if self._slots == 'cpus':
            wanted = self._asked('processors', (), True)
        more: list[tuple[Host, Client]] = []
        for host in self._hosts_now():
            count = wanted.get(host.name, 1) if self._slots == 'cpus' else self._slots
            for _ in range(int(count) - 1 if isinstance(count, int) else 0):
                more.append((host, self._clientclass._aimed(host.spec, **self._options)))
        if not more:
            return
        clients = [client for _, client in more]
        joining = self._join(clients, 64, 0)
        missing: dict[str, int] = {}
        reason: Any = None
        while not joining.is_done():
            arrived = joining.next(None)
            if arrived is None:
                continue
            host, client = more[arrived[0]]
            try:
                if isinstance(arrived[1], BaseException):
                    raise arrived[1]
                client._use(arrived[1])
                self._add_slot(host, client)
            except Exception as error:
                missing[host.name] = missing.get(host.name, 0) + 1
                reason = error
        if missing:
            counts = ', '.join('%s: %d' % each for each in missing.items())
            warnings.warn('fewer processes than wanted (%s missing): %s' % (counts, reason), stacklevel=4)

    # -- other libraries

    def joblib(
        self, trust: bool = False, inner_max_num_threads: int | None = None
    ) -> contextlib.AbstractContextManager[Any]:
        """While this lasts, joblib.Parallel and what is built on it, such as scikit-learn, run on the hosts: `with cluster.joblib():`.

        trust: whether results may be of any type, such as fitted estimators; that lets the hosts run code in this program. Without it
        they are plain values and arrays. inner_max_num_threads: how many threads numerical libraries use in each process.

        Needs joblib and cloudpickle here, and on the hosts the same version of Python with joblib and what the functions import.
        """
        backend: Any = importlib.import_module('easycluster.joblib')
        options = {} if inner_max_num_threads is None else {'inner_max_num_threads': inner_max_num_threads}
        made: contextlib.AbstractContextManager[Any] = backend.parallel_config(self, trust, **options)
        return made

    def dask(self, workers: int = 1, threads: int | None = None, **options: Any) -> Any:
        """A `distributed.Client` whose scheduler is here and whose workers run on the hosts, over the connections that there are.

        workers: how many on each host. threads: how many each has. options: as for `easycluster.dask.EasyCluster`, such as
        `environment`. Closing the client ends the workers and leaves the hosts connected. Dask's workers are trusted: results of any
        type come from them, which lets the hosts run code in this program.

        Needs distributed here, and the same version of it on the hosts or in `environment`.
        """
        backend: Any = importlib.import_module('easycluster.dask.cluster')
        return backend.Client(backend.EasyCluster(self, workers, threads, **options))

    def _versions(self, names: list[str]) -> dict[str, list[str | None]]:
        """The versions of packages on each host, None for those that it lacks."""
        return self._asked('versions', (names,), False)

    def _asked(self, helper: str, args: tuple[Any, ...], return_exceptions: bool) -> dict[str, Any]:
        """Calls a function of `helpers/map_items.py` on each host."""

        def send(slot: Slot, done: Any, failed: Any) -> None:
            slot.ask(helper, args, done, failed)

        return self._together(dict(self._sent(send, by_slot=True)), return_exceptions)

    # -- hosts

    def _hosts_now(self) -> list[Host]:
        with self._lock:
            return [host for host in self._hosts if host.client is not None and host.slots]

    def _connected(self) -> list[tuple[str, Client]]:
        """The hosts that are connected, with one client each."""
        return [(host.name, host.client) for host in self._hosts_now() if host.client is not None]

    def _client_lost(self, client: Client) -> None:
        """Called in the pump's thread when a connection has ended."""
        if self._closed:
            return
        with self._lock:
            for host, report in zip(self._hosts, self.report.hosts):
                host.slots = [slot for slot in host.slots if slot.client is not client]
                if host.client is client:
                    host.client = host.slots[0].client if host.slots else None
                if report.connected and not host.slots:
                    report.lost = True

    @property
    def lost(self) -> list[str]:
        """The hosts whose connections have ended since."""
        return [host.host for host in self.report.hosts if host.lost]

    def close(self) -> None:
        """Closes all connections. What is on its way ends with an exception."""
        if self._closed:
            return
        self._closed = True
        if self._joining is not None:
            self._joining.abort()
        for host in self._hosts if hasattr(self, '_hosts') else ():
            for slot in host.slots:
                slot.client.close()
            if host.client is not None:
                host.client.close()
        self._pump.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return '<Cluster: %s>' % ('closed' if self._closed else self.report._head())


def _expanded(given: Iterable[str]) -> list[str]:
    """The specs that ranges and lists stand for; hosts go by SSH if nothing else is said."""
    specs: list[str] = []
    for each in given:
        specs.extend([each] if isinstance(each, HostSpec) else expand(each))
    return specs


def _not_yet(host: HostReport) -> TimeoutError:
    return TimeoutError('%s: still connecting at the deadline' % host.host)
