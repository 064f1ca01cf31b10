"""The code of the documentation's pages, and how it is run with servers of a test in the place of its hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob('docs/*.md')) + [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md')]
HOSTS = ['web1', 'web2', 'db1']

# What stands in pages for a host: by the names of an inventory, or by any other that is used for one alone.
STANDS_FOR = dict({name: name for name in HOSTS}, one='web1', two='web2', three='db1')
STANDS_FOR.update({'user@host': 'web1', 'user@example.com': 'web1'})


def blocks(page, language):
    """The blocks of a language, each with its line and the words behind the language."""
    text = page.read_text()
    for match in re.finditer(r'^```(\w+)(?:,([\w,]+))?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        if match[1] == language:
            line = text.count('\n', 0, match.start()) + 1
            yield pytest.param(match[3], match[2] or '', id='%s:%d' % (page.name, line))


def of(pages, language):
    return [block for page in pages for block in blocks(page, language)]


def python_with_hosts(code, hosts):
    """Python with the specs of `hosts`, by name, where quotes hold the name of a host, with or without user, port and options."""

    def spec(match):
        options = match[2].replace(':rpython=python3', ':timeout=60')
        return repr(hosts[STANDS_FOR[match[1]]] + options)

    names = '|'.join(sorted(map(re.escape, STANDS_FOR), key=len, reverse=True))
    return re.sub(r"'(?:admin@|alice@)?(%s)(?::2222)?((?::\w+=[^':]*)*)'" % names, spec, code)


def shell_with_hosts(line, hosts):
    """A line of shell with the specs of `hosts`, by name; of an inventory the names are kept."""
    if ' -I ' in line:
        return line
    line = (
        line.replace("'web[1-2],db1'", 'web1 web2 db1')
        .replace('web1,web2', 'web1 web2')
        .replace('rpython=python3', 'timeout=60')
    )
    return re.sub(r'(?:\w+@)?\b(web1|web2|db1)\b(?!\*)', lambda match: hosts[match[1]], line)


def run_python(code, at, silent=True):
    """Runs it as a reader would: in a file, because functions are sent by their source. Nothing is to come on stderr if `silent`."""
    program = at / 'page.py'
    program.write_text(code)
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120, cwd=at)
    assert done.returncode == 0 and not (silent and done.stderr), (done.stdout, done.stderr)
    return done.stdout
