"""A signal handler raises at each line in turn as an executor is shut down: whoever does it again leaves no future that never ends."""

from __future__ import annotations

import itertools
import linecache
import sys

from easycluster import Cluster
from easycluster._cluster import executor as executor_module
from support.interrupted import Stop
from support.processes import poll

SOURCE = "import threading\ngate = threading.Event()\n"


class AtLine:
    """Raises Stop at the line of that number in the module, once."""

    def __init__(self, number):
        self.left = number
        self.hit = False

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename != executor_module.__file__:
            return None
        # Not at the end of a `with`, where it would leave a lock taken as no signal does.
        if event == "line" and not linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith(
            "with "
        ):
            self.left -= 1
            if self.left < 0 and not self.hit:
                self.hit = True
                raise Stop
        return self._trace

    def __enter__(self):
        sys.settrace(self._trace)

    def __exit__(self, kind, error, trace):
        sys.settrace(None)
        return kind is Stop


def test_no_future_waits_for_ever_where_a_shutdown_was_interrupted():
    with Cluster([":local:name=host:rpython=" + sys.executable]) as cluster:
        cluster.define(SOURCE)
        client = cluster.clients["host"]
        for number in itertools.count():
            cluster.call("gate.clear")
            executor = cluster.executor()
            futures = [executor.submit("gate.wait") for _ in range(5)]
            at = AtLine(number)
            with at:
                executor.shutdown(wait=False, cancel_futures=True)
            executor.shutdown(wait=False, cancel_futures=True)
            client.call("gate.set", threadid=1)
            assert poll(lambda: all(future.done() for future in futures), 5), number
            if not at.hit:
                break
