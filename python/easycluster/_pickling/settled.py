"""Reading what a server sent so that what a signal handler raises meanwhile is not taken for a fault of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .. import _errors

Read = TypeVar('Read')

# What is raised where it is the caller that has no room left: its stack, or its memory.
OF_THE_CALLER = (RecursionError, MemoryError)


class Raised(BaseException):
    """Carries what a signal handler raised past those who look for what is wrong with an answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Unreadable(BaseException):
    """Carries what is wrong with an answer, or with a part of one, which was found twice."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def settled(read: Callable[[], Read], restart: Callable[[], None] | None = None) -> Read:
    """Reads something, and where that fails once more, after `restart`. What is read well then was interrupted: a signal handler has
    raised what came first, which leaves as Raised. What fails again leaves as Unreadable, and want of room as it is."""
    try:
        return read()
    except OF_THE_CALLER:
        raise
    except Exception as error:
        if restart is not None:
            restart()
        try:
            read()
        except OF_THE_CALLER:
            raise
        except Exception:
            raise Unreadable(error) from None
        raise Raised(_first(error)) from None


def _first(error: Exception) -> Exception:
    """What was raised first, where it came while something was made and was told of as a refusal."""
    while isinstance(error, _errors.Refused):
        inner = error.__cause__ or error.__context__
        if not isinstance(inner, Exception):
            break
        error = inner
    return error
