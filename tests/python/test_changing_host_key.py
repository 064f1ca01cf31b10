"""Servers that only asyncssh plays: one that goes on with another host key where the keys of a connection are renewed, one that
sends data of no bytes, and those that end a channel in odd ways."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from easycluster import Client
from support.parts import need

SERVER = Path(__file__).parents[1] / 'support' / 'changing_sshd.py'


@pytest.fixture
def server():
    """Starts one whose second host key is of this type; gives its port."""
    need('asyncssh', importlib.util.find_spec('asyncssh'))
    started = []

    def start(kind):
        process = subprocess.Popen(
            [sys.executable, str(SERVER), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return int(process.stdout.readline())

    yield start
    for process in started:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def connect(port, folder):
    return Client.from_spec(
        'user@127.0.0.1:%d:config=none:known_hosts=%s:hostkey=accept-new:identity=none:rpython=%s'
        % (port, Path(folder) / 'known_hosts', sys.executable)
    )


def call_for_seconds(client, seconds):
    """Calls without a pause, so that keys are renewed about every second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert client.eval('1') == 1


def test_keys_are_renewed_under_the_same_host_key(server, tmp_path):
    client = connect(server('none'), tmp_path)
    call_for_seconds(client, 4)
    client.close()


def test_a_host_key_of_another_type_ends_the_connection(server, tmp_path):
    client = connect(server('ecdsa-sha2-nistp256'), tmp_path)
    with pytest.raises(ConnectionError, match='another type'):
        call_for_seconds(client, 60)
    client.close()


@pytest.mark.parametrize(
    ('kind', 'reason'), [('eof', 'has closed its output and goes on'), ('refused', r'taken\\u\{1b\}\[2J back')]
)
def test_a_channel_whose_output_has_ended_is_over(server, tmp_path, kind, reason):
    client = connect(server(kind), tmp_path)
    with pytest.raises(ConnectionError, match=reason):
        for _ in range(60_000):
            client.eval('1', call_timeout=60)
    client.close()


def test_data_of_no_bytes_takes_no_memory(server, tmp_path):
    # What a process needs for its first connection is no matter here.
    connect(server('none'), tmp_path).close()
    port = server('empty')
    Path('/proc/self/clear_refs').write_text('5')
    before = peak()
    client = connect(port, tmp_path)
    call_for_seconds(client, 0.5)
    client.close()
    # Kept, each would take more than a hundred bytes.
    assert peak() - before < 5 << 20, peak() - before


def peak():
    """The most memory that this process had since that was cleared, in bytes."""
    lines = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return int(lines['VmHWM'].split()[0]) << 10
