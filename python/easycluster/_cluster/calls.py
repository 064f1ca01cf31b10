"""What can be done with many hosts at once by a thread that waits: calls on all, and maps over items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from .. import _kinds, _reports
from .._client import Client
from .._commands import Line
from .._environments import Environment
from .._files import CopyOptions, GetOptions, Local, LocalPlace, Remote, RemotePlace
from .._reports import ShowProgress
from .._shipping.functions import By, Function
from .executor import Executor
from .mapping import Run
from .members import Chosen, Members
from .outcomes import Inbox, Outcomes, Sorted
from .pump import Pump

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Calls(Members[Client, 'Part']):
    """What can be done with many hosts at once. Cluster, and a part of one, are derived from it."""

    def _part(self, names: Iterable[str]) -> Part:
        return Part(self._root, names)

    def _inbox(self) -> Inbox:
        pump: Pump = self._root._pump  # type: ignore[attr-defined]
        pump.check_wait()
        return SimpleQueue()

    # -- one call on every host

    def call(self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Calls a function on every host at once: a dict of hosts and values.

        `func` is a name, or a function of this program. Keywords are the function's, but `call_timeout`, the limit in seconds. Where
        some hosts fail, raises ClusterError, which has the values of the others; with `return_exceptions` exceptions stand in the
        dict in the place of values.
        """
        return self._together(self._sent_call(func, args, kwargs), return_exceptions)

    def eval(self, expression: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """Evaluates an expression on every host at once; as call()."""
        return self._together(self._sent_code(_kinds.EVAL, expression, options), return_exceptions)

    def execblock(self, code: str, return_exceptions: bool = False, **options: Any) -> dict[str, Any]:
        """Runs statements on every host at once, for what they pass to exec_return(); as call()."""
        return self._together(self._sent_code(_kinds.EXEC, code, options), return_exceptions)

    def define(self, source: str, return_exceptions: bool = False) -> dict[str, Any]:
        """Runs source in the definitions module of every process of every host, where calls and maps find what it defines."""
        return self._together(self._sent_code(_kinds.EXEC, source, {}, every_slot=True), return_exceptions)

    def each(
        self, func: Function, *args: Any, return_exceptions: bool = False, **kwargs: Any
    ) -> Iterator[tuple[str, Any]]:
        """Calls a function on every host at once, and gives hosts and values as they come.

        Hosts that fail are left out, and raised as ClusterError at the end; with `return_exceptions` their exceptions come as values.
        Leaving the loop gives up what has not come.
        """
        return self._as_they_come(self._sent_call(func, args, kwargs), return_exceptions)

    def command(
        self,
        line: Line,
        *,
        input: str | bytes | None = None,
        timeout: float | None = None,
        cwd: Any = None,
        env: Mapping[str, str | bytes] | None = None,
        check: bool = False,
        encoding: str | None = 'utf-8',
        return_exceptions: bool = False,
    ) -> dict[str, Any]:
        """Runs a shell command on every host at once: a dict of hosts and CommandResults. Keywords as for Client.command(); failures as
        for call()."""
        sent = self._sent_command(line, input, timeout, cwd, env, check, encoding)
        return self._together(sent, return_exceptions)

    def put(
        self, source: Local, dest: RemotePlace, return_exceptions: bool = False, **options: Unpack[CopyOptions]
    ) -> dict[str, Any]:
        """Copies files to every host, as Client.put() does; each is read once for all hosts that keep up with each other. A dict of hosts
        and what was Copied; failures as for call()."""
        work = self._put(False, source, dest, options)
        return self._copied(work.wait(), work, return_exceptions)

    def get(
        self, source: Remote, dest: LocalPlace, return_exceptions: bool = False, **options: Unpack[GetOptions]
    ) -> dict[str, Any]:
        """Copies files from every host, as Client.get() does; the destination has {host} in it: 'logs/{host}/'."""
        work = self._get(source, dest, options)
        return self._copied(work.wait(), work, return_exceptions)

    def compare(
        self, source: Local, dest: RemotePlace, return_exceptions: bool = False, **options: Unpack[CopyOptions]
    ) -> dict[str, Any]:
        """What put() would change on each host: a dict of hosts and lists of Differences."""
        work = self._put(True, source, dest, options)
        return self._copied(work.wait(), work, return_exceptions)

    def forward_logs(self, level: int | str = 'INFO') -> None:
        """Has what remote code logs on each process of each host logged here; as Client.forward_logs()."""
        for client in self._processes():
            _reports.forward_logs(client, level)

    def show_progress(self, show: ShowProgress | None = None) -> None:
        """Shows how far remote code is on each host; as Client.show_progress()."""
        function = _reports.shown_by(show)
        for client in self._processes():
            _reports.show_progress(client, function)

    def barrier(self) -> None:
        """Waits until every process of every host has done what was called in its main thread so far."""
        self._together(self._sent_code(_kinds.EVAL, 'None', {'threadid': 0}, every_slot=True), False)

    @staticmethod
    def _as_they_come(outcomes: Outcomes, return_exceptions: bool) -> Iterator[tuple[str, Any]]:
        came = Sorted(return_exceptions)
        for outcome in outcomes:
            yield from came.given(*outcome)
        came.check()

    # -- one function on many items

    def executor(
        self,
        max_workers: int | None = None,
        initializer: Function | None = None,
        initargs: Iterable[Any] = (),
        retries: int = 0,
        by: By = 'auto',
        trust: bool = False,
        environment: Environment | None = None,
    ) -> Executor:
        """An executor as in concurrent.futures, whose functions run on these hosts.

        max_workers: use at most so many processes. initializer, initargs: called in each process first. retries: how often a call is
        made again whose host was lost; only for functions that may run twice. by: as for map(). trust: whether results may be of any
        type that can be pickled there and found here; that lets the hosts run code in this program. environment:
        packages that the hosts lack, which their processes have until the executor is shut down; those of hosts that join later get
        them before their first call. Shutting it down leaves the cluster.
        """
        return Executor(self, max_workers, initializer, initargs, retries, by, trust, environment)

    def map(
        self,
        func: Function,
        *iterables: Iterable[Any],
        ordered: bool = True,
        batch: int | str = 'auto',
        retries: int = 0,
        per_host: int | None = None,
        outstanding: int = 2,
        timeout: float | None = None,
        deadline: float | None = None,
        return_exceptions: bool = False,
        by: By = 'auto',
    ) -> Iterator[Any]:
        """Calls a function with each item, as the built-in map() does, on whichever host is free; gives the results in order.

        ordered: False gives `(position, result)` as they come. batch: how many items are sent together, 'auto' for as many as take
        a tenth of a second. retries: how often an item is sent again whose host was lost; only for functions that may run twice.
        per_host: at most so many processes of each host. outstanding: how many batches are at each process at once. timeout: how long an item may take, in seconds; its CallTimeout has the
        remote stack. deadline: how long all may take. return_exceptions: an item that failed gives its exception, which is raised
        otherwise, and ends the map. by: how the function is sent: 'name', 'source', 'value' (cloudpickle), or as it can be.

        Items are taken from the iterables as they are needed, so these may have no end. Leaving the loop gives up what is on its way.
        """
        run = self._begun(func, iterables, ordered, batch, retries, per_host, outstanding, timeout, deadline, by)
        return self._results(run, ordered, return_exceptions)

    @staticmethod
    def _results(run: Run, ordered: bool, return_exceptions: bool) -> Iterator[Any]:
        try:
            for place, (succeeded, value) in run.outcomes():
                if not succeeded and not return_exceptions:
                    raise value
                yield value if ordered else (place, value)
        finally:
            run.stop()


class Part(Chosen[Client, 'Part'], Calls):
    """Some hosts of a cluster. It shares their clients, and closing the cluster closes them."""

    def __repr__(self) -> str:
        return '<Part of a Cluster: %d hosts>' % len(self._names)
