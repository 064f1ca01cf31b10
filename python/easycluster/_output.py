"""Shows what remote code prints: one thread for the whole process, and whoever takes an answer shows first what came before it."""

import atexit
import codecs
import sys
import threading
import weakref

from . import _native

_clients: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_lock = threading.RLock()
_thread = None


class Printer:
    """Writes one client's output to this process's stdout and stderr, whole lines with the peer's name in front."""

    def __init__(self, prefix):
        self._prefix = prefix
        self._rest = {'stdout': '', 'stderr': ''}

    def __call__(self, stream, text):
        """Takes text that was printed to `stream`, 'stdout' or 'stderr'."""
        text = self._rest[stream] + text
        whole, newline, rest = text.rpartition('\n')
        self._rest[stream] = rest
        if newline:
            self._write(stream, whole.split('\n'))

    def flush(self):
        """Writes a line that has no end yet."""
        for stream, rest in self._rest.items():
            if rest:
                self._rest[stream] = ''
                self._write(stream, [rest])

    def _write(self, stream, lines):
        file = getattr(sys, stream)
        if file is not None:
            try:
                file.write(''.join('%s%s\n' % (self._prefix, line) for line in lines))
                file.flush()
            except (OSError, ValueError):
                # Our own output is closed, and nobody is left to tell.
                pass


class Sink:
    """Decodes one connection's output and hands it to its taker."""

    def __init__(self, taker):
        self._taker = taker
        self._decoders = {}

    def feed(self, stderr, data):
        """Takes bytes as they came."""
        stream = 'stderr' if stderr else 'stdout'
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder('utf-8')('backslashreplace')
        text = decoder.decode(data)
        if text and self._taker is not None:
            self._taker(stream, text)

    def flush(self):
        """The connection is over; what is left is shown."""
        flush = getattr(self._taker, 'flush', None)
        if flush is not None:
            flush()


def register(number, sink):
    """Shows the output of the connection with this number from now on."""
    global _thread
    with _lock:
        _clients[number] = sink
        if _thread is None:
            _thread = threading.Thread(target=_serve, name='easycluster output', daemon=True)
            _thread.start()


def show():
    """Shows what was printed until now."""
    # One at a time, so that pieces stay in order.
    with _lock:
        for number, stderr, _request, data in _native.take_output():
            sink = _clients.get(number)
            if sink is not None:
                try:
                    sink.feed(stderr, data)
                except Exception:
                    # The taker's failure is its own; the rest of the output must not be lost to it.
                    sys.excepthook(*sys.exc_info())


def _serve():
    while _native.wait_output():
        show()


def forked():
    """In a child process: the thread stayed with the parent."""
    global _thread, _lock
    _thread = None
    _lock = threading.RLock()


def _end():
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        # Before the interpreter goes: a thread that waits in the extension must not come back into a Python that is gone.
        _native.end_output()
        thread.join(5)
        show()


atexit.register(_end)
