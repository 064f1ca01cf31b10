"""The exceptions of the package, beside RemoteException, which both ends have."""

import pickle

from . import _native


class ConnectError(ConnectionError):
    """No connection came about.

    Attributes: `host`; `stage`, such as `'authentication'`; `hint`, what to do next, or None; `output`, what the other side
    printed; `timed_out`.
    """

    def __init__(self, message, host='', stage='', hint=None, output='', timed_out=False):
        super().__init__(message)
        self.host = host
        self.stage = stage
        self.hint = hint
        self.output = output
        self.timed_out = timed_out


class ConnectionLost(ConnectionError, EOFError):
    """The connection ended before the call did. What the remote code did until then is done."""


class CallTimeout(TimeoutError):
    """The call's time limit passed; the remote call was interrupted where Python allows it.

    `stack` is the remote stack where it stood, a list of text lines; empty if it did not come in time.
    """

    def __init__(self, message, stack=()):
        super().__init__(message)
        self.stack = list(stack)


class CallCancelled(Exception):
    """The call was cancelled by this side. `stack` as for CallTimeout."""

    def __init__(self, message, stack=()):
        super().__init__(message)
        self.stack = list(stack)


class Refused(pickle.UnpicklingError):
    """A server sent something that this client does not unpickle.

    The message names it and says how to allow it. `name` is the dotted name, or None where the pickle itself is at fault.
    """

    def __init__(self, message, name=None):
        super().__init__(message)
        self.name = name


_native.set_errors(ConnectError, ConnectionLost)
