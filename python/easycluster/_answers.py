"""What comes back on one connection: completions become values or exceptions."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable
from typing import Any

from . import _errors, _kinds, _native
from ._options import Limit
from ._pickling import trust
from ._pickling.exceptions import check_length
from ._pickling.policy import NOTHING, Policy
from ._pickling.references import Receipts, References
from ._pickling.settled import OF_THE_CALLER, Raised, Unreadable, settled
from ._pickling.unpickler import unpickle, unpickle_scanned
from ._responses import Failed, RemoteException

# Most exceptions behind one that are taken.
_MAX_RELATED = 32
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def _timed_out(limit: float | None, stack: list[str]) -> str:
    """What a call is told that ran into its time limit."""
    called = limit.called if isinstance(limit, Limit) else 'the call'
    within = 'the time limit' if limit is None else '%g s' % limit
    places = [entry.strip().splitlines()[0] for entry in stack if entry.startswith('  File "')]
    stood = '; it stood at ' + places[-1] if places else ''
    return '%s gave no result within %s%s' % (called, within, stood)


# How often an answer is tried again for which the caller has no room left.
_PATIENCE = 8


class Answers:
    """Decodes the completions of one connection."""

    __slots__ = ('_peername', '_policy', '_references', '_is_python2')

    def __init__(self, peername: str, policy: Policy, references: References, is_python2: Callable[[], bool]) -> None:
        """`is_python2` is asked with each answer, because the connection knows it from the first one on."""
        self._peername = peername
        self._policy = policy
        self._references = references
        self._is_python2 = is_python2

    def trusting(self) -> Answers:
        """The same of a server that may run code here."""
        return Answers(self._peername, Policy('*'), self._references, self._is_python2)

    def receipts(self) -> Receipts:
        """What a completion is decoded with, also if that has to start again."""
        return Receipts(self._references)

    def decode(self, tag: int, value: Any, receipts: Receipts, limit: float | None = None) -> Any:
        """The value of a completion, or its exception as Failed. What fails in it is its outcome and no other call's."""
        receipts.restart()
        try:
            return self._twice(receipts, lambda: self._outcome(tag, value, receipts, limit))
        except Raised as raised:
            raise raised.error from None
        except Unreadable as unreadable:
            return Failed(RemoteException(self._unreadable(unreadable.error), ''))
        except OF_THE_CALLER as error:
            # The answer stays for whoever asks again with more room, unless it is the answer that wants too much.
            receipts.failures += 1
            if receipts.failures < _PATIENCE:
                raise
            return Failed(RemoteException(self._unreadable(error), ''))

    def item(self, pickled: bytes) -> Any:
        """An item of a channel. Raises UnpicklingError if it cannot be read."""
        receipts = self.receipts()
        try:
            return self._twice(receipts, lambda: self._scanned(pickled, receipts))
        except Raised as raised:
            raise raised.error from None
        except Unreadable as unreadable:
            raise self._unreadable(unreadable.error) from None

    def _outcome(self, tag: int, value: Any, receipts: Receipts, limit: float | None) -> Any:
        if tag == _kinds.PICKLED:
            pickled, buffers, uses = value
            return unpickle(pickled, buffers, uses, self._policy, receipts.load, self._is_python2())
        return Failed(self._exception(tag, value, receipts, limit))

    @staticmethod
    def _twice(receipts: Receipts, read: Callable[[], Any]) -> Any:
        """Reads a part of an answer, as settled()."""
        return settled(read, functools.partial(receipts.restart, receipts.place))

    def _unreadable(self, error: Exception) -> Exception:
        """What is told of an answer that cannot be read: always with the host."""
        text = str(error)
        if isinstance(error, _errors.Refused):
            if self._peername in text:
                return error
            for told in ('the server ', 'a server '):
                if text.startswith(told):
                    return _errors.Refused('%s %s' % (self._peername, text[len(told) :]), error.name)
            return _errors.Refused('%s: %s' % (self._peername, text), error.name)
        made = pickle.UnpicklingError(
            '%s: its answer cannot be read here: %s: %s'
            % (self._peername, type(error).__name__, _native.printable(text))
        )
        made.__cause__ = error
        return made

    def _exception(self, tag: int, value: Any, receipts: Receipts, limit: float | None) -> RemoteException:
        error: Exception
        if tag == _kinds.ERROR:
            return self._remote_exception(value, receipts)
        if tag == _kinds.CANCELLED:
            error = _errors.CallCancelled('%s: the call was cancelled' % self._peername, self._stack(value, receipts))
        elif tag == _kinds.TIMED_OUT:
            stack = self._stack(value, receipts)
            error = _errors.CallTimeout('%s: %s' % (self._peername, _timed_out(limit, stack)), stack)
        elif tag in (_kinds.LOST, _kinds.FAILED):
            error = value
        else:
            error = pickle.PicklingError('%s: %s' % (self._peername, value))
        return RemoteException(error, '')

    def _scanned(self, pickled: Any, receipts: Receipts) -> Any:
        return unpickle_scanned(bytes(pickled), self._policy, receipts.load, self._is_python2())

    def _raised(self, pickled: Any, receipts: Receipts) -> Any:
        made = self._scanned(pickled, receipts)
        if issubclass(type(made), BaseException):
            check_length(made, len(pickled))
        return made

    def _plain(self, pickled: bytes, receipts: Receipts) -> Any:
        # ME-6 promises plain data; anything else in it is refused like everywhere.
        return unpickle_scanned(pickled, NOTHING, receipts.load, True)

    def _stack(self, pickled: bytes | None, receipts: Receipts) -> list[str]:
        if pickled is None:
            return []
        try:
            lines: list[str] = self._twice(receipts, lambda: _lines(self._plain(pickled, receipts)))
            return lines
        except Unreadable:
            return []

    def _remote_exception(self, pickled: bytes, receipts: Receipts) -> RemoteException:
        """RemoteException for an ERROR (ME-6)."""
        fields = self._plain(pickled, receipts)
        text = _lines(fields)
        kind, name, message = (_text(fields, key) for key in ('kind', 'type', 'message'))
        orig: Any
        if kind == 'cancelled':
            return RemoteException(_errors.CallCancelled('%s: the call was interrupted' % self._peername, text), text)
        if kind == 'unpickle':
            orig = pickle.UnpicklingError('%s cannot read the arguments: %s: %s' % (self._peername, name, message))
            return RemoteException(orig, text)
        if kind == 'pickle':
            orig = pickle.PicklingError(
                '%s cannot send the result: %s: %s. With keep=True, the call gives a proxy for it; make_server_class(its class) '
                'in definitions does so for every instance' % (self._peername, name, message)
            )
            return RemoteException(orig, text)
        orig = None
        refusal = None
        if fields.get('pickle'):
            try:
                orig = self._twice(receipts, lambda: self._raised(fields['pickle'], receipts))
            except Unreadable as unreadable:
                refusal = unreadable.error
        if not issubclass(type(orig), BaseException):
            orig = self._stand_in(fields, name, message, receipts)
        self._relate(orig, fields, receipts)
        if refusal is not None and orig.__cause__ is None:
            orig.__cause__ = self._unreadable(refusal)
        told = _remote(orig, text, message)
        # One of the two is raised.
        self._tell_where(orig, text)
        self._tell_where(told, text)
        return told

    def _relate(self, orig: BaseException, fields: dict[str, Any], receipts: Receipts) -> None:
        """Gives an exception the causes and contexts that it has on the server (ME-6)."""
        related, links = fields.get('related') or (), fields.get('links') or ()
        if type(related) not in (list, tuple) or type(links) not in (list, tuple) or len(links) > _MAX_RELATED:
            return
        found: list[BaseException] = [orig]
        for one in related[: _MAX_RELATED - 1]:
            pickled, name, module, message = one
            name, module, message = (_shown(part, 'cause') for part in (name, module, message))
            made: Any = None
            try:
                if pickled is not None:
                    made = self._twice(receipts, functools.partial(self._raised, pickled, receipts))
            except Unreadable:
                # It is told of in words.
                pass
            if not issubclass(type(made), BaseException) or any(made is other for other in found):
                made = self._stand_in({'module': module}, name, message, receipts)
            found.append(made)
        for one, link in zip(found, links):
            cause, context, suppress = link
            for attribute, place in (('__context__', context), ('__cause__', cause)):
                # Built-in attributes, set as C sets them: a class may have others of these names.
                if type(place) is int and 0 <= place < len(found):
                    BaseException.__dict__[attribute].__set__(one, found[place])
            BaseException.__dict__['__suppress_context__'].__set__(one, suppress is True)

    def _tell_where(self, error: BaseException, text: list[str]) -> None:
        """Puts the remote traceback behind an exception as its cause, and the host into its notes."""
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            # The end of a remote iterator, of which there are many.
            return
        last = error
        seen = {id(last)}
        while last.__cause__ is not None and id(last.__cause__) not in seen:
            last = last.__cause__
            seen.add(id(last))
        try:
            if last.__cause__ is None:
                last.__cause__ = _errors.RemoteTraceback(''.join(text))
            if sys.version_info >= (3, 11):
                error.add_note('on %s' % self._peername)
        except Exception:
            # A class that takes neither.
            pass

    def _stand_in(self, fields: dict[str, Any], name: str, message: str, receipts: Receipts) -> BaseException:
        """An exception instead of one that could not be sent or read: of its class with what its arguments look like, or a
        RuntimeError that names it."""
        args = fields.get('args')
        if args is None:
            args = [message] if message else []

        def of_its_class() -> BaseException | None:
            known = self._policy.find(_text(fields, 'module'), name)
            return known.call(tuple(args)).value if issubclass(known.value, BaseException) else None

        try:
            made = self._twice(receipts, of_its_class)
        except Unreadable:
            # It is none here.
            made = None
        return RuntimeError('%s.%s: %s' % (_text(fields, 'module'), name, message)) if made is None else made


