"""Shows what remote code prints: one thread for the whole process; a thread that takes an answer first shows the output before it.

No lock is held while output is shown, because what shows it is the program's: a function that calls its client, takes a lock, or
writes into a pipe that is not read.
"""

from __future__ import annotations

import codecs
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, starmap
from time import monotonic as _monotonic
from typing import Any, Union

from . import _native, _process

# How long an answer waits for another thread that shows what was printed before it, in seconds.
_PATIENCE = 1.0
# Letters of a line that are written as one.
_LONGEST_LINE = 65536


class Printer:
    """Writes one client's output to this process's stdout and stderr, whole lines with the peer's name in front.

    With a prefix the lines of many hosts stand among each other, so colours are all that a host may do to the terminal; without
    one it is shown as it is.

    A line that is longer than _LONGEST_LINE is written in pieces of that length, each as a line, so that output without a line
    end takes neither memory nor time beyond its length.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._filters = {'stdout': _native.OutputFilter(), 'stderr': _native.OutputFilter()} if prefix else {}
        # The pieces of the begun line, and their length.
        self._begun: dict[str, tuple[list[str], int]] = {'stdout': ([], 0), 'stderr': ([], 0)}

    def __call__(self, stream: str, text: str) -> None:
        """Takes text that was printed to `stream`, 'stdout' or 'stderr'."""
        whole, newline, rest = text.rpartition('\n')
        begun, length = self._begun[stream]
        lines: list[str] = []
        if newline:
            begun.append(whole)
            lines = ''.join(begun).split('\n')
            begun, length = [], 0
        begun.append(rest)
        length += len(rest)
        if length >= _LONGEST_LINE:
            line = ''.join(begun)
            cut = length - length % _LONGEST_LINE
            lines.append(line[:cut])
            begun, length = [line[cut:]], length - cut
        self._begun[stream] = begun, length
        if lines:
            self._write(stream, lines)

    def flush(self) -> None:
        """Writes a line that has no end yet."""
        for stream, (begun, length) in self._begun.items():
            if length:
                self._begun[stream] = [], 0
                self._write(stream, [''.join(begun)])

    def _write(self, stream: str, lines: list[str]) -> None:
        if getattr(sys, stream) is None:
            return
        if max(map(len, lines)) > _LONGEST_LINE:
            lines = [
                line[start : start + _LONGEST_LINE]
                for line in lines
                for start in range(0, len(line) or 1, _LONGEST_LINE)
            ]
        if self._filters:
            lines = self._filters[stream].lines('\n'.join(lines) + '\n').split('\n')[:-1]
        write(stream, ''.join('%s%s\n' % (self._prefix, line) for line in lines))


def write(stream: str, text: str) -> None:
    """Writes to `stdout` or `stderr` of this process as far as that is possible. The thread here may be anybody's, and the answer or
    the exception that it brings must not be lost to this."""
    file = getattr(sys, stream)
    if file is None:
        return
    try:
        try:
            file.write(text)
        except UnicodeEncodeError:
            # A terminal of another encoding shows the rest of the line all the same.
            encoding = getattr(file, 'encoding', None) or 'ascii'
            file.write(text.encode(encoding, 'backslashreplace').decode(encoding))
        file.flush()
    except OSError as error:
        # It is told where there is something left to tell it by.
        if _unwritten.setdefault(stream, error) is error and stream != 'stderr':
            sys.excepthook(*sys.exc_info())
    except ValueError:
        # The program has closed its own output.
        pass


# The first error of each stream that could not be written.
_unwritten: dict[str, OSError] = {}


class _Unwritten:
    """Stands for a stream of this process at its end: what was printed to it is lost, as its flush says, so Python says it too
    and ends with its exit status for that."""

    closed = False

    def __init__(self, file: Any, error: OSError) -> None:
        self._file = file
        self._error = error

    def flush(self) -> None:
        raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


Taker = Union[Printer, Callable[[str, str], object], None]


class Sink:
    """Decodes one connection's output and hands it to its taker, piece by piece in the order in which they came.

    It takes from the extension only what it shows next; the rest waits there, counted, and the server waits to print more.
    """

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        # The connection that it shows, once there is one.
        self.number = 0
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._pieces: deque[tuple[bool, bytes]] = deque()
        # Whether a function as taker was once waited for in vain.
        self._in_vain = False
        self._renew_locks()
        _process.renew_after_fork(self)

    def _renew_locks(self) -> None:
        # The thread that shows pieces now; the others leave them to it.
        self._shower: int | None = None
        # How many times a thread has shown all that was there when it began.
        self._rounds = 0
        self._changed = threading.Condition()

    def add(self, stderr: bool, data: bytes) -> None:
        """Notes bytes as they came, to be shown."""
        self._pieces.append((stderr, data))

    def show(self) -> None:
        """Shows what has come until now, and leaves to the thread for output what comes meanwhile: a server that prints without an
        end must not hold up the answer that this is shown before. Where another thread is at it already, that one shows this too,
        and is waited for a moment."""
        me = threading.get_ident()
        end = _monotonic() + _PATIENCE
        # The round under way may have begun before what is to be shown had come; the next one shows it.
        rounds = self._rounds + 2
        while self._pieces or self._shower is not None or _native.has_output(self.number):
            with self._changed:
                if self._shower is None:
                    self._shower = me
                elif self._shower == me or self._in_vain:
                    return
                else:
                    left = end - _monotonic()
                    if self._rounds >= rounds:
                        return
                    if left <= 0 or not self._changed.wait(left):
                        # Our own terminal may go on. A function may wait for something that the thread here holds, each time.
                        self._in_vain = not isinstance(self._taker, Printer)
                        return
                    continue
            try:
                self._show_pieces()
            finally:
                with self._changed:
                    self._shower = None
                    self._rounds += 1
                    self._changed.notify_all()
                _native.tell_output(self.number)
            return

    def _show_pieces(self) -> None:
        # Without a step of the interpreter in between, where a signal handler could raise and the pieces be lost.
        self._pieces.extend(chain.from_iterable(starmap(_native.take_output, ((self.number,),))))
        while self._pieces:
            stderr, data = self._pieces.popleft()
            stream = 'stderr' if stderr else 'stdout'
            decoder = self._decoders.get(stream)
            if decoder is None:
                decoder = self._decoders[stream] = codecs.getincrementaldecoder('utf-8')('backslashreplace')
            text = decoder.decode(data)
            if text and self._taker is not None:
                try:
                    self._taker(stream, text)
                except Exception:
                    # The taker's failure is its own; the rest of the output must not be lost to it.
                    sys.excepthook(*sys.exc_info())

    def flush(self) -> None:
        """The connection is over; what is left is shown."""
        # Two rounds, because what the first one leaves is what came meanwhile, and nothing comes any more.
        show(self)
        show(self)
        if isinstance(self._taker, Printer):
            self._taker.flush()


_sinks: weakref.WeakValueDictionary[int, Sink] = weakref.WeakValueDictionary()
# One that a thread may take again, because a signal handler may make a call.
_starting = threading.RLock()
_thread: threading.Thread | None = None


def register(number: int, sink: Sink) -> None:
    """Shows the output of the connection with this number from now on."""
    global _thread
    sink.number = number
    _sinks[number] = sink
    with _starting:
        if _thread is None:
            _thread = threading.Thread(target=_serve, name='easycluster output', daemon=True)
            _thread.start()


def show(sink: Sink) -> None:
    """Shows what a connection has printed until now."""
    sink.show()


def _show_all(numbers: Iterable[int]) -> None:
    for number in numbers:
        sink = _sinks.get(number)
        if sink is not None:
            sink.show()
        else:
            # There is nowhere left to show it.
            _native.take_output(number)


def _serve() -> None:
    while True:
        numbers = _native.wait_output()
        if not numbers:
            return
        _show_all(numbers)


def _forked() -> None:
    # The thread stayed with the parent, and a lock may have been held by another one.
    global _thread, _starting
    _thread = None
    _starting = threading.RLock()
    _sinks.clear()


def _end() -> None:
    global _thread
    with _starting:
        thread, _thread = _thread, None
    if thread is not None:
        # Before the interpreter goes: a thread that waits in the extension must not come back into a Python that is gone.
        _native.end_output()
        thread.join(5)
        _show_all(list(_sinks))
    for stream, error in _unwritten.items():
        setattr(sys, stream, _Unwritten(getattr(sys, stream), error))


_process.after_fork(_forked)
_process.at_exit(_end)
