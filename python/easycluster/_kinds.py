"""The numbers that cross to the extension: kinds of requests, kinds of completions, threads of the server."""

# Kinds of requests. spec/messages.md has them; the extension checks each one that it is given.
CALL, METHOD, EVAL, EXEC, DEFINE, RUN = 2, 3, 4, 5, 6, 7

# What a completion holds (src/python/convert.rs).
VALUE, PICKLED, ERROR, CANCELLED, TIMED_OUT, LOST, REFUSED, OUTPUT, FAILED = 0, 1, 2, 3, 4, 5, 6, 7, 8
# Put in place of these by this side: decoding was interrupted, and starts again.
AGAIN = -1

# The thread number that asks for a thread of its own for one request.
SINGLE = -1
# Numbers from here on are for names of threads that are not small numbers themselves.
NAMED_THREADS = 0x20000000
