# Profiles the Python that finds this on its PYTHONPATH, each thread into a file of its own: the server's --profile.
# For every Python that the stub runs on: 2.6 and newer. From 3.12 on a process has one profiler, which sees all threads; it is
# the main thread's. Nothing here knows the stub, which the client brings along and which may be of another release.
import atexit
import cProfile
import marshal
import os
import sys

try:
    import thread
except ImportError:
    import _thread as thread  # novm: the other name of the same

pattern = os.environ.pop('EASYCLUSTER_PROFILE', None)
start_new_thread = thread.start_new_thread
profilers = []
# As long as there were threads beside the main one.
started = []


def step_aside():
    """Leaves the path, for the programs that remote code starts, and lets the machine's own sitecustomize in."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]
    kept = [path for path in os.environ.pop('PYTHONPATH', '').split(os.pathsep) if path and os.path.abspath(path) != folder]
    if kept:
        os.environ['PYTHONPATH'] = os.pathsep.join(kept)
    this = sys.modules.pop('sitecustomize', None)
    try:
        __import__('sitecustomize')
    except ImportError:
        sys.modules['sitecustomize'] = this


def write(number, profiler):
    """Writes what a thread has done so far."""
    try:
        name = pattern.replace('%d', str(number)).replace('%p', str(os.getpid()))
        # Beside it and never through a link, because others may write into the folder.
        beside = name + '.new'
        file = os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb')
        try:
            profiler.create_stats()
            marshal.dump(profiler.stats, file)
        finally:
            file.close()
        os.rename(beside, name)
    except EnvironmentError:
        sys.stderr.write('the profile of thread %d was not written: %s\n' % (number, sys.exc_info()[1]))


def begin(number):
    """Profiles the calling thread from here on, if it can be; gives what ends that."""
    profiler = cProfile.Profile()
    try:
        profiler.enable()
    except ValueError:
        return lambda: None
    entry = (number, profiler)
    profilers.append(entry)

    def end():
        profiler.disable()
        profilers.remove(entry)
        write(number, profiler)

    return end


def profiled(number, function, args, kwargs):
    """Runs a thread under the profiler."""
    end = begin(number)
    try:
        function(*args, **kwargs)
    finally:
        end()


def start(function, args=(), kwargs={}):
    """Takes the place of start_new_thread."""
    started.append(None)
    return start_new_thread(profiled, (len(started), function, args, kwargs))


def write_all():
    """Writes the profiles of the threads that still run, at the end of the process."""
    for number, profiler in list(profilers):
        write(number, profiler)


step_aside()
if pattern:
    thread.start_new_thread = start
    atexit.register(write_all)
    begin(0)
