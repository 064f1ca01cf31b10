"""Functions of this program that remote code calls, where one is cancelled, ends its thread, or gets none: the others go on."""

from __future__ import annotations

import asyncio
import threading

import pytest
from easycluster import AsyncClient, _callbacks, callback
from support.processes import poll

SOURCE = """
def call(function, *args):
    return function(*args)
def many(function, items):
    return [function(item) for item in items]
"""
COUNT = 80


@pytest.fixture
def client(connect):
    made = connect()
    made.execblock(SOURCE)
    return made


def test_one_that_ends_its_thread_leaves_the_next_ones(client, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    got = []

    def note(item):
        if not item:
            raise SystemExit
        got.append(item)

    client.call("many", callback(note, wait=False), [0, 1, 0, 2])
    assert poll(lambda: got == [1, 2])


def end_threads():
    """Waits for the end of threads that have nothing to do."""
    for thread in threading.enumerate():
        if thread.name == "easycluster callback":
            thread.join(60)
            assert not thread.is_alive()


def test_one_that_gets_no_thread_is_refused_and_not_called_later(client, monkeypatch):
    start = threading.Thread.start
    called = []

    def refuse(thread):
        if thread.name.startswith("easycluster callback") and len(failed) < COUNT:
            failed.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(_callbacks, "_IDLE", 0.01)
    # A first one has the dispatcher begin; its thread goes when it has had nothing to do for a while.
    assert client.call("call", callback(int)) == 0
    failed = []
    end_threads()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for number in range(COUNT):
        with pytest.raises(RuntimeError, match="start new thread"):
            client.call("call", callback(called.append), number, origexc="quiet")
    assert client.call("call", callback(called.append), COUNT, call_timeout=60) is None
    assert called == [COUNT] and len(failed) == COUNT
    end_threads()
    # One for which nobody waits is not called; the next one is.
    note = callback(called.append, wait=False)
    failed[:] = range(COUNT - 1)
    client.call("call", note, "first")
    assert poll(lambda: len(failed) == COUNT)
    client.call("many", note, ["second", "third"])
    assert poll(lambda: called[1:] == ["second", "third"]), called


async def opened():
    client = await AsyncClient.open(":local:")
    await client.execblock(SOURCE)
    return client


@pytest.mark.parametrize("how", ["itself", "task"])
def test_what_nobody_waits_for_goes_on_where_one_is_cancelled(how):
    async def main():
        got = []
        done = asyncio.Event()

        async def note(item):
            if item == 1:
                if how == "task":
                    asyncio.current_task().cancel()
                    await asyncio.get_running_loop().create_future()
                raise asyncio.CancelledError
            got.append(item)
            if item == 3:
                done.set()

        async with await opened() as client:
            await client.call("many", callback(note, wait=False), range(4))
            await asyncio.wait_for(done.wait(), 30)
            assert got == [0, 2, 3]

    asyncio.run(main())


def cancelling(cancelled, most):
    """A maker of tasks that cancels the first so many of our own before they begin."""

    def make(loop, coroutine, **options):
        task = asyncio.Task(coroutine, loop=loop, **options)
        if coroutine.__name__ in ("_run_on_loop", "_note_on_loop") and len(cancelled) < most:
            cancelled.append(task.cancel())
        return task

    return make


def test_tasks_that_are_cancelled_before_they_begin_hold_up_nobody():
    async def main():
        cancelled, got = [], []
        async with await opened() as client:
            asyncio.get_running_loop().set_task_factory(cancelling(cancelled, COUNT))
            for _ in range(COUNT):
                with pytest.raises(BaseException, match="CancelledError"):
                    await asyncio.wait_for(client.call("call", callback(got.append), 0, origexc="quiet"), 30)
            await asyncio.wait_for(client.call("call", callback(got.append), 1), 30)
            assert len(cancelled) == COUNT and got == [1]

    asyncio.run(main())


def test_a_task_that_is_cancelled_before_it_begins_leaves_what_nobody_waits_for():
    async def main():
        cancelled, got = [], []
        done = asyncio.Event()

        def note(item):
            got.append(item)
            if item == 2:
                done.set()

        async with await opened() as client:
            asyncio.get_running_loop().set_task_factory(cancelling(cancelled, 1))
            await client.call("many", callback(note, wait=False), range(3))
            await asyncio.wait_for(done.wait(), 30)
            assert cancelled == [True] and got == [0, 1, 2]

    asyncio.run(main())
