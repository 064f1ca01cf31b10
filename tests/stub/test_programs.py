"""Programs that are run whole: how far they are, under every interpreter."""

from stub_process import CANCEL, cancel, is_running, wait_until

RUN = "helpers/run_program.run_program"
PROGRESS = b"""
from easycluster import progress
for row in progress([1] * 3, desc='rows\\nof mine'):
    pass
"""
# More than a pipe holds.
MUCH = b"""
from easycluster import progress
for turn in range(5000):
    progress(desc='x' * 300).close()
"""


def started(stub):
    for name in ("run_program", "run_main", "run_main_seldom", "run_process", "run_progress", "run_seldom"):
        stub.helper("helpers/" + name)


def told(stub):
    return stub.call("helpers/run_progress.read", thread=5)


def test_a_program_tells_how_far_it_is(stub):
    started(stub)
    answers = []
    number = stub.start_call(RUN, PROGRESS, "x.py", ["x.py"], {"progress": True})
    # Before it has begun there is nothing to tell.
    wait_until(lambda: answers.append(told(stub)) or answers[-1])
    while answers[-1]:
        name, done, total = answers[-1]
        assert (name, total) == ("rows of mine", 3)
        answers.append(told(stub))
    assert done == 3
    assert stub.wait(number) == 0


def test_a_program_never_waits_for_who_asks_how_far_it_is(stub):
    started(stub)
    for given in ({"progress": True}, {}):
        assert stub.call(RUN, MUCH, "x.py", ["x.py"], given) == 0


def test_who_asks_is_interrupted(stub):
    started(stub)
    source = b"import sys, time\nsys.stderr.write('started\\n')\ntime.sleep(100)"
    number = stub.start_call(RUN, source, "x.py", ["x.py"], {"progress": True})
    stub.until(lambda: b"started" in stub.output)
    asking = stub.start_call("helpers/run_progress.read", thread=5)
    cancel(stub, asking, 5)
    cancel(stub, number)


SLOW = """
import os, signal, sys, time
machine = sys.modules['easycluster'].machine
def slow(*signalled):
    until = time.time() + 5
    while not os.path.exists(%r) and time.time() < until:
        time.sleep(0.005)
    machine.interrupted(*signalled)
signal.signal(2, slow)
"""
TAKES_ITS_TIME = """
import sys, time
try:
    sys.stderr.write('started\\n')
    time.sleep(100)
except KeyboardInterrupt:
    open(%r, 'w').close()
    time.sleep(0.3)
    sys.stderr.write('cleaned\\n')
"""


def test_a_program_is_interrupted_once_also_where_the_stub_is_slow_to_hear(fresh_stub, tmp_path):
    """Its children are interrupted when it does not come to that, as on a busy machine."""
    stub = fresh_stub
    started(stub)
    mark = str(tmp_path / "interrupted")
    stub.exec(SLOW % mark)
    number = stub.start_call(RUN, (TAKES_ITS_TIME % mark).encode(), "x.py", ["x.py"])
    stub.until(lambda: b"started" in stub.output)
    stub.frame(CANCEL, number, 0, b"")
    stub.until(lambda: number in stub.answers)
    assert stub.output == b"started\ncleaned\n"


# The interruption comes when the program's process is there and not waited for yet, and is passed on before that process handles it.
BETWEEN = """
import os, sys, time
folder = %r
machine = sys.modules['easycluster'].machine
real_fork, real_kill = os.fork, os.kill
def there(name):
    return os.path.exists(os.path.join(folder, name))
def make(name, text=''):
    made = open(os.path.join(folder, name + '.new'), 'w')
    made.write(text)
    made.close()
    os.rename(os.path.join(folder, name + '.new'), os.path.join(folder, name))
def fork():
    child = real_fork()
    if child:
        make('forked', str(child))
        while machine.main.struck != machine.main.request:
            time.sleep(0.005)
    else:
        while not there('killed'):
            time.sleep(0.005)
    return child
def kill(pid, number):
    real_kill(pid, number)
    if pid != os.getpid():
        make('killed')
os.fork, os.kill = fork, kill
"""


def test_a_program_that_has_just_been_started_is_interrupted(fresh_stub, tmp_path):
    stub = fresh_stub
    started(stub)
    stub.exec(BETWEEN % str(tmp_path))
    number = stub.start_call(RUN, b"import sys\nsys.stderr.write('started')", "x.py", ["x.py"])
    wait_until((tmp_path / "forked").exists)
    stub.frame(CANCEL, number, 0, b"")
    try:
        stub.until(lambda: number in stub.answers)
        assert (tmp_path / "killed").exists()
    finally:
        (tmp_path / "killed").touch()
    child = int((tmp_path / "forked").read_text())
    wait_until(lambda: not is_running(child))
    assert stub.output == b""
    assert stub.eval("1") == 1
