"""Makes bootstrap_py/short_names.txt, which of the stub's own names are sent as one or two letters, and order.txt, in
which order its files are sent: such that the stub is short when deflated.

usage: short_names.py [TURNS]     writes both files anew; 10000 turns of the search unless told otherwise

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
import random
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
    re,
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
    madvise from_buffer
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
    """Names and their short forms, the most frequent letters of the stub first."""
    found, others = qualified()
    frequent = collections.Counter("".join(assemble.strip(assemble.read(name)) for name in assemble.names()))
    letters = sorted(string.ascii_letters, key=lambda letter: (letter.isupper(), -frequent[letter], letter))
    short = itertools.chain(letters, (a + b for a in letters for b in letters + list(string.digits)))
    short = (word for word in short if word not in others)
    pairs = [(word, next(short)) for word in found]
    return dict((word, form) for word, form in pairs if len(form) < len(word))


def size(order, short, words):
    """The bytes of the deflated stub; `words` are the pieces of each file, of which `short` replaces some."""
    text = "\0".join(name + "\0" + "".join([short.get(word, word) for word in words[name]]) for name in order)
    return len(zlib.compress(text.encode("ascii"), 9))


def search(turns):
    """An order and a table that are short: by changes at random, of which those are kept that do no harm."""
    random.seed(1)
    order = assemble.names()
    short = table()
    words = dict((name, assemble.words(assemble.strip(assemble.read(name)))) for name in order)
    best = size(order, short, words)
    for turn in range(turns):
        tried, names = list(order), dict(short)
        if turn % 4:
            one, other = random.sample(list(short), 2)
            names[one], names[other] = short[other], short[one]
        else:
            # The first stage runs the first file.
            tried.insert(random.randrange(1, len(tried)), tried.pop(random.randrange(1, len(tried))))
        new = size(tried, names, words)
        if new <= best:
            order, short, best = tried, names, new
    return order, short


if __name__ == "__main__":
    order, short = search(int((sys.argv + ["10000"])[1]))
    with open(os.path.join(assemble.SOURCES, "short_names.txt"), "w") as file:
        file.writelines("%s %s\n" % pair for pair in sorted(short.items()))
    with open(os.path.join(assemble.SOURCES, "order.txt"), "w") as file:
        file.writelines("%s\n" % name for name in order)
