"""Executor: concurrent.futures on the hosts of a cluster."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

import easycluster
import pytest
from easycluster import Cluster, HostLost
from support.processes import poll


def square(n):
    return n * n


def divide(a, b):
    return a / b


@pytest.fixture
def cluster():
    with Cluster([":local:rpython=%s:name=host%d" % (sys.executable, n) for n in range(2)], output=None) as made:
        yield made


def until(condition, patience=60):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_futures_give_values_and_exceptions(cluster):
    with cluster.executor() as executor:
        assert isinstance(executor, futures.Executor)
        assert executor.submit(pow, 2, 5).result() == 32
        assert executor.submit(square, n=4).result() == 16
        assert executor.submit("os.path.basename", "/a/b").result() == "b"
        failed = executor.submit(divide, 1, 0)
        assert isinstance(failed.exception(), ZeroDivisionError)
        assert "in divide" in str(failed.exception().__cause__)
        many = [executor.submit(square, n) for n in range(200)]
        assert {future.result() for future in futures.as_completed(many, timeout=60)} == {n * n for n in range(200)}


def made(x):
    import statistics

    return statistics.NormalDist(x, 1)


def test_results_of_any_type_where_hosts_are_trusted(cluster):
    with cluster.executor() as executor:
        with pytest.raises(Exception, match='NormalDist'):
            executor.submit(made, 2).result(60)
    with cluster.executor(trust=True) as executor:
        assert executor.submit(made, 2).result(60) == made(2)
        assert list(executor.map(made, range(10), chunksize=3)) == [made(x) for x in range(10)]
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(60)
        with pytest.raises(Exception, match='pickle'):
            executor.submit(eval, '(n for n in [1])').result(60)


OF_THE_PROGRAM = """
import sys
import easycluster

class Mine(Exception):
    def __init__(self, name, number):
        super().__init__('%s has %d' % (name, number))
        self.name = name

class Value:
    def __init__(self, number):
        self.number = number

def made(number):
    if number == 2:
        try:
            raise KeyError(Value(number))
        except KeyError as error:
            raise Mine('web', number) from error
    return Value(number)

with easycluster.Cluster([':local:rpython=' + sys.executable]) as cluster:
    with cluster.executor(trust=True) as executor:
        assert executor.submit(made, 1).result(60).number == 1
        failed = executor.submit(made, 2).exception(60)
        assert type(failed) is Mine and failed.args == ('web has 2',) and failed.name == 'web', repr(failed)
        assert type(failed.__cause__) is KeyError and failed.__cause__.args[0].number == 2
        results = executor.map(made, range(3), chunksize=3)
        assert [next(results).number for _ in range(2)] == [0, 1]
        try:
            next(results)
        except Mine as error:
            assert error.args == ('web has 2',)
        try:
            executor.submit('Mine').result(60)
        except AttributeError:
            pass
    with cluster.executor() as executor:
        failed = executor.submit(made, 2).exception(60)
        assert type(failed) is RuntimeError and '__main__.Mine: web has 2' in str(failed)
with easycluster.Cluster([':local:rpython=' + sys.executable], allow=[Mine]) as cluster:
    with cluster.executor() as executor:
        assert type(executor.submit(made, 2).exception(60)) is Mine
