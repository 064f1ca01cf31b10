"""The numbers that cross to the extension: kinds of requests, kinds of completions, threads of the server; and that of the interface."""

from . import _native

# Kinds of requests (spec/messages.md).
CALL = _native.REQUEST_KINDS['CALL']
METHOD = _native.REQUEST_KINDS['METHOD']
EVAL = _native.REQUEST_KINDS['EVAL']
EXEC = _native.REQUEST_KINDS['EXEC']
DEFINE = _native.REQUEST_KINDS['DEFINE']
RUN = _native.REQUEST_KINDS['RUN']

# What a completion holds (src/python/convert.rs).
VALUE = _native.COMPLETION_KINDS['VALUE']
PICKLED = _native.COMPLETION_KINDS['PICKLED']
ERROR = _native.COMPLETION_KINDS['ERROR']
CANCELLED = _native.COMPLETION_KINDS['CANCELLED']
TIMED_OUT = _native.COMPLETION_KINDS['TIMED_OUT']
LOST = _native.COMPLETION_KINDS['LOST']
REFUSED = _native.COMPLETION_KINDS['REFUSED']
OUTPUT = _native.COMPLETION_KINDS['OUTPUT']
FAILED = _native.COMPLETION_KINDS['FAILED']
# Put in place of these by this side: decoding was interrupted, and starts again.
AGAIN = -1

# The version of EasyCluster whose programs run here. They compare it (`VERSION >= "0.22"`), so it is not the package's own.
EASYCLUSTER = '0.22.3'

# The thread number that asks for a thread of its own for one request.
SINGLE = -1
# Numbers from here on are for names of threads that are not small numbers themselves.
NAMED_THREADS = 0x20000000
