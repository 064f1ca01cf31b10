"""Cluster: many hosts as one."""

from __future__ import annotations

import fnmatch
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Union

from .. import _native
from .._client import Client
from .._native import Spec
from .._responses import RemoteException
from .._shipping.functions import By, Function, Portable
from .mapping import Run, length_of
from .pump import Pump, needs_pump
from .report import ConnectReport, HostReport, cluster_error
from .slots import Slot, original

if TYPE_CHECKING:
    from typing_extensions import Self

Quorum = Union[int, float, str]

# What `slots='cpus'` runs on each host: how many processors this process may use, as its affinity and its control group say.
_PROCESSORS = '''
def usable_processors():
    import os
    count = 0
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, EnvironmentError):
        try:
            import multiprocessing
            count = multiprocessing.cpu_count()
        except (ImportError, NotImplementedError, EnvironmentError):
            pass
    quota = period = 0
    try:
        for line in open('/proc/self/cgroup'):
            number, controllers, path = line.strip().split(':', 2)
            if number == '0':
                words = open('/sys/fs/cgroup' + path + '/cpu.max').read().split()
                if words[0] != 'max':
                    quota, period = int(words[0]), int(words[1])
            elif 'cpu' in controllers.split(','):
                base = '/sys/fs/cgroup/cpu' + path
                quota = int(open(base + '/cpu.cfs_quota_us').read())
                period = int(open(base + '/cpu.cfs_period_us').read())
    except (EnvironmentError, ValueError, IndexError):
        pass
    if quota > 0 and period > 0:
        count = min(count or quota, -(-quota // period))
    return max(count, 1)
'''


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


class _Host:
    """A host of the cluster: its client, and further ones where several items run there at once."""

    def __init__(self, name: str, spec: str) -> None:
        self.name = name
        self.spec = spec
        self.client: Client | None = None
        self.slots: list[Slot] = []


class Clients(Mapping[str, Client]):
    """The clients of a cluster by the names of their hosts; those of hosts that were lost are not in it."""

    def __init__(self, hosts: Callable[[], Iterable[_Host]]) -> None:
        self._hosts = hosts

    def __getitem__(self, name: str) -> Client:
        for host in self._hosts():
            if host.name == name and host.client is not None:
                return host.client
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([host.name for host in self._hosts() if host.client is not None])

    def __len__(self) -> int:
        return sum(host.client is not None for host in self._hosts())

    def __repr__(self) -> str:
        return '<Clients %s>' % ', '.join(self)