"""


def test_classes_of_the_program_itself_come_back_from_hosts_that_are_trusted(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(OF_THE_PROGRAM)
    subprocess.run([sys.executable, program], check=True, timeout=120)


def test_map_is_that_of_the_standard_library(cluster):
    with cluster.executor() as executor:
        assert list(executor.map(pow, range(10), range(10))) == list(map(pow, range(10), range(10)))
        assert list(executor.map(pow, range(40), range(40), chunksize=6)) == list(map(pow, range(40), range(40)))
        results = executor.map(divmod, [1, 1, 1], [2, 0, 1])
        assert next(results) == (0, 1)
        with pytest.raises(ZeroDivisionError):
            next(results)
        with pytest.raises(ValueError):
            executor.map(square, [1], chunksize=0)
        with pytest.raises(TimeoutError):
            list(executor.map(time.sleep, [0, 600], timeout=0.5))
        for future in list(itertools.chain.from_iterable(place.works for place in executor._places)):
            future.future.interrupt()


def test_a_buffer_makes_map_lazy(cluster):
    with cluster.executor() as executor:
        results = executor.map(square, itertools.count(), buffersize=4)
        assert [next(results) for _ in range(20)] == [n * n for n in range(20)]
        executor.shutdown(wait=False)
        # What was submitted before comes, and then the reason why there is no more.
        rest = []
        with pytest.raises(RuntimeError, match="shutdown"):
            for value in results:
                rest.append(value)
        assert rest and rest == [n * n for n in range(20, 20 + len(rest))]


def test_what_is_just_being_sent_is_interrupted():
    with Cluster([":local:rpython=%s:name=one" % sys.executable], output=None) as cluster:
        (slot,) = cluster._slots_now(None)
        sending, go_on = threading.Event(), threading.Event()

        def slow(name, *args):
            sending.set()
            assert go_on.wait(60)
            return type(slot).ask(slot, name, *args)

        with cluster.executor() as executor:
            slot.ask = slow
            future = executor.submit("time.sleep", 600)
            try:
                assert sending.wait(60)
                assert future.interrupt()
            finally:
                go_on.set()
            with pytest.raises(easycluster.CallCancelled):
                future.result(60)


def test_cancel_is_for_what_waits_and_interrupt_for_what_runs(cluster):
    with cluster.executor(max_workers=1) as executor:
        running = executor.submit("time.sleep", 600)
        behind = [executor.submit("abs", -n) for n in range(5)]
        until(running.running)
        assert not running.cancel()
        assert behind[-1].cancel() and behind[-1].cancelled()
        assert running.interrupt()
        with pytest.raises(easycluster.CallCancelled):
            running.result(60)
        assert behind[0].result(60) == 0
        assert not behind[0].interrupt()


def test_shutdown_takes_no_more(cluster):
    executor = cluster.executor()
    last = executor.submit(square, 3)
    executor.shutdown()
    assert last.done() and last.result() == 9
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(square, 1)
    # The cluster serves on.
    assert cluster.call("abs", -1)["host0"] == 1


def test_shutdown_can_cancel_what_waits(cluster):
    executor = cluster.executor()
    many = [executor.submit("time.sleep", 0.05) for _ in range(50)]
    # They are sent by another thread than this one.
    assert poll(many[0].running) or many[0].done()
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in many)
    assert any(future.cancelled() for future in many) and not all(future.cancelled() for future in many)


def test_a_lost_host_fails_its_own_futures_only(cluster):
    with cluster.executor() as executor:
        lost = executor.submit("os._exit", 3)
        with pytest.raises(HostLost):
            lost.result(60)
        assert executor.submit(square, 3).result(60) == 9
        with pytest.raises(HostLost):
            executor.submit("os._exit", 3).result(60)
        with pytest.raises(futures.BrokenExecutor):
            executor.submit(square, 3)


def test_calls_of_a_lost_host_are_made_again_where_that_is_allowed(cluster):
    cluster.define("import os, time\ndef slow(n):\n    time.sleep(0.3)\n    return n\n")
    pid = cluster.clients["host0"].os.getpid()
    with cluster.executor(retries=1) as executor:
        many = [executor.submit("slow", n) for n in range(6)]

        until(many[1].running)
        os.kill(pid, signal.SIGKILL)
        assert [future.result(60) for future in many] == list(range(6))


def test_the_initializer_runs_in_each_process_first(cluster):
    def prepare(value):
        import builtins

        builtins.prepared = value

    with cluster.executor(initializer=prepare, initargs=(5,)) as executor:
        assert set(executor.map("eval", ["prepared"] * 20)) == {5}
    with cluster.executor(initializer="os.nothing") as executor:
        with pytest.raises(futures.BrokenExecutor, match="initializer"):
            for _ in range(1000):
                executor.submit(square, 1).result(60)


def test_asyncio_takes_it(cluster):
    async def main():
        loop = asyncio.get_running_loop()
        with cluster.executor() as executor:
            values = await asyncio.gather(*[loop.run_in_executor(executor, square, n) for n in range(10)])
            return values, await asyncio.wrap_future(executor.submit(square, 11))

    assert asyncio.run(main()) == ([n * n for n in range(10)], 121)


def test_arguments_that_cannot_travel_fail_their_future(cluster):
    with cluster.executor() as executor:
        assert isinstance(executor.submit("abs", threading.Lock()).exception(60), TypeError)
        with pytest.raises(TypeError):
            executor.submit(5)


def test_callbacks_may_submit_more(cluster):
    done = threading.Event()
    with cluster.executor() as executor:

        def more(future):
            if future.result() < 10:
                executor.submit("abs", future.result() + 1).add_done_callback(more)
            else:
                done.set()

        executor.submit("abs", 0).add_done_callback(more)
        assert done.wait(60)


def test_a_program_that_closes_nothing_ends():
    """Also with calls that run and wait; what runs there ends with it."""
    program = """
import os, easycluster
cluster = easycluster.Cluster([':local:name=host'], output=None)
executor = cluster.executor()
running = executor.submit('time.sleep', 600)
waiting = [executor.submit('abs', n) for n in range(9)]
while not running.running():
    pass
print(cluster.clients['host'].server_info['pid'], flush=True)
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, '')
    until(lambda: not os.path.exists('/proc/%d' % int(done.stdout)))
