"""Cluster: connecting to hosts of which some fail, calls on all, and maps over their processes."""

from __future__ import annotations

import gc
import itertools
import os
import socket
import sys
import threading
import time

import easycluster
import pytest
from easycluster import Cluster, ClusterError, HostLost
from support.interpreters import interpreters
from support.processes import poll

FACTOR = 7


def square(n):
    return n * n


def scaled(n):
    return n * FACTOR


def odd(n):
    if n % 2:
        raise ValueError("odd: %d" % n)
    return n


def local(count=3, **options):
    specs = [":local:rpython=%s:name=host%d" % (sys.executable, n) for n in range(count)]
    return Cluster(specs, **options)


def test_a_call_gives_each_hosts_value_in_order():
    with local() as cluster:
        assert list(cluster.call("abs", -3).items()) == [("host0", 3), ("host1", 3), ("host2", 3)]
        assert cluster.eval("1 + 1") == {"host0": 2, "host1": 2, "host2": 2}
        assert cluster.call(square, 4) == {"host0": 16, "host1": 16, "host2": 16}
        assert len({pid for _, pid in cluster.each("os.getpid")}) == 3
        assert list(cluster.clients) == ["host0", "host1", "host2"]
        assert cluster.clients["host1"].abs(-1) == 1
        assert list(cluster["host[12]"].call("abs", 1)) == ["host1", "host2"]
        cluster.barrier()


def test_failures_hide_no_values():
    with local() as cluster:
        cluster.clients["host1"].execblock("def number():\n    return 1")
        with pytest.raises(ClusterError) as caught:
            cluster.call("number")
        assert caught.value.results == {"host1": 1}
        assert set(caught.value.errors) == {"host0", "host2"}
        assert isinstance(caught.value.errors["host0"], AttributeError)
        assert "host0" in str(caught.value) and "2 of 3" in str(caught.value)
        if sys.version_info >= (3, 11):
            assert isinstance(caught.value, ExceptionGroup)  # noqa: F821
        values = cluster.call("number", return_exceptions=True)
        assert values["host1"] == 1 and isinstance(values["host2"], AttributeError)
        came = []
        with pytest.raises(ClusterError):
            for host, value in cluster.each("number"):
                came.append((host, value))
        assert came == [("host1", 1)]


def test_an_exception_as_a_value_is_no_failure():
    with local(1) as cluster:
        (value,) = cluster.call("ValueError", "a value").values()
        assert isinstance(value, ValueError)


def test_each_failure_to_connect_is_reported(sshd, closed_port):
    specs = [sshd.spec("name=good%d" % n) for n in range(3)]
    specs.append(sshd.spec("rpython=/nowhere/python", "name=pythonless"))
    specs.append(sshd.spec("name=refused").replace(":%d" % sshd.port, ":%d" % closed_port, 1))
    with pytest.raises(ClusterError) as caught:
        Cluster(specs, retries=0)
    assert set(caught.value.errors) == {"pythonless", "refused"}
    with Cluster(specs, quorum="60%", retries=1) as cluster:
        report = cluster.report
        assert report.connected == 3 and report.needed == 3
        attempts = {host.host: host.attempts for host in report}
        assert attempts["refused"] == 2 and attempts["pythonless"] == 1
        assert "refused" in str(report) and "hint:" in str(report)
        assert "<td>pythonless</td>" in report._repr_html_()
        assert list(cluster.call("abs", 1)) == ["good0", "good1", "good2"]


def test_a_host_given_twice_is_one():
    spec = ":local:name=same"
    with pytest.warns(UserWarning, match="same is given twice"):
        with Cluster([spec, spec]) as cluster:
            assert len(cluster) == 1
    with Cluster([spec, spec], allow_duplicates=True) as cluster:
        assert list(cluster.clients) == ["same", "same#2"]


@pytest.mark.parametrize("wrong", ["most", "120%", 1.5, -1, True, None])
def test_a_wrong_quorum_is_refused(wrong):
    with pytest.raises(ValueError, match="quorum"):
        Cluster([":local"], quorum=wrong)


@pytest.mark.parametrize("hosts", [[], [":local:name=one", ":local:name=two"]])
def test_a_quorum_above_the_number_of_hosts_is_refused(hosts):
    with pytest.raises(ValueError, match="a quorum of 5 is more than the number of hosts, %d" % len(hosts)):
        Cluster(hosts, quorum=5)
    with pytest.warns(UserWarning, match="given twice"):
        with pytest.raises(ValueError, match="a quorum of 2 is more than the number of hosts, 1"):
            Cluster([":local:name=one"] * 2, quorum=2)


