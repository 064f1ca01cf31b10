"""Unpickling what a server sent, so that a server cannot run code here.

Three things keep it so. The extension reads each pickle first and refuses what no pickle of a value does: extension codes, calls
of what was not looked up by name, changes to what was. It also says what is done with each name. And here each name is found only
if it is known, and called only if that is what it is there for (`policy`).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .. import _errors, _native
from . import dtypes
from .policy import Policy

# Turns a persistent id into a proxy.
Load = Callable[[Any], Any]

if TYPE_CHECKING:

    class _SlowUnpickler(pickle.Unpickler):
        stack: list[Any]
        dispatch: ClassVar[dict[int, Callable[[Any], None]]]

        def load_build(self) -> None: ...
else:
    _SlowUnpickler = pickle._Unpickler


class _StateNeedsCheck(Exception):
    """The fast unpickler has come to a name whose states have to be checked."""


class _Finding:
    """What both unpicklers of a server that is not trusted do."""

    _policy: Policy
    _uses: Iterator[int]
    _references: Load

    def persistent_load(self, pid: Any) -> Any:
        return self._references(pid)

    def find_class(self, module: str, name: str) -> Any:
        uses = next(self._uses, None)
        if uses is None:
            raise _errors.Refused('the pickle looks up more names than were found in it')
        return self._policy.find(module, name, uses)

    def set_up(self, policy: Policy, uses: bytes, references: Load) -> None:
        self._policy = policy
        self._uses = iter(uses)
        self._references = references


class _Restricted(_Finding, pickle.Unpickler):
    """The fast one, which cannot see states."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if dtypes.has_checked_state(found):
            raise _StateNeedsCheck
        return found


class _StateChecking(_Finding, _SlowUnpickler):
    """Python's own slow one, which looks at every state before it is set."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_SlowUnpickler.dispatch)

    def load_build(self) -> None:
        """BUILD, with the state that is on top of the stack."""
        made, state = self.stack[-2:]
        self.stack[-1] = dtypes.checked_state(made, state)
        _SlowUnpickler.load_build(self)

    dispatch[pickle.BUILD[0]] = load_build


def _load_restricted(pickled: bytes, policy: Policy, uses: bytes, references: Load, options: dict[str, Any]) -> Any:
    received: list[Any] = []

    def receive(pid: Any) -> Any:
        received.append(references(pid))
        return received[-1]

    def receive_again(pid: Any) -> Any:
        # Each receipt counts, so what was received before the second start is not received again.
        return received.pop(0) if received else references(pid)

    fast = _Restricted(io.BytesIO(pickled), **options)
    fast.set_up(policy, uses, receive)
    try:
        return fast.load()
    except _StateNeedsCheck:
        checking = _StateChecking(io.BytesIO(pickled), **options)
        checking.set_up(policy, uses, receive_again)
        return checking.load()


class _Trusting(pickle.Unpickler):
    """For a server that may run anything here."""

    def __init__(self, file: io.BytesIO, references: Load, **options: Any) -> None:
        super().__init__(file, **options)
        self._references = references

    def persistent_load(self, pid: Any) -> Any:
        return self._references(pid)


def unpickle(
    pickled: bytes,
    buffers: Sequence[Any],
    uses: bytes | None,
    policy: Policy,
    references: Load,
    python2: bool = False,
) -> Any:
    """The value of a pickle. `uses` is what the extension's scan found, None for a trusted server."""
    options: dict[str, Any] = {'encoding': 'utf-8', 'errors': 'surrogateescape' if python2 else 'strict'}
    if buffers:
        options['buffers'] = buffers
    if python2 and _has_binary_state(pickled):
        # These write their state as a Python 2 str of arbitrary bytes, and read it back from this encoding alone.
        options['encoding'] = 'latin1'
    if uses is None:
        return _Trusting(io.BytesIO(pickled), references, **options).load()
    return _load_restricted(pickled, policy, uses, references, options)


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
