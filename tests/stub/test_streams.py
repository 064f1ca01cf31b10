"""The standard streams of remote code: as Python's own have them, whatever is asked of them."""

import pytest

NAMES = ["stdout", "stderr"]


@pytest.fixture
def stub3(fresh_stub):
    """A stub under a Python whose streams are of io; None under others."""
    return fresh_stub if fresh_stub.hello["python"] >= (3, 3) else None


@pytest.mark.parametrize("name", NAMES)
def test_what_they_are(stub3, name):
    if not stub3:
        return
    stub3.exec("import io, sys\ns = sys.%s" % name)
    assert stub3.eval("isinstance(s, io.TextIOWrapper), isinstance(s, io.TextIOBase), isinstance(s, str)") == (
        True,
        True,
        False,
    )
    number = NAMES.index(name) + 1
    stub3.exec("s = sys.%s" % name)
    assert stub3.eval("s.fileno(), s.buffer.fileno(), s.buffer.raw.fileno()") == (number,) * 3
    assert stub3.eval("s.name, s.buffer.name, s.buffer.raw.name") == ("<%s>" % name,) * 3
    assert stub3.eval("s.encoding, s.errors, s.mode, s.buffer.raw.mode, s.newlines, s.closed, s.line_buffering") == (
        "utf-8", "backslashreplace", "w", "wb", None, False, True,
    )  # fmt: skip
    assert (
        stub3.eval("[f.isatty() or f.readable() or f.seekable() for f in (s, s.buffer, s.buffer.raw)]") == [False] * 3
    )
    assert stub3.eval("[f.writable() for f in (s, s.buffer, s.buffer.raw)]") == [True] * 3
    assert stub3.eval("isinstance(s.buffer, io.BufferedWriter), isinstance(s.buffer.raw, io.RawIOBase)") == (True, True)
    assert stub3.eval("s is sys.__%s__, sys.__%s__ is sys.%s" % (name, name, name)) == (True, True)
    assert stub3.exec("try:\n    s.write(b'x')\nexcept TypeError:\n    exec_return(1)") == 1
    assert stub3.exec("try:\n    s.buffer.write('x')\nexcept TypeError:\n    exec_return(1)") == 1


def test_all_ways_of_writing_keep_their_order(stub3):
    if not stub3:
        return
    stub3.exec(
        "import sys, os, array\nprint('1', end='')\nsys.stdout.buffer.write(b'2')\nsys.stdout.flush()\nsys.stdout.buffer.raw.write(b'3')\n"
        "sys.stdout.writelines(['4', '5\\n'])\nos.write(1, b'6\\n')\nprint('7', file=sys.__stdout__)\n"
        "assert sys.stdout.write('\\u20ac8\\n') == 3\nassert sys.stdout.buffer.write(array.array('B', [57, 10])) == 2\n"
        "sys.stdout.buffer.writelines([b'a', b'b'])\nprint('\\udc80')"
    )
    assert stub3.output == "12345\n6\n7\n€8\n9\nab\\udc80\n".encode()


def test_they_can_be_set_up_anew(stub3):
    if not stub3:
        return
    if stub3.hello["python"] >= (3, 7):
        stub3.exec(
            "import sys\nsys.stdout.reconfigure(encoding='latin-1', errors='replace', line_buffering=False, write_through=False)\n"
            "print('\\xe4\\u20ac', end='')"
        )
        assert stub3.output == b"\xe4?"
        assert stub3.eval("sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering") == (
            "latin-1",
            "replace",
            False,
        )
        stub3.exec("sys.stdout.reconfigure(encoding='utf-8', newline='\\r\\n')\nprint('\\xe4')")
        assert stub3.output == b"\xe4?\xc3\xa4\r\n"
    stub3.output = b""
    stub3.exec(
        "import io, sys, codecs\nsys.stderr = codecs.getwriter('utf-16-le')(sys.stderr.detach())\nsys.stderr.write('e\\n')\n"
        "sys.stderr.flush()\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='latin-1', line_buffering=True)\n"
        "print('\\xe4')\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'ascii')\nprint('end')\nsys.stdout.flush()"
    )
    assert stub3.output == b"e\0\n\0\xe4\nend\n"
    # What belongs to the connection stays open.
    assert stub3.call("os.system", "echo child") == 0
    stub3.until(lambda: stub3.output.endswith(b"child\n"))


def test_closing_them_closes_nothing(fresh_stub):
    fresh_stub.exec(
        "import sys\nsys.stdout.close()\nsys.stderr.close()\nsys.stdout.write('still\\n')\nsys.stderr.write('here\\n')"
    )
    assert fresh_stub.output == b"still\nhere\n"


def test_redirection_and_threads(stub3):
    if not stub3:
        return
    stub3.exec(
        "import contextlib, io, sys, threading\n"
        "if sys.version_info >= (3, 4):\n    with contextlib.redirect_stdout(io.StringIO()) as held:\n        print('held')\n"
        "    assert held.getvalue() == 'held\\n'\n"
        "def talk(n):\n    for i in range(200):\n        print('line', n, i, sep='-')\n"
        "threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]\n"
        "for t in threads:\n    t.start()\nfor t in threads:\n    t.join()\n"
    )
    assert sorted(stub3.output.split()) == sorted(b"line-%d-%d" % (n, i) for n in range(4) for i in range(200))


def test_standard_input_is_empty(fresh_stub):
    fresh_stub.exec("import sys")
    assert fresh_stub.eval("sys.stdin.read(), sys.stdin.readline(), sys.stdin.isatty(), sys.stdin.fileno()") == (
        "",
        "",
        False,
        0,
    )
    assert fresh_stub.eval("list(sys.stdin)") == []
    name = "raw_input" if fresh_stub.hello["python"] < (3,) else "input"
    with pytest.raises(Exception, match="EOFError"):
        fresh_stub.call(name)
    assert fresh_stub.call("os.system", "read x") != 0
