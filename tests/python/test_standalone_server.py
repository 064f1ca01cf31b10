"""The standalone server, started from Python in both ways, and clients with its key."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import easycluster
import pytest
from easycluster import Client, ConnectError, ThreadedClient, define_common
from support.processes import descendants, poll


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


@pytest.fixture(params=['program', 'run_server'])
def server(request, tmp_path):
    """`(port, key file)` of a running server."""
    port = free_port()
    key_file = tmp_path / 'secret.key'
    assert easycluster.write_key_file(key_file, easycluster.generate_key())
    if request.param == 'program':
        command = [
            '-m',
            'easycluster',
            '-S',
            '-k',
            str(key_file),
            '-p',
            str(port),
            '-b',
            '127.0.0.1',
            '-c',
            'QuietServer',
        ]
    else:
        program = 'from easycluster import *; from easycluster.server import run_server; import sys\n'
        program += 'run_server(int(sys.argv[1]), read_key_file(sys.argv[2]), "127.0.0.1", allow=["127.0.0.0/8"])'
        command = ['-c', program, str(port), str(key_file)]
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    try:
        assert poll(lambda: listens(port) or process.poll() is not None) and process.poll() is None
        yield port, key_file
        assert poll(lambda: not descendants(process.pid)), 'a connection left a process'
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_the_manuals_example(server):
    port, key_file = server
    define_common('def addvals(a, b):\n    return a + b\n')
    key = easycluster.read_key_file(key_file)
    with Client(key, '127.0.0.1', port) as rmt:
        assert rmt.peername == '127.0.0.1:%d' % port
        assert rmt.addvals(3, 4) == 7
        assert (rmt.remote_host, rmt.remote_port) == ('127.0.0.1', port)
    params = easycluster.parse_connection_spec('127.0.0.1:%d' % port, default_key=key)
    with Client(**params) as rmt, ThreadedClient.from_spec('127.0.0.1:%d:kf=%s:compress=1' % (port, key_file)) as other:
        assert rmt.addvals(1, 2) == other.addvals(1, 2) == 3
        data = b'squeeze me ' * 100000
        assert other.call('len', data) == len(data)


def test_another_key_is_refused(server):
    port, _ = server
    with pytest.raises(ConnectError) as raised:
        Client(easycluster.generate_key(), '127.0.0.1', port)
    assert '127.0.0.1' in str(raised.value)
