"""One wheel for every CPython from 3.9 on: a program of the manual's examples under each of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import easycluster
import pytest
from support.interpreters import interpreters

MASTERS = [entry for entry in interpreters() if entry.kind == 'python' and entry.version >= (3, 9)]

PROGRAM = r'''
import sys, threading, time
from easycluster import *
from easycluster.server import spawn_local

define_common("""
def addvals(a, b):
    return a + b
class Thing(ServerObject):
    def __init__(self, value):
        self.value = value
    def get(self):
        return self.value
class Plain(object):
    def __init__(self, value):
        self.value = value
def fail():
    raise ValueError('foo')
""")

def program(rmt):
    assert rmt.addvals(3, 4) == 7 == rmt.addvals(3, 4, timeout=30)
    assert rmt.dict(timeout=30) == {'timeout': 30}
    thing = rmt.Thing(100)
    assert thing.get() == thing.value == 100
    assert rmt.Plain(5).value == 5
    assert rmt.execblock('exec_return(5)') == 5
    assert [rmt.addvals(i, 1, nonblocking=True) for i in range(3)][2].wait() == 3
    try:
        rmt.fail(origexc='quiet')
    except ValueError as error:
        assert str(error) == 'foo'
    else:
        raise AssertionError
    try:
        rmt.eval("__import__('os').system")
    except Refused:
        pass
    else:
        raise AssertionError
    assert rmt.call('len', bytes(1 << 20)) == 1 << 20
    assert len(rmt.eval('bytes(bytearray(1 << 20))')) == 1 << 20

for spec in sys.argv[1:]:
    for kind in (Client, ThreadedClient):
        with kind.from_spec(spec) as rmt:
            program(rmt)
with spawn_local() as rmt:
    program(rmt)
    seen = []
    rmt.addvals(1, 2, oncomplete=seen.append)
    rmt.read_response()
    assert seen == [3]
define_common("import enum\nclass Color(enum.Enum):\n    RED = 1\n", name='with_enum')
with spawn_local(definitions='with_enum') as rmt:
    red, again = rmt.eval('[Color.RED, Color.RED]')
    assert red is again and red.name == 'RED'
    assert next(rmt.eval('iter([5])')) == 5
print('fine')
'''


@pytest.mark.parametrize('master', MASTERS, ids=str)
def test_every_master(master, sshd, tmp_path):
    package = Path(easycluster.__file__).parent
    shutil.copytree(package, tmp_path / 'easycluster', ignore=shutil.ignore_patterns('__pycache__'))
    specs = [sshd.spec('rpython=%s' % entry.path) for entry in (interpreters()[0], master)]
    done = subprocess.run(
        [master.path, '-c', PROGRAM, *specs],
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == 'fine\n', done.stderr


def test_more_than_one_master_is_there():
    assert len({entry.version for entry in MASTERS}) > 1 or sys.version_info[:2] == MASTERS[0].version
