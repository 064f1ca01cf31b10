"""Failures that are hard to tell: exceptions that fail when they are asked, and modules that remote code has broken."""

import pytest
from stub_process import CALL, CANCEL, Failed

EXIT = "raise SystemExit(3)"
# Bodies of an exception class of remote code. Each asks for the call's own failure, not for the end of the connection.
BODIES = {
    "text": "def __str__(self): %s" % EXIT,
    "text of an interruption": "def __str__(self): raise KeyboardInterrupt\n    __repr__ = __str__",
    "arguments": "args = property(lambda self: int('no number'))",
    "pickle": "def __reduce__(self): %s\n    def __reduce_ex__(self, protocol): %s" % (EXIT, EXIT),
    "attributes": "def __getattribute__(self, name): raise ValueError(name)",
    "class": "__class__ = property(lambda self: int('no number'))",
    "exceptions behind it": "__cause__ = __context__ = property(lambda self: int('no number'))",
    "what is not shown": "__suppress_context__ = property(lambda self: int('no number'))\n    __context__ = ValueError()",
    "headers": "fp = code = 1\n    hdrs = property(lambda self: __import__('sys').exit(1))",
    "module": "__module__ = 5",
}
RAISES = "class Broken(Exception):\n    %s\ndef fail(): raise Broken('why')\n"


def failure(stub, thread=0, name="fail"):
    with pytest.raises(Failed) as caught:
        stub.wait(stub.request(CALL, (name, (), {}), thread=thread))
    return caught.value.fields


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("body", BODIES)
def test_an_exception_that_fails_when_it_is_asked_is_that_calls_error(stub, body, thread):
    stub.define(RAISES % BODIES[body])
    fields = failure(stub, thread)
    assert fields["kind"] == "exception" and fields["type"] == "Broken", fields
    assert "in fail" in "".join(fields["traceback"])
    assert stub.call("abs", -1, thread=thread) == 1


def test_arguments_and_classes_that_fail_when_they_are_asked(stub):
    stub.define(
        "class S(str):\n    def __str__(self): %s\n    __repr__ = __str__\n    def __reduce_ex__(self, protocol): %s\n"
        "def fail(): raise ValueError(S('why'))\n" % (EXIT, EXIT)
    )
    assert failure(stub)["type"] == "ValueError"
    stub.define(
        "class M(type(Exception)):\n    def __getattribute__(self, name): %s\n"
        "def fail(): raise M('Broken', (Exception,), {})('why')\n" % EXIT
    )
    assert failure(stub)["message"] == "why"
    assert stub.call("abs", -1) == 1


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize(
    "broken",
    [
        "sys.modules['traceback'] = None",
        "sys.modules['linecache'] = None",
        "sys.modules['threading'] = None",
        "import traceback; traceback.format_exception = lambda *args: sys.exit(3)",
        "import linecache; linecache.cache = None",
    ],
)
def test_tracebacks_are_told_where_remote_code_has_broken_what_tells_them(fresh_stub, broken, thread):
    stub = fresh_stub
    stub.define("import sys\n%s\ndef fail(): raise ValueError('why')\n" % broken)
    fields = failure(stub, thread)
    shown = "".join(fields["traceback"])
    assert fields["type"] == "ValueError" and fields["message"] == "why"
    assert (
        shown.startswith("Traceback (most recent") and "in fail\n" in shown and shown.endswith("ValueError: why\n")
    ), shown
    assert stub.eval("1 + 1") == 2


# Has the main thread be interrupted amid importing a module, just when another thread waits for that module.
AMID = """
import sys, threading, time
from importlib.machinery import PathFinder
for name in [name for name in sys.modules if name in ('traceback', 'ctypes')]:
    del sys.modules[name]
amid = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name not in ('traceback', 'ctypes') or amid:
            return None
        spec = PathFinder.find_spec(name)
        spec.loader.exec_module = self.execute
        return spec

    def execute(self, module):
        amid.append(module)
        until = time.time() + 10
        while time.time() < until and not any(map(self.waits, sys._current_frames().values())):
            time.sleep(0.001)
        raise KeyboardInterrupt

    def waits(self, frame):
        while frame is not None:
            if frame.f_code.co_name == '_lock_unlock_module':
                return True
            frame = frame.f_back
        return False

sys.meta_path.insert(0, Finder())

def fail():
    while not amid:
        time.sleep(0.001)
    raise ValueError('why')

def doze():
    while not amid:
        time.sleep(0.001)
    started.append(1)
    while True:
        time.sleep(0.001)

started = []

def begun():
    while not started:
        time.sleep(0.001)
"""


def test_a_failure_is_told_whole_while_an_import_is_interrupted(fresh_stub):
    stub = fresh_stub
    if tuple(stub.hello["python"]) < (3, 4):
        # One lock is there for all imports, and who waited for it begins anew.
        return
    stub.define(AMID)
    failing = stub.request(CALL, ("fail", (), {}), thread=1)
    with pytest.raises(Failed):
        stub.exec("import traceback")
    with pytest.raises(Failed) as caught:
        stub.wait(failing)
    assert "    raise ValueError('why')\n" in "".join(caught.value.fields["traceback"])


def test_a_call_is_cancelled_while_an_import_is_interrupted(fresh_stub):
    stub = fresh_stub
    if tuple(stub.hello["python"]) < (3, 4):
        return
    stub.define(AMID)
    dozing = stub.request(CALL, ("doze", (), {}), thread=1)
    importing = stub.request(CALL, ("exec", ("import ctypes", {}), {}))
    stub.call("begun", thread=2)
    stub.frame(CANCEL, dozing, 0, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(dozing)
    assert caught.value.fields["kind"] == "cancelled"
    with pytest.raises(Failed):
        stub.wait(importing)


@pytest.mark.parametrize("replaced", ["time.sleep = None", "time.time = None", "time.time = lambda: 0.0"])
def test_remote_code_may_replace_the_functions_of_time(fresh_stub, replaced):
    stub = fresh_stub
    stub.define("import time\ndef fail(): raise ValueError('why')\ndef spin():\n    while True:\n        pass\n")
    stub.exec(replaced)
    assert failure(stub)["message"] == failure(stub, 1)["message"] == "why"
    spinning = stub.start_call("spin")
    assert stub.call("abs", -1, thread=1) == 1
    stub.frame(CANCEL, spinning, 0, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(spinning)
    assert caught.value.fields["kind"] == "cancelled"


@pytest.mark.parametrize("given_to", ["SIG_DFL", "SIG_IGN"])
def test_a_cancellation_needs_no_signal_that_remote_code_has_left_to_the_system(fresh_stub, given_to):
    stub = fresh_stub
    stub.define(
        "import signal, time\ndef spin():\n    begun.append(1)\n    while True:\n        time.sleep(0.001)\nbegun = []\n"
        "def wait():\n    while not begun:\n        time.sleep(0.001)\n"
    )
    stub.exec("signal.signal(signal.SIGINT, signal.%s)" % given_to)
    spinning = stub.start_call("spin")
    stub.call("wait", thread=1)
    stub.frame(CANCEL, spinning, 0, b"")
    with pytest.raises(Failed) as caught:
        stub.wait(spinning)
    assert caught.value.fields["kind"] == "cancelled"
    assert stub.call("abs", -1) == 1
