"""The code of the documentation: the pages for beginners run as they stand, with servers of the test in the place of their hosts;
all others are at least what they claim to be: Python that compiles, shell that parses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob('docs/*.md')) + [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md')]
RUN = ['start', 'for-sysadmins', 'for-data-people', 'coming-from']
HOSTS = ['web1', 'web2', 'db1']


def blocks(page, language):
    """The blocks of a language, each with its line and the words behind the language."""
    text = page.read_text()
    for match in re.finditer(r'^```(\w+)(?:,([\w,]+))?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        if match[1] == language:
            line = text.count('\n', 0, match.start()) + 1
            yield pytest.param(match[3], match[2] or '', id='%s:%d' % (page.name, line))


def of(pages, language):
    return [block for page in pages for block in blocks(page, language)]


@pytest.mark.parametrize('code, words', of(PAGES, 'python'))
def test_python_compiles(code, words):
    compile(code, 'page', 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize('code, words', of(PAGES, 'sh'))
def test_shell_parses(code, words):
    done = subprocess.run(['bash', '-n'], input=code, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.fixture(scope='module')
def hosts():
    """Three hosts: an inventory would name them so, and the pages do."""
    with Sshd(addresses=3, max_sessions=100) as server:
        specs = {
            name: server.spec('rpython=' + sys.executable, 'name=' + name, address='127.0.0.%d' % (place + 1))
            for place, name in enumerate(HOSTS)
        }
        yield specs
        server.wait_until_idle()


def with_hosts(code, hosts):
    """The code with the servers' specs for the names of hosts; in an inventory they are variables."""
    ranges = code.replace("'web[1-2],db1'", 'web1 web2 db1').replace('rpython=python3', 'timeout=60')
    return re.sub(r'\b(web1|web2|db1)\b', lambda match: hosts[match[1]], ranges)


def as_in_an_inventory(name, spec):
    user, address, port, *options = re.split('[@:]', spec)
    of = dict(option.split('=', 1) for option in options)
    return (
        "'%s ansible_user=%s ansible_host=%s ansible_port=%s ansible_ssh_private_key_file=%s "
        'ansible_ssh_common_args="-o UserKnownHostsFile=%s"\''
    ) % (name, user, address, port, of['identity'], of['known_hosts'])


def pages_to_run():
    return [ROOT / 'docs' / (name + '.md') for name in RUN]


@pytest.mark.parametrize('code, words', of(pages_to_run(), 'python'))
def test_python_runs(code, words, hosts, tmp_path):
    # In a file, as a reader would have it: functions are sent by their source.
    program = tmp_path / 'page.py'
    program.write_text(with_hosts(code, hosts))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout


@pytest.mark.parametrize('code, words', of(pages_to_run(), 'sh'))
def test_shell_runs(code, words, hosts, tmp_path):
    if words:
        # `setup` installs things, and `shown` is for hosts that a test has not.
        assert words in ('setup', 'shown')
        return
    (tmp_path / 'bin').mkdir()
    program = tmp_path / 'bin' / 'easycluster'
    program.write_text('#!/bin/sh\nexec %s -m easycluster "$@"\n' % sys.executable)
    program.chmod(0o755)
    environment = {'PATH': '%s:/usr/bin:/bin' % program.parent, 'HOME': str(tmp_path), 'LANG': 'C.UTF-8'}
    inventory = {name: as_in_an_inventory(name, spec) for name, spec in hosts.items()}
    for shown in code.splitlines():
        line = with_hosts(shown, inventory if shown.endswith('> hosts.ini') else hosts)
        done = subprocess.run(
            ['bash', '-c', line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
