"""The program for Windows under Wine: what it does with a real sshd of this machine, and what it says of what Windows lacks.

`make test-windows` builds the program and names it in EASYCLUSTER_WINDOWS_PROGRAM.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.parts import need
from support.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = str(ROOT / 'tests' / 'support' / 'process_prng.c')


def wine() -> str | None:
    """Debian's loader is not on PATH; elsewhere it is."""
    found = [path for path in ('/usr/lib/wine/wine64',) if os.access(path, os.X_OK)]
    return found[0] if found else shutil.which('wine64') or shutil.which('wine')


class Windows:
    """Runs the program with a Windows of its own, whose home directory is empty."""

    def __init__(self, program: str) -> None:
        # Wine puts sockets below it, whose names may not be long.
        self.folder = Path(tempfile.mkdtemp(prefix='wine'))
        self.program = str(self.folder / 'easycluster.exe')
        shutil.copy(program, self.program)
        # What an old Wine lacks, beside the program, where a newer one looks for its own first.
        library = [LIBRARY, '-shared', '-s', '-o', str(self.folder / 'bcryptprimitives.dll'), '-ladvapi32']
        subprocess.run(['x86_64-w64-mingw32-gcc', *library], check=True, timeout=60)
        self.environment = {
            'PATH': os.environ['PATH'],
            'HOME': str(self.folder),
            'WINEPREFIX': str(self.folder / 'prefix'),
            'WINEDEBUG': '-all',
            # Neither browsers nor .NET are wanted, and asking for them would open windows.
            'WINEDLLOVERRIDES': 'mscoree=;mshtml=;winemenubuilder.exe=',
            'LANG': 'C.UTF-8',
        }
        self.run('--version', patience=240)

    def run(self, *arguments: str, patience: float = 120, **variables: str):
        return subprocess.run(
            [wine(), self.program, *arguments],
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
        )

    def end(self) -> None:
        # Its services go on for some seconds otherwise, and would write into a folder that is gone.
        subprocess.run(['wineserver', '-k'], env=self.environment, timeout=60)
        subprocess.run(['wineserver', '-w'], env=self.environment, timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)


def as_windows(path: object) -> str:
    """A path of this machine as programs for Windows name it; the colon behind the drive is not one between options."""
    return 'Z\\:' + str(path)


@pytest.fixture(scope='module')
def windows():
    program = os.environ.get('EASYCLUSTER_WINDOWS_PROGRAM')
    made = Windows(need('wine', program if program and wine() else None))
    yield made
    made.end()


@pytest.fixture
def spec(sshd):
    return '%s@127.0.0.1:%d:identity=%s:known_hosts=%s:config=none:batch=yes:name=box' % (
        sshd.user,
        sshd.port,
        as_windows(sshd.key),
        as_windows(sshd.known_hosts),
    )


def test_it_says_who_it_is(windows):
    version = re.search('^version = "(.*)"$', (ROOT / 'Cargo.toml').read_text(), re.MULTILINE)[1]
    done = windows.run('--version')
    assert (done.returncode, done.stdout) == (0, 'easycluster %s\n' % version), done.stderr


def test_a_host_answers(windows, spec):
    done = windows.run('ping', '--json', spec)
    assert done.returncode == 0, done.stderr
    (host,) = json.loads(done.stdout)
    assert (host['host'], host['reachable']) == ('box', True), host


def test_python_runs_there(windows, spec):
    done = windows.run('run', '--no-prefix', spec, '-c', 'import os; print(os.sep, sum(range(5)))')
    assert (done.returncode, done.stdout.split()) == (0, ['/', '10']), done.stderr


def test_a_script_of_this_side_runs_there(windows, spec, tmp_path):
    script = tmp_path / 'script.py'
    script.write_text('import sys\nprint(sys.argv[1:])\n')
    done = windows.run('run', '--no-prefix', spec, '--', 'Z:' + str(script), 'a', 'b c')
    assert (done.returncode, done.stdout.strip()) == (0, "['a', 'b c']"), done.stderr


def test_a_shell_command_runs_there(windows, spec):
    done = windows.run('exec', '--no-prefix', spec, '--', 'echo "$((6 * 7))"; exit 3')
    assert done.stdout.strip() == '42', done.stderr
    assert done.returncode != 0


def test_a_new_host_key_is_recorded_in_the_profile(windows, sshd):
    name = '%s@127.0.0.1:%d:identity=%s:hostkey=accept-new:batch=yes' % (sshd.user, sshd.port, as_windows(sshd.key))
    done = windows.run('exec', '--no-prefix', name, '--', 'true')
    assert done.returncode == 0, done.stderr
    (recorded,) = windows.folder.glob('prefix/drive_c/users/*/.ssh/known_hosts')
    assert '127.0.0.1' in recorded.read_text()


def test_a_changed_host_key_is_refused(windows, sshd, tmp_path):
    with Sshd() as other:
        wrong = tmp_path / 'known_hosts'
        wrong.write_text(other.known_hosts.read_text().replace(':%d' % other.port, ':%d' % sshd.port))
        name = '%s@127.0.0.1:%d:identity=%s:known_hosts=%s:config=none:batch=yes' % (
            sshd.user,
            sshd.port,
            as_windows(sshd.key),
            as_windows(wrong),
        )
        done = windows.run('ping', name)
        assert done.returncode != 0
        assert 'host key' in done.stdout + done.stderr, done.stderr


def test_what_windows_lacks_is_said(windows):
    done = windows.run('ping', ':local')
    assert done.returncode != 0 and 'Windows has no /bin/sh' in done.stdout + done.stderr, done.stderr
    key = 'Z:%s/secret.key' % windows.folder
    assert windows.run('-g', key).returncode == 0
    done = windows.run('-S', '-k', key)
    assert done.returncode != 0 and 'only on Unix' in done.stderr, done.stderr
