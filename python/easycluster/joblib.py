"""A backend of joblib: `Parallel`, and with it scikit-learn, on the hosts of a cluster.

    import easycluster.joblib

    with cluster.joblib(trust=True):
        GridSearchCV(...).fit(X, y)

joblib and what the functions use must be installed on the hosts, for the same version of Python as here.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import joblib
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, ThreadingBackend

from . import Cluster, _checked
from ._cluster.ahead import Ahead
from ._cluster.executor import Executor
from ._cluster.future import Future
from ._cluster.slots import Slot
from ._environments import Environment, Provided
from ._pickling.unpickler import unpickle_trusted
from ._shipping.functions import check_same, own_modules_by_value

# Arrays from this many bytes on are sent once to each host, and not with each call.
LARGE_ARRAY = 1 << 20
_PACKAGES = ('joblib', 'numpy', 'sklearn', 'scipy')
# Those that are installed by another name.
_PROJECTS = {'sklearn': 'scikit-learn'}


class _Arrays:
    """The large arrays of the calls of one Parallel, each by a number."""

    def __init__(self, several: bool) -> None:
        """`several` says that hosts have several processes."""
        self._several = several
        self._lock = threading.Lock()
        # By identity; the array is kept, so that no other one gets its identity.
        self._known: dict[int, tuple[Ahead, Any]] = {}
        # Those that processes are to forget.
        self._dropped: set[Ahead] = set()

    def number_of(self, array: Any) -> int:
        with self._lock:
            known = self._known.get(id(array))
            if known is None:
                known = self._known[id(array)] = Ahead(array, self._several), array
            return known[0].number

    def send(self, slot: Slot, numbers: set[int]) -> None:
        """Sees to it that a process has these."""
        with self._lock:
            wanted = [ahead for ahead, _ in self._known.values() if ahead.number in numbers]
        for ahead in wanted:
            ahead.send(slot)

    def drop(self) -> None:
        """Has them forgotten everywhere. Goes on where a signal handler raised the last time."""
        with self._lock:
            self._dropped.update(ahead for ahead, _ in self._known.values())
            self._known = {}
        for each in list(self._dropped):
            each.drop()
            self._dropped.discard(each)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles a batch of calls by value, and large arrays by their numbers."""

    def __init__(self, file: io.BytesIO, arrays: _Arrays) -> None:
        super().__init__(file)
        self._arrays = arrays
        self.used: set[int] = set()

    def persistent_id(self, value: Any) -> int | None:
        numpy = sys.modules.get('numpy')
        if numpy is None or type(value) is not numpy.ndarray or value.nbytes < LARGE_ARRAY or value.dtype.hasobject:
            return None
        number = self._arrays.number_of(value)
        self.used.add(number)
        return number


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs the calls of joblib.Parallel on a cluster. Made by `cluster.joblib()`."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1

    def __init__(self, cluster: Cluster | None = None, trust: bool = False, **options: Any) -> None:
        """`trust`: whether results may be of any type, which lets the hosts run code here."""
        super().__init__(**options)
        if cluster is None:
            raise TypeError('the backend needs a cluster: use `with cluster.joblib():`')
        self._cluster = cluster
        self._trust = trust
        self._executor: Executor | None = None
        self._arrays = _Arrays(cluster._root._slots != 1)

    def __reduce__(self) -> Any:
        # What is nested runs in threads there.
        return ThreadingBackend, (1,)

    # -- the interface of joblib

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once."""
        if n_jobs == 0:
            raise ValueError('n_jobs == 0 in Parallel has no meaning')
        count = max(len(self._cluster._slots_now(None)), 1)
        if n_jobs is None:
            return count
        return min(n_jobs, count) if n_jobs > 0 else max(count + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Called in front of the first call."""
        jobs: int = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._open(jobs)
        return jobs

    def start_call(self) -> None:
        """Called in front of a Parallel call."""

    def stop_call(self) -> None:
        """Called behind a Parallel call."""
        self._arrays.drop()

    def terminate(self) -> None:
        """Called behind the last call."""
        self._arrays.drop()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Gives up all calls."""
        executor = self._executor
        if executor is not None:
            executor.interrupt_all()
        if not ensure_ready:
            self.terminate()

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future:
        """Runs a batch of calls somewhere; gives a future."""
        if self._executor is None:
            self._open(self.effective_n_jobs(-1))
        assert self._executor is not None
        file = io.BytesIO()
        arrays = self._arrays
        with own_modules_by_value(cloudpickle):
            pickler = _Pickler(file, arrays)
            pickler.dump(func)

        def prepare(slot: Slot) -> None:
            check_same(slot.host, *slot.python)
            slot.provide_cloudpickle()
            arrays.send(slot, pickler.used)

        future = self._executor.submit_pickled(file.getvalue(), self._trust, prepare)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future) -> Any:
        """The result of a batch."""
        try:
            result = out.result()
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError(
                '%s; results of any type need `cluster.joblib(trust=True)`, which lets the hosts run code here' % error
            ) from error
        result = unpickle_trusted(result) if self._trust else result
        # joblib goes through it, and a list is what its batches give.
        return _checked.items('a host of the cluster', result)

    # -- the cluster

    def _open(self, jobs: int) -> None:
        if self._executor is not None:
            return
        self._executor = self._cluster.executor(max_workers=jobs)
        threads = self.inner_max_num_threads
        if threads is not None:
            names = [(name, str(threads)) for name in self.MAX_NUM_THREADS_VARS]
            for slot in self._cluster._slots_now(None):
                slot.ask('environment', (names,), _ignore, _ignore)


def _ignore(value: Any) -> None:
    pass


@contextlib.contextmanager
def parallel_config(
    cluster: Cluster, trust: bool = False, environment: Environment | None = None, **options: Any
) -> Iterator[dict[str, Any]]:
    """While this lasts, joblib.Parallel and what is built on it run on the hosts; see `Cluster.joblib`."""
    with contextlib.ExitStack() as stack:
        if environment is not None:
            processes = [(slot.host, slot.client) for slot in cluster._slots_now(None)]
            stack.enter_context(contextlib.closing(Provided(environment, cluster._connected(), processes)))
        check_hosts(cluster)
        backend = Backend(cluster, trust, **options)
        yield stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=-1))


def check_hosts(cluster: Cluster) -> None:
    """Compares the packages of the hosts with those here. Raises ImportError where one lacks joblib, TypeError for another version
    of Python; warns of packages in other versions."""
    names = [name for name in _PACKAGES if name in sys.modules]
    here = [str(getattr(sys.modules[name], '__version__', '')) for name in names]
    firsts = [host.slots[0] for host in cluster._hosts_now()]
    for slot in firsts:
        check_same(slot.host, *slot.python)
    lacking: list[str] = []
    for host, there in cluster._versions(names).items():
        for name, ours, theirs in zip(names, here, there):
            if theirs is None:
                lacking.append('%s has no %s' % (host, name))
            elif theirs != ours:
                warnings.warn('%s has %s %s, and this machine %s' % (host, name, theirs, ours), stacklevel=4)
    if lacking:
        wanted = ', '.join("'%s==%s'" % (_PROJECTS.get(name, name), ours) for name, ours in zip(names, here))
        raise ImportError(
            '%s, which the functions of this program need. Install what this program has, or give '
            'environment=easycluster.Environment([%s])' % ('; '.join(lacking), wanted)
        )


joblib.register_parallel_backend('easycluster', Backend)
