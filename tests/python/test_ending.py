"""What remote code has under way is not lost, whichever way the program that uses it ends its connections."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, sys
from easycluster import Client
client = Client.from_spec(sys.argv[1])
file = client.open(sys.argv[2], 'w')
file.write('hello')
if sys.argv[3] == 'close':
    client.close()
elif sys.argv[3] == 'kill':
    os.kill(os.getpid(), 9)
elif sys.argv[3] == 'sys.exit there':
    try:
        client.sys.exit()
    except BaseException:
        pass
"""


@pytest.mark.parametrize("end", ["close", "kill", "exit", "sys.exit there"])
@pytest.mark.parametrize("way", ["local", "ssh"])
def test_an_open_file_is_written(sshd, tmp_path, way, end):
    spec = sshd.spec("rpython=%s" % sys.executable) if way == "ssh" else ":local:rpython=%s" % sys.executable
    path = tmp_path / "written"
    subprocess.run([sys.executable, "-c", PROGRAM, spec, str(path), end], check=end != "kill", timeout=60)
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_text() != "hello":
        assert time.monotonic() < deadline, "it was not written"
        time.sleep(0.01)
