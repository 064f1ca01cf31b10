"""What the package's own functions at a server answer: checked before it is used, because a hostile server answers in their place."""

from __future__ import annotations

from typing import Any

from . import _errors

_SEQUENCES = (list, tuple)
# A Python 2 has no bytes that are no text, and sends a bytearray.
BYTES = (bytes, bytearray)
# Longer no batch takes, in seconds; the clocks of old versions may be set back meanwhile.
_LONGEST = 1e9


def refused(host: str) -> _errors.Refused:
    """The exception for an answer of another form."""
    return _errors.Refused('%s answered one of our own functions in a form that it never has' % host)


def are(parts: Any, kinds: tuple[tuple[type, ...], ...]) -> bool:
    """Whether a list or tuple has as many parts as there are kinds, each of its own; no method of theirs is called."""
    return len(parts) == len(kinds) and all(type(part) in allowed for part, allowed in zip(parts, kinds))


def parts(host: str, value: Any, *kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The parts of an answer, each of one of its kinds. Raises Refused for any other answer."""
    if not are(items(host, value), kinds):
        raise refused(host)
    return tuple(value)


def text(host: str, value: Any) -> str:
    """A text. Raises Refused for any other answer."""
    if type(value) is not str:
        raise refused(host)
    return value


def items(host: str, value: Any) -> Any:
    """A list or a tuple. Raises Refused for any other answer."""
    if type(value) not in _SEQUENCES:
        raise refused(host)
    return value


def outcome(host: str, value: Any) -> tuple[bool, Any]:
    """The outcome of an item: True and its value, or False and what ERROR would say. Raises Refused for any other answer."""
    if type(value) not in _SEQUENCES or len(value) != 2 or type(value[0]) is not bool:
        raise refused(host)
    if not value[0] and type(value[1]) not in BYTES:
        raise refused(host)
    return value[0], value[1]


def outcomes(host: str, value: Any, count: int) -> list[tuple[bool, Any]]:
    """Those of so many items. Raises Refused for any other answer."""
    if len(items(host, value)) != count:
        raise refused(host)
    return [outcome(host, each) for each in value]


def batch(host: str, value: Any, count: int) -> tuple[float, list[tuple[bool, Any]]]:
    """The seconds that a batch took, and its outcomes. Raises Refused for any other answer."""
    seconds, answers = parts(host, value, (int, float), _SEQUENCES)
    return float(seconds) if 0 <= seconds < _LONGEST else 0.0, outcomes(host, answers, count)
