"""What would wait for ever, because it holds up what it waits for: it is refused, and nothing hangs."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from easycluster import AsyncCluster, Cluster

SPECS = [":local:rpython=%s:name=here" % sys.executable]


@pytest.fixture
def cluster():
    with Cluster(SPECS, output=None) as made:
        yield made


@pytest.fixture
def executor(cluster):
    with cluster.executor() as made:
        yield made


WAITS = {
    "call": lambda cluster, executor: cluster.call("abs", -1),
    "each": lambda cluster, executor: list(cluster.each("abs", -1)),
    "command": lambda cluster, executor: cluster.command("true"),
    "map": lambda cluster, executor: list(cluster.map(abs, [-1])),
    "result": lambda cluster, executor: executor.submit(abs, -1).result(),
    "exception": lambda cluster, executor: executor.submit(abs, -1).exception(),
    "map of an executor": lambda cluster, executor: list(executor.map(abs, [-1])),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_completion_function_cannot_wait_for_its_cluster(cluster, executor, name):
    came, told = [], threading.Event()

    def done(future):
        try:
            came.append(WAITS[name](cluster, executor))
        except BaseException as error:
            came.append(error)
        told.set()

    held = executor.submit(hold)
    held.add_done_callback(done)
    assert held.result(timeout=60) == "held"
    assert told.wait(60), "it waits for itself"
    assert isinstance(came[0], RuntimeError) and "cannot wait" in str(came[0])
    # And all else goes on.
    assert executor.submit(abs, -2).result(timeout=60) == 2 and cluster.call("abs", -3) == {"here": 3}


def hold():
    import threading

    threading.Event().wait(0.2)
    return "held"


def test_a_completion_function_may_hand_in_more_and_look_at_what_is_done(cluster, executor):
    later = []

    def done(future):
        later.append((future.result(), executor.submit(abs, -5)))

    held = executor.submit(hold)
    held.add_done_callback(done)
    held.result(timeout=60)
    # Told before its functions are called.
    executor.submit(abs, -1).result(timeout=60)
    ((value, more),) = later
    assert value == "held" and more.result(timeout=60) == 5


def test_an_awaited_cluster_belongs_to_one_event_loop():
    made = []

    async def first():
        made.append(await AsyncCluster(SPECS, output=None))
        return await made[0].call("abs", -1)

    async def second():
        for ask in (
            lambda: made[0].call("abs", -2),
            lambda: made[0]["here"].eval("1"),
            lambda: first_of(made[0].map(abs, [-1])),
        ):
            with pytest.raises(RuntimeError, match="belongs to the event loop that opened it"):
                await asyncio.wait_for(ask(), 60)
        made[0].close()

    async def first_of(values):
        async for value in values:
            return value

    assert asyncio.run(first()) == {"here": 1}
    asyncio.run(second())
