"""Answers where Python has no memory for one object or another: each is found afterwards, or is the failure of its own call."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys

import pytest
from support.parts import need

# In a process of its own, because an allocation that fails at the wrong moment ends the interpreter.
PROGRAM = '''
import random, sys, time
import _testcapi
import easycluster
from easycluster.server import spawn_local

random.seed(int(sys.argv[2]))
sys.unraisablehook = lambda *args: None
VALUES = ['[1, 2, 3]', '{"a": (1, 2)}', '"x" * 100000', '[[1]] * 1000']
failed = []

def short(ask):
    """Asks with one allocation that fails; whether there was an answer, and it."""
    nth = random.randint(0, 600)
    _testcapi.set_nomemory(nth, nth + 1)
    try:
        try:
            return ask()
        finally:
            _testcapi.remove_mem_hooks()
    except BaseException as error:
        # Where there is no memory for an error either, PyO3 and Python raise what they have.
        if type(error).__name__ not in ('PanicException', 'SystemError') and 'emory' not in repr(error):
            raise
        failed.append(error)

clients = [spawn_local(getattr(easycluster, sys.argv[1])) for _ in range(2)]
client = clients[0]
for turn in range(150):
    code = random.choice(VALUES)
    waiting = [client.eval(code, nonblocking=True) for _ in range(3)]
    for each in waiting:
        short(lambda: each.wait(timeout=60))
    for each in waiting:
        try:
            assert each.wait(timeout=60) == eval(code)
        except Exception as error:
            # What there was no memory for on the way is that call's failure.
            if 'emory' not in repr(error):
                raise
    short(lambda: client.eval(code))
    short(lambda: easycluster.eval_multi(clients, code))
    assert [each.eval(code, call_timeout=60) for each in clients] == [eval(code)] * 2
assert failed
for each in clients:
    each.close()
print('done')
'''


@pytest.mark.parametrize('kind', ['Client', 'ThreadedClient'])
def test_no_answer_is_lost_where_an_allocation_fails(kind, tmp_path):
    need('testcapi', importlib.util.find_spec('_testcapi') is not None)
    program = tmp_path / 'short.py'
    program.write_text(PROGRAM)
    seed = random.randrange(1 << 30)
    done = subprocess.run(
        [sys.executable, str(program), kind, str(seed)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.stdout == 'done\n', (seed, done.returncode, done.stderr[-3000:])
