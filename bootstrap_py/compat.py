# Every difference between Python 2.6 and 3.14 that the stub meets, and nothing else.
import errno
import os
import sys

VERSION = tuple(sys.version_info[:3])
PY3 = VERSION[0] >= 3
IMPLEMENTATION = 'cpython'
if '__pypy__' in sys.builtin_module_names:
    IMPLEMENTATION = 'pypy'
elif sys.platform.startswith('java'):
    IMPLEMENTATION = 'jython'

if PY3:
    import _thread as thread
    import builtins
    text_type = str
    native_types = (str,)
    plain_scalars = frozenset((type(None), bool, int, float, str, bytes))
    long_type = int
else:
    import thread
    import __builtin__ as builtins
    text_type = type(''.decode('ascii'))
    native_types = (str, text_type)
    long_type = type(1 << 80)
    plain_scalars = frozenset((type(None), bool, int, float, text_type, long_type))

# The C pickler is loaded by itself: the module `pickle` around it imports `re` and more, which costs
# a tenth of the start-up time.
try:
    if PY3:
        import _pickle as pickle
    else:
        import cPickle as pickle
except ImportError:
    import pickle

if PY3:
    HIGHEST_PICKLE = getattr(pickle, 'HIGHEST_PROTOCOL', None)
    if HIGHEST_PICKLE is None:
        HIGHEST_PICKLE = 5 if VERSION >= (3, 8) else 4 if VERSION >= (3, 4) else 3
else:
    HIGHEST_PICKLE = 2

# The package `signal` imports `enum`; the handler needs only the C module.
try:
    import _signal as signal
except ImportError:
    import signal

if VERSION >= (3, 5):
    read = os.read
    write = os.write
else:
    def read(descriptor, size):
        """os.read, taken up again where a signal interrupts it."""
        while True:
            try:
                return os.read(descriptor, size)
            except (OSError, IOError):
                if sys.exc_info()[1].errno != errno.EINTR:
                    raise

    def write(descriptor, data):
        """os.write, taken up again where a signal interrupts it."""
        while True:
            try:
                return os.write(descriptor, data)
            except (OSError, IOError):
                if sys.exc_info()[1].errno != errno.EINTR:
                    raise

if PY3:
    view = memoryview
else:
    def view(data):
        """Something to slice without a copy; 2.6 cannot write such a thing to a descriptor."""
        return data


# Under a thread's own lock errors differ in name only.
lock_error = thread.error


def keep_private(descriptor):
    """Keeps a descriptor from being inherited by child processes."""
    if VERSION >= (3, 4):
        os.set_inheritable(descriptor, False)
    else:
        import fcntl
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)


def text(value):
    """Native text as text: what is `str` on 2.x becomes unicode."""
    if isinstance(value, text_type):
        return value
    if isinstance(value, bytes):
        return value.decode('utf-8', 'replace')
    return text_type(value)


if PY3:
    def native(name):
        """A name as Python itself holds names."""
        return name

    def native_keywords(keywords):
        """Keyword arguments with names as Python itself holds them."""
        return keywords

    def native_arguments(arguments):
        """Positional arguments as this Python's own code would give them."""
        return arguments
else:
    def native(name):
        """A name as Python itself holds names."""
        if isinstance(name, text_type):
            return name.encode('ascii')
        return name

    def native_keywords(keywords):
        """Keyword arguments with names as Python itself holds them."""
        return dict([(native(key), native_number(value)) for key, value in keywords.items()])

    def native_number(value):
        """A long that fits an int as an int; anything else as it is."""
        if type(value) is long_type:
            return int(value)
        return value

    def native_arguments(arguments):
        """Positional arguments as this Python's own code would give them."""
        for value in arguments:
            if type(value) is long_type:
                return [native_number(value) for value in arguments]
        return arguments


def compile_source(source, filename, mode):
    """compile() without this file's own future statements; text with a coding line is fine too."""
    if not PY3 and isinstance(source, text_type):
        source = '\xef\xbb\xbf' + source.encode('utf-8')
    return compile(source, filename, mode, 0, True)


def repair_main_thread(ident):
    """Imports `threading`, and puts right that it takes the importing thread for the main one.

    Before 3.13 it notes the thread that imports it first, which need not be the main thread here."""
    if 'threading' in sys.modules:
        return
    import threading
    if VERSION >= (3, 13) or thread.get_ident() == ident:
        return
    active = threading._active
    main = active.pop(thread.get_ident(), None)
    if main is not None:
        active[ident] = main
        for name in ('_ident', '_Thread__ident'):
            if hasattr(main, name):
                setattr(main, name, ident)


if PY3:
    def exception_chain(error):
        """The exception shown before this one and the sentence between them, or None."""
        if error.__cause__ is not None:
            return error.__cause__, 'The above exception was the direct cause of the following exception:'
        if error.__context__ is not None and not getattr(error, '__suppress_context__', False):
            return error.__context__, 'During handling of the above exception, another exception occurred:'
        return None

    def as_bytes_value(data):
        """Bytes that arrive as bytes when pickled with protocol 2."""
        return data
else:
    def exception_chain(error):
        """The exception shown before this one and the sentence between them, or None."""
        return None

    def as_bytes_value(data):
        """Bytes that arrive as bytes when pickled with protocol 2."""
        return bytearray(data)


def exception_lines(error):
    """The last lines of a traceback: the exception itself, with notes and a syntax error's place."""
    import traceback
    return traceback.format_exception_only(type(error), error)


# Names in requests can be used as they come: 2.x gets them as unicode.
SAME_NAMES = PY3

