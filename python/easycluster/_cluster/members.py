"""What every cluster is, whoever waits for it: its hosts, parts of it by pattern, and requests to all of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import _files, _habits, _kinds, _native
from .._caller import Caller
from .._commands import Line, Request
from .._options import checked_code, seconds
from .._shipping.functions import By, Function, Portable
from .mapping import Run, length_of
from .outcomes import Failure, Inbox, Outcomes
from .report import HostLost, cluster_error
from .slots import Scattered, Slot

if TYPE_CHECKING:
    from .connecting import Connecting

_C = TypeVar('_C', bound=Caller)
_P = TypeVar('_P')
# The largest number of items, batches or retries.
_MOST = (1 << 31) - 1


class Host(Generic[_C]):
    """A host of the cluster: its client, and further ones where several items run there at once."""

    def __init__(self, name: str, spec: str, groups: tuple[str, ...]) -> None:
        """`groups` are those of an inventory."""
        self.name = name
        self.spec = spec
        self.groups = groups
        self.client: _C | None = None
        self.slots: list[Slot] = []


class Clients(Mapping[str, _C]):
    """The clients of a cluster by the names of their hosts; those of hosts that were lost are not in it."""

    def __init__(self, hosts: Callable[[], Iterable[Host[_C]]]) -> None:
        self._hosts = hosts

    def __getitem__(self, name: str) -> _C:
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


class Members(Generic[_C, _P]):
    """The hosts of a cluster, or of a part of one. `_C` is the class of its clients, and `_P` that of its parts."""

    # Whose connections these are.
    _root: Connecting[_C, _P]

    def _hosts_now(self) -> list[Host[_C]]:
        """The hosts that are connected."""
        raise NotImplementedError

    def _connected(self) -> list[tuple[str, _C]]:
        """The hosts that are connected, with one client each."""
        return [(host.name, host.client) for host in self._hosts_now() if host.client is not None]

    def _processes(self) -> list[Any]:
        """The clients of all processes of the hosts that are connected."""
        return [slot.client for slot in self._slots_now(None)]

    def _part(self, names: Iterable[str]) -> _P:
        """The hosts of these names."""
        raise NotImplementedError

    def _has(self, name: str) -> bool:
        """Whether a host of this name that joins is taken in."""
        raise NotImplementedError

    def _inbox(self) -> Inbox:
        """Where outcomes are waited for."""
        raise NotImplementedError

    @property
    def clients(self) -> Clients[_C]:
        """The clients by the names of their hosts."""
        return Clients(self._hosts_now)

    def __getitem__(self, pattern: str) -> _P:
        """The hosts whose names match a pattern such as 'web*', as a part that takes the same calls."""
        if not isinstance(pattern, str):
            raise TypeError(
                "a part of a cluster is named by a pattern of its hosts such as 'web*', and not by %r; one host's client is "
                'cluster.clients[name]' % type(pattern).__name__
            )
        return self._part(host.name for host in self._hosts_now() if fnmatch.fnmatchcase(host.name, pattern))

    def select(self, wanted: Callable[[str], bool]) -> _P:
        """The hosts for whose names `wanted` is true, as a part that takes the same calls."""
        return self._part(host.name for host in self._hosts_now() if wanted(host.name))

    def group(self, pattern: str) -> _P:
        """The hosts that a pattern of Ansible's chooses among those that are connected, by their names and by the groups of the
        inventory: 'web:&prod:!web03', globs, `~regex`, `group[0:3]`. Raises ValueError if it names no host or group of the cluster."""
        known = [(host.name, list(host.groups)) for host in self._root._hosts]
        chosen = set(_native.hosts_in(known, pattern))
        return self._part(host.name for host in self._hosts_now() if host.name in chosen)

    def __len__(self) -> int:
        return len(self._hosts_now())

    def __iter__(self) -> Iterator[str]:
        """The names of the hosts."""
        return iter([host.name for host in self._hosts_now()])

    def __contains__(self, name: object) -> bool:
        return any(host.name == name for host in self._hosts_now())

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            meant = _habits.meant(name, 'cluster', type(self._root).__name__) if name[:1] != '_' else None
            hint = '' if meant is None else '; ' + meant
            raise AttributeError('%s has no attribute %r%s' % (kind, name, hint))

    def _slots_now(self, per_host: int | None) -> list[Slot]:
        """The slots of all hosts, in turns, so that the first items go to as many hosts as there are."""
        hosts = [host.slots[:per_host] for host in self._hosts_now()]
        most = max((len(slots) for slots in hosts), default=0)
        return [slots[place] for place in range(most) for slots in hosts if place < len(slots)]

    def _check_open(self) -> None:
        """Raises OSError where nobody could have an answer, which would look as if there were no hosts."""
        if self._root._closed:
            raise OSError('Not connected: the cluster is closed')
        if self._root._unopened:
            raise OSError(
                'Not connected: a cluster that is awaited connects by `async with cluster:` or `await cluster`'
            )

    def _lost_here(self) -> list[str]:
        return [name for name in self._root.lost if self._has(name)]

    def _nobody(self, what: str = '') -> HostLost:
        """Says that no host is there for a function of that name."""
        lost = self._lost_here()
        what = what and ' for %s' % what
        if lost:
            return HostLost('no host of the cluster is left%s; lost: %s' % (what, ', '.join(lost)), lost)
        return HostLost('no host is there%s: the cluster, or this part of it, has none that is connected' % what)

    # -- one request on every host. Each is sent before the outcomes are asked for.

    def _sent(
        self,
        request: Callable[[Slot, Any, Any], Any],
        every_slot: bool = False,
        convert: Callable[[Caller, Any], Any] | None = None,
    ) -> Outcomes:
        self._check_open()
        hosts = self._hosts_now()
        if not hosts and self._lost_here():
            # No outcome at all would look as if nobody had anything to say.
            raise self._nobody()
        outcomes = Outcomes(self._inbox(), convert)
        try:
            for host in hosts:
                for slot in host.slots if every_slot else host.slots[:1]:
                    outcomes.send(host.name, slot.client, _bound(request, slot))
        except BaseException:
            outcomes.give_up()
            raise
        return outcomes

    def _sent_call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcomes:
        limit = seconds(kwargs.pop('call_timeout', None))
        if isinstance(func, str):
            name = func

            def call(slot: Slot, done: Any, failed: Any) -> Any:
                return slot.client._call(name, args, kwargs, oncomplete=done, onerror=failed, call_timeout=limit)

            return self._sent(call)
        portable = Portable(func)

        def call_by_number(slot: Slot, done: Any, failed: Any) -> Any:
            return slot.ask('call', (slot.number_of(portable), args, kwargs), done, failed, limit)

        return self._sent(call_by_number)

    def _sent_code(self, kind: int, code: str, options: dict[str, Any], every_slot: bool = False) -> Outcomes:
        """Sends an expression, or statements."""
        checked_code('eval' if kind == _kinds.EVAL else 'define' if every_slot else 'execblock', code)
        for name in ('call_timeout', 'timeout'):
            seconds(options.get(name))

        def run(slot: Slot, done: Any, failed: Any) -> Any:
            if kind == _kinds.EXEC:
                slot.client._timeouts.clear()
            return slot.client._request(kind, (code, None), True, oncomplete=done, onerror=failed, **options)

        return self._sent(run, every_slot)

    def _sent_command(
        self,
        line: Line,
        input: str | bytes | None,
        timeout: float | None,
        cwd: Any,
        env: Mapping[str, str | bytes] | None,
        check: bool,
        encoding: str | None,
    ) -> Outcomes:
        request = Request(line, input, cwd, env, check, encoding)
        seconds(timeout)

        def run(slot: Slot, done: Any, failed: Any) -> Any:
            return slot.client._send_command(request, timeout, oncomplete=done, onerror=failed)

        return self._sent(run, convert=lambda client, value: request.result(client.peername, value))

    def _sent_helper(self, name: str, args: tuple[Any, ...], limit: float | None = None) -> Outcomes:
        """Calls a function of `helpers/map_items.py`, which may take so many seconds."""
        return self._sent(lambda slot, done, failed: slot.ask(name, args, done, failed, limit))

    def _together(self, came: Iterable[tuple[str, Any]], return_exceptions: bool) -> dict[str, Any]:
        """The values by host, or raises ClusterError. Of a host with several processes the last counts, or one that failed."""
        found: dict[str, Any] = {}
        for host, value in came:
            if not isinstance(found.get(host), Failure):
                found[host] = value
        # In the order of the hosts, whichever answered first.
        outcomes = {each.host: found[each.host] for each in self._root.report if each.host in found}
        errors = {host: value.error for host, value in outcomes.items() if isinstance(value, Failure)}
        if return_exceptions or not errors:
            return {host: errors.get(host, value) for host, value in outcomes.items()}
        raise cluster_error(errors, {host: value for host, value in outcomes.items() if host not in errors})

    # -- files

    def _put(
        self, compare: bool, source: _files.Local, dest: _files.RemotePlace, options: _files.CopyOptions
    ) -> _files.Work:
        """Begins to copy files to every host, or to compare."""
        return _files.put(self._natives(), compare, source, dest, options)

    def _get(self, source: _files.Remote, dest: _files.LocalPlace, options: _files.GetOptions) -> _files.Work:
        """The same from every host."""
        return _files.get(self._natives(), source, dest, options)

    def _natives(self) -> list[tuple[str, _native.Connection]]:
        self._check_open()
        return [(name, client._connected_native()) for name, client in self._connected()]

    def _copied(self, outcomes: list[Any], work: _files.Work, return_exceptions: bool) -> dict[str, Any]:
        """What a copy came to, by host."""
        came = [(host, Failure(it) if isinstance(it, Exception) else it) for host, it in zip(work.hosts, outcomes)]
        return self._together(came, return_exceptions)

    # -- values, and one function on many items

    def scatter(self, value: Any) -> Scattered:
        """Gives a value to every process of every host, also to those that join later. What this gives stands for the value in the
        arguments of calls and maps on the cluster. Where hosts have several processes, a value from 1 MiB on crosses once a host, and
        its processes share the memory of its arrays until they change them."""
        self._check_open()
        root = self._root
        scattered, ahead = root._scattered.add(value, root._slots != 1, self._has)
        try:
            for slot in self._slots_now(None):
                ahead.send(slot)
        except BaseException:
            # What is raised keeps this frame, which nobody has the value of.
            del scattered
            raise
        return scattered

    def _begun(
        self,
        func: Function,
        iterables: tuple[Iterable[Any], ...],
        ordered: bool,
        batch: int | str,
        retries: int,
        per_host: int | None,
        outstanding: int,
        timeout: float | None,
        deadline: float | None,
        by: By,
    ) -> Run:
        """A map; the arguments are those of `map`."""
        self._check_open()
        portable = Portable(func, by)
        timeout, deadline = seconds(timeout, 'timeout'), seconds(deadline, 'deadline')
        size: Any = None if batch == 'auto' else batch
        if size is not None and (not isinstance(size, int) or not 1 <= size <= _MOST):
            raise ValueError("batch is 'auto' or a number of items from 1 on, not %r" % (batch,))
        if not isinstance(outstanding, int) or not 1 <= outstanding <= _MOST:
            raise ValueError('outstanding is a number of batches from 1 on, not %r' % (outstanding,))
        if not isinstance(retries, int) or not 0 <= retries <= _MOST:
            raise ValueError('retries is a number from 0 on, not %r' % (retries,))
        if per_host is not None and (not isinstance(per_host, int) or per_host < 1):
            raise ValueError('per_host is a number of processes from 1 on, not %r' % (per_host,))
        if not iterables:
            raise TypeError('map() takes a function and at least one iterable')
        items = zip(*iterables)
        run = Run(
            portable,
            items,
            length_of(iterables),
            size,
            retries,
            outstanding,
            timeout,
            deadline,
            ordered,
            self._inbox(),
            self._nobody,
        )
        for slot in self._slots_now(per_host):
            run.add(slot)
        self._root._runs[run] = self._has
        return run


def _bound(request: Callable[[Slot, Any, Any], Any], slot: Slot) -> Callable[[Any, Any], Any]:
    return lambda done, failed: request(slot, done, failed)


class Chosen(Members[_C, _P]):
    """Some hosts of a cluster. Part and AsyncPart are derived from it."""

    def __init__(self, root: Connecting[_C, _P], names: Iterable[str]) -> None:
        """The hosts of these names."""
        self._root = root
        self._names = frozenset(names)

    def _hosts_now(self) -> list[Host[_C]]:
        return [host for host in self._root._hosts_now() if host.name in self._names]

    def _has(self, name: str) -> bool:
        return name in self._names
