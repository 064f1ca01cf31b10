"""Everything at once, with threads that take turns as often as Python lets them: nothing is lost, wrong, or kept.

EASYCLUSTER_STORM_SECONDS says for how long under each interpreter; a minute and more finds what is rare."""

import os
import random
import re
import struct
import threading
import time

from stub_process import CANCEL, NO_REPLY, PING, RELEASE, STOP_THREAD, Failed, Reference, Stub, is_running

SECONDS = float(os.environ.get("EASYCLUSTER_STORM_SECONDS", "3"))
ONE_SHOT = 16
DEFINITIONS = """
import sys, time
if hasattr(sys, 'setswitchinterval'):
    sys.setswitchinterval(1e-6)
else:
    sys.setcheckinterval(1)
class Held(ServerObject):
    def __init__(self, n):
        self.n = n
    def get(self):
        return self.n
def echo(value):
    return value
def say(n):
    sys.stdout.write('said %d\\n' % n)
    sys.stderr.write('err %d\\n' % n)
    return n
def mutter(n):
    sys.stdout.write('m%d ' % n)
    return n
def fail(n):
    raise LookupError(n)
def nap(n):
    until = time.time() + 0.002
    while time.time() < until:
        pass
    return n
def first():
    return [Held(n) for n in range(3)]
def large(n):
    return [n, b'\\xff' * 300000]
def made():
    import gc
    gc.collect()
    return len([x for x in gc.get_objects() if type(x).__name__ == 'Held'])
def threads():
    return len(sys._current_frames()) if hasattr(sys, '_current_frames') else 0
"""


class Storm:
    """One thread of the client and its thread on the server."""

    def __init__(self, stub, thread, seed, until):
        self.stub = stub
        self.thread = thread
        self.random = random.Random(seed)
        self.until = until
        self.said = 0
        self.done = 0
        self.error = None

    def run(self):
        kinds = [self.calls, self.calls, self.cancels, self.prints, self.objects, self.sizes, self.ends, self.silence]
        try:
            while time.monotonic() < self.until:
                doing = self.random.choice(kinds)
                doing()
                self.done += 1
        except BaseException as error:
            self.error = doing.__name__, self.thread, error

    def call(self, name, *args):
        return self.stub.call(name, *args, thread=self.thread)

    def calls(self):
        """Many in flight, each with its own answer."""
        wanted = [(self.stub.start_call("echo", n, thread=self.thread), n) for n in range(self.random.randint(1, 30))]
        failed = self.stub.start_call("fail", 7, thread=self.thread)
        alone = self.stub.start_call("echo", 8, thread=-self.thread - 1, flags=ONE_SHOT)
        for number, n in wanted:
            assert self.stub.wait(number) == n
        assert self.stub.wait(alone) == 8
        try:
            raise AssertionError(self.stub.wait(failed))
        except Failed as error:
            assert error.fields["type"] == "LookupError"

    def cancels(self):
        """Those that run, wait, or are done just then."""
        numbers = [self.stub.start_call("nap", n, thread=self.thread) for n in range(4)]
        for number in numbers:
            if self.random.random() < 0.7:
                if self.random.random() < 0.5:
                    threading.Event().wait(self.random.random() * 0.003)
                self.stub.frame(CANCEL, number, self.thread, b"")
        for n, number in enumerate(numbers):
            try:
                assert self.stub.wait(number) == n
            except Failed as error:
                assert error.fields["kind"] == "cancelled", error

    def prints(self):
        for n in range(self.random.randint(1, 5)):
            assert self.call("say", n) == n
            assert self.call("mutter", n) == n
            self.said += 1

    def objects(self):
        """Objects that come, are used, and are given up."""
        held = self.call("first")
        assert all(isinstance(one, Reference) for one in held), held
        assert [self.stub.method(one, "get", thread=self.thread) for one in held] == [0, 1, 2]
        assert self.stub.method(0, "call", "echo", (held[1],), thread=self.thread).oid == held[1].oid
        pairs = [(held[0].oid, 1), (held[1].oid, 2), (held[2].oid, 1)]
        self.stub.frame(RELEASE, 0, 0, b"".join(struct.pack(">QI", *pair) for pair in pairs))

    def sizes(self):
        # What is no text, because that of 2.x comes back as text.
        data = b"\xff" + os.urandom(self.random.randint(1, 400_000))
        assert self.call("echo", data) == data
        assert self.call("large", 5) == [5, b"\xff" * 300000]

    def ends(self):
        """The end of a thread, and its number used again at once."""
        number = self.stub.start_call("echo", 1, thread=self.thread)
        if self.thread:
            self.stub.frame(STOP_THREAD, 0, self.thread, b"")
        assert self.call("echo", 2) == 2 and self.stub.wait(number) == 1

    def silence(self):
        self.stub.start_call("echo", 1, thread=self.thread, flags=NO_REPLY)
        self.stub.frame(PING, 0, 0, b"%d" % self.thread)


def test_a_storm(interpreter):
    with Stub(interpreter) as stub:
        stub.define(DEFINITIONS)
        before = stub.call("threads")
        until = time.monotonic() + SECONDS
        seed = random.randrange(1 << 30)
        storms = [Storm(stub, number, seed + number, until) for number in range(4)]
        threads = [threading.Thread(target=storm.run) for storm in storms]
        for thread in threads:
            thread.start()
        # None waits for longer than the deadline of an answer.
        for thread in threads:
            thread.join()
        assert not [storm.error for storm in storms if storm.error], (
            seed,
            [storm.error for storm in storms],
            stub.fatal,
        )
        assert min(storm.done for storm in storms), seed
        # Nothing is lost: every line arrives once and whole, among unfinished lines of others.
        said = sum(storm.said for storm in storms)
        for thread in range(4):
            assert stub.call("echo", 3, thread=thread) == 3
        stub.until(lambda: stub.output.count(b"err ") >= said)
        found = re.findall(rb"m\d |said \d\n|err \d\n", stub.output)
        assert len(found) == 3 * said and b"".join(found) == stub.output, (
            seed,
            re.sub(rb"m\d |said \d\n|err \d\n", b"", stub.output),
        )
        assert not stub.answers and not stub.parts, (seed, list(stub.answers)[:5])
        # Nothing is kept: no object, no thread, no room of a window.
        assert stub.call("made") == 0, seed
        for thread in range(1, 4):
            stub.frame(STOP_THREAD, 0, thread, b"")
        stub.until(lambda: all(stub.sent.get(n, 0) == stub.credits.get(n, 0) for n in range(1, 4)))
        # The ticker, the reader and what carries the output of children may have come.
        deadline = time.monotonic() + 60
        while before and stub.call("threads") > before + 4:
            assert time.monotonic() < deadline, (seed, stub.call("threads"))
            time.sleep(0.01)
        assert stub.fatal is None and not stub.errors
        pid = stub.hello["pid"]
        assert is_running(pid)
