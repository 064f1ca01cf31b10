"""Cluster: many hosts as one, for a thread that waits."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .. import _native
from .._client import Client
from .._environments import Environment
from .._errors import needing
from .calls import Calls, Part
from .connecting import Connecting
from .outcomes import Outcomes
from .pump import Pump, needs_pump

if TYPE_CHECKING:
    from typing_extensions import Self


class Cluster(Calls, Connecting[Client, Part]):
    """Many hosts as one: connects to all, and takes calls for all, maps over items, and executors.

        with easycluster.Cluster(['web1', 'web2', 'db1'], quorum='80%') as cluster:
            print(cluster.call('os.getloadavg'))
            for result in cluster.map(check, paths):
                ...

    Remote exceptions come with the host as a note and the remote traceback as their cause, and are not printed.
    """

    _client_class: ClassVar[type[Any]] = Client
    _pump: Pump
    _half_closed = False

    def _begin(self) -> None:
        self._pump = Pump('easycluster-cluster', self._client_lost)
        came: Any = None
        try:
            while True:
                awaited = self._steps.send(came)
                came = list(awaited) if isinstance(awaited, Outcomes) else awaited[0].next(awaited[1])
        except StopIteration:
            pass
        except BaseException:
            self.close()
            raise

    def _read(self, client: Client) -> None:
        if needs_pump(client):
            self._pump.add(client)

    def _watch(self, joining: _native.Joining, take: Callable[[], bool]) -> None:
        self._pump.watch(joining.fileno(), take)

    def _soon(self, function: Callable[[], object]) -> bool:
        return self._pump.call_soon(function)

    # -- other libraries

    def joblib(
        self,
        trust: bool = False,
        inner_max_num_threads: int | None = None,
        environment: Environment | None = None,
    ) -> contextlib.AbstractContextManager[Any]:
        """While this lasts, joblib.Parallel and what is built on it, such as scikit-learn, run on the hosts: `with cluster.joblib():`.

        trust: whether results may be of any type, such as fitted estimators; that lets the hosts run code in this program. Without it
        they are plain values and arrays. inner_max_num_threads: how many threads numerical libraries use in each process.
        environment: packages that the hosts lack, which their processes have meanwhile.

        Needs joblib and cloudpickle here, and on the hosts the same version of Python with joblib and what the functions import, there or
        in `environment`.
        """
        with needing('joblib cloudpickle', 'cluster.joblib()'):
            backend: Any = importlib.import_module('easycluster.joblib')
        options = {} if inner_max_num_threads is None else {'inner_max_num_threads': inner_max_num_threads}
        made: contextlib.AbstractContextManager[Any] = backend.parallel_config(self, trust, environment, **options)
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
        return self._together(self._sent_helper('versions', (names,)), False)

    def _installed(self, names: list[str]) -> dict[str, list[str | None]]:
        """The same for distributions by their names, of which nothing is imported there."""
        return self._together(self._sent_helper('installed', (names,)), False)

    # -- the end

    def close(self) -> None:
        """Closes all connections. What is on its way ends with an exception."""
        if self._closed and not self._half_closed:
            return
        try:
            self._half_closed = False
            self._end()
            self._pump.close()
        except BaseException:
            # A signal handler has raised; whoever closes it again goes on.
            self._half_closed = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
