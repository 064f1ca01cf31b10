"""Files of a client: what is copied, how far that is, and what comes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from . import _native

if TYPE_CHECKING:
    from typing_extensions import Literal

# A path of this machine, or several.
Local = Union[str, 'os.PathLike[str]', Sequence[Union[str, 'os.PathLike[str]']]]
# A path of another machine, or several.
Remote = Union[str, bytes, 'os.PathLike[Any]', Sequence[Union[str, bytes, 'os.PathLike[Any]']]]

# How often progress is asked for, in seconds.
_OFTEN = 0.1
# What stands for the host in a destination.
_PLACE = '{host}'


class Copied(NamedTuple):
    """What a copy did.

    host: the host as the client was told to reach it.
    files, folders, links: how many were copied or made. unchanged: how many were there as they should be. deleted: how many were
        removed. bytes: how much content was copied, holes included; resumed: how much an earlier attempt had left.
    """

    host: str
    files: int
    folders: int
    links: int
    unchanged: int
    deleted: int
    bytes: int
    resumed: int


class Difference(NamedTuple):
    """What a copy would change: `new`, `content`, `attributes` (permissions or time), `leftover` (it is there and not here) or `kind` (a
    folder in the place of a file)."""

    change: str
    path: str


class Progress(NamedTuple):
    """How far a copy with one host is: files and bytes that are there, of all that are to be copied."""

    host: str
    files: int
    all_files: int
    bytes: int
    all_bytes: int


class FilesError(Exception):
    """Not everything was copied; what could be was. `problems` is a list of paths and reasons."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return FilesError, (self.args[0], self.problems)


ProgressFunction = Callable[[Progress], Any]


class Work:
    """A copy with some hosts that is on its way."""

    def __init__(self, hosts: Sequence[str], native: _native.Transfer, progress: ProgressFunction | None) -> None:
        self.hosts = hosts
        self._native = native
        self._progress = progress

    def wait(self) -> list[Any]:
        """Waits for the end: of each host what came of it, or an exception."""
        interval = None if self._progress is None else _OFTEN
        try:
            while True:
                outcomes = self._native.wait(interval)
                self._tell()
                if outcomes is not None:
                    return [_outcome(host, *outcome) for host, outcome in zip(self.hosts, outcomes)]
        except BaseException:
            self.give_up()
            raise

    def one(self) -> Any:
        """The same of a single host; raises what it failed with."""
        (outcome,) = self.wait()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def give_up(self) -> None:
        """Ends it."""
        self._native.abort()

    def tell_by(self, call: Callable[..., Any]) -> None:
        """Has `call` call the function that is told of progress, such as an event loop's call_soon_threadsafe."""
        tell = self._progress
        if tell is not None:
            self._progress = lambda progress: call(tell, progress)

    def _tell(self) -> None:
        if self._progress is not None:
            for place, *numbers in self._native.progress():
                self._progress(Progress(self.hosts[place], *numbers))


def _outcome(host: str, kind: str, *given: Any) -> Any:
    if kind == 'copied':
        return Copied(host, *given[0])
    if kind == 'differences':
        return [Difference(*difference) for difference in given[0]]
    return FilesError(*given) if kind == 'problems' else given[0]


def _several(paths: Any) -> list[Any]:
    return [paths] if isinstance(paths, (str, bytes, os.PathLike)) else list(paths)


def _locals(paths: Any) -> list[str]:
    """Paths of this machine. A slash at the end means something, so they stay text."""
    return [os.fsdecode(path) for path in _several(paths)]


def _options(exclude: str | Iterable[str], **options: Any) -> dict[str, Any]:
    options['exclude'] = [exclude] if isinstance(exclude, str) else list(exclude)
    return options


def put(
    hosts: Sequence[tuple[str, _native.Connection]],
    compare: bool,
    source: Local,
    dest: str | bytes | os.PathLike[Any],
    *,
    mode: int | Literal['all'] | None = None,
    times: bool = True,
    links: Literal['copy', 'follow', 'skip'] = 'copy',
    skip: Literal['same', 'content', 'never'] = 'same',
    delete: bool = False,
    exclude: str | Iterable[str] = (),
    resume: bool = True,
    fsync: bool = False,
    progress: ProgressFunction | None = None,
) -> Work:
    """Begins to copy to hosts, or to compare with them."""
    options = _options(
        exclude, mode=mode, times=times, links=links, skip=skip, delete=delete, resume=resume, fsync=fsync
    )
    natives = [native for _, native in hosts]
    native = _native.put(natives, _locals(source), os.fsencode(dest), options, compare)
    return Work([name for name, _ in hosts], native, progress)


def get(
    hosts: Sequence[tuple[str, _native.Connection]],
    source: Remote,
    dest: str | os.PathLike[str],
    *,
    mode: int | None = None,
    times: bool = True,
    links: Literal['copy', 'follow', 'skip'] = 'copy',
    skip: Literal['same', 'content', 'never'] = 'same',
    delete: bool = False,
    exclude: str | Iterable[str] = (),
    resume: bool = True,
    fsync: bool = False,
    max_bytes: int | None = None,
    max_files: int = 1_000_000,
    progress: ProgressFunction | None = None,
) -> Work:
    """Begins to copy from hosts."""
    options = _options(
        exclude,
        mode=mode,
        times=times,
        links=links,
        skip=skip,
        delete=delete,
        resume=resume,
        fsync=fsync,
        max_bytes=max_bytes,
        max_files=max_files,
    )
    text = os.fsdecode(dest)
    if len(hosts) > 1 and _PLACE not in text:
        raise ValueError('the files of all hosts would go to %s; put {host} into it: %s/{host}/' % (text, Path(text)))
    dests = [text.replace(_PLACE, _native.file_name(name)) for name, _ in hosts]
    sources = [os.fsencode(path) for path in _several(source)]
    native = _native.get([native for _, native in hosts], sources, dests, options)
    return Work([name for name, _ in hosts], native, progress)
