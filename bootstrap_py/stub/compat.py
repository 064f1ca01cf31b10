# Every difference between Python 2.6 and 3.14 that the stub meets, and nothing else.
import os
import select
import sys
from _collections import deque

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
# Not in 2.6, to which clients send nothing that needs it.
filled = getattr(builtins, 'memoryview', None)

# The C modules by themselves: the packages around them import `re`, `enum` and more, which would take a good
# part of the start-up time.
try:
    if PY3:
        import _pickle as pickle
    else:
        import cPickle as pickle
except ImportError:
    import pickle
try:
    import _signal as signal
except ImportError:
    import signal
HIGHEST_PICKLE = 2 if not PY3 else 5 if VERSION >= (3, 8) else 4 if VERSION >= (3, 4) else 3


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


def keep_private(descriptor):
    """Keeps a descriptor from child processes; 3.4 does that by itself."""
    if VERSION < (3, 4):
        import fcntl
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


def native_source(source):
    """Source text as linecache takes it, and compile() behind MARK, with the ends of line that 2.6 asks for."""
    if not PY3:
        if isinstance(source, text_type):
            source = source.encode('utf-8')
        # What the client's file was coded in does not hold for text.
        source = __import__('re').sub('^((#.*)?\n?[ \t]*#.*)coding', r'\1Coding', source.replace('\r\n', '\n'))
    return source if source[-1:] == '\n' else source + '\n'


def attribute(owner, name):
    """An attribute by its name on the client, whose Python has other names for some methods of 2.x."""
    if not PY3 and not hasattr(owner, name):
        name = {'__next__': 'next', '__bool__': '__nonzero__', '__truediv__': '__div__'}.get(name, name)
    return getattr(owner, name)


def thread_id(ctypes):
    """The C type in which PyThreadState_SetAsyncExc takes a thread."""
    return ctypes.c_ulong if VERSION >= (3, 7) else ctypes.c_long


def printed(data):
    """What is printed as bytes."""
    if isinstance(data, text_type):
        # Whatever the text holds, printing must not fail over it.
        return data.encode('utf-8', 'backslashreplace')
    return bytes(data)


def kept_bytes(data):
    """Bytes that arrive as bytes when pickled with protocol 2."""
    return data if PY3 else bytearray(data)


def not_text(value):
    """The persistent id of `str` of 2.x that is not UTF-8, so that it arrives as bytes; None for all else."""
    if not PY3 and type(value) is str:
        try:
            value.decode('utf-8')
        except UnicodeError:
            return text('b'), value.decode('latin-1')
    return None


def plain_bytes(data):
    """Bytes for a peer that reads plain data only; of 2.x as text if they are UTF-8."""
    data = bytes(data)
    return data if PY3 or not_text(data) else data.decode('utf-8')


class Found(Exception):
    """A value holds something that cannot go the quick way."""


if PY3:
    # Subclasses, because 3.13 does not let an instance be given a function.
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            """Asked by the C pickler about everything."""
            return self.identify(item)

    class Quick(pickle.Pickler):
        def reducer_override(self, item):
            """Asked by the C pickler about what is not of a built-in type."""
            if self.identify(item) is not None:
                raise Found
            return NotImplemented

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, identity):
            """Asked by the C unpickler."""
            return self.find(identity)


def dump(value, target, protocol, identify, take, quick):
    """Pickles with persistent ids; buffers go to `take` where both ends can. With `quick` at full speed, and
    False if the value holds something that `identify` knows, or may."""
    if not PY3:
        pickler = None if quick else pickle.Pickler(target, protocol)
    elif protocol > 4:
        pickler = (Quick if quick else Pickler)(target, protocol, buffer_callback=take)
    elif quick and VERSION < (3, 8):
        pickler = None
    else:
        pickler = (Quick if quick else Pickler)(target, protocol)
    if not pickler:
        return False
    if PY3:
        pickler.identify = identify
    else:
        pickler.persistent_id = identify
    try:
        pickler.dump(value)
    except Found:
        return False
    return True


def load_from(source, find, buffers):
    """Unpickles from a file."""
    if not PY3:
        unpickler = pickle.Unpickler(source)
        unpickler.persistent_load = find
    else:
        unpickler = Unpickler(source, buffers=buffers) if buffers else Unpickler(source)
        unpickler.find = find
    return unpickler.load()
