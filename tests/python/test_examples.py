"""The programs in examples/ that are written in Python run as they stand there, on hosts by SSH."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'


def hosts(sshd):
    return [sshd.spec('rpython=' + sys.executable, 'name=' + name) for name in ('web1', 'web2', 'db1')]


def run(program, *arguments, **options):
    return subprocess.run(
        [sys.executable, *program, *arguments], capture_output=True, text=True, timeout=300, **options
    )


def test_no_example_is_left_out():
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in ('.py', '.ipynb')}
    assert names == {'monte_carlo.py', 'parameter_grid.py', 'fan_out_of_tests.py', 'many_hosts.ipynb'}


def test_monte_carlo(sshd):
    done = run([EXAMPLES / 'monte_carlo.py'], *hosts(sshd))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r'pi is about 3\.1[34]\d\n', done.stdout)
    assert '3 of 3 hosts connected' in done.stderr and '200/200' in done.stderr


def test_parameter_grid(sshd):
    pytest.importorskip('sklearn')
    # Two, because each takes seconds to import scikit-learn.
    done = run([EXAMPLES / 'parameter_grid.py'], *hosts(sshd)[:2])
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r'best: C=[\d.]+ with 0\.\d+\n', done.stdout)


def test_fan_out_of_tests(sshd):
    done = run([EXAMPLES / 'fan_out_of_tests.py'], *hosts(sshd))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()) == [
        '%s: %s: passed' % (host, check) for host in ('db1', 'web1', 'web2') for check in ('check_clock', 'check_disk')
    ]
    done = run([EXAMPLES / 'fan_out_of_tests.py'], *hosts(sshd), sshd.spec('rpython=/nowhere', 'name=none'))
    assert done.returncode == 1 and 'none: not connected: ' in done.stdout


def test_the_notebook(sshd, tmp_path):
    cells = json.loads((EXAMPLES / 'many_hosts.ipynb').read_text())['cells']
    code = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
    # As a notebook does: what the last line of a cell gives is shown.
    program = tmp_path / 'notebook.py'
    program.write_text(
        '\n'.join(
            re.sub(r'\n(cluster\.report|versions|lengths\[-1\]|powers\[-1\])$', r'\nprint(\1)', each) for each in code
        )
    )
    done = run([program], env=dict(os.environ, EASYCLUSTER_HOSTS=' '.join(hosts(sshd))))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == '3 of 3 hosts connected, 1 needed' and lines[-2:] == ['600', str(2**19)], lines
    assert sorted(eval(lines[1])) == ['db1', 'web1', 'web2']