def test_a_host_that_comes_late_joins(sshd):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        late = sshd.spec("name=late", "hostkey=off").replace(":%d" % sshd.port, ":%d" % port, 1)
        with Cluster([sshd.spec("name=early"), late], quorum="any", deadline=1.5) as cluster:
            assert list(cluster.clients) == ["early"]
            assert "late: still connecting" in str(cluster.report)
            results = cluster.map(square, itertools.count())
            assert next(results) == 0
            passing = threading.Thread(target=pass_on, args=(listener, sshd.port))
            passing.start()
            end = time.monotonic() + 60
            while len(cluster) < 2 and time.monotonic() < end:
                assert next(results) >= 0
            assert list(cluster.clients) == ["early", "late"]
            results.close()
        passing.join()


@pytest.mark.parametrize("slots", [3, "cpus"])
def test_a_host_that_comes_late_has_as_many_processes(sshd, slots):
    wanted = 3 if slots == 3 else len(os.sched_getaffinity(0))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        late = sshd.spec("name=late", "hostkey=off").replace(":%d" % sshd.port, ":%d" % port, 1)
        early = ":local:rpython=%s:name=early" % sys.executable
        with Cluster([early, late], quorum="any", deadline=1.5, slots=slots) as cluster:
            passing = threading.Thread(target=pass_on, args=(listener, sshd.port))
            passing.start()
            assert poll(lambda: len(cluster._slots_now(None)) == len(cluster["early"]._slots_now(None)) + wanted)
            cluster["late"].define("import os\ndef process(n):\n    return os.getpid()")
            assert set(cluster["late"].map("process", range(200), batch=1)) == {
                slot.client.server_info["pid"] for slot in cluster["late"]._slots_now(None)
            }
        passing.join()


def pass_on(listener, port):
    """Passes on one connection."""
    accepted, _ = listener.accept()
    behind = socket.create_connection(("127.0.0.1", port))

    def copy(source, sink):
        while True:
            try:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
            except OSError:
                break
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    with accepted, behind:
        there = threading.Thread(target=copy, args=(accepted, behind), daemon=True)
        there.start()
        copy(behind, accepted)
        there.join()


# -- map


def test_a_map_gives_results_in_order_from_every_python():
    specs = [":local:rpython=%s:name=%s" % (each.path, each.path) for each in interpreters()]
    with Cluster(specs) as cluster:
        assert list(cluster.map(scaled, range(100))) == [n * 7 for n in range(100)]
        assert list(cluster.map(square, range(1000))) == [n * n for n in range(1000)]
        assert sorted(cluster.map(square, range(50), ordered=False)) == [(n, n * n) for n in range(50)]
        assert list(cluster.map("pow", [2, 3], [3, 2])) == [8, 9]


@pytest.mark.parametrize("outstanding", [1, 5])
def test_so_many_batches_are_at_a_process_at_once(outstanding):
    with local(1) as cluster:
        (slot,) = cluster._slots_now(None)
        there = []
        most = []
        plain = slot.ask

        def ask(name, args, done, failed, limit=None):
            if name == "batch":
                there.append(args[1])
                most.append(len(there))

                def arrived(value):
                    there.remove(args[1])
                    done(value)

                return plain(name, args, (arrived,), failed, limit)
            return plain(name, args, done, failed, limit)

        slot.ask = ask
        assert list(cluster.map(square, range(100), batch=2, outstanding=outstanding)) == [n * n for n in range(100)]
        assert max(most) == outstanding
        with pytest.raises(ValueError, match="outstanding"):
            cluster.map(square, [1], outstanding=0)
        for name, value in (('retries', -1), ('per_host', 0)):
            with pytest.raises(ValueError, match='%s is a number' % name):
                cluster.map(square, [1], **{name: value})
        with pytest.raises(TypeError, match='at least one iterable'):
            cluster.map(square)


def test_an_item_that_raises_is_raised_or_given():
    with local(2) as cluster:
        results = cluster.map(odd, range(10))
        assert next(results) == 0
        with pytest.raises(ValueError, match="odd: 1") as caught:
            next(results)
        assert "in odd" in str(caught.value.__cause__)
        values = list(cluster.map(odd, range(100), return_exceptions=True))
        assert [value for value in values if not isinstance(value, ValueError)] == list(range(0, 100, 2))


