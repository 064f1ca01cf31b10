"""EasyCluster: a cluster of Dask's whose scheduler is here and whose workers run on the hosts of ours, over their connections."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import distributed
from distributed.core import Status
from distributed.deploy.spec import SpecCluster

from .._cluster.cluster import Cluster
from .._environments import Environment, folders
from .._native import Router
from .backend import forget, hubs_here, register
from .comm import GONE, MASTER, MOST, MOST_NUMBER, PATIENCE, Hub
from .direct import Addresses, Unreachable
from .versions import check_versions
from .worker import HostWorker

logger = logging.getLogger(__name__)


class EasyCluster(SpecCluster):  # type: ignore[misc]
    """A cluster of Dask's on hosts that are reached by SSH alone: no other port is used, and none is opened.

        with EasyCluster(['alice@one', 'alice@two'], workers=2) as cluster, distributed.Client(cluster) as client:
            ...

    The scheduler runs in this process. What workers send each other goes through here as well, in and out once.
    `scale`, `adapt`, `dashboard_link` and the rest are Dask's.
    """

    def __init__(
        self,
        hosts: Cluster | str | Iterable[str],
        workers: int = 1,
        threads: int | None = None,
        environment: Environment | None = None,
        traffic: str = 'session',
        dashboard: bool = True,
        asynchronous: bool = False,
        name: str | None = None,
        **worker_options: Any,
    ) -> None:
        """hosts: a Cluster, which stays open when this is closed, or what a Cluster is made of. workers: how many to begin with on
        each host. threads: how many each has; all processors of the host, shared by its workers, if it is not said.
        environment: packages for the workers, where the hosts lack them. traffic: 'session', over the SSH connections alone; 'direct',
        where workers listen for TLS with keys made for this run, which only they have; 'auto', direct if all machines reach each
        other. dashboard: whether Dask's pages are served, on the loopback of this machine. worker_options: keywords of
        distributed.Worker.

        Raises RuntimeError if a host has another version of Python, dask or distributed, if a worker does not start, or for 'direct' if
        a machine does not reach another.
        """
        self.hosts = hosts if isinstance(hosts, Cluster) else Cluster(hosts)
        self._owns_hosts = self.hosts is not hosts
        self._router = Router(MOST, GONE, PATIENCE)
        self._hub: Hub | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        # Round and round: those of workers that have ended are free again.
        self._numbers: Iterator[int] = itertools.cycle(range(1, MOST_NUMBER + 1))
        self._taken: set[int] = set()
        self._placing = threading.Lock()
        self._placed: dict[str, int] = {}
        self._left_out: set[str] = set()
        self._environment = environment
        self._folders: dict[str, str] = {}
        self._sending = threading.Lock()
        try:
            check_versions(self.hosts, environment)
            protocol, host = 'ec', str(MASTER)
            self._security = distributed.Security()
            self._addresses = self._found(traffic)
            if self._addresses is not None:
                protocol, host = 'tls', self._addresses.here
            if environment is not None:
                self._folders = folders(environment, self.hosts._connected())
            options = dict(worker_options, nthreads=threads)
            options.setdefault('silence_logs', 30)
            worker = {'cls': HostWorker, 'options': {'easycluster': self, 'share': workers, 'worker_options': options}}
            scheduler = {
                'cls': distributed.Scheduler,
                'options': {
                    # Clients are in this process, and workers at the other ends of the router.
                    'protocol': ['inproc', protocol],
                    'host': [None, host],
                    # Not Dask's own port, which another program may have.
                    'port': [None, None if self._addresses is None else 0],
                    'dashboard': dashboard,
                    'dashboard_address': '127.0.0.1:0',
                    'security': self._security,
                },
            }
            count = workers * len(self.hosts._hosts_now())
            super().__init__(
                workers=dict.fromkeys(range(count), worker),
                scheduler=scheduler,
                worker=worker,
                asynchronous=asynchronous,
                name=name,
                silence_logs=30,
                security=self._security,
            )
            self._i = count
        except BaseException:
            try:
                self._give_up_start()
            finally:
                self._router.close()
                self._remove_folders()
                if self._owns_hosts:
                    self.hosts.close()
            raise

    def _found(self, traffic: str) -> Addresses | None:
        """The addresses by which workers are to reach each other, and the keys for it; None where all goes over our connections."""
        if traffic not in ('session', 'direct', 'auto'):
            raise ValueError("traffic is 'session', 'direct' or 'auto', not %r" % (traffic,))
        if traffic == 'session':
            return None
        try:
            try:
                keys = importlib.import_module('.keys', __package__)
            except ImportError:
                raise Unreachable(
                    'workers that reach each other directly need keys, and this Python has no package cryptography',
                    "Install it, or use traffic='session'",
                ) from None
            addresses = Addresses(self.hosts)
        except Unreachable as error:
            if traffic == 'direct':
                raise
            logger.info('traffic goes over the SSH connections: %s', error)
            return None
        self._security = keys.security_of_this_run()
        return addresses

    async def _start(self) -> None:
        self._starting = asyncio.current_task()
        try:
            if self._hub is None:
                end = socket.socket(fileno=self._router.attach_here(MASTER))
                self._hub = await Hub.over(end, MASTER)
                self._hub.peers = self._taken
                register(self._hub)
            await super()._start()
        finally:
            self._starting = None

    async def __aenter__(self) -> Any:
        try:
            return await super().__aenter__()
        except BaseException:
            # Dask's own closes nothing of a start that was cancelled.
            await self._close()
            raise

    def _give_up_start(self) -> None:
        """Ends what there is already of a cluster that did not come up. Dask's own start does so for no KeyboardInterrupt."""
        runner = getattr(self, '_loop_runner', None)
        if runner is not None and runner.is_started() and not self.called_from_running_loop:
            self.close()

    def close(self, timeout: float | None = None) -> Any:
        """Ends the workers and the scheduler. Where that is interrupted it goes on by itself, and may be asked for again."""
        try:
            return super().close(timeout)
        except BaseException:
            if self.loop is not None:
                self.loop.add_callback(self._close_and_stop)
            raise

    async def _close_and_stop(self) -> None:
        with contextlib.suppress(Exception):
            await self._close()
        # It waits for the thread that this runs in.
        threading.Thread(target=self._loop_runner.stop, daemon=True).start()

    async def _close(self) -> None:
        # Once, whoever asks and is interrupted meanwhile: Dask's own would wait for ever for one that was given up halfway.
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            if self.status in (Status.created, Status.starting):
                await self._cancel_start()
            # Dask knows a worker only when all that were started with it are up, and waits for that.
            starting = [worker for worker in self._created if worker.status == Status.created]
            await asyncio.gather(*(worker.close() for worker in starting))
            await super()._close()
        finally:
            if self._hub is not None:
                forget(self._hub)
                self._hub.close()
                self._hub = None
            self._router.close()
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._remove_folders)
            finally:
                if self._owns_hosts:
                    await asyncio.get_running_loop().run_in_executor(None, self.hosts.close)

    async def _cancel_start(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self.status == Status.starting:
            # As Dask's own leaves it where it was cancelled; of such it closes nothing.
            self.status = Status.failed

    def _correct_state(self) -> Any:
        task = super()._correct_state()
        task.add_done_callback(self._corrected)
        return task

    def _corrected(self, task: asyncio.Task[None]) -> None:
        if self._ending is not None:
            # Nobody asks any more how the start of the workers went.
            if not task.cancelled():
                task.exception()
            return
        for worker in [each for each in self.workers.values() if each.status == Status.failed]:
            # Else Dask counts it as one for ever.
            self._give_up(worker)

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not by SpecCluster's, which gives up a worker that is not back within 15 seconds: that may be the pause before its next start.
        super(SpecCluster, self)._update_worker_status(op, msg)

    def _give_up(self, worker: HostWorker) -> None:
        """One that does not start, or that no host is left for; the next scale(), or adapt(), starts another."""
        if self.workers.get(worker.name) is worker:
            del self.workers[worker.name]
            self.worker_spec.pop(worker.name, None)

    @property
    def dashboard_link(self) -> str:
        """Where Dask's pages are, on this machine."""
        port = self.scheduler_info.get('services', {}).get('dashboard')
        return '' if port is None else 'http://127.0.0.1:%d/status' % port

    # -- environments

    def _variables(self, host: Any) -> dict[str, str]:
        """What is added to the environment of a worker's process. Blocks."""
        with self._sending:
            folder = self._folders.get(host.name)
            if folder is None and self._environment is not None:
                # It joined later.
                folder = self._folders[host.name] = self._environment.send_to(host.name, host.client)
        return {} if folder is None else {'PYTHONPATH': folder}

    def _remove_folders(self) -> None:
        for name, client in self.hosts._connected():
            folder = self._folders.pop(name, None)
            if folder is not None and self._environment is not None:
                with contextlib.suppress(Exception):
                    # The other side does so too, at the end of the connection.
                    self._environment.remove_from(client, folder)

    # -- places

    def _place(self) -> Any:
        """A host for one more worker: of those that are connected, one with the fewest."""
        with self._placing:
            hosts = [host for host in self.hosts._hosts_now() if host.name not in self._left_out]
            if not hosts:
                raise RuntimeError('no host of the cluster is left for a worker of Dask')
            host = min(hosts, key=lambda each: self._placed.get(each.name, 0))
            self._placed[host.name] = self._placed.get(host.name, 0) + 1
            return host

    def _leave_out(self, host: Any) -> None:
        """No worker is started there any more."""
        with self._placing:
            self._left_out.add(host.name)

    def _take_number(self) -> int:
        """A number for the stream of one more process, which no cluster of this event loop has."""
        taken = [self._taken, *(hub.peers for hub in hubs_here())]
        with self._placing:
            number = next(number for number in self._numbers if not any(number in each for each in taken))
            self._taken.add(number)
            return number

    def _leave(self, host: Any, number: int) -> None:
        """Gives back what a process had."""
        with self._placing:
            self._placed[host.name] -= 1
            self._taken.discard(number)


class Client(distributed.Client):  # type: ignore[misc]
    """A client of Dask's that closes its cluster when it is closed."""

    def __init__(self, cluster: EasyCluster) -> None:
        """The cluster is closed if this fails."""
        try:
            super().__init__(cluster)
        except BaseException:
            try:
                self._leave_loop()
            finally:
                cluster._give_up_start()
            raise

    def _leave_loop(self) -> None:
        """Else the loop of the cluster goes on for it."""
        runner = getattr(self, '_loop_runner', None)
        if runner is not None:
            runner.stop()

    async def _close_cluster(self, closing: Any, cluster: EasyCluster | None) -> None:
        try:
            await closing
        finally:
            if cluster is not None:
                await cluster.close()

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Closes the client, and the workers and the scheduler behind it. The hosts stay connected."""
        cluster = self.cluster
        if self.asynchronous:
            return self._close_cluster(super().close(*args, **kwargs), cluster)
        try:
            super().close(*args, **kwargs)
        except BaseException:
            self._leave_loop()
            raise
        finally:
            if cluster is not None:
                cluster.close()
        return None

    async def __aenter__(self) -> Any:
        try:
            return await super().__aenter__()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(self, *raised: Any) -> None:
        # Dask's own does not come by close().
        await self._close_cluster(super().__aexit__(*raised), self.cluster)
