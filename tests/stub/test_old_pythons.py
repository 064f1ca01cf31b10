"""What old Pythons lack: each of them played by one that is here, from which is taken what it did not have yet.

They do not replace the real ones, which run the whole of these tests where there are any; they hold what is known
of them where there are none.
"""

import os
import pickle
import tempfile
from pathlib import Path

import pytest
from stub_process import CHUNK, HELLO, RUN, Failed, Stub
from support.interpreters import interpreters
from support.parts import need
from test_commands import run_commands
from test_files import run_files

ROOT = Path(__file__).parents[2]

# What an interpreter that serves has of its own in common with 3.2 and 3.3; `view` is what they call memoryview.
VERSION_3_2 = """
import builtins, os, signal, sys, zlib
sys.version_info = (3, %d, 0, 'final', 0)
sys.modules['_signal'] = None
real = memoryview
# Python itself reads compiled files by views.
sys.modules.get('_frozen_importlib_external', sys).memoryview = real
class memoryview:
    # bytes.join() takes nothing but bytes; os.write() and slices take views.
    def __init__(self, of):
        self.of = real(of)
    def __len__(self):
        return len(self.of)
    def __getitem__(self, key):
        return memoryview(self.of[key]) if isinstance(key, slice) else self.of[key]
    def __setitem__(self, key, value):
        self.of[key] = value
builtins.memoryview = memoryview
for name in 'get_inheritable', 'set_inheritable':
    delattr(os, name)
zlib_object = zlib.decompressobj
class Old:
    def __init__(self):
        self.new = zlib_object()
    def decompress(self, *args):
        return self.new.decompress(*args)
    @property
    def unused_data(self):
        return self.new.unused_data
zlib.decompressobj = Old
import _pickle
def limited(of):
    class Limited(of):
        def __init__(self, file, protocol=3):
            assert 0 <= protocol <= 3
            super().__init__(file, protocol)
    return Limited
_pickle.Pickler = limited(_pickle.Pickler)
class Unpickler(_pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
_pickle.Unpickler = Unpickler
dumps = _pickle.dumps
def old_dumps(value, protocol=3):
    assert 0 <= protocol <= 3
    return dumps(value, protocol)
_pickle.dumps = old_dumps
"""

VERSION_2_6 = """
import __builtin__, io, os, sys
sys.version_info = (2, 6, 9, 'final', 0)
del __builtin__.memoryview
real = compile
def compile(source, filename, mode, flags=0, dont_inherit=False):
    if not isinstance(source, basestring):
        return real(source, filename, mode, flags, dont_inherit)
    if [line for line in source.split(chr(10))[:2] if line.strip()[:1] == '#' and 'coding:' in line]:
        raise SyntaxError('encoding problem: with BOM')
    text = source.decode('utf-8') if isinstance(source, str) else source
    if mode == 'exec' and text[-1:] != chr(10) or chr(13) in text:
        raise SyntaxError('2.6 does not take this end of a line')
    return real(source, filename, mode, flags, dont_inherit)
__builtin__.compile = compile
"""

# Every other call of the stub is interrupted by a signal; the library that stands here for an old one leaves that to Python. Before
# 3.3 select() has an error of its own.
INTERRUPTED = """
import errno, os, select, sys
class error(Exception):
    pass
def often(owner, name, kind):
    function = getattr(owner, name)
    count = [0]
    def call(*args):
        ours = sys._getframe(1).f_code.co_filename.startswith('<easycluster>')
        count[0] += ours
        if ours and count[0] % 2:
            raise kind(errno.EINTR, 'Interrupted system call')
        return function(*args)
    setattr(owner, name, call)
for name in 'read', 'write':
    often(os, name, OSError)
often(select, 'select', error)
"""

# The first stage has no signal handlers yet, so nothing interrupts it: what is behind its last step is shimmed.
LATER = """
import zlib
inflate = zlib.decompress
def late(*args):
    zlib.decompress = inflate
    exec(%r, {})
    return inflate(*args)
zlib.decompress = late
"""


def played(interpreter, tmp_path, *shims):
    """A program that is the interpreter with something changed before the first stage."""
    shim = tmp_path / "shim.py"
    shim.write_text("".join(shims))
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\ncode=$2\nshift 2\nexec %s -c \"exec(compile(open('%s').read(), 'shim', 'exec'), {});$code\" \"$@\"\n"
        % (interpreter, shim)
    )
    path.chmod(0o755)
    return str(path)


def as_version(version, tmp_path, *shims):
    """A program that is this version: the real one where it is here, or else played by the oldest that is newer.

    The real one needs of the shims only those that are not part of the version, which are the last.
    """
    same = [i for i in interpreters() if i.kind == "python" and i.version[0] == version[0] and i.version >= version]
    if version[0] == 2:
        need("python2", same)
    if same[0].version == version:
        return played(same[0].path, tmp_path, *shims[1:])
    # What is between them has the old ways as well, partly, and the shims take the new ones away.
    newer = [i for i in same if version[0] == 2 or i.version >= (3, 4)]
    return played(newer[0].path, tmp_path, *shims)


