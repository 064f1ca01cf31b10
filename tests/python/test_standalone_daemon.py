"""The standalone server in the background, started by the Python that the package is installed for."""

import os
import signal
import subprocess
import sys

import easycluster
from easycluster import Client
from support.processes import poll


def test_the_daemon_is_of_the_same_environment(tmp_path):
    key_file = tmp_path / 'secret.key'
    pidfile = tmp_path / 'pid'
    assert easycluster.write_key_file(key_file, easycluster.generate_key())
    command = ['-m', 'easycluster', '-S', '-d', '-b', '127.0.0.1', '-p', '0', '-k', str(key_file), '-P', str(pidfile)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    port = int(done.stdout.split()[-1])
    number = int(pidfile.read_text())
    try:
        with open('/proc/%d/cmdline' % number) as file:
            words = file.read().split('\0')
        # Not the file behind the link of a virtual environment, which would not find the package.
        assert os.path.samefile(os.path.dirname(words[0]), os.path.dirname(sys.executable))
        with Client.from_spec('127.0.0.1:%d:kf=%s' % (port, key_file)) as rmt:
            assert rmt.eval('6 * 7') == 42
    finally:
        os.kill(number, signal.SIGTERM)
    assert poll(lambda: not pidfile.exists())
