"""One stub for many tests: what is put right between two of them, and when there has to be another."""

from stub_process import STOP_THREAD, Failed, Stub

SECONDS = 20
"""How long a stub may take until it is as it was; another takes its place then."""
MODULE = "between_tests"
DEFINITIONS = """
import gc, os, signal, sys, threading
names = sys.modules["easycluster.remote_code"].__dict__
first = set(names)
modules = dict(sys.modules)

def threads():
    return [one for one in threading.enumerate() if type(one).__name__ not in ("_DummyThread", "_MainThread")]

def has_children():
    # Those that have ended are nobody's any more.
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except OSError:
        return False

def changed_modules():
    # What is there now has a file or comes with Python, or else it was defined or put there.
    for name in set(sys.modules) | set(modules):
        module = sys.modules.get(name)
        if name in modules:
            if module is not modules[name]:
                yield name
        elif module is None and "." in name:
            # Python 2 notes so which modules a package has not.
            pass
        elif type(module) is not type(sys):
            yield name
        elif not hasattr(module, "__file__") and name not in sys.builtin_module_names and not hasattr(module, "__path__"):
            yield name

def found():
    logging = sys.modules.get("logging")
    return [
        ("folder", os.getcwd()), ("environment", sorted(os.environ.items())), ("path", sys.path),
        ("signals", [signal.getsignal(number) for number in range(1, signal.NSIG)]),
        ("timer", signal.getitimer(signal.ITIMER_REAL)),
        ("streams", [sys.stdin, sys.stdout, sys.stderr, sys.excepthook]),
        ("descriptors", [os.fstat(number)[1] for number in (0, 1, 2)]),
        ("interpreter", [sys.getrecursionlimit(), gc.isenabled(), sys.gettrace(), sys.getprofile()]),
        ("handlers", logging and logging.root.handlers or []),
        ("threads", threads()), ("children", has_children()), ("modules", list(changed_modules())),
    ]

def prepare():
    # What the stub does once, when it is needed first.
    os.system("true")
    for stream in (sys.stdout, sys.stderr):
        stream.write("")
        stream.flush()

def clean():
    for name in set(names) - first:
        del names[name]
    return [(name, repr(value)) for name, value in found()]
"""


class Shared:
    """The stub that the tests of one interpreter share, for as long as they leave it as it was."""

    def __init__(self):
        self.stub = self.interpreter = self.found = None

    def take(self, interpreter):
        if self.interpreter != interpreter or self.stub is None or self.stub.ended:
            self.end()
            self.interpreter, self.stub = interpreter, Stub(interpreter)
            self.stub.define(DEFINITIONS, MODULE)
            self.stub.call(MODULE + ".prepare")
            self.found = self.stub.call(MODULE + ".clean")
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
            now = stub.wait(stub.start_call(MODULE + ".clean"), SECONDS)
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
