"""What comes back: completions become values or exceptions, and go to whom they are for."""

import pickle
import sys

from . import _errors, _output, _safe_pickle
from ._response import NonblockingResponse, RemoteException, _Failed

# What a completion is (src/python/convert.rs).
_VALUE, _PICKLED, _ERROR, _CANCELLED, _TIMED_OUT, _LOST, _REFUSED, _OUTPUT = 0, 1, 2, 3, 4, 5, 6, 7


class Answers:
    """The part of a client that deals with answers."""

    def _dispatch(self, batch):
        """Delivers completions. What a completion function raises is raised when all are delivered."""
        pop = self._pending.pop
        raised = None
        for ticket, tag, value in batch:
            if tag:
                if tag == _OUTPUT:
                    _output.show()
                    continue
                value = self._decode(tag, value)
            target = pop(ticket, None)
            if target.__class__ is NonblockingResponse:
                target._response_val = value
                target._have_response = True
            elif target is not None:
                try:
                    self._deliver(target, value)
                except BaseException as error:
                    raised = raised or error
        if raised is not None:
            raise raised

    def _single(self, batch):
        """The value of the one completion in a batch, or its exception as _Failed."""
        value = None
        for _, tag, value in batch:
            if tag == _OUTPUT:
                _output.show()
            elif tag:
                value = self._decode(tag, value)
        return value

    def _deliver(self, target, value):
        if isinstance(target, NonblockingResponse):
            target.set_response(value)
            return
        if value.__class__ is _Failed:
            function, value = target[1], value.exception
        else:
            function = target[0]
        if isinstance(function, tuple):
            function[0](value, *function[1:])
        else:
            function(value)

    def _decode(self, tag, value):
        """The value of a completion, or its exception as _Failed."""
        if tag == _PICKLED:
            try:
                return _safe_pickle.unpickle(*value, self._policy, self._references.load, self._python2)
            except RecursionError:
                raise
            except Exception as error:
                return _Failed(RemoteException(error, ''))
        if tag == _ERROR:
            return _Failed(self._remote_exception(value))
        if tag == _CANCELLED:
            return _Failed(
                RemoteException(
                    _errors.CallCancelled('%s: the call was cancelled' % self._peername, self._stack(value)), ''
                )
            )
        if tag == _TIMED_OUT:
            return _Failed(
                RemoteException(
                    _errors.CallTimeout('%s: no result within the time limit' % self._peername, self._stack(value)), ''
                )
            )
        if tag == _LOST:
            return _Failed(self._closing_error or RemoteException(value, ''))
        return _Failed(RemoteException(pickle.PicklingError('%s: %s' % (self._peername, value)), ''))

    def _plain(self, pickled):
        # ME-6 promises plain data; anything else in it is refused like everywhere.
        return _safe_pickle.unpickle_scanned(pickled, _safe_pickle.NOTHING, self._references.load, True)

    def _stack(self, pickled):
        if pickled is None:
            return []
        try:
            return self._plain(pickled)['traceback']
        except Exception:
            return []

    def _remote_exception(self, pickled):
        """RemoteException for an ERROR (ME-6)."""
        try:
            fields = self._plain(pickled)
            text = list(fields['traceback'])
            kind, name, message = fields['kind'], fields['type'], fields['message']
        except Exception as error:
            return RemoteException(error, '')
        if kind == 'cancelled':
            return RemoteException(_errors.CallCancelled('%s: the call was interrupted' % self._peername, text), text)
        orig = None
        refusal = None
        if fields.get('pickle'):
            try:
                orig = _safe_pickle.unpickle_scanned(
                    bytes(fields['pickle']), self._policy, self._references.load, self._python2
                )
            except Exception as error:
                refusal = error
        if not isinstance(orig, BaseException):
            orig = self._stand_in(fields, name, message)
        if refusal is not None:
            orig.__cause__ = refusal
        if kind == 'unpickle':
            orig = pickle.UnpicklingError('%s cannot read the arguments: %s: %s' % (self._peername, name, message))
        elif kind == 'pickle':
            orig = pickle.PicklingError('%s cannot send the result: %s: %s' % (self._peername, name, message))
        return RemoteException(orig, text)

    def _stand_in(self, fields, name, message):
        """An exception in place of one that did not come: the built-in of that name, or a RuntimeError that tells it."""
        import builtins

        known = getattr(builtins, name, None) if fields.get('module') in ('builtins', 'exceptions') else None
        if isinstance(known, type) and issubclass(known, BaseException):
            try:
                return known(*(fields.get('args') or ()))
            except Exception:
                pass
        return RuntimeError('%s.%s: %s' % (fields.get('module'), name, message))

    def _raise(self, exc, origexc):
        """Raises a RemoteException the way `origexc` says."""
        if not origexc:
            raise exc
        if origexc != 'quiet':
            self.report_exception(exc)
        orig = exc.orig
        # What ends a program or a thread there must not end this one.
        if not isinstance(orig, Exception):
            raise exc
        raise orig

    def report_exception(self, exc):
        """Reports the remote exception `exc` (a RemoteException) to stderr, before its original is raised. Override it to report
        otherwise, or not at all."""
        # Remote iterators end by this one.
        if isinstance(exc.orig, (StopIteration, StopAsyncIteration)):
            return
        if exc.text:
            print('*** Remote exception from %s:' % self._peername, file=sys.stderr)
            print(''.join(exc.text), file=sys.stderr)
