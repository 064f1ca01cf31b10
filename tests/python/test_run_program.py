"""The function that runs whole programs, under every Python: how they end, what they print, and how they are interrupted."""

from __future__ import annotations

import time

import pytest
from easycluster import CallTimeout
from support.processes import poll

RUN = 'helpers/run_program.run_program'

PROGRAMS = {
    b'import os; os._exit(3)': (3, '', ''),
    b'import os; os._exit(0)': (0, '', ''),
    b'import os; os.write(1, b"x\\n"); os.kill(os.getpid(), 9)': (137, 'x\n', ''),
    b'import os; os.execvp("sh", ["sh", "-c", "echo 1; exit 4"])': (4, '1\n', ''),
    b'import sys; sys.exit(10**30)': (255, '', ''),
    b'import sys; sys.exit(-1)': (255, '', ''),
    b'import sys; sys.exit(True)': (1, '', ''),
    b'import sys; sys.exit("why")': (1, '', 'why\n'),
    b'import sys; print(sys.argv[1:]); sys.stdout.write("no end")': (0, "['a', 'b']\nno end", ''),
    b'# coding: utf-8\nimport sys\nprint(u"\xc3\xa4")\nsys.stderr.write(u"\xc3\xb6\\n")\n': (0, 'ä\n', 'ö\n'),
    b'import sys\ndef hook(kind, value, trace):\n    print(kind.__name__)\nsys.excepthook = hook\n1/0\n': (
        1,
        'ZeroDivisionError\n',
        '',
    ),
    b'import atexit, sys, threading, time\natexit.register(lambda: sys.stdout.write("bye\\n"))\ndef later():\n'
    b'    time.sleep(0.1)\n    print("thread")\nthreading.Thread(target=later).start()\n': (0, 'thread\nbye\n', ''),
    b'import os, sys\nif not os.fork():\n    print("child")\n    sys.exit(5)\nprint(os.wait()[1] >> 8)\n': (
        0,
        'child\n5\n',
        '',
    ),
    # Its own lines, although a file of that name is there.
    b'import os, shutil, sys, tempfile, traceback\nhere = tempfile.mkdtemp()\nos.chdir(here)\n'
    b'open("x.py", "w").write("wrong\\n" * 9)\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n'
    b'    print("    1 / 0\\n" in traceback.format_exc())\nshutil.rmtree(here)\n'
    b'import linecache\nprint(linecache.getline("x.py", 6))\n': (0, 'True\n    1 / 0\n\n', ''),
    # As what becomes a daemon does.
    b'import os; os.closerange(3, 256); print("on")': (0, 'on\n', ''),
    b'import os, sys; os.closerange(3, 256); sys.exit("why")': (1, '', 'why\n'),
    b'import os\nos.closerange(3, 256)\nraise KeyboardInterrupt': (
        130,
        '',
        'Traceback (most recent call last):\n  File "x.py", line 3, in <module>\n    raise KeyboardInterrupt\n'
        'KeyboardInterrupt\n',
    ),
    b'raise KeyboardInterrupt': (
        130,
        '',
        'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    raise KeyboardInterrupt\n'
        'KeyboardInterrupt\n',
    ),
}


def printed(parts, stream):
    return ''.join(text for name, text in list(parts) if name == stream)


@pytest.fixture
def runner(connect, interpreter):
    """A client that knows the function, and what is printed."""
    parts = []
    client = connect(rpython=interpreter.path, output=lambda *part: parts.append(part))
    client._connected_native().send_helper('run_program')
    return client, parts


def test_a_program_ends_as_under_a_shell(runner):
    client, parts = runner
    for program, (status, stdout, stderr) in PROGRAMS.items():
        del parts[:]
        assert client.call(RUN, program, 'x.py', ['x.py', 'a', 'b']) == status, program
        deadline = time.monotonic() + 30
        # What goes to descriptor 2 takes a way of its own.
        while (printed(parts, 'stdout'), printed(parts, 'stderr')) != (stdout, stderr):
            assert time.monotonic() < deadline, (program, parts)
            time.sleep(0.01)
    assert client.eval('1 + 1') == 2


def test_a_program_is_interrupted_and_tells_where_it_stood(runner):
    client, parts = runner
    program = b'import time\ntry:\n    time.sleep(60)\nfinally:\n    print("cleaned up")\n'

    def where_it_stood():
        del parts[:]
        start = time.monotonic()
        with pytest.raises(CallTimeout) as raised:
            client.call(RUN, program, 'x.py', ['x.py'], call_timeout=2, origexc='quiet')
        assert time.monotonic() - start < 40
        # Nothing where a busy machine does not tell in time; what the program prints comes all the same.
        assert poll(lambda: printed(parts, 'stdout') == 'cleaned up\n')
        return ''.join(raised.value.stack)

    assert 'File "x.py", line 3, in <module>' in poll(where_it_stood)
    assert client.eval('1 + 1') == 2


def test_nothing_of_the_connection_is_left_in_the_program(runner):
    client, parts = runner
    program = b'''import os
left = []
for descriptor in range(3, 64):
    try:
        os.fstat(descriptor)
        left.append(descriptor)
    except OSError:
        pass
print(len(left))
print(os.read(0, 10) == b'')
'''
    assert client.call(RUN, program, 'x.py', ['x.py']) == 0
    # The one by which it tells where it stood.
    assert printed(parts, 'stdout') == '1\nTrue\n'
