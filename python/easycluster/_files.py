"""Copies of files: what they are given, how far they are, and what comes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Union

from . import _native

if TYPE_CHECKING:
    from typing_extensions import Literal

# A path of this machine, or several.
Local = Union[str, 'os.PathLike[str]', Sequence[Union[str, 'os.PathLike[str]']]]
# A path of another machine, or several.
Remote = Union[str, bytes, 'os.PathLike[Any]', Sequence[Union[str, bytes, 'os.PathLike[Any]']]]
# Where to, on this machine and on another.
LocalPlace = Union[str, 'os.PathLike[str]']
RemotePlace = Union[str, bytes, 'os.PathLike[Any]']

# How often progress is asked for, in seconds.
_OFTEN = 0.1


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
    """What a copy would change: `change` is 'new', 'content', 'attributes' (permissions or time), 'leftover' (it is there and not here)
    or 'kind' (a folder in the place of a file); `path` is where, below the destination."""

    change: str
    path: str


class CopyProgress(NamedTuple):
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


class CopyOptions(TypedDict, total=False):
    """The keywords of `put` and `compare`."""

    mode: int | Literal['all'] | None
    times: bool
    links: Literal['copy', 'follow', 'skip']
    skip: Literal['same', 'content', 'never']
    delete: bool
    exclude: str | Iterable[str]
    resume: bool
    fsync: bool
    progress: Callable[[CopyProgress], Any] | None


class GetOptions(CopyOptions, total=False):
    """The keywords of `get`."""

    max_bytes: int | None
    max_files: int


class Work:
    """A copy with some hosts that is on its way."""

    def __init__(
        self, hosts: Sequence[str], native: _native.Transfer, progress: Callable[[CopyProgress], Any] | None
    ) -> None:
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
                self._progress(CopyProgress(self.hosts[place], *numbers))


def _outcome(host: str, kind: str, *given: Any) -> Any:
    if kind == 'copied':
        return Copied(host, *given[0])
    if kind == 'differences':
        return [Difference(*difference) for difference in given[0]]
    return FilesError(*given) if kind == 'problems' else given[0]


def _several(paths: Any) -> list[Any]:
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    elif not isinstance(paths, Iterable):
        raise _not_a_path('what is copied is named by a path, or a list of those', paths)
    return [_path('what is copied is named by paths', path) for path in paths]


def _path(what: str, path: Any) -> Any:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise _not_a_path(what, path)
    return path


def _destination(path: Any) -> Any:
    return _path('where copies go is named by a path', path)


def _not_a_path(what: str, given: Any) -> TypeError:
    return TypeError('%s, and not by %r' % (what, type(given).__name__))


def _options(kind: type[Any], given: Any) -> tuple[dict[str, Any], Any]:
    """The options without those that are None, and the function that is told of progress."""
    for keyword in given:
        if keyword not in kind.__annotations__:
            raise TypeError('there is no option %r; there are %s' % (keyword, ', '.join(sorted(kind.__annotations__))))
    options = {keyword: value for keyword, value in given.items() if value is not None}
    exclude = options.pop('exclude', ())
    options['exclude'] = [exclude] if isinstance(exclude, str) else list(exclude)
    progress = options.pop('progress', None)
    if progress is not None and not callable(progress):
        raise TypeError('progress is a function, and not %r' % type(progress).__name__)
    return options, progress


def _is_possible() -> None:
    if not hasattr(_native, 'Transfer'):
        raise NotImplementedError('files cannot be copied from and to Windows yet')


def put(
    hosts: Sequence[tuple[str, _native.Connection]], compare: bool, source: Local, dest: RemotePlace, given: CopyOptions
) -> Work:
    """Begins to copy to hosts, or to compare with them."""
    _is_possible()
    options, progress = _options(CopyOptions, given)
    # A slash at the end means something, so paths stay text.
    sources = [os.fsdecode(path) for path in _several(source)]
    if '' in sources:
        raise ValueError("the path '' names nothing that could be copied")
    native = _native.put(hosts, sources, os.fsencode(_destination(dest)), options, compare)
    return Work([name for name, _ in hosts], native, progress)


def get(hosts: Sequence[tuple[str, _native.Connection]], source: Remote, dest: LocalPlace, given: GetOptions) -> Work:
    """Begins to copy from hosts."""
    _is_possible()
    options, progress = _options(GetOptions, given)
    sources = [os.fsencode(path) for path in _several(source)]
    native = _native.get(hosts, sources, os.fsdecode(_destination(dest)), options)
    return Work([name for name, _ in hosts], native, progress)
