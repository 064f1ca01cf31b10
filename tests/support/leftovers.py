"""What a remote process is asked between two tests that share it: whether it is as it was before the first of them."""

MODULE = "between_tests"
PREPARE = MODULE + ".prepare"
CLEAN = MODULE + ".clean"
"""Takes the names away that the test has made, and tells what may have changed otherwise, as pairs of a name and a text."""

_DEFINITIONS = """
import gc, os, signal, sys, threading
names = sys.modules[NAME].__dict__
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


def definitions(module="easycluster.remote_code"):
    """The source of MODULE, where that module is what tests define names in."""
    return "NAME = %r\n%s" % (module, _DEFINITIONS)