class Calls:
    """What can be done with many hosts at once. Cluster, and a part of one, are derived from it."""

    # Whether `cluster['web*']` gives it, so that closing it leaves the connections.
    _root: Cluster

    def _hosts_now(self) -> list[_Host]:
        """The hosts that are connected."""
        raise NotImplementedError

    @property
    def clients(self) -> Clients:
        """The clients by the names of their hosts."""
        return Clients(self._hosts_now)

    def __getitem__(self, pattern: str) -> Part:
        """The hosts whose names match a pattern such as 'web*', as a part that takes the same calls."""
        return Part(self._root, [host.name for host in self._hosts_now() if fnmatch.fnmatchcase(host.name, pattern)])

    def select(self, wanted: Callable[[str], bool]) -> Part:
        """The hosts for whose names `wanted` is true, as a part that takes the same calls."""
        return Part(self._root, [host.name for host in self._hosts_now() if wanted(host.name)])

    def __len__(self) -> int:
        return len(self._hosts_now())

    # -- one call on every host

    def call(self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Calls a function on every host at once: a dict of hosts and values.

        `func` is a name, or a function of this program. Keywords are the function's, but `call_timeout`, the limit in seconds. Where
        some hosts fail, raises ClusterError, which has the values of the others; with `return_exceptions` exceptions stand in the
        dict in the place of values.
        """
        return self._together(dict(self._outcomes(func, args, kwargs)), return_exceptions)

    def eval(self, expression: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """Evaluates an expression on every host at once; as call()."""

        def send(client: Client, done: Any, failed: Any) -> None:
            client.eval(expression, oncomplete=done, onerror=failed, **options)

        return self._together(dict(self._sent(send)), return_exceptions)

    def execblock(self, code: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """Runs statements on every host at once, for what they pass to exec_return(); as call()."""

        def send(client: Client, done: Any, failed: Any) -> None:
            client.execblock(code, oncomplete=done, onerror=failed, **options)

        return self._together(dict(self._sent(send)), return_exceptions)

    def define(self, source: str, return_exceptions: bool = False) -> dict[str, Any]:
        """Runs source in the definitions module of every process of every host, where calls and maps find what it defines."""

        def send(client: Client, done: Any, failed: Any) -> None:
            client.execblock(source, oncomplete=done, onerror=failed)

        outcomes: dict[str, Any] = {}
        for host, value in self._sent(send, every_slot=True):
            if not isinstance(outcomes.get(host), _Failure):
                outcomes[host] = value
        return self._together(outcomes, return_exceptions)

    def each(
        self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any
    ) -> Iterator[tuple[str, Any]]:
        """Calls a function on every host at once, and gives hosts and values as they come.

        Hosts that fail are left out, and raised as ClusterError at the end; with `return_exceptions` their exceptions come as values.
        """
        outcomes = self._outcomes(func, args, kwargs)
        return self._as_they_come(outcomes, return_exceptions)

    def barrier(self) -> None:
        """Waits until every process of every host has done what was called in its main thread so far."""

        def send(client: Client, done: Any, failed: Any) -> None:
            client.eval('None', oncomplete=done, onerror=failed, threadid=0)

        self._together(dict(self._sent(send, every_slot=True)), False)

    def _outcomes(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        limit = kwargs.pop('call_timeout', None)

        if isinstance(func, str):
            name = func

            def send(client: Client, done: Any, failed: Any) -> None:
                client.raw_call(name, args, kwargs, oncomplete=done, onerror=failed, call_timeout=limit)

            return self._sent(send)
        portable = Portable(func)

        def send_to(slot: Slot, done: Any, failed: Any) -> None:
            slot.ask('call', (slot.number_of(portable), args, kwargs), done, failed, limit)

        return self._sent(send_to, by_slot=True)

    def _sent(
        self, send: Callable[..., None], every_slot: bool = False, by_slot: bool = False
    ) -> Iterator[tuple[str, Any]]:
        """Sends something to every host before it returns; the outcomes as they come, exceptions in place of values."""
        outcomes: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        count = 0
        for host in self._hosts_now():
            for slot in host.slots if every_slot else host.slots[:1]:
                count += 1
                try:
                    send(
                        slot if by_slot else slot.client,
                        (_tell, outcomes, host.name),
                        (_tell_failed, outcomes, host.name),
                    )
                except Exception as error:
                    outcomes.put((host.name, _Failure(error)))
        return (outcomes.get() for _ in range(count))

    def _together(self, came: dict[str, Any], return_exceptions: bool) -> dict[str, Any]:
        # In the order of the hosts, whichever answered first.
        outcomes = {host.host: came[host.host] for host in self._root.report if host.host in came}
        errors = {host: value for host, value in outcomes.items() if isinstance(value, _Failure)}
        if return_exceptions or not errors:
            return {host: value.error if isinstance(value, _Failure) else value for host, value in outcomes.items()}
        results = {host: value for host, value in outcomes.items() if host not in errors}
        raise cluster_error({host: failure.error for host, failure in errors.items()}, results)

    @staticmethod
    def _as_they_come(outcomes: Iterator[tuple[str, Any]], return_exceptions: bool) -> Iterator[tuple[str, Any]]:
        errors: dict[str, Exception] = {}
        results: dict[str, Any] = {}
        for host, value in outcomes:
            if not isinstance(value, _Failure):
                results[host] = None
                yield host, value
            elif return_exceptions:
                yield host, value.error
            else:
                errors[host] = value.error
        if errors:
            raise cluster_error(errors, results)

    # -- one function on many items

    def map(
        self,
        func: Function,
        *iterables: Iterable[Any],
        ordered: bool = True,
        batch: int | str = 'auto',
        retries: int = 0,
        per_host: int | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        return_exceptions: bool = False,
        by: By = 'auto',
    ) -> Iterator[Any]:
        """Calls a function with each item, as the built-in map() does, on whichever host is free; gives the results in order.

        ordered: False gives `(position, result)` as they come. batch: how many items are sent together, 'auto' for as many as take
        a tenth of a second. retries: how often an item is sent again whose host was lost; only for functions that may run twice.
        per_host: at most so many processes of each host. timeout: how long an item may take, in seconds; its CallTimeout has the
        remote stack. deadline: how long all may take. return_exceptions: an item that failed gives its exception, which is raised
        otherwise, and ends the map. by: how the function is sent: 'name', 'source', 'value' (cloudpickle), or as it can be.

        Items are taken from the iterables as they are needed, so these may have no end. Leaving the loop gives up what is on its way.
        """
        portable = Portable(func, by)
        size = None if batch == 'auto' else int(batch)
        if size is not None and size < 1:
            raise ValueError("batch is 'auto' or a number of items from 1 on, not %r" % (batch,))
        run = Run(portable, zip(*iterables), length_of(iterables), size, retries, timeout, deadline, ordered)
        for slot in self._slots_now(per_host):
            run.add(slot)
        self._root._runs.add(run)
        return self._results(run, ordered, return_exceptions)

    def _slots_now(self, per_host: int | None) -> list[Slot]:
        """The slots of all hosts, in turns, so that the first items go to as many hosts as there are."""
        hosts = [host.slots[:per_host] for host in self._hosts_now()]
        most = max((len(slots) for slots in hosts), default=0)
        return [slots[place] for place in range(most) for slots in hosts if place < len(slots)]

    @staticmethod
    def _results(run: Run, ordered: bool, return_exceptions: bool) -> Iterator[Any]:
        outcomes = run.outcomes()
        try:
            for place, (succeeded, value) in outcomes:
                if not succeeded and not return_exceptions:
                    raise value
                yield value if ordered else (place, value)
        finally:
            run.stop()


class _Failure(Exception):
    """An exception that stands in the place of a value: of a call, and not one that a call gave as its value."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _tell(value: Any, outcomes: SimpleQueue[tuple[str, Any]], host: str) -> None:
    outcomes.put((host, value))


def _tell_failed(exc: RemoteException, outcomes: SimpleQueue[tuple[str, Any]], host: str) -> None:
    outcomes.put((host, _Failure(original(exc))))


class Part(Calls):
    """Some hosts of a cluster. It shares their clients, and closing the cluster closes them."""

    def __init__(self, root: Cluster, names: Iterable[str]) -> None:
        """The hosts of these names."""
        self._root = root
        self._names = frozenset(names)

    def _hosts_now(self) -> list[_Host]:
        return [host for host in self._root._hosts_now() if host.name in self._names]

    def __repr__(self) -> str:
        return '<Part of a Cluster: %d hosts>' % len(self._names)


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
        hosts: Iterable[str],
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

        hosts: connection specs. quorum: how many must be connected: 'all', 'any', a number, or a share such as '80%'. retries: how
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
        specs = [hosts] if isinstance(hosts, str) else list(hosts)
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

    def _aim(self, specs: list[str], allow_duplicates: bool) -> list[tuple[_Host, Client]]:
        """The hosts and their clients, which are not connected yet."""
        found: list[tuple[_Host, Client]] = []
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
            options = dict(self._options)
            options.setdefault('output', 'prefix')
            found.append((_Host(name, spec), self._clientclass._aimed(spec, **options)))
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

    def _take(self, clients: list[Client], place: int, native: Any, attempts: int, seconds: float) -> _Host | None:
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

    def _add_slot(self, host: _Host, client: Client) -> None:
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
            self.execblock(_PROCESSORS)
            wanted = self.call('usable_processors', return_exceptions=True)
        more: list[tuple[_Host, Client]] = []
        for host in self._hosts_now():
            count = wanted.get(host.name, 1) if self._slots == 'cpus' else self._slots
            for _ in range(int(count) - 1 if isinstance(count, int) else 0):
                more.append((host, self._clientclass._aimed(host.spec, **dict({'output': 'prefix'}, **self._options))))
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

    # -- hosts

    def _hosts_now(self) -> list[_Host]:
        with self._lock:
            return [host for host in self._hosts if host.client is not None and host.slots]

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


def _not_yet(host: HostReport) -> TimeoutError:
    return TimeoutError('%s: still connecting at the deadline' % host.host)
