"""The exceptions of the package, beside RemoteException, which both ends have."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
from collections.abc import Iterable, Iterator

from . import _native


class ConnectError(ConnectionError):
    """No connection could be established.

    Attributes: `host`; `stage`, such as `'authentication'`; `hint`, what to do next, or None; `output`, what the other side
    printed; `timed_out`. One that nothing listened for is a ConnectionRefusedError too, and one that ran into a time limit a
    TimeoutError.
    """

    def __init__(
        self,
        message: str,
        host: str = '',
        stage: str = '',
        hint: str | None = None,
        output: str = '',
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.host = host
        self.stage = stage
        self.hint = hint
        self.output = output
        self.timed_out = timed_out


class ConnectRefusedError(ConnectError, ConnectionRefusedError):
    """Nothing listens at the address."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """A stage of the connection ran into its time limit."""


def file_hint(name: object) -> str | None:
    """What to do where a file is given in place of the hosts that it names."""
    if not isinstance(name, (str, os.PathLike)) or not os.path.isfile(name):
        return None
    file = os.fspath(name)
    return "%s is a file of this machine; for the hosts that it names: Cluster('all', inventory=%r)" % (file, file)


def _connect_error(
    message: str, host: str, stage: str, hint: str | None, output: str, timed_out: bool, refused: bool
) -> ConnectError:
    of_file = file_hint(host) if stage == 'resolve' else None
    if of_file is not None:
        message = message.replace(' (%s)' % hint, '') + ' (%s)' % of_file
        hint = of_file
    kind = ConnectRefusedError if refused else ConnectTimeoutError if timed_out else ConnectError
    error = kind(message, host, stage, hint, output, timed_out)
    if refused:
        error.errno = errno.ECONNREFUSED
    return error


class ConnectionLost(ConnectionError, EOFError):
    """The connection ended before the call did. What the remote code did until then is done."""


class CallTimeout(TimeoutError):
    """The call's time limit passed; the remote call was interrupted where Python allows it.

    `stack` is the remote stack where it stood, a list of text lines; empty if it did not come in time.
    """

    def __init__(self, message: str, stack: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.stack = list(stack)


class CallCancelled(Exception):
    """The call was cancelled by this side. `stack` as for CallTimeout."""

    def __init__(self, message: str, stack: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.stack = list(stack)


class RemoteTraceback(Exception):
    """The remote traceback of an exception, as its cause: Python prints it above the exception's own."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return '\n' + self.text


class Refused(pickle.UnpicklingError):
    """A server sent something that this client does not unpickle.

    The message names it and says how to allow it. `name` is the dotted name, or None where the pickle itself is at fault.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


_native.set_errors(_connect_error, ConnectionLost)


@contextlib.contextmanager
def needing(packages: str, what: str) -> Iterator[None]:
    """For imports that not everybody needs: where one is missing, the error says what for and what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        root = (error.name or '').partition('.')[0]
        if root == __name__.partition('.')[0]:
            raise
        raise ModuleNotFoundError(
            '%s needs the package %s, which this Python does not have: pip install %s' % (what, root, packages),
            name=error.name,
        ) from None
