"""The orderly end of a connection: nothing that remote code has under way is lost, whichever way it ends (ME-15)."""

import gzip
import os
import zipfile

import pytest
from stub_process import CLOSE, EVAL, HEADER, PING, is_running, wait_until

WAYS = ("close", "gone", "gone inside a frame", "gone for writing")


def end(stub, way):
    """Ends the connection; what is there afterwards must have been written before the process ended."""
    pid = stub.hello["pid"]
    if way == "close":
        stub.frame(CLOSE, 0, 0, b"")
    elif way == "gone":
        stub.process.stdin.close()
    elif way == "gone inside a frame":
        stub.write(HEADER.pack(0x4543, EVAL, 0, 100, 7, 0) + b"x")
        stub.process.stdin.close()
    else:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, stub.process.stdout.fileno())
        os.close(null)
        # What it says then finds nobody; the first of it is still read by who waits for it.
        stub.frame(PING, 0, 0, b"first")
        stub.until(lambda: stub.ended)
        stub.frame(PING, 0, 0, b"second")
    wait_until(lambda: not is_running(pid))


def text(path):
    return path.read_bytes().decode().rstrip("\n")


OPEN = {
    # What is open as the client's own, a proxy.
    "proxy": "",
    # A file that nothing closes, but its last reference.
    "global": "f = open(PATH, 'w')\nf.write('hello')\n",
    # In a cycle, which only the collector finds; before 3.12 it may close what is below the file first.
    "cycle": "import gc\ngc.disable()\nclass Box: pass\nb = Box()\nb.b = b\nb.f = open(PATH, 'w')\n"
    "b.f.write('hello')\ndel b\n",
    # Held by a module of the library.
    "library": "import json\njson.held = [open(PATH, 'w')]\njson.held[0].write('hello')\n",
    "io": "import io, json\njson.held = io.open(PATH, 'w')\njson.held.write(u'hello' if str is bytes else 'hello')\n",
    # Held by a thread that never ends.
    "thread": "import threading, time\nstarted = threading.Event()\ndef work():\n    f = open(PATH, 'w')\n    f.write('hello')\n"
    "    started.set()\n    time.sleep(100)\nt = threading.Thread(target=work)\nt.daemon = True\nt.start()\nstarted.wait()\n",
    "exit handler": "import atexit\natexit.register(lambda: open(PATH, 'w').write('hello'))\n",
    "exit handler that fails": "import atexit\natexit.register(lambda: open(PATH, 'w').write('hello'))\n"
    "atexit.register(lambda: 1 / 0)\n",
    "__del__": "import os\nclass Held(object):\n    def __del__(self):\n        with open(PATH, 'w') as f:\n"
    "            f.write(os.path.basename('x/hello'))\nheld = Held()\n",
    "__del__ in a cycle": "import os\nclass Held(object):\n    def __del__(self):\n        with open(PATH, 'w') as f:\n"
    "            f.write(os.path.basename('x/hello'))\nheld = Held()\nheld.map = {'held': held}\n",
    "logging": "import logging, logging.handlers\nhandler = logging.handlers.MemoryHandler(1000, 60, logging.FileHandler(PATH))\n"
    "handler.setFormatter(logging.Formatter('%(message)s'))\nlogger = logging.getLogger('of a test')\nlogger.addHandler(handler)\n"
    "logger.warning('hello')\n",
    # As Python does, the end waits for a thread that is no daemon.
    "thread at work": "import threading, time\ndef work():\n    time.sleep(0.3)\n    f = open(PATH, 'w')\n    f.write('hello')\n"
    "    f.close()\nthreading.Thread(target=work).start()\n",
    # One that does not end costs the others nothing.
    "thread without end": "import threading, time\nf = open(PATH, 'w')\nf.write('hello')\n"
    "threading.Thread(target=lambda: time.sleep(100)).start()\n",
    "exit handler without end": "import atexit, time\nf = open(PATH, 'w')\nf.write('hello')\n"
    "atexit.register(lambda: time.sleep(100))\n",
    "__del__ without end": "import time\nf = open(PATH, 'w')\nf.write('hello')\nclass Stuck(object):\n    def __del__(self):\n"
    "        time.sleep(100)\nstuck = Stuck()\nimport json\njson.held = f\n",
    # Neither does a file that blocks.
    "pipe that is full": "import os, json\nr, w = os.pipe()\np = os.fdopen(w, 'w', 1 << 20)\np.write('x' * 500000)\n"
    "json.held = [p, open(PATH, 'w')]\njson.held[1].write('hello')\n",
    "standard output": "import sys\nsys.stdout = open(PATH, 'w')\nsys.stdout.write('hello')\n",
    # A child process has the end of its input, and the time to make something of it.
    "child's input": "import subprocess\np = subprocess.Popen(['sh', '-c', 'cat >' + PATH], stdin=subprocess.PIPE)\n"
    "p.stdin.write(b'hello')\n",
}


