"""The code of the documentation runs as it stands, with servers of the test in the place of its hosts.

Where a page leaves something to its reader, such as a client, the code has it from BEFORE. Blocks of shell with `setup` behind the
language install something; those with `shown` want what no test of this file has, and SHOWN says which test has the same.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
from support.pages import HOSTS, PAGES, ROOT, of, python_with_hosts, run_python, shell_with_hosts
from support.sshd import Sshd

# Dask's page has its test beside those of Dask, and that of continuous integration has one in Rust.
RUN = [page for page in PAGES if page.stem not in ('beyond-one-machine', 'ci')]

CLIENT = "import easycluster\nfrom easycluster import *\nclient = Client.from_spec('web1')\n"
BEFORE = {
    'commands': CLIENT
    + "import asyncio, io, tarfile\nwritten = io.BytesIO()\ntarfile.open(fileobj=written, mode='w').close()\n"
    + "data, token = written.getvalue(), 'secret'\nclients = [client, Client.from_spec('web2')]\n"
    + "async_client = AsyncClient.from_spec('web1')\n",
    'many-machines': "import easycluster\npaths = ['/etc/passwd'] * 3\n"
    + "cluster = easycluster.Cluster(['web1', 'web2'])\n",
    'types': CLIENT + "import sys, types\nsys.modules['mypackage'] = types.ModuleType('mypackage')\n"
    "class Point: pass\nPoint.__module__, sys.modules['mypackage'].Point = 'mypackage', Point\n"
    "sys.modules['otherpackage'] = types.ModuleType('otherpackage')\n",
}
# What takes seconds to import, where a block has one of these names.
ALSO_BEFORE = {
    'estimator': "from sklearn.linear_model import Ridge\nestimator, grid = Ridge(), {'alpha': [0.1, 1.0]}\n",
    'X': 'import numpy\nX, y = numpy.random.rand(30, 3), numpy.random.rand(30)\n',
}
SHOWN = {
    'commands': 'tests/python/test_packages.py',
    'files': 'tests/python/test_files.py',
    'for-sysadmins': 'tests/rust/steps/terminal.rs',
    'steps': 'tests/rust/steps/terminal.rs',
    'hosts': 'tests/rust/cli/ci_page.rs',
}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_no_block_is_passed_over(page):
    fences = re.findall(r'^ *```.*$', page.read_text(), re.MULTILINE)
    assert not [fence for fence in fences if not re.fullmatch(r'```(\w+(,\w+)*)?', fence)]


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


def as_in_an_inventory(name, spec):
    user, address, port, *options = re.split('[@:]', spec)
    of = dict(option.split('=', 1) for option in options)
    return (
        '%s ansible_user=%s ansible_host=%s ansible_port=%s ansible_ssh_private_key_file=%s '
        'ansible_ssh_common_args="-o UserKnownHostsFile=%s"'
    ) % (name, user, address, port, of['identity'], of['known_hosts'])


def page_of(request):
    return re.search(r'\[([\w-]+)\.md:', request.node.name)[1]


@pytest.mark.parametrize('code, words', of(RUN, 'python'))
def test_python_runs(code, words, hosts, tmp_path, request):
    if words:
        assert (ROOT / SHOWN[page_of(request)]).exists()
        return
    before = [BEFORE.get(page_of(request), '')]
    before += [text for name, text in ALSO_BEFORE.items() if re.search(r'\b%s\b' % name, code)]
    code = ''.join(before) + code
    if re.search(r'^(async|.*\bawait)\b', code, re.MULTILINE):
        lines = ''.join('    %s\n' % line for line in code.splitlines() if not line.endswith('import *'))
        code = 'from easycluster import *\nimport asyncio\nasync def main():\n%sasyncio.run(main())\n' % lines
    said = run_python(python_with_hosts(code, hosts), tmp_path)
    assert said or 'print' not in code


@pytest.mark.parametrize('code, words', of(RUN, 'sh'))
def test_shell_runs(code, words, hosts, tmp_path, request):
    if words:
        assert words == 'setup' or (ROOT / SHOWN[page_of(request)]).exists()
        return
    (tmp_path / 'bin').mkdir()
    program = tmp_path / 'bin' / 'easycluster'
    program.write_text('#!/bin/sh\nexec %s -m easycluster "$@"\n' % sys.executable)
    program.chmod(0o755)
    environment = {'PATH': '%s:/usr/bin:/bin' % program.parent, 'HOME': str(tmp_path), 'LANG': 'C.UTF-8'}
    inventory = {name: "'%s'" % as_in_an_inventory(name, spec) for name, spec in hosts.items()}
    # What the pages take for granted, until they make it themselves.
    (tmp_path / 'hosts.txt').write_text(''.join('%s\n' % spec for spec in hosts.values()))
    lines = [as_in_an_inventory(name, spec) for name, spec in hosts.items()]
    (tmp_path / 'hosts.ini').write_text('[web]\n%s\n%s\n[prod]\n%s\nweb1\n' % tuple(lines))
    (tmp_path / 'check.py').write_text('import sys\nprint(sys.argv)\n')
    (tmp_path / 'check.sh').write_text('#!/bin/sh\necho "$@"\n')
    for shown in code.replace('\\\n', '').splitlines():
        line = shell_with_hosts(shown, inventory if shown.endswith('> hosts.ini') else hosts)
        done = subprocess.run(
            ['bash', '-c', line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