def test_what_cannot_travel_fails_alone():
    with local(2) as cluster:
        cluster.define("def thing(n):\n    import threading\n    return threading.Lock() if n == 3 else n\n")
        values = list(cluster.map("thing", range(20), return_exceptions=True, batch=10))
        assert [n for n, value in enumerate(values) if isinstance(value, Exception)] == [3]
        items = [1, threading.Lock(), 3]
        values = list(cluster.map("abs", items, return_exceptions=True, batch=3))
        assert values[0] == 1 and values[2] == 3 and isinstance(values[1], TypeError)


def test_functions_of_each_kind_travel():
    add = 5
    with local(2) as cluster:
        assert list(cluster.map(scaled, range(3))) == [0, 7, 14]
        assert list(cluster.map(lambda n: n + add, range(3))) == [5, 6, 7]
        assert list(cluster.map(os.path.basename, ["/a/b"])) == ["b"]
        assert list(cluster.map(len, ["abc"])) == [3]
        assert list(cluster.map("os.path.basename", ["/a/b"])) == ["b"]


def test_code_by_value_goes_to_the_same_python_only():
    others = [each for each in interpreters() if each.version[:2] != sys.version_info[:2]]
    for each in others:
        with Cluster([":local:rpython=%s:name=other" % each.path]) as cluster:
            with pytest.raises(TypeError, match="by value: .*needs the same"):
                list(cluster.map(lambda n: n, [1]))
            # It serves on.
            assert list(cluster.map(square, [2])) == [4]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_lost_host_costs_its_own_items_only(retries):
    with local(4, output=None) as cluster:
        cluster.define(
            "import os, time\ndef deadly(n):\n    if n == 7:\n        os._exit(3)\n    time.sleep(0.002)\n    return n\n"
        )
        results = list(cluster.map("deadly", range(500), retries=retries, batch=5, return_exceptions=True))
        failed = [n for n, value in enumerate(results) if isinstance(value, HostLost)]
        assert [value for value in results if not isinstance(value, HostLost)] == [
            n for n in range(500) if n not in failed
        ]
        assert 7 in failed and len(failed) <= 10
        assert {len(results[n].hosts) for n in failed} == {retries + 1}
        end = time.monotonic() + 60
        while len(cluster.lost) <= retries and time.monotonic() < end:
            time.sleep(0.01)
        assert len(cluster.lost) == retries + 1


def test_without_hosts_every_item_ends():
    with local(2, output=None) as cluster:
        values = list(itertools.islice(cluster.map("os._exit", itertools.repeat(1), return_exceptions=True), 30))
        assert all(isinstance(value, HostLost) for value in values)


def test_an_item_has_a_limit_of_its_own():
    with local(2, output=None) as cluster:
        cluster.define("import time\ndef slow(n):\n    time.sleep(600 if n == 2 else 0)\n    return n\n")
        values = list(cluster.map("slow", range(10), timeout=0.7, return_exceptions=True))
        assert isinstance(values[2], easycluster.CallTimeout) and "in slow" in "".join(values[2].stack)
        assert [value for n, value in enumerate(values) if n != 2] == [n for n in range(10) if n != 2]
        with pytest.raises(TimeoutError, match="not done within"):
            list(cluster.map("time.sleep", [600], deadline=0.5))


def test_input_is_taken_as_it_is_needed():
    taken = []

    def endless():
        for n in itertools.count():
            taken.append(n)
            yield n

    with local(2) as cluster:
        results = cluster.map(square, endless(), batch=3, ordered=False)
        for _ in range(10):
            place, value = next(results)
            assert value == place * place
        results.close()
        # What was asked for, what two hosts may have on their way, and a little to know where the end is.
        assert len(taken) <= 10 + 3 + 2 * 2 * 3 + 2 * 3 * 2


def test_leaving_a_map_gives_up_what_is_on_its_way():
    with local(2, output=None) as cluster:
        results = cluster.map("time.sleep", itertools.chain([0], itertools.repeat(600)), batch=1)
        next(results)
        results.close()
        assert cluster.call("abs", -1, call_timeout=60) == {"host0": 1, "host1": 1}


