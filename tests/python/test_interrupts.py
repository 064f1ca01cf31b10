"""Ctrl-C, and calls that cannot be interrupted: the wait ends, and the connection is as good as before."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from easycluster import CallTimeout, Client, ThreadedClient
from support.definitions import SLEEPER


@pytest.fixture(autouse=True)
def ctrl_c_counts():
    """Tests that run in the background have SIGINT ignored, which is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_ctrl_c_ends_a_wait_at_once_and_leaves_the_connection(connect, kind):
    client = connect(clientclass=kind)
    client.execblock(SLEEPER)
    for nonblocking in (False, True):
        # Before the alarm is set: on a busy machine it takes its time to hand a call in.
        response = client.nap(60, nonblocking=True) if nonblocking else None
        start = time.monotonic()
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            if nonblocking:
                response.wait()
            else:
                client.nap(60)
        assert time.monotonic() - start < 50
        timer.join()
    response.cancel()
    assert client.eval('4') == 4


def run_interrupted(kind, call):
    """What a program prints that gets a SIGINT in the middle of a call."""
    program = '''
import sys, threading, time
from easycluster import *
from easycluster.server import spawn_local
rmt = spawn_local(%s)
rmt.execblock(%r)
def tell():
    while not rmt._native.outstanding():
        time.sleep(0.01)
    print('on its way', flush=True)
teller = threading.Thread(target=tell, daemon=True)
teller.start()
try:
    %s
    print('no interrupt')
except KeyboardInterrupt:
    # It may still be inside of its print(), and no thread may be at the program's end.
    teller.join(30)
    print(rmt.eval('6 * 7'), rmt.connected)
''' % (kind, SLEEPER, call)
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == 'on its way\n'
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize('kind, call', [
    ('Client', 'rmt.nap(60)'),
    ('Client', 'rmt.time.sleep(60)'),
    ('Client', 'rmt.nap(60, nonblocking=True, threadid=1).wait()'),
    ('Client', 'rmt.nap(60, threadid=1, oncomplete=print); rmt.read_response()'),
    ('Client', 'rmt.nap(60, threadid=1, oncomplete=print); ClientGroup([rmt]).read_responses()'),
    ('Client', 'rmt.nap(60, timeout=50)'),
    ('ThreadedClient', 'rmt.nap(60)'),
    ('ThreadedClient', 'rmt.nap(60, nonblocking=True, threadid=99).wait()'),
    # Nothing interrupts this one outside of the main thread.
    ('ThreadedClient', 'rmt.time.sleep(60)'),
])  # fmt: skip
def test_ctrl_c_ends_a_program_s_wait_and_leaves_the_connection(kind, call):
    out, err = run_interrupted(kind, call)
    assert out == '42 True\n', err


def test_a_server_thread_that_cannot_be_interrupted_is_left(connect):
    client = connect(clientclass=ThreadedClient)
    client.import_modules(['time', 'threading'])
    first = client.call('threading.get_ident')
    with pytest.raises(CallTimeout):
        client.time.sleep(60, timeout=0.2)
    assert client.call('threading.get_ident') != first
    # One that was interrupted is not.
    client.execblock(SLEEPER)
    second = client.call('threading.get_ident')
    with pytest.raises(CallTimeout):
        client.nap(60, timeout=0.2)
    assert client.call('threading.get_ident') == second
    response = client.time.sleep(60, nonblocking=True, timeout=0.2)
    with pytest.raises(CallTimeout):
        response.wait()
    assert client.call('threading.get_ident') not in (first, second)
