"""What can be done with many hosts at once: calls on all, and maps over items."""

from __future__ import annotations

import fnmatch
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from .._client import Client
from .._commands import Line
from .._multi import command_multi
from .._responses import RemoteException
from .._shipping.functions import By, Function, Portable
from .executor import Executor
from .mapping import Run, length_of
from .report import cluster_error
from .slots import Scattered, Slot, original

if TYPE_CHECKING:
    from .cluster import Cluster


class Host:
    """A host of the cluster: its client, and further ones where several items run there at once."""

    def __init__(self, name: str, spec: str) -> None:
        self.name = name
        self.spec = spec
        self.client: Client | None = None
        self.slots: list[Slot] = []


class Clients(Mapping[str, Client]):
    """The clients of a cluster by the names of their hosts; those of hosts that were lost are not in it."""

    def __init__(self, hosts: Callable[[], Iterable[Host]]) -> None:
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

    def _hosts_now(self) -> list[Host]:
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

    def command(self, line: Line, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """Runs a shell command on every host at once: a dict of hosts and CommandResults. Keywords as for Client.command(); failures as
        for call()."""
        clients = dict(self.clients)
        outcomes = command_multi(clients.values(), line, return_exceptions=True, **options)
        failed = (_Failure(each) if isinstance(each, Exception) else each for each in outcomes)
        return self._together(dict(zip(clients, failed)), return_exceptions)

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

    # -- values and commands

    def scatter(self, value: Any) -> Scattered:
        """Sends a value to every process of every host, once, also to those that join later. What it gives stands for the value in
        the arguments of calls and maps on the cluster."""
        scattered = Scattered()
        number = scattered.number
        root = self._root

        def send(slot: Slot) -> None:
            slot.hold(number, value)

        def forget() -> None:
            if send in root._listeners:
                root._listeners.remove(send)
            for slot in self._slots_now(None):
                slot.drop(number)

        root._listeners.append(send)
        for slot in self._slots_now(None):
            send(slot)
        weakref.finalize(scattered, forget).atexit = False
        return scattered

    # -- one function on many items

    def executor(
        self,
        max_workers: int | None = None,
        initializer: Function | None = None,
        initargs: Iterable[Any] = (),
        retries: int = 0,
        by: By = 'auto',
    ) -> Executor:
        """An executor as in concurrent.futures, whose functions run on these hosts.

        max_workers: use at most so many processes. initializer, initargs: called in each process first. retries: how often a call is
        made again whose host was lost; only for functions that may run twice. by: as for map(). Shutting it down leaves the cluster.
        """
        return Executor(self._root, self._slots_now(None), max_workers, initializer, initargs, retries, by)

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

    def _hosts_now(self) -> list[Host]:
        return [host for host in self._root._hosts_now() if host.name in self._names]

    def __repr__(self) -> str:
        return '<Part of a Cluster: %d hosts>' % len(self._names)
