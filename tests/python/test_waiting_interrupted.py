"""A signal handler raises at each step in turn as a thread begins that waits for reports: those that are asked for then come."""

from __future__ import annotations

import pytest
from easycluster import _waiting
from support.interrupted import all_the_steps
from support.processes import poll

SOURCE = "import easycluster\ndef work():\n    for _ in easycluster.progress(range(2)):\n        pass\n"


@pytest.mark.parametrize("begun", [False, True])
def test_reports_come_whichever_step_a_handler_raised_at(connect, begun):
    # An interruption between the two halves of `with`, where Python has none, would leave a lock taken.
    for interruption in all_the_steps(2, ("_waiting.py",), but=("watch",)):
        assert poll(lambda: _waiting._watcher is None)
        before, client = connect(), connect()
        client.execblock(SOURCE)
        came = []
        if begun:
            before.show_progress(came.append)
        with interruption:
            before.show_progress(came.append)
        client.show_progress(came.append)
        client.work()
        assert poll(lambda: came and came[-1].finished, 5), interruption.at
        before.close()
        client.close()
