"""What a server can make a client keep: measured in a process of its own, with readers that have stopped."""

import io
import subprocess
import sys
import textwrap
import time

import pytest
from easycluster import _output

# Runs a body with a client `c` whose output function waits for `go_on` once it was called; says what memory it took, in MiB.
FRAME = """
import re, sys, threading, time
import easycluster
from easycluster.server import spawn_local

seen = [0, 0]
begun, go_on = threading.Event(), threading.Event()

def taker(stream, text):
    seen[stream == 'stderr'] += len(text)
    begun.set()
    go_on.wait(60)

def peak():
    with open('/proc/self/status') as file:
        return int(re.search(r'VmHWM:\\s+(\\d+)', file.read()).group(1)) // 1024

c = spawn_local(rpython=sys.executable, output=taker)
before = peak()
%s
print('took', peak() - before)
go_on.set()
c.close()
"""


def taken(body):
    done = subprocess.run(
        [sys.executable, "-c", FRAME % textwrap.dedent(body)], stdout=subprocess.PIPE, timeout=120, check=True
    )
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("target", ["", " 1>&2"])
def test_output_that_is_not_read_waits_at_the_server(target):
    body = """
        thread = threading.Thread(target=c.eval, args=('__import__("os").system("timeout 30 yes%s")',), daemon=True)
        thread.start()
        assert begun.wait(60)
        time.sleep(3)
        assert thread.is_alive() and sum(seen) < 4 << 20, seen
        c._native.close()
    """
    assert taken(body % target) < 20


def test_output_byte_by_byte_takes_little_more():
    """Every byte is a frame, and the two streams take turns, so that no two of them are of one."""
    body = """
        c.eval('''[(a.write('a'), a.flush(), b.write('b'), b.flush()) for a, b in
                   [(__import__('sys').stdout, __import__('sys').stderr)] for n in range(100000)] and None''')
    """
    # Kept, each would take more than fifty bytes.
    assert taken(body) < 20


def test_a_line_without_end_takes_time_by_its_length(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    printer = _output.Printer("")
    piece = "x" * 4096
    start = time.monotonic()
    for _ in range((32 << 20) // len(piece)):
        printer("stdout", piece)
    printer("stdout", "end\nnext")
    printer.flush()
    assert time.monotonic() - start < 20
    lines = file.getvalue().split("\n")
    assert set(map(len, lines[:-3])) == {65536} and lines[-3:] == ["end", "next", ""]
    assert "".join(lines[:-3]) == "x" * (32 << 20)


def test_short_pieces_of_a_line_come_together(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    printer = _output.Printer("p ")
    for piece in ("a", "b\nc", "", "d\n\n", "\n", "e"):
        printer("stdout", piece)
    printer.flush()
    printer.flush()
    assert file.getvalue() == "p ab\np cd\np \np \np e\n"


def test_a_result_has_a_limit(connect, definitions):
    # With definitions of its own, because those that other tests share keep arrays at the server.
    client = connect(max_result="1M", definitions=definitions)
    with pytest.raises(MemoryError, match="max_result=") as caught:
        client.eval("b'x' * (1 << 21)")
    assert "1048576 bytes" in str(caught.value)
    assert client.eval("b'x' * 1000000") == b"x" * 1000000
    with pytest.raises(MemoryError):
        client.eval("__import__('array').array('b', b'x' * (1 << 21))")
    assert client.eval("1") == 1