# `collections` itself imports much.
from _collections import deque


if PY3:
    def as_bytes(part):
        """A view's content as bytes."""
        return bytes(part)

    def source_text(source):
        """Source as linecache keeps it."""
        return source
else:
    def as_bytes(part):
        """A view's content as bytes."""
        return part

    def source_text(source):
        """Source as linecache keeps it."""
        if isinstance(source, text_type):
            return source.encode('utf-8')
        return source


def thread_id(ctypes):
    """The C type in which PyThreadState_SetAsyncExc takes a thread."""
    if VERSION >= (3, 7):
        return ctypes.c_ulong
    return ctypes.c_long


if PY3:
    import io
    StreamBase = io.TextIOBase
    STREAM_ERRORS = 'surrogateescape'

    def stream_bytes(value):
        """Printed text as bytes."""
        if not isinstance(value, str):
            raise TypeError('write() argument must be str, not %s' % type(value).__name__)
        try:
            return value.encode('utf-8', 'surrogateescape')
        except UnicodeError:
            # Half a surrogate pair; printing must not fail over it.
            return value.encode('utf-8', 'backslashreplace')
else:
    StreamBase = object
    STREAM_ERRORS = 'strict'

    def stream_bytes(value):
        """Printed text as bytes."""
        if isinstance(value, text_type):
            return value.encode('utf-8')
        return str(value)


if PY3:
    bytes_file = io.BytesIO
    method_types = (type(keep_private), type(len), type(object().__str__), type(StreamBase().write))

    def not_text(value):
        """The persistent id of something sent by value: none."""
        return None

    def plain_bytes(value):
        """Bytes for a peer that reads plain data only."""
        return bytes(value)

    def attribute(owner, name):
        """An attribute by its name on the client."""
        return getattr(owner, name)

    def quick_pickle(value, protocol, objects):
        """A pickle without references, or None if it may need one."""
        if objects.singletons or VERSION < (3, 8):
            return None
        return without_others(value, protocol, objects.export_of)

    def quick_plain(value, protocol):
        """A pickle of plain data, or None if the value may hold something else."""
        if VERSION < (3, 8):
            return None
        return without_others(value, protocol, id)

    def without_others(value, protocol, check):
        """A pickle, or None if it holds something for which `check` gives more than None.

        The C pickler asks reducer_override only about what is not of a built-in type, so data of those goes
        at full speed."""
        target = io.BytesIO()
        pickler = Quick(target, protocol)
        pickler.check = check
        try:
            pickler.dump(value)
        except Found:
            return None
        return target.getvalue()

    class Found(Exception):
        """Something is in the value that cannot go this way."""
        pass

    class Quick(pickle.Pickler):
        """A pickler that gives up at what may be a reference."""

        def reducer_override(self, item):
            """Asked by the C pickler."""
            if self.check(item) is not None:
                raise Found
            return NotImplemented

    class Pickler(pickle.Pickler):
        """A pickler that asks a function for persistent ids; in 3.13 an instance cannot be given one."""

        def persistent_id(self, item):
            """Asked by the C pickler."""
            return self.identify(item)

    def dump(value, target, protocol, identify, take):
        """Pickles with persistent ids; buffers go to `take` where both ends can."""
        if protocol >= 5:
            pickler = Pickler(target, protocol, buffer_callback=take)
        else:
            pickler = Pickler(target, protocol)
        pickler.identify = identify
        pickler.dump(value)

    class Unpickler(pickle.Unpickler):
        """An unpickler that asks a function for what persistent ids stand for."""

        def persistent_load(self, identity):
            """Asked by the C unpickler."""
            return self.find(identity)

    def unpickler(source, find, buffers):
        """An unpickler of a file."""
        if buffers is not None:
            made = Unpickler(source, buffers=buffers)
        else:
            made = Unpickler(source)
        made.find = find
        return made
else:
    from cStringIO import StringIO as bytes_file
    method_types = (type(keep_private), type(len), type(object().__str__), type(lock_error().__reduce__),
                    type(dict.fromkeys), type(bytes_file().read), type(StreamBase.__init__))

    class Unbound:
        def method(self):
            """Makes the type of methods."""
            return None

    method_types += (type(Unbound().method),)

    def not_text(value):
        """The persistent id of `str` that is not UTF-8, so that it arrives as bytes; None for all else."""
        if type(value) is str:
            try:
                value.decode('utf-8')
            except UnicodeError:
                return text('b'), value.decode('latin-1')
        return None

    def plain_bytes(value):
        """`str` for a peer that reads plain data only: text if it is UTF-8."""
        value = str(value)
        try:
            return value.decode('utf-8')
        except UnicodeError:
            return value

    def attribute(owner, name):
        """An attribute by its name on the client, whose Python has other names for some methods."""
        try:
            return getattr(owner, name)
        except AttributeError:
            other = {'__next__': 'next', '__bool__': '__nonzero__', '__truediv__': '__div__'}.get(name)
            if other is None:
                raise
            return getattr(owner, other)

    def quick_pickle(value, protocol, objects):
        """A pickle without references, or None if it may need one."""
        return None

    def quick_plain(value, protocol):
        """A pickle of plain data, or None if the value may hold something else."""
        return None

    def dump(value, target, protocol, identify, take):
        """Pickles with persistent ids."""
        pickler = pickle.Pickler(target, protocol)
        pickler.persistent_id = identify
        pickler.dump(value)

    def unpickler(source, find, buffers):
        """An unpickler of a file."""
        made = pickle.Unpickler(source)
        made.persistent_load = find
        return made
