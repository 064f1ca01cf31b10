"""The Python of the README runs as it stands there, and prints what its comments say."""

import re
import subprocess
import sys
from pathlib import Path

from support.interpreters import interpreters
from support.sshd import Sshd

README = Path(__file__).resolve().parents[2] / 'README.md'


def blocks():
    return re.findall(r'^```python\n(.*?)^```$', README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_many_hosts():
    _, code = blocks()
    with Sshd() as server:
        specs = [server.spec('rpython=%s' % sys.executable, 'name=' + name) for name in ('web1', 'web2', 'db1')]
        program = code.replace("['web1', 'web2', 'db1']", repr(specs))
        assert program != code
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
        loads, powers = done.stdout.splitlines()
        assert list(eval(loads)) == ['web1', 'web2', 'db1']
        assert powers == str([n**n for n in range(10)])
        server.wait_until_idle()


def test_the_minute_of_python():
    code = blocks()[0]
    expected = re.findall(r'^print\(.*# (.*)$', code, re.MULTILINE)
    assert len(expected) == 6
    newest = interpreters()[-1].path
    with Sshd() as server:
        program = code.replace('user@example.com', server.spec('rpython=' + newest))
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.splitlines()[:6]) == (0, expected), done.stderr
        assert '%' in done.stdout.splitlines()[6]
        server.wait_until_idle()


def test_the_lines_for_cargo_name_this_crate_and_its_features():
    page, manifest = README.read_text(), README.with_name('Cargo.toml').read_text()
    ours, tokio = re.search(r'^```toml\n\[dependencies\]\n(.*)\n(.*)\n```$', page, re.MULTILINE).groups()
    name = re.search(r'^name = "(.*)"$', manifest, re.MULTILINE).group(1)
    assert ours == '%s = { path = "../%s", default-features = false }' % (name, name)
    # What is left out is the program, and the server can be had without it.
    assert re.search(r'^default = \["cli"\]$', manifest, re.MULTILINE)
    assert re.search(r'^server = ', manifest, re.MULTILINE)
    version = re.search(r'^tokio = .*?version = "(\d+)', manifest, re.MULTILINE).group(1)
    # Those that the example below them needs.
    assert tokio == 'tokio = { version = "%s", features = ["macros", "rt"] }' % version
