# Every difference between Python 2.6 and 3.14 that a first call meets; compat_late.py has the others.
# The modules also for the files that come later: an import waits while remote code is in one, up to 3.2 whatever it imports, and the
# threads that read and that end the process must not.
import errno
import gc
import io
import os
import select
import sys
import zlib
from _collections import deque
# Kept, because remote code may put other functions there, as tests and libraries do.
from time import sleep, time
try:
    # The C module by itself, as of `pickle` below.
    import _struct as struct
except ImportError:
    import struct

VERSION = tuple(sys.version_info[:3])
PY3 = VERSION >= (3,)
if PY3:
    import _thread as thread
    import builtins
    text_type = str
    # Results that need no look inside.
    scalars = str, bytes
else:
    import thread
    import __builtin__ as builtins
    text_type = type(''.decode())
    scalars = text_type,
long_type = type(1 << 80)
numbers = frozenset((type(None), bool, int, float, long_type))
scalars = numbers.union(scalars)
# Before 3.4 join() takes no views, so slices are copies there.
view = memoryview if VERSION >= (3, 4) else bytes
# As many turns of a loop as it takes until an interruption that was set is raised.
ticks = range(1 if PY3 else 100)
# What tells compile() of 2.x that source is UTF-8.
MARK = '' if PY3 else '\xef\xbb\xbf'
HIGHEST_PICKLE = 2 if not PY3 else 5 if VERSION >= (3, 8) else 4 if VERSION >= (3, 4) else 3
# threading takes the thread that imports it for the main one, until 3.13. From 3.5 on threads.py sees to it that the
# main thread does that first; before, it could not without an error in what the main thread waits for.
EARLY, LATE = VERSION < (3, 5), (3, 5) <= VERSION < (3, 13)
# The C pickler and threading import these whole for one small thing each, which would take a good part of the
# start-up time. It is the same thing in what stands here for them meanwhile.
borrowed = type(sys)('traceback')
borrowed.format_exc = lambda *args: __import__('traceback').format_exc(*args)
borrowed = [('functools', '_functools'), ('collections', '_collections'), ('traceback', borrowed)]
borrowed = [(name, stands) for name, stands in borrowed if name not in sys.modules]
try:
    try:
        for name, stands in borrowed:
            sys.modules[name] = __import__(stands) if isinstance(stands, str) else stands
        # The C modules by themselves: the packages around them import `re`, `enum` and more.
        if PY3:
            import _pickle as pickle
        else:
            import cPickle as pickle
        if EARLY:
            import threading
    finally:
        for name, stands in borrowed:
            sys.modules.pop(name, None)
except (AttributeError, ImportError):
    import pickle
    import threading
RLock = (EARLY and threading or thread).RLock
try:
    import _signal as signal
except ImportError:
    import signal


def retried(function):
    """The function, called again where a signal interrupts it; 3.5 does that by itself."""
    def call(*args):
        while True:
            try:
                return function(*args)
            except Exception:
                # That of select() has no errno before 3.3.
                if sys.exc_info()[1].args[:1] != (4,):
                    raise
    return call


functions = os.read, os.write, select.select
if VERSION < (3, 5):
    functions = [retried(function) for function in functions]
read, write, select = functions


def own(descriptor, waits=True):
    """Makes a descriptor one that waits or does not, whatever it was before, and keeps it from child processes."""
    if VERSION >= (3, 5):
        os.set_blocking(descriptor, waits)
    else:
        import fcntl
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags ^ waits * os.O_NONBLOCK)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def text(value):
    """Native text as text: what is `str` on 2.x becomes unicode."""
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else text_type(value)


def native(name):
    """A name as Python itself holds names."""
    return name if PY3 else name.encode('utf-8')


def native_keywords(keywords):
    """Keyword arguments with names as Python itself holds them."""
    return keywords if PY3 else dict([(native(key), value) for key, value in keywords.items()])
