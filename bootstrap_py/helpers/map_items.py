# Runs batches of a map on a machine: one function on many items, with an outcome for each item by itself.
import os
import sys
import time

compat = load('compat')
calls = load('calls')
errors = load('errors')
late = load('compat_late')
sources = load('sources')

clock = getattr(time, 'monotonic', time.time)
# The functions of maps by the number that the client has given them.
functions = {}
# Outcomes of batches by what the client calls them, until the client has them all. Those of a batch whose answer did not arrive
# are fetched one by one.
kept = {}


class Missing(object):
    """Stands for a function that could not be had: each item fails with the reason."""

    def __init__(self, error):
        self.error = error

    def fail(self, *item):
        """Raises the reason."""
        raise self.error


def machine():
    """The machine of this process."""
    return sys.modules['easycluster'].machine


def install(number, kind, what):
    """Makes a function known by a number: by its dotted name, its source, or as what was sent."""
    try:
        if kind == 'dotted':
            function = calls.find(machine(), compat.native(what))
        elif kind == 'source':
            function = sources.function(machine(), *what)
        else:
            function = by_value(what)
    except Exception:
        function = Missing(sys.exc_info()[1]).fail
    functions[number] = function


def forget(number):
    """Drops a function."""
    functions.pop(number, None)


def batch(number, batch_number, items, star, received):
    """Calls a function with each item, or with `star` with the parts of each: the seconds that took, and the outcomes.
    An outcome is (True, value) or (False, what ERROR would say). `received` are batches that the client has."""
    forget_outcomes(received)
    outcomes = kept[batch_number] = []
    begun = clock()
    collect(functions[number], items, star, outcomes)
    return clock() - begun, outcomes


def forget_outcomes(batches):
    """Drops the outcomes of batches, which nobody will fetch."""
    for each in batches:
        kept.pop(each, None)


def collect(function, items, star, outcomes):
    """Appends the outcome of each item to a list."""
    for item in items:
        try:
            if star:
                outcome = True, function(*item)
            else:
                outcome = True, function(item)
        except (Exception, SystemExit, GeneratorExit):
            # A cancellation is none of these, and ends the batch.
            outcome = False, late.kept_bytes(errors.describe(machine(), 'exception', sys.exc_info()))
        outcomes.append(outcome)


def chunk(number, items):
    """Calls a function with the parts of each item; the outcomes."""
    outcomes = []
    collect(functions[number], items, True, outcomes)
    return outcomes


def count(batch_number):
    """How many items of a batch are done."""
    return len(kept.get(batch_number, ()))


def outcome(batch_number, place):
    """The outcome of one item of a batch."""
    return kept[batch_number][place]


def call(number, args, keywords):
    """Calls a function once."""
    return functions[number](*args, **compat.native_keywords(keywords))


def provide(source):
    """Takes the client's cloudpickle, under a name of its own: this machine may have none, or one that reads less."""
    module = type(sys)('easycluster_cloudpickle')
    sys.modules[module.__name__] = module
    eval(compile(source, '<cloudpickle>', 'exec', 0, True), module.__dict__)


def by_value(data):
    """A function from its pickle."""
    import io
    import pickle

    class Loader(pickle.Unpickler):
        """Takes cloudpickle's own functions from the client's cloudpickle, and large arrays from what was sent ahead."""

        def persistent_load(self, number):
            return load('helpers/values').value(number)

        def find_class(self, module, name):
            if module.split('.')[0] == 'cloudpickle':
                return getattr(sys.modules['easycluster_cloudpickle'], name)
            load('names').packages(module)
            return pickle.Unpickler.find_class(self, module, name)

    loaded = Loader(io.BytesIO(data)).load()
    name_classes()
    return loaded


def name_classes():
    """Has classes of the client's program found by their names, as pickle wants it of what it names: those that came by value."""
    came = sys.modules.get('easycluster_cloudpickle')
    main = sys.modules['__main__']
    for kind in list(getattr(came, '_DYNAMIC_CLASS_TRACKER_BY_CLASS', ())):
        name = kind.__name__
        if kind.__module__ == '__main__' and kind.__qualname__ == name and isinstance(getattr(main, name, kind), type):
            setattr(main, name, kind)


def pickled(data, as_bytes):
    """Calls what a pickle holds, for its result, or for the result's pickle."""
    result = by_value(data)()
    return compat.pickle.dumps(result, compat.HIGHEST_PICKLE) if as_bytes else result


def trusted(name, args):
    """Calls one of these functions, for its outcome's pickle: the client trusts what is in it."""
    try:
        outcome = True, globals()[compat.native(name)](*args)
    except (Exception, SystemExit, GeneratorExit):
        # As in collect().
        outcome = False, late.kept_bytes(errors.describe(machine(), 'exception', sys.exc_info()))
    return late.kept_bytes(compat.pickle.dumps(outcome, compat.HIGHEST_PICKLE))


def environment(names):
    """Sets environment variables of this process."""
    for name, value in names:
        os.environ[compat.native(name)] = compat.native(value)


def versions(names):
    """The versions of packages, None for those that are not installed."""
    found = []
    for name in names:
        name = compat.native(name)
        try:
            module = __import__(name)
        except Exception:
            found.append(None)
        else:
            found.append(compat.text(getattr(module, '__version__', '')))
    return found


def installed(names):
    """The same by what installers have noted, without importing the packages, which may take seconds. For Python 3.8 and newer."""
    metadata = __import__("importlib.metadata", None, None, ["version"])
    found = []
    for name in names:
        try:
            found.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            found.append(None)
    return found


def processors():
    """How many processors this process may use, as its affinity and its control group say; at least 1."""
    count = 0
    try:
        count = len(getattr(os, 'sched_getaffinity')(0))
    except (AttributeError, EnvironmentError):
        try:
            import multiprocessing
            count = multiprocessing.cpu_count()
        except (ImportError, NotImplementedError, EnvironmentError):
            pass
    quota = period = 0
    try:
        for line in open('/proc/self/cgroup'):
            number, controllers, path = line.strip().split(':', 2)
            if number == '0':
                words = open('/sys/fs/cgroup' + path + '/cpu.max').read().split()
                if words[0] != 'max':
                    quota, period = int(words[0]), int(words[1])
            elif 'cpu' in controllers.split(','):
                base = '/sys/fs/cgroup/cpu' + path
                quota = int(open(base + '/cpu.cfs_quota_us').read())
                period = int(open(base + '/cpu.cfs_period_us').read())
    except (EnvironmentError, ValueError, IndexError):
        pass
    if quota > 0 and period > 0:
        count = min(count or quota, -(-quota // period))
    return max(count, 1)
