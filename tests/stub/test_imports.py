"""A package that one thread imports, while what a request for another thread names is in a module of it."""

import os
import pickle
import sys
import types

import pytest
from stub_process import EVAL, EXEC, METHOD, PING, cancel, is_running, wait_until

PACKAGE = """
import os, time
open(os.path.join(os.path.dirname(__file__), 'begun'), 'w').close()
while not os.path.exists(os.path.join(os.path.dirname(__file__), 'go')):
    time.sleep(0.005)
value = 'given'
from . import inner
"""
INNER = """
from . import value
def function():
    return value
"""
DEFINITIONS = """
import sys
def is_waiting():
    codes = [frame.f_code for frame in sys._current_frames().values()]
    return bool([code for code in codes if code.co_name == 'acquire' and 'importlib' in code.co_filename])
def given(function, *more):
    return function()
"""


def plain_call(stub, function):
    return stub.start_call("given", function, thread=2)


def call_with_a_reference(stub, function):
    return stub.start_call("given", function, stub.open(), thread=2)


def import_by_name(stub, function):
    return stub.request(METHOD, (0, "import_modules", ([function.__module__],), {}), 2)


def batch_by_value(stub, function):
    stub.helper("helpers/map_items")
    return stub.start_call("helpers/map_items.pickled", pickle.dumps(function, 2), False, thread=2)


def value_that_processes_share(stub, function):
    stub.helper("helpers/values")
    return stub.start_call("helpers/values.share", 1, [pickle.dumps(function, 2)], [], thread=2)


def test_a_package_that_another_thread_imports_is_waited_for(fresh_stub, tmp_path, monkeypatch):
    """Python itself would give one of the two half of the package, and its import would fail."""
    stub = fresh_stub
    if stub.hello["python"] < (3, 3):
        # Which has one lock for all imports.
        return
    stub.define(DEFINITIONS)
    stub.exec("sys.path.insert(0, %r)" % str(tmp_path))
    for way in (plain_call, call_with_a_reference, import_by_name, batch_by_value, value_that_processes_share):
        name = "package_of_" + way.__name__
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(PACKAGE)
        (folder / "inner.py").write_text(INNER)
        module = types.ModuleType(name + ".inner")
        exec("def function(): pass", module.__dict__)
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        importing = stub.request(EVAL, ("__import__(%r).inner.function()" % name, None), 1)
        wait_until((folder / "begun").exists)
        naming = way(stub, module.function)
        wait_until(lambda: stub.eval("is_waiting()"))
        (folder / "go").touch()
        assert stub.wait(importing) == "given", way
        stub.wait(naming)


HANGS = "import time\nopen(%r, 'w').close()\nwhile True:\n    time.sleep(0.01)\n"
# What remote code may have put in the way of what the stub would import later.
IN_THE_WAY = {
    "an import in a thread": "import threading\nthread = threading.Thread(target=__import__, args=('hangs',))\n"
    "thread.daemon = True\nthread.start()\n",
    "a finder that hangs": "import sys, time\nclass Finder(object):\n    def find_spec(self, *args):\n"
    "        hangs()\n    find_module = find_spec\ndef hangs():\n    open(BEGUN, 'w').close()\n"
    "    while True:\n        time.sleep(0.01)\nsys.meta_path.insert(0, Finder())\nimport no_such_module\n",
    "another __import__": "import sys, time\nspace = __builtins__ if type(__builtins__) is dict else __builtins__.__dict__\n"
    "def hangs(*args, **kwargs):\n    while True:\n        time.sleep(0.01)\nopen(BEGUN, 'w').close()\n"
    "space['__import__'] = hangs\nhangs()\n",
    "no modules": "import sys\nopen(BEGUN, 'w').close()\nsys.modules.clear()\nwhile True: pass\n",
    "other functions of os": "import os\nopen(BEGUN, 'w').close()\n"
    "os.kill = os.killpg = os._exit = os.getpgrp = None\nwhile True: pass\n",
}


@pytest.fixture
def hanging(start, tmp_path):
    """A stub that finds a module of which the import never ends; `begun` is there when that has begun."""
    (tmp_path / "hangs.py").write_text(HANGS % str(tmp_path / "begun"))
    stub = start(env=dict(os.environ, PYTHONPATH=str(tmp_path)), parts=("requests", "calls", "control", "channels"))
    stub.begun = lambda: wait_until((tmp_path / "begun").exists)
    return stub


def test_a_stub_whose_first_call_never_ends_its_import_ends_with_its_connection(hanging):
    hanging.start_call("__import__", "hangs")
    hanging.begun()
    hanging.process.stdin.close()
    wait_until(lambda: not is_running(hanging.hello["pid"]))


@pytest.mark.parametrize("way", IN_THE_WAY)
def test_a_stub_that_can_import_nothing_more_ends_with_its_connection(hanging, tmp_path, way):
    hanging.request(EXEC, ("BEGUN = %r\n%s" % (str(tmp_path / "begun"), IN_THE_WAY[way]), None))
    hanging.begun()
    hanging.process.stdin.close()
    wait_until(lambda: not is_running(hanging.hello["pid"]))


def test_a_stub_serves_while_an_import_never_ends(hanging):
    """What it loads of itself then imports nothing, which up to 3.2 would wait for that import."""
    importing = hanging.start_call("__import__", "hangs")
    hanging.begun()
    hanging.start_call("abs", -1)
    hanging.frame(PING, 0, 0, b"there?")
    hanging.until(lambda: hanging.pongs == [b"there?"])
    assert hanging.call("abs", -1, thread=1) == 1
    hanging.open()
    # One that waits behind it, and itself.
    waiting = hanging.start_call("abs", -2)
    cancel(hanging, waiting)
    cancel(hanging, importing)
    assert hanging.call("abs", -3) == 3
