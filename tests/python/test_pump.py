"""The thread that reads for a cluster, and those beside it: what is raised in one, or a fork, leaves nobody waiting."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings

import pytest
from easycluster import AsyncCluster, Cluster, ThreadedClient
from support.interrupted import all_the_steps
from support.processes import poll

EARLY = ":local:name=early:rpython=" + sys.executable


@pytest.fixture
def told(monkeypatch):
    """What is told to the hook of threads."""
    exceptions = []
    monkeypatch.setattr(threading, "excepthook", lambda args: exceptions.append(args.exc_value))
    return exceptions


@pytest.fixture
def late(tmp_path):
    """A host that comes when `come` is there, and has one process."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'while [ ! -e "%s/come" ]; do sleep 0.05; done\n'
        'mkdir "%s/once" || exit 1\n'
        'exec %s "$@"\n' % (tmp_path, tmp_path, sys.executable)
    )
    python.chmod(0o755)
    return ":local:name=late:rpython=%s" % python


def answers(cluster):
    """Whether the cluster's thread still reads."""
    return cluster.executor().submit("abs", -3).result(timeout=10) == 3


def test_warnings_that_are_errors_end_no_thread_of_a_cluster(late, tmp_path, told):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Cluster([EARLY, late], quorum="any", deadline=0.5, slots=2) as cluster:
            (tmp_path / "come").touch()
            assert poll(lambda: told)
            assert answers(cluster)
            assert [type(each) for each in told] == [UserWarning]


def test_warnings_that_are_errors_are_told_to_a_loop_once(late, tmp_path):
    async def main():
        reported = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        async with AsyncCluster([EARLY, late], quorum="any", deadline=0.5, slots=2) as cluster:
            (tmp_path / "come").touch()
            while not reported:
                await asyncio.sleep(0.01)
            for _ in range(3):
                assert (await cluster.call("abs", -3))["early"] == 3
            assert [type(each) for each in reported] == [UserWarning]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(asyncio.wait_for(main(), 60))


def leave(value):
    raise SystemExit


@pytest.mark.parametrize("way", ["future", "client"])
def test_a_completion_function_that_ends_its_thread_leaves_that_of_a_cluster(told, way):
    with Cluster([EARLY]) as cluster:
        if way == "future":
            cluster.executor().submit("abs", -1).add_done_callback(leave)
        else:
            cluster.clients["early"].eval("1", oncomplete=leave)
        assert poll(lambda: told)
        assert answers(cluster) and [type(each) for each in told] == [SystemExit]


def test_a_completion_function_that_ends_its_thread_leaves_that_of_a_client(connect, told):
    client = connect(clientclass=ThreadedClient)
    client.execblock("import threading\ngate = threading.Event()\n")
    came = []
    for function in (leave, came.append):
        client.call("gate.wait", oncomplete=function)
    client.call("gate.set", threadid=0)
    assert poll(lambda: came == [True]), told


def test_a_report_that_ends_its_thread_leaves_the_others(connect, told):
    source = "import easycluster\ndef work():\n    for _ in easycluster.progress(range(2)):\n        pass\n"
    came = []
    first, second = connect(), connect()
    for client, function in ((first, leave), (second, came.append)):
        client.execblock(source)
        client.show_progress(function)
    first.work()
    assert poll(lambda: told)
    second.work()
    assert poll(lambda: came and came[-1].finished), told


@pytest.mark.parametrize("of", ["none", "pump", "cluster", "slot", "executor"])
def test_a_forked_child_waits_for_nobody(of):
    """Also where another thread has a lock just then."""
    with Cluster([EARLY]) as cluster:
        executor = cluster.executor()
        assert executor.submit("abs", -3).result(timeout=30) == 3
        owner = {"pump": cluster._pump, "cluster": cluster, "slot": cluster._slots_now(None)[0], "executor": executor}
        held, released = threading.Event(), threading.Event()

        def hold():
            if of == "none":
                return
            with owner[of]._lock:
                held.set()
                released.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        assert of == "none" or held.wait(30)
        child = os.fork()
        if not child:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(10)
                for ask in (
                    lambda: executor.submit("abs", -3).result(),
                    lambda: executor.submit(len, "ab").result(),
                    lambda: cluster.call("abs", -3),
                    lambda: list(cluster.map(len, ["a"])),
                ):
                    try:
                        ask()
                    except Exception:
                        continue
                    os._exit(1)
                executor.shutdown()
                cluster.close()
                os._exit(0)
            finally:
                os._exit(2)
        released.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0
        assert answers(cluster) and cluster.call("abs", -3) == {"early": 3}


def test_a_thread_that_reads_begins_whichever_step_a_handler_raises_at():
    # An interruption between the two halves of `with`, where Python has none, would leave a lock taken.
    for interruption in all_the_steps(1, ("pump.py",), but=("call_soon",)):
        with Cluster([EARLY], clientclass=ThreadedClient) as cluster:
            executor = cluster.executor()
            with interruption:
                executor.submit("abs", -1)
            assert executor.submit("abs", -3).result(timeout=10) == 3, interruption.at
