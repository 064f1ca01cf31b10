"""What remote code reports beside its results: records of logging, and how far it is."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from . import _checked, _kinds, _native
from ._channels import Channel
from ._waiting import watch

# Reports that are on their way or unread; what is more is dropped there.
WINDOW = 1 << 20
# How many are taken at once, so that the others of this process come in between.
_AT_ONCE = 256
# The longest name of a logger, how deep it may be, and how many a server may name: each stays as long as the process.
_NAME, _DEPTH, _LOGGERS = 200, 20, 1000
# Levels above are this one; times from then on are none that Python can show.
_HIGHEST, _LAST_TIME = 100, 1 << 36
# Bars of one host that are shown at the same time.
_BARS = 50
_NUMBERS = (int, float)
# What a record consists of: logger, level, text, traceback, time, file, line, function, thread, process, how many were dropped.
_RECORD = ((str,), (int,), (str,), (str,), _NUMBERS, (str,), (int,), (str,), (str,), (int,), (int,))
# Of a progress: number, name, done, total, whether it is over.
_PROGRESS = ((int,), (str,), _NUMBERS, (*_NUMBERS, type(None)), (bool,))


class RemoteProgress(NamedTuple):
    """How far something is that remote code goes through with `easycluster.progress`.

    host: the host as the client was told to reach it. number: which of that host's; desc: what it was called there.
    done, total: how many items; `total` is None where that is not known. finished: whether it is over.
    """

    host: str
    number: int
    desc: str
    done: float
    total: float | None
    finished: bool


class LocalProgress:
    """What progress() gives in this process."""

    def __init__(self, items: Iterable[Any] | None = None, total: float | None = None, desc: str = '') -> None:
        self._items = items
        self._bar: Any = None
        tqdm = sys.modules.get('tqdm') or _tqdm()
        if tqdm is not None and sys.stderr is not None and sys.stderr.isatty():
            self._bar = tqdm.tqdm(total=_length(items) if total is None else total, desc=desc or None)

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self._items or ():
                yield item
                self.update()
        finally:
            self.close()

    def update(self, count: float = 1) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        """It is over."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> LocalProgress:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def progress(items: Iterable[Any] | None = None, total: float | None = None, desc: str = '') -> LocalProgress:
    """Goes through items and shows how far that is, or is told by `update(count)`: `for item in progress(items, desc='rows')`.

    items: what to go through. total: how many there are, where that has no length. desc: what to call it.

    In remote code, which imports it from `easycluster` too, it tells the client, which shows it if show_progress() was called. In this
    process it is a bar of tqdm, if that is installed and stderr is a terminal.
    """
    return LocalProgress(items, total, desc)


def _length(items: Any) -> int | None:
    return len(items) if hasattr(items, '__len__') else None


def _tqdm() -> Any:
    try:
        return __import__('tqdm')
    except ImportError:
        return None


class _Bars:
    """Shows progress as bars of tqdm, one for each."""

    def __init__(self) -> None:
        self._tqdm = _tqdm()
        if self._tqdm is None:
            raise ImportError('bars need tqdm; install it, or give show_progress() a function')
        self._bars: dict[tuple[str, int], Any] = {}

    def __call__(self, progress: RemoteProgress) -> None:
        key = progress.host, progress.number
        bar = self._bars.get(key)
        if bar is None:
            if sum(host == progress.host for host, _ in self._bars) >= _BARS:
                return
            desc = ': '.join(part for part in (progress.host, progress.desc) if part)
            bar = self._bars[key] = self._tqdm.tqdm(total=progress.total, desc=desc)
        bar.update(progress.done - bar.n)
        if progress.finished:
            bar.close()
            del self._bars[key]


ShowProgress = Callable[[RemoteProgress], Any]


def shown_by(show: ShowProgress | None) -> ShowProgress:
    """The function that shows progress: the one given, or bars."""
    if show is not None and not callable(show):
        raise TypeError('progress is shown by a function, and not by %r' % type(show).__name__)
    return _Bars() if show is None else show


def _level_of(level: int | str) -> int:
    """The number of a level of logging."""
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ValueError('there is no level %r of logging' % (level,))
    return number


def _asked(client: Any, name: str, *args: Any) -> tuple[Channel, Any]:
    """Has remote code report by a channel: it, and what the call gives that sees to that."""
    native = client._connected_native()
    channel = Channel(client, native.open_channel(WINDOW), False)
    native.send_helper('reports')
    # bootstrap_py/helpers/reports.py
    call = client._call('helpers/reports.' + name, (channel, *args), {}, threadid=_kinds.SINGLE, origexc='quiet')
    return channel, call


def forward_logs(client: Any, level: int | str) -> Any:
    """Has what a client's server logs logged here, by `easycluster.HOST.NAME`. Gives what a call gives."""
    channel, call = _asked(client, 'log', _level_of(level))
    host = client.peername
    names: set[str] = set()

    def log(item: Any) -> None:
        name, level, text, raised, created, path, line, function, thread, process, dropped = item
        # Loggers remember each level that they were asked about.
        level = min(max(level, 0), _HIGHEST)
        name = '.'.join(_line(name)[:_NAME].split('.')[:_DEPTH])
        if len(names) < _LOGGERS:
            names.add(name)
        logger = logging.getLogger('easycluster.%s.%s' % (host, name) if name in names else 'easycluster.' + host)
        if dropped:
            logger.warning('%d records before this one were dropped there, because too many were on their way', dropped)
        if not logger.isEnabledFor(level):
            return
        record = logger.makeRecord(
            logger.name, level, _line(path), line, _native.printable(text), (), None, _line(function)
        )
        if 0 <= created < _LAST_TIME:
            record.created = float(created)
        record.msecs = record.created % 1 * 1000
        record.threadName, record.process = _line(thread), process
        record.exc_text = _native.printable(raised).rstrip('\n') or None
        record.host = host
        logger.handle(record)

    _take(channel, 'log', _RECORD, log)
    return call


def _line(text: str) -> str:
    """Text of a server within a line of a log."""
    return _native.printable(text).replace('\n', ' ')


def show_progress(client: Any, show: ShowProgress) -> Any:
    """Has how far a client's server is shown. Gives what a call gives."""
    channel, call = _asked(client, 'listen')
    host = client.peername

    def tell(item: Any) -> None:
        number, desc, done, total, finished = item
        show(RemoteProgress(host, number, _line(desc), done, total, finished))

    _take(channel, 'progress', _PROGRESS, tell)
    return call


def _take(channel: Channel, kind: str, types: tuple[tuple[type, ...], ...], handle: Callable[[Any], None]) -> None:
    def take() -> bool:
        for _ in range(_AT_ONCE):
            try:
                item = channel.receive(0.0)
            except TimeoutError:
                return True
            except Exception:
                # The connection has ended, or another channel has taken its place.
                return False
            # Of other things a method of the definitions could be called.
            if type(item) is tuple and _checked.are(item, ((str,), *types)) and item[0] == kind:
                handle(item[1:])
        return True

    watch(channel._native, take)
