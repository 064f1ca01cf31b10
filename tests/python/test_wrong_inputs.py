"""Wrong values in the place of right ones, and clusters that are closed or not open yet: one error, which says what is wrong."""

from __future__ import annotations

import asyncio
import functools
import math
import sys

import pytest
from easycluster import (
    AsyncClient,
    AsyncCluster,
    CallTimeout,
    Client,
    Cluster,
    ClusterError,
    connect_multi,
    define_common,
)
from support.processes import poll

SPECS = [":local:rpython=%s:name=%s" % (sys.executable, name) for name in ("one", "two")]


@pytest.fixture(scope="module")
def cluster():
    with Cluster(SPECS, output=None) as made:
        yield made


@pytest.fixture(scope="module")
def client():
    with Client.from_spec(SPECS[0], output=None) as made:
        yield made


def nap(seconds):
    import threading

    threading.Event().wait(seconds)


def leave(status):
    raise SystemExit(status)


USES = {
    "call": lambda it: it.call("abs", -1),
    "eval": lambda it: it.eval("1"),
    "command": lambda it: it.command("true"),
    "each": lambda it: list(it.each("abs", -1)),
    "map": lambda it: list(it.map(abs, [1])),
    "scatter": lambda it: it.scatter(1),
    "put": lambda it: it.put("nothing", "nowhere"),
    "executor": lambda it: it.executor(),
    "part": lambda it: it["one"].call("abs", -1),
}


@pytest.mark.parametrize("name", USES)
def test_a_closed_cluster_says_that_it_is_closed(name):
    with Cluster(SPECS[:1], output=None) as closed:
        pass
    with pytest.raises(OSError, match="^Not connected: the cluster is closed$"):
        USES[name](closed)


def test_a_cluster_that_was_not_awaited_does_not_answer_for_no_hosts():
    async def main():
        cluster = AsyncCluster(SPECS[:1], output=None)
        for ask in (
            lambda: cluster.call("abs", -1),
            lambda: cluster.command("true"),
            lambda: cluster["one"].eval("1"),
            lambda: anext_of(cluster.map(abs, [1])),
        ):
            with pytest.raises(OSError, match="connects by `async with cluster:` or `await cluster`"):
                await ask()
        async with cluster:
            assert await cluster.call("abs", -1) == {"one": 1}
        with pytest.raises(OSError, match="the cluster is closed"):
            await cluster.call("abs", -1)

    async def anext_of(values):
        async for value in values:
            return value

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [None, b"1", 3, nap])
def test_what_is_no_code(client, cluster, wrong):
    for ask in (client.eval, client.execblock, cluster.eval, cluster.execblock, cluster.define):
        with pytest.raises(TypeError, match=r"^\w+\(\) takes Python code as text, and not '%s'" % type(wrong).__name__):
            ask(wrong)

    async def main():
        async with AsyncClient.open(SPECS[0]) as awaited:
            for ask in (awaited.eval, awaited.execblock):
                with pytest.raises(TypeError, match="takes Python code as text"):
                    await ask(wrong)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"line": None}, "a command is a line for the shell, or a list of .* not 'NoneType'"),
        ({"line": 3}, "a command is a line for the shell, or a list of .* not 'int'"),
        ({"line": ["head", "-n", 1]}, "a word of the command is text, and not 'int': 1"),
        ({"line": "true", "env": {"JOBS": 4}}, "the variable JOBS is text, and not 'int': 4"),
        ({"line": "true", "env": ["JOBS=4"]}, "env is a dict of names and texts, and not 'list'"),
        ({"line": "true", "input": 4}, "input is text or bytes, and not 'int'"),
    ],
)
def test_what_is_no_command(client, cluster, wrong, said):
    for each in (client, cluster):
        with pytest.raises(TypeError, match=said):
            each.command(**wrong)


def test_limits_without_an_end_are_none(client, cluster):
    for limit in (math.inf, 1e300, None):
        assert client.call("abs", -1, call_timeout=limit) == 1
        assert client.command("true", timeout=limit).ok
        assert cluster.call("abs", -1, call_timeout=limit) == {"one": 1, "two": 1}
        assert list(cluster.map(abs, [-1], timeout=limit, deadline=limit)) == [1]


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        (-1, ValueError, "must be a number of seconds, 0 or more, and not -1"),
        (math.nan, ValueError, "must be a number of seconds, 0 or more, and not nan"),
        ("3", TypeError, "is a number of seconds, or None for no limit, and not 'str'"),
    ],
)
def test_what_is_no_limit_is_said_once_and_not_of_each_host(client, cluster, wrong, kind, said):
    for ask in (
        lambda: client.call("abs", -1, call_timeout=wrong),
        lambda: client.command("true", timeout=wrong),
        lambda: cluster.call("abs", -1, call_timeout=wrong),
        lambda: cluster.eval("1", call_timeout=wrong),
        lambda: cluster.command("true", timeout=wrong),
        lambda: list(cluster.map(abs, [1], timeout=wrong)),
        lambda: list(cluster.map(abs, [1], deadline=wrong)),
    ):
        with pytest.raises(kind, match=said):
            ask()


@pytest.mark.parametrize("option", ["batch", "outstanding", "retries"])
@pytest.mark.parametrize("wrong", ["x", 1 << 100, -1])
def test_what_is_no_number_of_a_map(cluster, option, wrong):
    with pytest.raises(ValueError, match="^%s is " % option):
        cluster.map(abs, [1], **{option: wrong}).__next__()


def test_a_time_limit_names_no_function_of_the_package(cluster):
    with pytest.raises(CallTimeout, match="the item gave no result within 0.1 s"):
        list(cluster.map(nap, [30], timeout=0.1))
    with pytest.raises(ClusterError, match="the function gave no result within 0.1 s"):
        cluster.call(nap, 30, call_timeout=0.1)