def _shown(value: Any, key: str) -> str:
    """A text of an ERROR, made safe to show; bytes are a Python 2 server's text that is not UTF-8."""
    if type(value) is bytes:
        value = value.decode('utf-8', 'backslashreplace')
    if type(value) is not str:
        raise _errors.Refused('the server sent an error whose %s is a %s' % (key, type(value).__name__))
    return _native.printable(value)


def _text(fields: Any, key: str) -> str:
    if type(fields) is not dict:
        raise _errors.Refused('the server sent an error that is a %s' % type(fields).__name__)
    value = fields.get(key)
    return 'None' if value is None and key == 'module' else _shown(value, key)


def _lines(fields: Any) -> list[str]:
    """The lines of an ERROR's traceback, made safe to show."""
    lines: Any = fields.get('traceback') if type(fields) is dict else None
    if type(lines) not in (list, tuple):
        raise _errors.Refused('the server sent an error whose traceback is not a list of lines')
    return [_shown(line, 'traceback') for line in lines]


def _remote(orig: BaseException, text: list[str], message: str) -> RemoteException:
    """The exception for an ERROR, told in the server's words where those of the original would run code or ask the server."""
    made = RemoteException.__new__(RemoteException)
    arguments = BaseException.__dict__['args'].__get__(orig)
    if all(type(argument) in _PLAIN for argument in arguments) and not trust.is_foreign(type(orig)):
        try:
            message = _native.printable(str(orig)) or message
        except Exception:
            pass
    Exception.__init__(made, message)
    made.orig = orig
    made.text = text
    return made
