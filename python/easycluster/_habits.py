"""Names that are not there: what is said of those that other libraries have, and of those that were not sent yet."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from ._responses import RemoteException

# The name that an exception is about, and what is said of a global that is nowhere on the server.
_NAME = re.compile(r"'(\w+)'")
_NOWHERE = re.compile(r"'(\w+)' is not defined in ")

_COMMAND = "to run a shell command: {0}.command('uptime')"
_PUT = "to copy files there: {0}.put('file', 'folder/')"
_GET = "to copy files from there: {0}.get('file', 'folder/')"
_CLOSE = 'to end the connections: {0}.close()'
_MAP = 'to call a function with each of many items, on whichever host is free: Cluster.map()'
_EXECUTOR = 'to hand in one call at a time: Cluster.executor().submit(function, argument)'
_SUDO = "to run all as another user: become='root' among the keywords of {1}"
_OTHERS = {
    'bash check_call check_output exec_command execute getoutput local popen run_command sh shell system': _COMMAND,
    'run': '{2}',
    'sudo': _SUDO,
    'copy_to push send_file sftp upload': _PUT,
    'copy_from download fetch pull': _GET,
    'disconnect quit shutdown stop terminate': _CLOSE,
    'apply apply_async imap imap_unordered map_async starmap': _MAP,
    'submit': _EXECUTOR,
}
_MEANT = {name: text for names, text in _OTHERS.items() for name in names.split()}
_RUN = {
    'client': 'run() takes a function of this program; ' + _COMMAND,
    'cluster': 'to call a function on every host: cluster.call(function); ' + _COMMAND,
}


def meant(name: str, what: str, kind: str) -> str | None:
    """What does here what a name does elsewhere; `what` is 'client' or 'cluster', and `kind` its class."""
    text = _MEANT.get(name)
    return None if text is None else text.format(what, kind, _RUN[what].format(what))


def tell(exc: RemoteException, kind: str, unsent: Iterable[str]) -> None:
    """Says in an exception about a name that is not there, that it is only not there yet, or what was meant. `unsent` are definitions
    that the server has not got."""
    if not isinstance(exc.orig, (AttributeError, NameError)):
        return
    said = str(exc.orig)
    nowhere = _NOWHERE.match(said)
    told: str | None = None
    if any(name in block for block in unsent for name in _NAME.findall(said)):
        told = 'it was defined here after connecting; call update_definitions() to send it'
    elif nowhere is not None:
        told = meant(nowhere[1], 'client', kind)
    if told is not None:
        exc.text.append(told + '\n')
        if sys.version_info >= (3, 11):
            exc.orig.add_note(told)
