"""HostWorker: one worker of Dask's on a host, started there and kept running from here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dask
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from .._checked import parts
from .._cluster.slots import original
from .._errors import ConnectionLost
from .._kinds import SINGLE
from .._native import printable
from .._responses import RemoteException
from .direct import Unreachable

if TYPE_CHECKING:
    from .cluster import EasyCluster

logger = logging.getLogger(__name__)
# How long a worker that was told to end may take, in seconds.
_PATIENCE = 5.0
# How often is looked whether the scheduler has a worker.
_LOOK = 0.02
# Seconds between two starts of a worker that has ended by itself: doubled each time up to the second, and forgotten after the third.
_FIRST, _LONGEST, _FORGET = 0.5, 30.0, 60.0
_SOURCES = Path(__file__).parent


def program(**arguments: Any) -> bytes:
    """The text that a worker process runs."""
    texts = [(name, (_SOURCES / (name + '.py')).read_text('utf-8')) for name in ('comm', 'backend', 'worker_main')]
    return (
        'import pickle, sys, types\n'
        "package = sys.modules['easycluster_dask'] = types.ModuleType('easycluster_dask')\n"
        'package.__path__ = []\n'
        'for name, text in %r:\n'
        "    module = sys.modules['easycluster_dask.' + name] = types.ModuleType('easycluster_dask.' + name)\n"
        "    module.__package__ = 'easycluster_dask'\n"
        "    exec(compile(text, '<easycluster>/dask/' + name + '.py', 'exec'), module.__dict__)\n"
        'module.main(descriptor, **pickle.loads(%r))\n' % (texts, pickle.dumps(arguments, 4))
    ).encode()


def _ended(status: int) -> str:
    """What a process has done that ended with that status."""
    if status == -signal.SIGKILL:
        return 'was ended by SIGKILL, as where memory runs out'
    return 'ended with status %d' % status


class HostWorker(ProcessInterface):  # type: ignore[misc]
    """What Dask's cluster holds of one worker."""

    def __init__(
        self,
        scheduler: Any = None,
        name: Any = None,
        *,
        easycluster: EasyCluster,
        share: int,
        worker_options: dict[str, Any],
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.name = name
        self.restarts = 0
        self._owner = easycluster
        self._share = share
        self._options = worker_options
        self._running: asyncio.Task[None] | None = None
        # Of the process, while there is one.
        self._number: int | None = None

    async def start(self) -> None:
        """Starts the worker, and returns when the scheduler has it."""
        up = asyncio.get_running_loop().create_future()
        self._running = asyncio.ensure_future(self._keep_running(up))
        try:
            while not up.done() and not self._running.done() and not self._is_known():
                await asyncio.wait([up, self._running], timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                up.result()
            elif self._running.done():
                # It has failed by itself, as where options cannot be pickled, or was closed meanwhile.
                self._running.result()
                raise RuntimeError('the worker %s was closed before it began' % self.name)
            else:
                up.set_result(None)
        except BaseException:
            if self.status == Status.created:
                self.status = Status.failed
            else:
                # It is being closed, and nobody may ask for this any more.
                cast(Any, asyncio.current_task()).add_done_callback(lambda task: task.cancelled() or task.exception())
            self._stop()
            raise
        await super().start()

    def _is_known(self) -> bool:
        scheduler = cast(Any, self._owner.scheduler)
        return any(worker.name == self.name for worker in scheduler.workers.values())

    async def close(self) -> None:
        """Ends the worker, which the scheduler has asked to close before."""
        self.status = Status.closing
        if self._running is not None and not self._running.done():
            self._stop()
            await asyncio.wait([self._running], timeout=3 * _PATIENCE)
            self._running.cancel()
        await super().close()

    def _stop(self) -> None:
        """Ends the process, or the pause before its next start."""
        if self._number is not None:
            self._owner._router.detach(self._number)
        elif self._running is not None:
            self._running.cancel()

    async def _keep_running(self, up: asyncio.Future[None]) -> None:
        """Runs the worker, and again where it ends by itself, as Dask's own nannies do. Ends with its host."""
        pause = _FIRST
        loop = asyncio.get_running_loop()
        outcome: Exception | None = None
        while True:
            begun = loop.time()
            try:
                host = self._owner._place()
            except RuntimeError as error:
                self._told(up, error if outcome is None else RuntimeError('%s: %s' % (error, outcome)))
                break
            number = self._number = self._owner._take_number()
            try:
                outcome = await self._run(host, number)
            except Unreachable as error:
                # Of hosts that join later; others are fit for it.
                self._owner._leave_out(host)
                logger.warning('no worker runs on %s: %s', host.name, error)
                continue
            finally:
                self._owner._leave(host, number)
                self._number = None
            if self.status not in (Status.created, Status.running):
                break
            if not up.done() and not isinstance(outcome, ConnectionLost):
                # It would fail again. Of a host that is lost there are others.
                up.set_exception(outcome)
                break
            logger.warning('%s; it is started again' % outcome)
            if loop.time() - begun > _FORGET:
                pause = _FIRST
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)
            self.restarts += 1

    def _told(self, up: asyncio.Future[None], error: Exception) -> None:
        if up.done():
            logger.warning('%s' % error)
            self._owner._give_up(self)
        else:
            up.set_exception(error)

    def _not_started(self, host: Any, error: Exception) -> Exception:
        if isinstance(error, ConnectionLost):
            # It names the host, and is none of the worker's.
            return error
        if host.client is None:
            return ConnectionLost('%s: the connection was lost' % host.name)
        told = RuntimeError('%s: the worker %s does not run: %s' % (host.name, self.name, printable(str(error))))
        told.__cause__ = error
        return told

    async def _run(self, host: Any, number: int) -> Exception:
        """One process, from its start to its end; how it ended. Raises Unreachable if other machines do not reach the host."""
        loop = asyncio.get_running_loop()
        cluster = self._owner
        ended: asyncio.Future[Exception] = loop.create_future()

        def tell(future: asyncio.Future[Any], value: Any) -> None:
            def settle() -> None:
                if not future.done():
                    future.set_result(value)

            with contextlib.suppress(RuntimeError):
                # The loop is closed, and nobody wants to know.
                loop.call_soon_threadsafe(settle)

        def done(outcome: Any) -> None:
            try:
                status, said = parts(host.name, outcome, (int,), (str,))
            except Exception as error:
                tell(ended, error)
                return
            last = said.strip().splitlines()[-1:]
            why = ': ' + printable(last[0]) if last else ''
            tell(ended, RuntimeError('%s: the worker %s %s%s' % (host.name, self.name, _ended(status), why)))

        def failed(exc: RemoteException) -> None:
            tell(ended, self._not_started(host, original(exc)))

        address = str(number)
        try:
            if cluster._addresses is not None:
                address = await loop.run_in_executor(None, cluster._addresses.of, host)
            variables = await loop.run_in_executor(None, cluster._variables, host)
        except Unreachable:
            raise
        except Exception as error:
            return self._not_started(host, error)
        if self.status not in (Status.created, Status.running):
            return RuntimeError('%s: the worker %s was closed before it began' % (host.name, self.name))
        text = program(
            number=number,
            name=self.name,
            options=dict(self._options, security=cluster.security),
            config=dask.config.global_config,
            share=self._share,
            # The first is for clients in this process.
            scheduler=cast(Any, cluster.scheduler).listeners[-1].contact_address,
            address=address,
        )
        client = host.client
        try:
            client._connected_native().send_helper('workers')
            channel = client.channel(raw=True)
            client.raw_call(
                'helpers/workers.run',
                (channel, text, variables, _PATIENCE),
                oncomplete=done,
                onerror=failed,
                threadid=SINGLE,
            )
            cluster._router.attach(number, channel._native)
        except Exception as error:
            return self._not_started(host, error)
        try:
            return await ended
        finally:
            cluster._router.detach(number)