def exercise(stub):
    """All that goes another way on old versions: long payloads both ways, references, frames, children, failures."""
    stub.define("def echo(value):\n    return value\n")
    for size in (10, CHUNK + 1, 2 * CHUNK + 1):
        value = ["x" * size, b"\xff" * size]
        assert stub.call("echo", value) == value
        assert stub.call("echo", value, thread=1) == value
    stub.define("import sys\ndef numbers():\n    yield 1\n")
    generator = stub.call("numbers")
    assert stub.call("next", generator) == 1
    run_commands(stub)
    with tempfile.TemporaryDirectory() as folder:
        run_files(stub, folder)
    stub.exec("sys.stdout.write('x' * 300000 + '\\n')")
    assert len(stub.output) == 300001
    assert stub.call("os.system", "echo from a child") == 0
    assert stub.output.endswith(b"from a child\n")
    assert stub.wait(stub.request(RUN, ("def f(a, b):\n    return a + b\n", "f", "/f.py", 1, (1,), {"b": 2}))) == 3
    with pytest.raises(Failed, match="1 / 0"):
        stub.eval("1 / 0")


@pytest.mark.parametrize("minor", [2, 3])
@pytest.mark.parametrize("compress", [False, True])
def test_python_3_2_and_3_3(tmp_path, minor, compress):
    python = as_version((3, minor), tmp_path, VERSION_3_2 % minor)
    with Stub(python, compress=compress) as stub:
        stub.until(lambda: stub.hello or stub.ended)
        assert stub.hello and stub.hello["python"][:2] == (3, minor) and stub.hello["pickle"] == 3, stub.errors
        exercise(stub)


def test_python_2_6(tmp_path):
    python = as_version((2, 6), tmp_path, VERSION_2_6)
    with Stub(python) as stub:
        stub.until(lambda: stub.hello or stub.ended)
        assert stub.hello and stub.hello["python"][:2] == (2, 6), stub.errors
        exercise(stub)
        stub.define("TEXT = '''\n# coding: latin-1\n'''\ndef late():\n    return 1 / 0\n")
        assert stub.eval("TEXT") == "\n# coding: latin-1\n"
        with pytest.raises(Failed, match="line 5, in late\n    return 1 / 0"):
            stub.call("late")
        stub.define("def dos():\r\n    return '''a\r\nb'''\r\n")
        assert stub.call("dos") == "a\nb"
        assert stub.eval("1 +\\\r\n 1") == 2
        # The program's runner too, which is given bytes.
        for name in ("program", "main", "main_seldom", "process", "seldom"):
            stub.helper("helpers/run_" + name)
        assert (
            stub.call(
                "helpers/run_program.run_program", b"import sys\r\nprint sys.argv\r\nsys.exit(3)", "x.py", ["x.py", "a"]
            )
            == 3
        )
        assert stub.output.endswith(b"['x.py', 'a']\n")


@pytest.mark.parametrize("version, shim", [((2, 6), VERSION_2_6), ((3, 2), VERSION_3_2 % 2)], ids=["2.6", "3.2"])
def test_system_calls_that_signals_interrupt(tmp_path, version, shim):
    python = as_version(version, tmp_path, shim, LATER % INTERRUPTED)
    with Stub(python) as stub:
        stub.until(lambda: stub.hello or stub.ended)
        assert stub.hello, stub.errors
        exercise(stub)


def test_signals_at_any_time(stub):
    """Handlers of the remote code's own, a thousand times a second."""
    stub.define(
        "import signal\nhits = [0]\ndef hit(number, frame):\n    hits[0] += 1\n"
        "def begin():\n    signal.signal(signal.SIGALRM, hit)\n    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
    )
    stub.call("begin")
    before = stub.eval("hits[0]")
    calls = 0
    while calls < 300 or stub.eval("hits[0]") < before + 300:
        assert stub.call("abs", -calls, thread=calls % 2) == calls
        calls += 1
    stub.exec("signal.setitimer(signal.ITIMER_REAL, 0)")


def test_exceptions_of_old_style_classes(stub):
    if stub.hello["python"][0] > 2:
        return
    for thread in (0, 1):
        with pytest.raises(Failed) as caught:
            stub.exec("class Old:\n    pass\nraise Old()", thread=thread)
        assert caught.value.fields["type"] == "Old" and "raise Old()" in str(caught.value)
        assert stub.eval("1", thread=thread) == 1


def test_sources_of_any_coding(stub):
    """Text has no coding left, whatever the file said that it was read from."""
    for coding in ("utf-8", "utf8", "latin-1", "ascii"):
        for first in ("", "#!/usr/bin/python\n"):
            literal = "u'\u20ac'" if stub.hello["python"][0] == 2 else "'\u20ac'"
            stub.define("%s# -*- coding: %s -*-\nshown = %s\n" % (first, coding, literal))
            assert stub.eval("shown") == "\u20ac"
    stub.define("shown = '''\n# coding: mine\n'''\n")
    assert stub.eval("shown") == "\n# coding: mine\n"
    with pytest.raises(Failed) as caught:
        stub.eval("1 / 0")
    assert "    1 / 0" in str(caught.value), ascii(str(caught.value))


def test_a_function_of_a_file_of_any_name(stub):
    source = "def f():\n    return 1 / 0\n"
    with pytest.raises(Failed, match="1 / 0"):
        stub.wait(stub.request(RUN, (source, "f", "/home/me/gr\u00fcn.py", 1, (), {})))


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONINSPECT": "1"},
    ],
    ids=["optimized", "warnings", "ascii", "others"],
)
def test_environments(interpreter, settings):
    """Whatever the account's environment asks of Python, the stub says the same, and nothing on standard error."""
    with Stub(interpreter, env=dict(os.environ, **settings)) as stub:
        exercise(stub)
        # A check that -O takes out is none.
        stub.frame(HELLO, 0, 0, pickle.dumps(dict(stub.greeting, window=1), 2))
        stub.end()
        assert stub.fatal.startswith("malformed: HELLO"), stub.fatal
        assert stub.errors == b""
