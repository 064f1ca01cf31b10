"""What became of each host that a cluster was to connect to, and the failures of calls on many hosts."""

from __future__ import annotations

import builtins
import html
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

if sys.version_info >= (3, 11):
    _Group = builtins.ExceptionGroup
else:

    class _Group(Exception):
        """What ExceptionGroup is from Python 3.11 on, as far as it is used here."""

        message: str
        exceptions: tuple[Exception, ...]

        def __init__(self, message: str, exceptions: Sequence[Exception]) -> None:
            super().__init__(message, exceptions)
            self.message = message
            self.exceptions = tuple(exceptions)

        def __str__(self) -> str:
            return '%s (%d sub-exceptions)' % (self.message, len(self.exceptions))


class ClusterError(_Group):
    """What failed on some hosts of a cluster. From Python 3.11 on it is an ExceptionGroup.

    Attributes: `errors`, a dict of the hosts that failed and their exceptions; `results`, a dict of the others and their values.
    """

    errors: dict[str, Exception]
    results: dict[str, Any]

    def __new__(cls, message: str, errors: Mapping[str, Exception], results: Mapping[str, Any]) -> ClusterError:
        """`errors` has one host or more."""
        made: ClusterError = super().__new__(cls, message, list(errors.values()))
        return made

    def __init__(self, message: str, errors: Mapping[str, Exception], results: Mapping[str, Any]) -> None:
        super().__init__(message, list(errors.values()))
        self.errors = dict(errors)
        self.results = dict(results)

    def derive(self, excs: Sequence[Exception]) -> Any:
        """A part of the group, without hosts."""
        return _Group(str(self.args[0]), excs)

    def __reduce__(self) -> Any:
        return type(self), (self.args[0], self.errors, self.results)


def cluster_error(errors: Mapping[str, Exception], results: Mapping[str, Any]) -> ClusterError:
    """The error of a call that failed on some hosts."""
    count = len(errors) + len(results)
    shown = '; '.join('%s: %s' % (host, _first_line(error)) for host, error in list(errors.items())[:5])
    more = ' and %d more' % (len(errors) - 5) if len(errors) > 5 else ''
    return ClusterError('failed on %d of %d hosts: %s%s' % (len(errors), count, shown, more), errors, results)


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [''])[0]
    # SystemExit, for instance, which is never raised here as it is.
    orig = getattr(error, 'orig', None)
    name = type(error if isinstance(orig, Exception) or not isinstance(orig, BaseException) else orig).__name__
    return '%s: %s' % (name, text) if text else name


class HostLost(BrokenExecutor):
    """The host that had an item was lost, or none is left. `hosts` are their names; more than one if the item was sent again."""

    hosts: list[str]

    def __init__(self, message: str, hosts: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.hosts = list(hosts)

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.hosts)


class HostReport:
    """How connecting to one host went.

    Attributes: `host`; `attempts`, how often it was tried; `seconds`, how long that took; `error`, why it is not connected, or None;
    `connected`; `lost`, whether the connection has ended since.
    """

    __slots__ = ('host', 'attempts', 'seconds', 'error', 'connected', 'lost')

    def __init__(self, host: str) -> None:
        self.host = host
        self.attempts = 0
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.connected = False
        self.lost = False

    @property
    def state(self) -> str:
        """In a word: connected, lost, failed or connecting."""
        if self.lost:
            return 'lost'
        if self.connected:
            return 'connected'
        return 'connecting' if self.error is None else 'failed'

    def __repr__(self) -> str:
        return '<HostReport %s: %s>' % (self.host, self.state)


class ConnectReport:
    """How connecting to a cluster went, host by host in the order given. `str()` is a table, and notebooks show one."""

    def __init__(self, names: Iterable[str], needed: int) -> None:
        """All hosts are being connected to."""
        self.hosts: list[HostReport] = [HostReport(name) for name in names]
        self.needed = needed
        self.seconds = 0.0

    @property
    def connected(self) -> int:
        """How many hosts were connected."""
        return sum(host.connected for host in self.hosts)

    @property
    def missing(self) -> list[HostReport]:
        """The hosts that were not connected."""
        return [host for host in self.hosts if not host.connected]

    def __iter__(self) -> Iterator[HostReport]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def _head(self) -> str:
        lost = sum(host.lost for host in self.hosts)
        since = ', %d lost since' % lost if lost else ''
        return '%d of %d hosts connected, %d needed%s' % (self.connected, len(self.hosts), self.needed, since)

    def __str__(self) -> str:
        lines = [self._head()]
        for host in self.hosts:
            if host.lost:
                lines.append('  %s: lost since' % host.host)
            elif host.error is not None:
                again = ' (after %d attempts)' % host.attempts if host.attempts > 1 else ''
                lines.append('  %s%s' % (_reason(host), again))
                hint = getattr(host.error, 'hint', None)
                if hint:
                    lines.append('    hint: %s' % hint)
            elif not host.connected:
                lines.append('  %s: still connecting' % host.host)
        return '\n'.join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for host in self.hosts:
            why = '' if host.error is None else _first_line(host.error)
            cells = (host.host, host.state, str(host.attempts), '%.2f' % host.seconds, why)
            rows.append('<tr>%s</tr>' % ''.join('<td>%s</td>' % html.escape(cell) for cell in cells))
        head = ''.join('<th>%s</th>' % name for name in ('host', 'state', 'attempts', 'seconds', 'reason'))
        return '<p>%s</p><table><tr>%s</tr>%s</table>' % (html.escape(self._head()), head, ''.join(rows))

    def __repr__(self) -> str:
        return '<ConnectReport: %s>' % self._head()


def _reason(host: HostReport) -> str:
    text = str(host.error)
    return text if text.startswith(host.host) else '%s: %s' % (host.host, text)
