"""Showing what remote code prints: in order, complete, and without holding anything while the program's own code runs."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest
from easycluster import ThreadedClient, _output
from support import hostile_stub
from support.processes import poll


def test_an_output_function_may_call_its_client(connect):
    seen = []

    def called(stream, text):
        seen.append((text, client.eval('6 * 7')))

    client = connect(output=called)
    other = connect(output=None)
    client.execblock('print("one")')
    client.execblock('print("two")')
    assert poll(lambda: ''.join(text for text, _ in seen) == 'one\ntwo\n')
    assert {value for _, value in seen} == {42}
    assert other.eval('1') == 1


def test_an_output_function_that_waits_holds_up_no_call(connect):
    """It wants a lock that the thread holds which makes the calls."""
    lock = threading.Lock()
    waiting = threading.Event()
    seen = []

    def takes_the_lock(stream, text):
        waiting.set()
        with lock:
            seen.append(text)

    client = connect(clientclass=ThreadedClient, output=takes_the_lock)
    other = connect(clientclass=ThreadedClient)
    with lock:
        # Printed by a child, so that no answer comes behind it and the thread for output shows it.
        response = client.subprocess.Popen(['echo', 'one'], nonblocking=True, origexc=False)
        assert waiting.wait(60)
        start = time.monotonic()
        assert client.eval('1') == 1 and other.eval('2') == 2
        assert other.execblock('print("of another")') is None
        assert time.monotonic() - start < 30
        assert seen == []
    assert poll(lambda: seen == ['one\n'])
    assert response is not None


def test_an_output_function_that_raises_loses_no_more_than_its_piece(connect, monkeypatch):
    hooked = []
    monkeypatch.setattr(sys, 'excepthook', lambda *info: hooked.append(info[0]))
    seen = []

    def fails_once(stream, text):
        if not hooked:
            raise ZeroDivisionError
        seen.append(text)

    client = connect(output=fails_once)
    client.execblock('print("lost")')
    assert poll(lambda: hooked)
    client.execblock('print("kept")')
    assert poll(lambda: ''.join(seen).endswith('kept\n')) and hooked == [ZeroDivisionError]


class Slow(io.StringIO):
    """A terminal that is slower than any server."""

    def write(self, text):
        threading.Event().wait(0.02)
        return len(text)


@pytest.mark.parametrize('to', ['a function', 'our own output'])
def test_output_without_an_end_holds_up_no_answer(connect, monkeypatch, tmp_path, to):
    flood = hostile_stub.program(tmp_path, [(hostile_stub.RESULT, pickle.dumps('good', 2))], flood=True)
    shown = []

    def slow(stream, text):
        threading.Event().wait(0.02)
        shown.append(stream)

    if to == 'our own output':
        monkeypatch.setattr(sys, 'stdout', Slow())
        client = connect(rpython=flood)
    else:
        client = connect(rpython=flood, output=slow)
    for _ in range(20):
        assert client.eval('1') == 'good'
    # What is printed while nobody calls is shown as well.
    count = len(shown)
    assert to == 'our own output' or poll(lambda: len(shown) > count + 5)


def test_who_shows_output_shows_what_was_there_when_it_began(monkeypatch):
    asked = []

    def endless(number):
        asked.append(number)
        assert len(asked) < 100, 'it shows what comes meanwhile'
        return [(False, b'x')]

    told = []
    monkeypatch.setattr(_output._native, 'take_output', endless)
    monkeypatch.setattr(_output._native, 'has_output', lambda number: True)
    monkeypatch.setattr(_output._native, 'tell_output', told.append, raising=False)
    shown = []
    sink = _output.Sink(lambda stream, text: shown.append(text))
    sink.show()
    # The thread for output is told of the rest.
    assert shown == ['x'] and told == [sink.number]


LOST = """
from easycluster import Client
from easycluster.server import spawn_local
client = spawn_local(Client)
client.execblock('import sys\\nprint("one")\\nsys.stderr.write("two\\\\n")')
assert client.eval('1') == 1
client.close()
%s
"""


@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
@pytest.mark.parametrize('end', ['', 'raise SystemExit(0)'])
@pytest.mark.parametrize('buffered', ['', '1'])
def test_output_that_cannot_be_written_is_an_error_as_of_python_itself(stream, end, buffered):
    def run(to):
        return subprocess.run(
            [sys.executable, '-c', LOST % end],
            stdin=subprocess.DEVNULL, env=dict(os.environ, PYTHONUNBUFFERED=buffered), check=False, timeout=120,
            **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, stream: to},
        )  # fmt: skip

    with open('/dev/full', 'wb') as full:
        done = run(full)
    assert done.returncode == 120, done
    if stream == 'stdout':
        assert b'No space left on device' in done.stderr and b'two' in done.stderr
        # Once when it happens, and once at the end.
        assert done.stderr.count(b'Traceback') <= 2
    assert run(subprocess.PIPE).returncode == 0


class Narrow(io.TextIOWrapper):
    """A terminal that knows ASCII only."""

    def __init__(self):
        super().__init__(io.BytesIO(), 'ascii', line_buffering=True)


def test_what_a_terminal_cannot_show_is_written_with_escapes(client, monkeypatch):
    narrow = Narrow()
    monkeypatch.setattr(sys, 'stdout', narrow)
    client.execblock('print("before")\nprint(u"h\\xe4llo")\nprint("behind")')
    monkeypatch.undo()
    lines = narrow.buffer.getvalue().decode('ascii').splitlines()
    assert [line.partition('] ')[2] for line in lines] == ['before', 'h\\xe4llo', 'behind']


def shown_by_another(taker, begun, text=b'1'):
    """A sink with one piece, which another thread has begun to show, and that thread."""
    sink = _output.Sink(taker)
    sink.add(False, text)
    thread = threading.Thread(target=sink.show)
    thread.start()
    assert begun.wait(60)
    return sink, thread


def test_two_threads_show_one_clients_output_in_order():
    seen = []
    shown = threading.Event()
    go_on = threading.Event()

    def taker(stream, text):
        seen.append(text)
        if text == '1':
            shown.set()
            assert go_on.wait(60)

    sink, thread = shown_by_another(taker, shown)
    sink.add(False, b'2')
    # The other one is at it and shows this too, when it comes to it.
    sink.show()
    assert seen == ['1']
    go_on.set()
    thread.join(60)
    assert seen == ['1', '2']


def test_an_answer_waits_a_moment_for_the_output_function(monkeypatch):
    """What was printed before the answer has been shown, whichever thread shows it; a function that waits is waited for once."""
    monkeypatch.setattr(_output, '_PATIENCE', 60)
    begun = threading.Event()
    seen = []

    def slow(stream, text):
        begun.set()
        threading.Event().wait(0.2)
        seen.append(text)

    sink, thread = shown_by_another(slow, begun)
    sink.show()
    assert seen == ['1']
    thread.join(60)

    begun.clear()
    go_on = threading.Event()

    def waits(stream, text):
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr(_output, '_PATIENCE', 0.01)
    sink, thread = shown_by_another(waits, begun)
    sink.show()
    monkeypatch.setattr(_output, '_PATIENCE', 3600)
    sink.show()
    go_on.set()
    thread.join(60)


def test_an_answer_waits_a_moment_for_our_own_terminal(monkeypatch):
    """And not forever: it may have been stopped."""
    begun = threading.Event()
    go_on = threading.Event()

    class Stopped(io.StringIO):
        def write(self, text):
            begun.set()
            assert go_on.wait(60)
            return super().write(text)

    file = Stopped()
    monkeypatch.setattr(sys, 'stdout', file)
    sink = _output.Sink(_output.Printer(''))
    sink.add(False, b'line\n')
    thread = threading.Thread(target=sink.show)
    thread.start()
    try:
        assert begun.wait(60)
        start = time.monotonic()
        sink.show()
        assert 0.5 < time.monotonic() - start < 30
    finally:
        go_on.set()
        thread.join(60)
    assert file.getvalue() == 'line\n'
