"""Unpickling what a server sent, so that a server cannot run code here.

Three things keep it so. The extension reads each pickle first and refuses what takes too much, or does what no pickle of a value
does. Its decoder makes plain data itself, and changes nothing but what the pickle has made. And each name stands for a constructor
of ours (`policy`), which builds a new value from parts that it has checked.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import _errors, _native
from .._shared import names
from . import exceptions, refusals
from .policy import Policy

# Turns a persistent id into a proxy.
Load = Callable[[Any], Any]


class _Trust:
    """What both ways of decoding have in common for a server that may run anything here."""

    def __init__(self, file: io.BytesIO, references: Load, **options: Any) -> None:
        super().__init__(file, **options)  # type: ignore[call-arg]
        self._references = references

    def persistent_load(self, pid: Any) -> Any:
        return self._references(pid)

    def find_class(self, module: str, name: str) -> Any:
        names.packages(module)
        return super().find_class(module, name)  # type: ignore[misc]


class _Trusting(_Trust, pickle.Unpickler):
    """By Python's own decoder."""


class _Lenient(_Trust, pickle._Unpickler):
    """The same in Python, which makes exceptions without their constructor where that takes other arguments than they have."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_reduce(self) -> None:
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        args = stack.pop()
        called = stack[-1]
        try:
            stack[-1] = called(*args)
        except TypeError:
            if not isinstance(called, type) or not issubclass(called, BaseException):
                raise
            stack[-1] = exceptions.exception(called, *args).value

    dispatch[pickle.REDUCE[0]] = load_reduce


def _trusting(pickled: bytes, references: Load, options: dict[str, Any]) -> Any:
    loaded: list[Any] = []

    def first(pid: Any) -> Any:
        loaded.append(references(pid))
        return loaded[-1]

    try:
        return _Trusting(io.BytesIO(pickled), first, **options).load()
    except TypeError:
        # By the same steps, so that the references come in the same order; each counts once.
        before = iter(loaded[:])

        def again(pid: Any) -> Any:
            for known in before:
                return known
            return first(pid)

        return _Lenient(io.BytesIO(pickled), again, **options).load()


def unpickle(
    pickled: bytes,
    buffers: Sequence[Any],
    uses: bytes | None,
    policy: Policy,
    references: Load,
    python2: bool = False,
) -> Any:
    """The value of a pickle. `uses` is what the extension's scan found, None for a trusted server."""
    if uses is not None:
        try:
            return _native.decode_pickle(pickled, buffers, policy.find, references, python2)
        except _errors.Refused as error:
            told = refusals.all_of(error, pickled, policy)
            if told is error:
                raise
            raise told from None
    options: dict[str, Any] = {'encoding': 'utf-8', 'errors': 'surrogateescape' if python2 else 'strict'}
    if buffers:
        options['buffers'] = buffers
    if python2 and _has_binary_state(pickled):
        # These write their state as a Python 2 str of arbitrary bytes, and read it back from this encoding alone.
        options['encoding'] = 'latin1'
    return _trusting(pickled, references, options)


def unpickle_trusted(pickled: bytes) -> Any:
    """The value of a pickle that is a result of trusted code there. It holds no proxies."""
    return _trusting(pickled, _no_proxy, {'encoding': 'utf-8'})


def _no_proxy(pid: Any) -> Any:
    raise pickle.UnpicklingError('a proxy in what holds none: %r' % (pid,))


def _has_binary_state(pickled: bytes) -> bool:
    return b'cnumpy' in pickled or b'cdatetime\n' in pickled or b'carray\n' in pickled


def unpickle_scanned(pickled: bytes, policy: Policy, references: Load, python2: bool = False) -> Any:
    """As `unpickle`, for a pickle that the extension has not looked at."""
    uses: bytes | None
    try:
        uses = _native.scan_pickle(pickled)
    except ValueError as error:
        if not policy.trusted:
            raise _errors.Refused('%s: %s' % (policy.where, error)) from None
        uses = b''
    return unpickle(pickled, [], None if policy.trusted else (uses or b''), policy, references, python2)