def test_no_outcome_of_a_map_is_kept_there_behind_its_end():
    modules = "__import__('sys').modules['easycluster'].machine.wait.__globals__['load'].__self__.modules"
    with local(2, output=None) as cluster:
        for _ in range(2):
            assert list(cluster.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        left = cluster.map(abs, itertools.repeat(-1), batch=2)
        next(left)
        left.close()
        assert list(cluster.map(divmod, [1], [0], return_exceptions=True))
        kept = cluster.eval("len(%s['helpers/map_items'].kept)" % modules)
        assert kept == {"host0": 0, "host1": 0}


def test_several_processes_of_a_host_share_the_work():
    with Cluster([":local:rpython=%s:name=one" % sys.executable], slots=3) as cluster:
        cluster.define("import os, time\ndef pid(n):\n    time.sleep(0.01)\n    return os.getpid()\n")
        assert len(set(cluster.map("pid", range(60)))) == 3
        assert len(set(cluster.map("pid", range(20), per_host=1))) == 1
    with Cluster([":local:rpython=%s:name=one" % sys.executable], slots="cpus") as cluster:
        assert len(cluster._slots_now(None)) == len(os.sched_getaffinity(0))


def test_no_thread_is_left():
    before = set(threading.enumerate())
    with local(2) as cluster:
        list(cluster.map(square, range(10)))
    end = time.monotonic() + 60
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert "easycluster-cluster" not in left


def test_a_scattered_value_is_sent_once_and_forgotten():
    with local(2) as cluster:
        value = cluster.scatter(list(range(1000)))
        assert cluster.call("sum", value) == {"host0": 499500, "host1": 499500}
        assert list(cluster.map("max", itertools.repeat(value, 10))) == [999] * 10
        with cluster.executor() as executor:
            assert executor.submit("len", value).result(60) == 1000
        holding = "len(__import__('sys').modules['easycluster_values'].value.__globals__['values'])"
        assert set(cluster.eval(holding).values()) == {1}
        del value
        end = time.monotonic() + 60
        while set(cluster.eval(holding).values()) != {0} and time.monotonic() < end:
            gc.collect()
        assert set(cluster.eval(holding).values()) == {0}


def test_commands_run_on_every_host(sshd):
    with Cluster([sshd.spec("name=one"), sshd.spec("name=two")]) as cluster:
        results = cluster.command("echo $((6 * 7))")
        assert {host: result.stdout for host, result in results.items()} == {"one": "42\n", "two": "42\n"}
        with pytest.raises(ClusterError, match="2 of 2"):
            cluster.command("exit 3", check=True)


def test_ranges_and_lists_are_hosts_by_ssh(closed_port):
    for hosts in ("127.0.0.[1-2]:%d,:local" % closed_port, ["127.0.0.[1-2]:%d" % closed_port, ":local"]):
        with Cluster(hosts, quorum="any", retries=0) as cluster:
            names = ["127.0.0.1:%d" % closed_port, "127.0.0.2:%d" % closed_port, "local"]
            assert [host.host for host in cluster.report] == names
            assert list(cluster.clients) == ["local"]
            assert {host.error.stage for host in cluster.report.missing} == {"connect"}


def test_groups_of_an_inventory_are_parts(tmp_path):
    inventory = tmp_path / "hosts.ini"
    local = "ansible_connection=local ansible_python_interpreter=%s" % sys.executable
    inventory.write_text(
        "[web]\nweb[1:3] %s\n[db]\ndb1 %s\n[prod]\nweb1\nweb3\ndb1\n[all:children]\nweb\ndb\n" % (local, local)
    )
    with Cluster("web:&prod", inventory=inventory) as cluster:
        assert list(cluster.clients) == ["web1", "web3"]
    with Cluster("all", inventory=inventory, exclude="web2") as cluster:
        assert sorted(cluster.clients) == ["db1", "web1", "web3"]
        assert sorted(cluster.group("web").call("abs", -1)) == ["web1", "web3"]
        assert sorted(cluster.group("prod:!web1").clients) == ["db1", "web3"]
        assert sorted(cluster.group("prod:&web").group("~web[13]").clients) == ["web1", "web3"]
        with pytest.raises(ValueError, match="no host or group|has no"):
            cluster.group("nothing")


def test_a_part_takes_no_host_that_is_not_its_own():
    """Also not one that joins later."""
    with local(2) as cluster:
        part = cluster["host1"]
        executor = part.executor()
        late = easycluster._cluster.slots.Slot("host2", cluster.clients["host0"])
        for listener in list(cluster._listeners):
            listener(late)
        assert {place.slot.host for place in executor._places} == {"host1"}
        executor.shutdown()


def test_leaving_each_gives_up_what_has_not_come():
    with local(2, output=None) as cluster:
        cluster.clients["host0"].execblock("def wait():\n    pass")
        cluster.clients["host1"].execblock("import time\ndef wait():\n    time.sleep(600)")
        for host, _ in cluster.each("wait"):
            assert host == "host0"
            break
        assert cluster.call("abs", -1, call_timeout=60) == {"host0": 1, "host1": 1}
