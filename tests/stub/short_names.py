"""Makes bootstrap_py/short_names.txt: which of the stub's own names are sent as one or two letters.

usage: short_names.py     writes the file anew

A name qualifies if nobody but the stub itself can see it: no keyword, no built-in, nothing that a module or type of the
standard library in use here has, nothing that remote code or a client names.
"""

import _pickle
import _signal
import _thread
import atexit
import builtins
import collections
import ctypes
import errno
import fcntl
import io
import itertools
import keyword
import linecache
import os
import re
import select
import string
import struct
import sys
import threading
import time
import traceback
import types
import weakref
import zlib

import assemble

OTHERS = (
    os,
    sys,
    fcntl,
    struct,
    zlib,
    select,
    time,
    _thread,
    _pickle,
    _signal,
    errno,
    linecache,
    traceback,
    atexit,
    ctypes,
    weakref,
    types,
    threading,
    collections,
    io,
    itertools,
    str,
    bytes,
    list,
    dict,
    set,
    tuple,
    int,
    float,
    type,
    object,
    memoryview,
    bytearray,
    property,
    BaseException,
    OSError,
    sys.version_info,
    collections.deque,
    io.TextIOBase,
    io.BytesIO,
    _pickle.Pickler,
    _pickle.Unpickler,
    _pickle.PickleBuffer,
    struct.Struct,
    zlib.decompressobj(),
    _thread.allocate_lock(),
    threading.RLock(),
    types.FunctionType,
    types.MethodType,
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    ctypes.pythonapi,
)
# Parameters, attributes and methods that remote code or clients name, hooks that Python calls, names of old Pythons.
PUBLIC = """
    self load parts marker text typ typ_or_obj export_methods export_attrs export_attrs_cache proxy_class name value context
    auto_import orig code local keep_source call eval get_global set_global import_modules update_definitions getmethod
    source mode args kwargs owner wanted blocks persistent_id persistent_load reducer_override buffer_callback buffers
    ExecReturn Package Stream Pickler Unpickler softspace encoding errors descriptor closed buffer unichr cPickle thread long unicode file __builtin__ pythonapi py_object
    _collections PyThreadState_SetAsyncExc c_ulong c_long fcntl builtins _source_code define register
""".split()


def pieces(source):
    """A file's pieces: what is outside of strings at even places, strings at odd ones."""
    return re.split(r"('(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")", assemble.strip(source))


def qualified():
    """The names that may be shortened, the most frequent first; and all others that occur."""
    seen = set(keyword.kwlist) | set(dir(builtins)) | set(PUBLIC)
    for other in OTHERS:
        seen.update(dir(other))
        seen.update(getattr(other, "__name__", "").split("."))
    count = collections.Counter()
    for file in assemble.names():
        for place, part in enumerate(pieces(assemble.read(file))):
            if place % 2 == 0:
                count.update(re.findall(r"[A-Za-z_]\w*", part))
            elif file == "calls.py" or re.match(r"^['\"]\w+['\"]$", part):
                seen.update(re.findall(r"\w+", part))
    found = [word for word in count if word not in seen and len(word) > 1 and not word.startswith("__")]
    return sorted(found, key=lambda word: (-count[word], word)), set(count) - set(found) | seen


def table():
    """Names and their short forms."""
    found, others = qualified()
    letters = string.ascii_letters
    short = itertools.chain(letters, (a + b for a in letters for b in letters + string.digits))
    short = (word for word in short if word not in others)
    return [(word, next(short)) for word in found]


if __name__ == "__main__":
    with open(os.path.join(assemble.SOURCES, "short_names.txt"), "w") as file:
        for word, short in table():
            if len(short) < len(word):
                file.write("%s %s\n" % (word, short))
