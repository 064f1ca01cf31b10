"""Every type of Python's library that pickles crosses as docs/types.md says: from every version found, and to it."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from easycluster import Refused
from easycluster._pickling import standard
from easycluster._shared import load
from support import standard_values

HERE = Path(__file__).parent
SOURCE = (HERE.parent / "support" / "standard_values.py").read_text()
PAGE = (HERE.parents[1] / 'docs' / 'types.md').read_text()
moved = load('moved')
# Numbers in a repr, which older versions write otherwise.
REPR = re.compile(r'^(datetime\.timedelta|datetime\.timezone)\(')


def refused_by_the_page():
    """The names that the page lists as refused."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith('| refused unless allowed |')]
    return set(re.findall('`([a-zA-Z_.]+)`', row))


@pytest.fixture(scope='module')
def local():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return standard_values.samples()


def class_here(name):
    """The class of the library that has this name here, also by another version's name for it."""
    module, _, attribute = name.rpartition('.')
    for place in [(module, attribute), *moved.others(module, attribute)]:
        found = standard.at(*place)
        if found is not None:
            return found
    return None


def is_same(described, other):
    """Whether two descriptions tell the same value; attributes may be called otherwise by another version."""
    if described == other:
        return True
    if not (isinstance(described, list) and isinstance(other, list)):
        return False
    if described[:1] == other[:1] and isinstance(described[0], str):
        if REPR.match(str(described[1])) or described[0] in ('UUID', 'IPv4Network', 'IPv6Interface'):
            # Of the same class; what it holds has other forms in each version. Its value is compared elsewhere.
            return True
    return False


def test_what_every_version_sends_arrives_as_the_page_says(connect, interpreter):
    # What other tests have exported of the standard library is in the usual definitions.
    client = connect(rpython=interpreter.path, definitions='easycluster.standard_values')
    client.execblock(SOURCE)
    seen, wrong = set(), []
    for name, described in client.eval('[(name, described(name)) for name in names()]'):
        kind = name.split(' ')[0]
        known = None if name[0] == '=' else class_here(kind)
        try:
            value = client.call('value', name, origexc='quiet')
        except Refused as error:
            refused = moved_name(error.name)
            if name[0] == '=':
                seen.add(refused)
                if refused not in refused_by_the_page():
                    wrong.append((name, 'refused', refused))
            elif known is not None:
                wrong.append((name, 'refused, and is here', str(error)))
            continue
        here = standard_values.describe(value)
        if is_same(described, here):
            continue
        if isinstance(value, BaseException):
            if type(value) is known and here[1] == described[1] or kind == 'smtplib.SMTPSenderRefused':
                continue
        elif isinstance(value, tuple):
            # Of a class that has other fields here.
            if type(value) is tuple and here[1:] == described[1:]:
                continue
            if isinstance(value, tuple) and here[: len(described)] == described:
                continue
        elif isinstance(value, int) and not isinstance(known, type) and here == described[1]:
            # An enumeration that is not here.
            continue
        wrong.append((name, described, here))
    assert not wrong
    assert seen


def moved_name(name):
    """The name under which the page lists something."""
    return name.replace('_ast.', 'ast.').replace('_functools.', 'functools.')


def test_the_page_lists_what_this_version_refuses(connect):
    client = connect(rpython=sys.executable)
    client.execblock(SOURCE)
    refused = set()
    for name in client.call('names'):
        try:
            client.call('value', name, origexc='quiet')
        except Refused as error:
            refused.add(moved_name(error.name))
    assert (
        refused
        == {name for name in refused_by_the_page() if __import__(name.rpartition('.')[0], fromlist=['x'])}
        - newer_than_this()
    )


def newer_than_this():
    """What the page lists and this version does not have or does not pickle so."""
    absent = set()
    if sys.version_info < (3, 10) or sys.version_info >= (3, 14):
        absent.add('functools.reduce')
    return absent


def test_what_is_sent_to_every_version_arrives_as_the_page_says(connect, interpreter, local):
    client = connect(rpython=interpreter.path)
    client.execblock(SOURCE)
    names = set(client.call('names'))
    old = client.sys.version_info.value < (3,)
    wrong = []
    for name, value in sorted(local.items()):
        described = standard_values.describe(value)
        try:
            there = client.call('describe', value, origexc='quiet')
        except Exception as error:
            text = str(error)
            # What is not there, or is made otherwise there: named, with the host.
            if client.peername not in text or name in names and name[0] != '=' and not old and not made_otherwise(name):
                wrong.append((name, text))
            continue
        if is_same(described, there) or old or made_otherwise(name):
            continue
        if isinstance(value, BaseException) and there[1] == described[1]:
            continue
        if isinstance(value, int) and there == int(value):
            continue
        if isinstance(value, tuple) and there[1 : len(described)] == described[1:]:
            continue
        wrong.append((name, described, there))
    assert not wrong


def made_otherwise(name):
    """Classes whose constructors take other things in other versions, which is what an argument is made by."""
    kind = name.split(' ')[0]
    return kind.startswith(('dis.', 'sched.', 'inspect.', 'ast._Precedence', 'traceback.', 'ssl.', 'tokenize.')) or name in (
        '= alias', '= union', '= graph', '= cookie', '= message', '= record', '= tree', '= signature', '= parameter', '= random',
        'socket.AddressFamily 2', '= network', '= address 6', '= partial', '= normal')  # fmt: skip


@pytest.mark.parametrize('module, name', [('distutils.errors', 'DistutilsError'), ('test.support', 'TestFailed')])
def test_a_name_of_a_server_has_no_other_package_change_the_process(module, name):
    # setuptools takes the place of distutils where all finders are asked for that.
    program = (
        'import sys; from easycluster._pickling import standard; before = set(sys.modules); standard.at(*sys.argv[1:]); '
        "print([name for name in set(sys.modules) - before if name.split('.')[0] in ('setuptools', 'pkg_resources')])"
    )
    done = subprocess.run([sys.executable, '-c', program, module, name], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == '[]', done
