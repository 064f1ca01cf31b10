"""Child processes that remote code starts by multiprocessing, by each of its ways, with functions and classes of definitions."""

import pytest
from stub_process import Failed, is_running, wait_until

DEFINITIONS = """
import os, sys
FACTOR = 2
class Point(ServerObject):
    def __init__(self, x):
        self.x = x
def double(x):
    return x * FACTOR
def moved(point):
    return Point(point.x + 1)
def where(x):
    return [os.getpid(), double.__module__, sys.modules[double.__module__].__name__]
def fails(x):
    raise ValueError('of the child')
def told(x):
    sys.stdout.write('said %d\\n' % x)
    sys.stdout.flush()
"""


METHODS = ["fork", "spawn", "forkserver"]


def context(stub, method):
    """The source of a context of multiprocessing; None where this Python has no such method."""
    if stub.hello["python"] < (3, 4):
        return "multiprocessing" if method == "fork" else None
    return "multiprocessing.get_context(%r)" % method


@pytest.mark.parametrize("method", METHODS)
def test_functions_and_classes_of_definitions(fresh_stub, method):
    found = context(fresh_stub, method)
    if not found:
        return
    fresh_stub.define(DEFINITIONS)
    fresh_stub.exec("import multiprocessing\ncontext = %s\npool = context.Pool(2)" % found)
    assert fresh_stub.eval("pool.map(double, range(5))") == [0, 2, 4, 6, 8]
    assert fresh_stub.eval("[p.x for p in pool.map(moved, [Point(1), Point(2)])]") == [2, 3]
    pids = fresh_stub.eval("pool.map(where, [1])")
    assert pids[0][0] != fresh_stub.hello["pid"] and pids[0][1:] == ["easycluster.remote_code"] * 2
    with pytest.raises(Failed, match="of the child"):
        fresh_stub.eval("pool.map(fails, [1])")
    if method != "fork":
        # What cannot be sent fails once.
        with pytest.raises(Failed, match="[Pp]ickle"):
            fresh_stub.eval("pool.map(lambda x: x, [1])")
        assert fresh_stub.eval("pool.map(abs, [-1])") == [1]
    fresh_stub.eval("pool.map(told, [1])")
    fresh_stub.until(lambda: b"said 1\n" in fresh_stub.output)
    fresh_stub.exec("process = context.Process(target=told, args=(2,))\nprocess.start()\nprocess.join()")
    fresh_stub.until(lambda: b"said 2\n" in fresh_stub.output)
    assert fresh_stub.eval("process.exitcode") == 0
    fresh_stub.exec("pool.terminate()\npool.join()")
    assert b"Traceback" not in fresh_stub.output


@pytest.mark.parametrize("method", METHODS[1:])
def test_later_definitions_and_blocks_and_children_of_children(fresh_stub, method):
    found = context(fresh_stub, method)
    if not found:
        return
    fresh_stub.define(DEFINITIONS)
    fresh_stub.define("def last(x):\n    return double(x) + 1\n")
    fresh_stub.define("def elsewhere(x):\n    return x + 10\n", module="of_a_test")
    fresh_stub.exec(
        "import multiprocessing, math\ndef root(x):\n    return math.sqrt(x)\nclass Late(object):\n    def get(self):\n"
        "        return last(3)\nran = []\nran.append(1)\n"
        "def nested(x):\n    inner = multiprocessing.get_context('spawn').Pool(1)\n    try:\n"
        "        return inner.map(root, [x])[0] + elsewhere_in(x)\n    finally:\n        inner.terminate()\n"
        "def elsewhere_in(x):\n    import of_a_test\n    return of_a_test.elsewhere(x)\ndef got(late):\n    return late.get()\n"
        "class Inner(multiprocessing.get_context(%r).Process):\n    def run(self):\n        raise SystemExit(int(root(49)))\n"
        % method
    )
    fresh_stub.exec("context = %s\nfrom concurrent.futures import ProcessPoolExecutor" % found)
    # With daemons, which may have no children, a child could not try that.
    fresh_stub.exec(
        "import inspect\nhow = {'mp_context': context} if sys.version_info >= (3, 7) else {}\n"
        "if not how:\n    multiprocessing.set_start_method(%r)\n"
        "with ProcessPoolExecutor(1, **how) as pool:\n    got = [pool.submit(last, 3).result(60), pool.submit(root, 16).result(60),\n"
        "        pool.submit(got, Late()).result(60), pool.submit(nested, 4).result(60)]\n" % method
    )
    assert fresh_stub.eval("got") == [7, 4.0, 7, 16.0]
    assert fresh_stub.exec("one = Inner()\none.start()\none.join()\nexec_return(one.exitcode)") == 7


@pytest.mark.parametrize("method", METHODS)
def test_children_end_with_the_connection(start, method):
    stub = start()
    found = context(stub, method)
    if not found:
        return
    stub.define("import os, time\ndef doze(x):\n    time.sleep(x)\n    return os.getpid()\n")
    stub.exec("import multiprocessing\npool = %s.Pool(2)" % found)
    pids = set(stub.eval("pool.map(doze, [0.1] * 4)"))
    stub.exec("waits = pool.map_async(doze, [100] * 4)")
    stub.process.stdin.close()
    wait_until(lambda: not [pid for pid in [stub.hello["pid"]] + list(pids) if is_running(pid)])


PROGRAM = """
import multiprocessing, os, sys
from multiprocessing import Pool
THERE = __name__

class Point(object):
    def __init__(self, x):
        self.x = x

def double(point):
    return point.x * 2, THERE, os.path.basename(__file__)

if __name__ == '__main__':
    if sys.version_info >= (3, 4):
        multiprocessing.set_start_method(sys.argv[1])
    pool = Pool(2)
    got = pool.map(double, [Point(n) for n in range(3)])
    pool.terminate()
    assert [one[0] for one in got] == [0, 2, 4], got
    assert got[0][2] == 'of_a_test.py', got
    sys.exit(7)
"""


@pytest.mark.parametrize("method", METHODS)
def test_programs_that_are_run(fresh_stub, method):
    if not context(fresh_stub, method):
        return
    for name in ("program", "main", "main_seldom", "process", "seldom"):
        fresh_stub.helper("helpers/run_" + name)
    given = PROGRAM.encode(), "src/of_a_test.py", ["of_a_test.py", method]
    assert fresh_stub.call("helpers/run_program.run_program", *given) == 7, fresh_stub.output
    assert not fresh_stub.output
