"""A package that one thread imports, while what a request for another thread names is in a module of it."""

import pickle
import sys
import types

from stub_process import EVAL, METHOD, wait_until

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