ALL_WAYS = ("proxy", "global", "library", "exit handler", "__del__")
# What changes the process for what stands beside it, or has no end.
ALONE = (
    "cycle", "exit handler that fails", "__del__ in a cycle", "standard output", "thread without end",
    "exit handler without end", "__del__ without end", "pipe that is full",
)  # fmt: skip
TOGETHER = tuple(sorted(set(OPEN) - set(ALL_WAYS) - set(ALONE)))


@pytest.mark.parametrize(
    "cases,way",
    [(ALL_WAYS, way) for way in WAYS] + [(TOGETHER, "close")] + [((what,), "close") for what in ALONE],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_what_is_open_is_written(fresh_stub, tmp_path, cases, way):
    """Cases that leave each other alone are open in one process."""
    if cases == ("__del__ in a cycle",) and fresh_stub.hello["python"] < (3, 4):
        # Python itself calls none of those.
        return
    paths = {what: tmp_path / ("written_%d" % number) for number, what in enumerate(cases)}
    for number, (what, path) in enumerate(paths.items()):
        if OPEN[what]:
            # Some look at it as late as at the end.
            own = "PATH_%d" % number
            fresh_stub.exec("%s = %r\n%s" % (own, str(path), OPEN[what].replace("PATH", own)))
        else:
            fresh_stub.method(fresh_stub.call("open", str(path), "w"), "write", "hello")
        if what != "child's input":
            assert not path.exists() or not path.read_bytes(), what
    end(fresh_stub, way)
    assert {what: text(path) for what, path in paths.items()} == dict.fromkeys(cases, "hello")


@pytest.mark.parametrize("where", ["global", "json"])
def test_archives_are_whole(fresh_stub, tmp_path, where):
    paths = str(tmp_path / "z.zip"), str(tmp_path / "z.gz")
    fresh_stub.exec(
        "import zipfile, gzip\nz = zipfile.ZipFile(%r, 'w')\nz.writestr('a', b'hello')\ng = gzip.open(%r, 'wb')\n"
        "g.write(b'hello')\n" % paths
    )
    if where == "json":
        fresh_stub.exec("import json\njson.held = g\ndel g")
    end(fresh_stub, "close")
    with zipfile.ZipFile(paths[0]) as archive:
        assert archive.read("a") == b"hello"
    with gzip.open(paths[1]) as file:
        assert file.read() == b"hello"


@pytest.mark.parametrize("way", ["close", "gone"])
def test_temporary_files_are_removed(fresh_stub, way):
    name = fresh_stub.exec("import tempfile\nt = tempfile.NamedTemporaryFile()\nexec_return(t.name)")
    assert os.path.exists(name)
    end(fresh_stub, way)
    assert not os.path.exists(name)


def test_modules_of_the_program_let_go_too(fresh_stub, tmp_path):
    (tmp_path / "of_a_test.py").write_text(
        "import os\nclass Held(object):\n    def __del__(self):\n        open(%r, 'w').write(os.path.basename('x/hello'))\n"
        "held = Held()\n" % str(tmp_path / "written")
    )
    fresh_stub.exec("import sys\nsys.path.append(%r)\nsys.dont_write_bytecode = True\nimport of_a_test" % str(tmp_path))
    end(fresh_stub, "close")
    assert text(tmp_path / "written") == "hello"


BUSY = {
    "sleep": "time.sleep(100)",
    "child": "os.system('sleep 100')",
    "loop": "[0 for i in iter(int, 1)]",
    "lock": "[lock.acquire() for lock in [threading.Lock()] for turn in range(2)]",
}


@pytest.mark.parametrize("way", ["close", "gone"])
@pytest.mark.parametrize("busy", sorted(BUSY))
def test_a_call_that_runs_keeps_nothing_from_being_written(fresh_stub, tmp_path, way, busy):
    path = tmp_path / "written"
    fresh_stub.exec("import os, threading, time, sys\nf = open(%r, 'w')\nf.write('hello')\n" % str(path))
    told = "[sys.stderr.write('started\\n'), %s]" % BUSY[busy]
    fresh_stub.request(EVAL, (told, None))
    fresh_stub.request(EVAL, (told, None), 1)
    fresh_stub.until(lambda: fresh_stub.output.count(b"started") == 2)
    end(fresh_stub, way)
    assert text(path) == "hello"


def test_with_blocks_of_a_call_that_runs_are_left(fresh_stub, tmp_path):
    path = tmp_path / "written"
    fresh_stub.define(
        "import sys, time\ndef work(path):\n    try:\n        sys.stderr.write('started\\n')\n        time.sleep(100)\n    finally:\n"
        "        f = open(path, 'w')\n        f.write('left')\n        f.close()\n"
    )
    fresh_stub.start_call("work", str(path))
    fresh_stub.until(lambda: b"started" in fresh_stub.output)
    end(fresh_stub, "gone")
    assert text(path) == "left"


def test_last_words_arrive(fresh_stub):
    fresh_stub.exec(
        "import atexit, sys\ndef said(word):\n    sys.stdout.write(word + '\\n')\natexit.register(said, 'handler')\n"
        "class Held(object):\n    def __del__(self):\n        said('deleted')\nheld = Held()\n"
    )
    fresh_stub.frame(CLOSE, 0, 0, b"")
    fresh_stub.end()
    assert fresh_stub.output == b"handler\ndeleted\n", fresh_stub.output
    assert not fresh_stub.errors


def test_children_end_with_the_connection(fresh_stub):
    child = fresh_stub.exec("import subprocess\nexec_return(subprocess.Popen(['sleep', '100']).pid)")
    end(fresh_stub, "gone")
    wait_until(lambda: not is_running(child))


def test_an_end_without_anything_to_do_needs_no_part(start):
    stub = start(parts=())
    assert stub.call("abs", -1) == 1
    stub.frame(CLOSE, 0, 0, b"")
    stub.end()
    assert stub.fatal is None


def test_after_the_end_of_the_program(fresh_stub, tmp_path):
    path = tmp_path / "written"
    fresh_stub.exec("import sys\nf = open(%r, 'w')\nf.write('hello')" % str(path))
    with pytest.raises(Exception, match="SystemExit"):
        fresh_stub.call("sys.exit", 3)
    end(fresh_stub, "close")
    assert text(path) == "hello"


def test_many_files(fresh_stub, tmp_path):
    fresh_stub.exec(
        "import os, json\njson.held = [open(os.path.join(%r, str(n)), 'w') for n in range(200)]\n"
        "for n, f in enumerate(json.held):\n    f.write(str(n))" % str(tmp_path)
    )
    end(fresh_stub, "close")
    assert [text(tmp_path / str(n)) for n in range(200)] == [str(n) for n in range(200)]
