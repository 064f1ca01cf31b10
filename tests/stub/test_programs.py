"""Programs that are run whole: how far they are, under every interpreter."""

from stub_process import cancel, wait_until

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
    for name in ("run_program", "run_progress", "run_seldom"):
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
