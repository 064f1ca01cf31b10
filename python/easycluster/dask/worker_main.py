"""What a worker process runs: Dask's Worker over the descriptor that it was started with. Sent as text, behind comm.py and backend.py."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from typing import Any

import dask
import dask.system
from distributed import Worker

from .backend import register
from .comm import MASTER, Hub


def main(
    descriptor: int,
    number: int,
    name: Any,
    options: dict[str, Any],
    config: dict[str, Any],
    share: int,
    scheduler: str,
    address: str,
) -> None:
    """Runs the worker of that number until it is closed, or the stream to the router ends. It is one of `share` on its machine.
    `scheduler` and `address` are where the scheduler is and where this listens: its number on the stream, or a real address."""
    dask.config.update(dask.config.config, config, priority='new')
    # No pages of its own: its HTTP server stays on the loopback and serves none.
    dask.config.set({'distributed.worker.http.routes': []})
    if options.get('nthreads') is None:
        options = dict(options, nthreads=max(dask.system.CPU_COUNT // share, 1))
    if options.get('local_directory') is None and dask.config.get('temporary-directory', None) is None:
        # Dask's own choice would stay behind.
        options = dict(options, local_directory=os.environ['EASYCLUSTER_WORKER_FOLDER'])
    try:
        asyncio.run(_work(descriptor, number, scheduler, dict(options, name=name, host=address)))
    finally:
        _clear()


def _clear() -> None:
    """Whoever started this does so too, and may have been killed."""
    shutil.rmtree(os.environ['EASYCLUSTER_WORKER_FOLDER'], ignore_errors=True)


async def _work(descriptor: int, number: int, scheduler: str, options: dict[str, Any]) -> None:
    lost = asyncio.Event()
    hub = await Hub.over(socket.socket(fileno=descriptor), number, lost.set)
    register(hub)
    protocol = scheduler.partition('://')[0]
    # Dask passes keys to OpenSSL by files, for a moment, in a folder of its own: one that goes however this process ends.
    before, tempfile.tempdir = tempfile.tempdir, os.environ['EASYCLUSTER_WORKER_FOLDER']
    worker = Worker(scheduler, protocol=protocol, dashboard_address='127.0.0.1:0', **options)
    if protocol != 'ec':
        # So that the other side hears of this process.
        hub.open(MASTER)
    try:
        await worker
    except Exception as error:
        # Dask says `Worker failed to start`; whoever sees the last line of this process is to see why.
        raise RuntimeError(_reason(error)) from error
    tempfile.tempdir = before
    ended = asyncio.ensure_future(worker.finished())
    gone = asyncio.ensure_future(lost.wait())
    await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
    # Where the stream has ended nobody is there to be told of anything; tasks that still run are given up.
    hub.close()
    sys.stdout.flush()
    _clear()
    os._exit(0)


def _reason(error: BaseException) -> str:
    """What an exception and the causes of it say, in one line."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = ' '.join((str(cause) or type(cause).__name__).split()).rstrip('.')
        if text not in said:
            said.append(text)
        cause = cause.__cause__
    return ': '.join(said)