def test_what_ends_a_program_there_is_named(cluster):
    with pytest.raises(ClusterError, match="one: SystemExit: 3; two: SystemExit: 3"):
        cluster.call(leave, 3)


def test_a_cluster_has_the_names_of_its_hosts(cluster):
    assert list(cluster) == ["one", "two"] and list(cluster["t*"]) == ["two"]
    assert "one" in cluster and "three" not in cluster and "one" not in cluster["t*"] and 0 not in cluster
    for wrong in (0, None, slice(1), ["one"]):
        with pytest.raises(TypeError, match=r"named by a pattern .*cluster\.clients\[name\]"):
            cluster[wrong]


def test_a_cluster_says_how_many_were_lost_since():
    with Cluster(SPECS, output=None) as cluster:
        assert repr(cluster) == "<Cluster: 2 of 2 hosts connected, 2 needed>"
        with pytest.raises(ClusterError):
            cluster["one"].call("os._exit", 3)
        lost = "<Cluster: 2 of 2 hosts connected, 2 needed, 1 lost since>"
        assert poll(lambda: repr(cluster) == lost)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"retries": -1}, ValueError, "retries is a number from 0 on, not -1"),
        ({"retries": "2"}, ValueError, "retries is a number from 0 on, not '2'"),
        ({"at_once": 0}, ValueError, "at_once is a number from 1 on, not 0"),
        ({"deadline": "3"}, TypeError, "deadline is a number of seconds, or None for no limit, and not 'str'"),
        ({"deadline": -1}, ValueError, "deadline must be a number of seconds, 0 or more, and not -1"),
        ({"call_timeout": "3"}, TypeError, "call_timeout is a number of seconds, or None for no limit, and not 'str'"),
        ({"clientclass": int}, TypeError, "clientclass is a class derived from Client, not <class 'int'>"),
        (
            {"quorom": 1},
            TypeError,
            r"^Cluster\(\) got an unexpected keyword argument 'quorom'. Did you mean 'quorum'\?",
        ),
        (
            {"ouput": None},
            TypeError,
            r"^Cluster\(\) got an unexpected keyword argument 'ouput'. Did you mean 'output'\?",
        ),
    ],
)
def test_what_no_cluster_takes(wrong, kind, said):
    with pytest.raises(kind, match=said):
        Cluster(SPECS[:1], **wrong)


def test_a_class_of_clients_of_the_program_may_take_keywords_of_its_own():
    class Own(Client):
        def __init__(self, *args, own, **options):
            super().__init__(*args, **options)
            self.kept = own

    with Cluster(SPECS[:1], output=None, clientclass=Own, own=3) as cluster:
        assert cluster.clients["one"].kept == 3


def test_no_client_has_a_time_limit_that_is_none():
    with pytest.raises(TypeError, match="call_timeout is a number of seconds"):
        Client.from_spec(SPECS[0], call_timeout="3")


@pytest.mark.parametrize("wrong", [3, (), (3, "argument")])
def test_what_is_no_completion_function_fails_its_own_call_and_no_other(client, wrong):
    with pytest.raises(TypeError, match="oncomplete and onerror are functions"):
        client.call("abs", -1, oncomplete=wrong)
    with pytest.raises(TypeError, match="oncomplete and onerror are functions"):
        client.call("abs", -1, oncomplete=print, onerror=wrong)
    assert client.call("abs", -2) == 2


def test_one_name_where_there_may_be_several(client):
    client.import_modules("fractions")
    assert client.eval("fractions.__name__") == "fractions"
    with pytest.raises(TypeError, match="a module is named by text, and not by 'NoneType'"):
        client.import_module(None)
    (made,) = connect_multi(SPECS[0], output=None)
    with made:
        assert made.call("abs", -1) == 1


def test_what_cannot_be_run_says_how_it_can(client):
    with pytest.raises(TypeError, match="not a function written in Python; call.* take the name .*: 'len'$"):
        client.run(len, "abc")
    with pytest.raises(TypeError, match="not a function written in Python; write one with def that calls it$"):
        client.run(functools.partial(nap, 0))


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"retries": "2"}, ValueError, "retries is a number from 0 on, not '2'"),
        ({"max_workers": "2"}, TypeError, "max_workers is a number of processes, and not 'str'"),
        ({"environment": "numpy"}, TypeError, r"Environment\(\['numpy'\]\), and not 'str'"),
    ],
)
def test_what_no_executor_takes(cluster, wrong, kind, said):
    with pytest.raises(kind, match=said):
        cluster.executor(**wrong)


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_is_no_path(client, cluster, wrong, tmp_path):
    file = tmp_path / "file"
    file.write_text("text")
    for each in (client, cluster):
        with pytest.raises(TypeError, match="what is copied is named by a path, or a list of those, and not by"):
            each.put(wrong, "folder/")
        with pytest.raises(TypeError, match="what is copied is named by paths, and not by"):
            each.put([str(file), wrong], "folder/")
        with pytest.raises(TypeError, match="where copies go is named by a path, and not by"):
            each.put(str(file), wrong)
        with pytest.raises(ValueError, match="the path '' names nothing"):
            each.put("", "folder/")
        with pytest.raises(TypeError, match="what is copied is named by a path, or a list of those, and not by"):
            each.get(wrong, "{host}/")
    with pytest.raises(TypeError, match="progress is a function, and not 'str'"):
        client.put(str(file), str(tmp_path), progress="bars")
    with pytest.raises(TypeError, match="progress is shown by a function, and not by 'int'"):
        cluster.show_progress(3)


def test_what_is_no_definition():
    with pytest.raises(TypeError, match=r"define_common\(\) takes Python code as text, and not 'function'"):
        define_common(nap)
