"""One stub for many tests: what is put right between two of them, and when there has to be another."""

from stub_process import STOP_THREAD, Failed, Stub
from support.leftovers import CLEAN, MODULE, PREPARE, definitions

SECONDS = 20
"""How long a stub may take until it is as it was; another takes its place then."""


class Shared:
    """The stub that the tests of one interpreter share, for as long as they leave it as it was."""

    def __init__(self):
        self.stub = self.interpreter = self.found = None

    def take(self, interpreter):
        if self.interpreter != interpreter or self.stub is None or self.stub.ended:
            self.end()
            self.interpreter, self.stub = interpreter, Stub(interpreter)
            self.stub.define(definitions(), MODULE)
            self.stub.call(PREPARE)
            self.found = self.stub.call(CLEAN)
        self.stub.forget()
        return self.stub

    def give_back(self, failed):
        """Ends it unless it is as a new one for the next test."""
        if failed or self.difference():
            self.end()

    def difference(self):
        """What of it is not as it was, or nothing."""
        stub = self.stub
        if stub.ended or stub.awaited or stub.parts:
            return "it has ended or works"
        if any(channel.ended is None for channel in stub.channels.values()):
            return "channels are open"
        # Threads of one request have ended with it.
        others = [thread for thread in stub.sent if thread > 0]
        try:
            for thread in others:
                stub.frame(STOP_THREAD, 0, thread, b"")
            # Each one's window is whole when it has ended.
            stub.until(lambda: stub.ended or all(stub.sent[n] == stub.credits.get(n, 0) for n in others), SECONDS)
            now = stub.wait(stub.start_call(CLEAN), SECONDS)
        except (AssertionError, Failed) as error:
            return error
        for counts in (stub.sent, stub.credits):
            for thread in [thread for thread in counts if thread]:
                del counts[thread]
        return [one for one, before in zip(now, self.found) if one != before]

    def end(self):
        stub, self.stub = self.stub, None
        if stub is not None:
            stub.__exit__()
