"""This process: its main thread, its open connections, and what is done after a fork and at its end."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any, Protocol

from . import _native

# Signal handlers run in this thread only, so only its waits look for signals.
main_ident = threading.main_thread().ident

# By number; closed in order when the program ends.
open_connections: weakref.WeakValueDictionary[int, _native.Connection] = weakref.WeakValueDictionary()

_after_fork: list[Callable[[], None]] = []


def after_fork(hook: Callable[[], None]) -> None:
    """Calls `hook` in every child process that this one forks, once the extension knows of the fork."""
    _after_fork.append(hook)


class HasLocks(Protocol):
    """What has locks of its own. Another thread may hold them when the process forks, and is not there in the child."""

    def _renew_locks(self) -> None:
        """Creates the locks again."""


_with_locks: weakref.WeakSet[HasLocks] = weakref.WeakSet()


def renew_after_fork(owner: HasLocks) -> None:
    """Has `owner` create its locks again in a child process."""
    _with_locks.add(owner)


def _forked() -> None:
    global main_ident
    _native.forked()
    main_ident = threading.get_ident()
    open_connections.clear()
    for owner in list(_with_locks):
        owner._renew_locks()
    for hook in _after_fork:
        hook()


def close_all() -> None:
    """Closes every open connection."""
    for native in list(open_connections.values()):
        native.close()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forked)


def at_exit(hook: Callable[[], None]) -> None:
    """Calls `hook` when the program ends, after the connections were closed."""
    _at_exit.append(hook)


_at_exit: list[Callable[[], None]] = []


def _end() -> None:
    close_all()
    for hook in _at_exit:
        hook()


atexit.register(_end)


def raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler of this program has raised it, in the middle of whatever the main thread was at. What was done then
    has not failed."""
    if threading.get_ident() != main_ident:
        return False
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code(handler: Any) -> CodeType | None:
    """The code of a handler that is written in Python: a function, a method, a partial, or an object that can be called."""
    for _ in range(8):
        handler = getattr(handler, 'func', None) or getattr(handler, '__func__', handler)
        code = getattr(handler, '__code__', None)
        if isinstance(code, CodeType):
            return code
        handler = next((vars(kind)['__call__'] for kind in type(handler).__mro__ if '__call__' in vars(kind)), None)
    return None


def tell_hook() -> None:
    """Tells the program's hook for threads what is being handled, as where a thread ends by it: for one of ours that goes on."""
    kind, error, trace = sys.exc_info()
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))


def room(levels: int = 10) -> None:
    """Raises RecursionError where the stack has no room for so many calls: before something is taken that would be lost then."""
    if levels:
        room(levels - 1)
