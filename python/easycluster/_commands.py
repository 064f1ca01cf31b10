"""Shell commands of a client: what is sent, and what comes of it."""

from __future__ import annotations

import os
import signal as _signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from . import _checked, _native

# A line for the account's shell, or a program and its arguments.
Line = Union[str, bytes, Sequence[Union[str, bytes, 'os.PathLike[Any]']]]
Text = Union[str, bytes]

# The function at the server that runs one (bootstrap_py/helpers/commands.py).
FUNCTION = 'helpers/commands.run'


class CommandResult:
    """What a shell command printed, and how it ended.

    host: the host as the client was told to reach it.
    stdout, stderr: all that it printed, as text, or as bytes with `encoding=None`.
    returncode: its exit code, or minus the number of the signal that ended it. `status` is the same as a shell has it: 128 and
        the number of the signal.
    signal: the name of that signal, such as `'SIGKILL'`, or None.
    """

    __slots__ = ('host', 'command', 'stdout', 'stderr', 'returncode')

    def __init__(self, host: str, command: Line, stdout: Any, stderr: Any, returncode: int) -> None:
        self.host = host
        self.command = command
        self.stdout = stdout
        self.stderr = stderr
        self.returncode = returncode

    @property
    def ok(self) -> bool:
        """Whether its exit code is 0."""
        return self.returncode == 0

    @property
    def status(self) -> int:
        """Its exit status as a shell has it in `$?`."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode

    @property
    def signal(self) -> str | None:
        """The signal that ended it, by name."""
        if self.returncode >= 0:
            return None
        try:
            return _signal.Signals(-self.returncode).name
        except ValueError:
            return str(-self.returncode)

    def check(self) -> CommandResult:
        """Itself, or raises CommandError where it failed."""
        if not self.ok:
            raise CommandError(self)
        return self

    def __repr__(self) -> str:
        return '<CommandResult of %r on %s: %s>' % (self.command, self.host, _ended(self))


class CommandError(Exception):
    """A shell command failed. `result` is its CommandResult."""

    def __init__(self, result: CommandResult) -> None:
        said = result.stderr
        if isinstance(said, bytes):
            said = said.decode('utf-8', 'replace')
        lines = _native.printable('\n'.join(said.rstrip().splitlines()[-10:]))
        super().__init__('%s: %s%s' % (result.host, _ended(result), '; it said: ' + lines if lines else ''))
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return CommandError, (self.result,)


def _ended(result: CommandResult) -> str:
    return 'signal %s' % result.signal if result.signal else 'exit status %d' % result.returncode


def _text(what: str, given: Any) -> bytes:
    if not isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError('%s is text, and not %r: %r' % (what, type(given).__name__, given))
    return os.fsencode(given)


class Request:
    """One command in the making, and the result that becomes of its answer."""

    __slots__ = ('arguments', '_command', '_encoding', '_check')

    def __init__(
        self,
        command: Line,
        input: Text | None,
        cwd: Any,
        env: Mapping[str, Text] | None,
        check: bool,
        encoding: str | None,
    ) -> None:
        if isinstance(command, (str, bytes)):
            words: Any = os.fsencode(command)
        elif isinstance(command, Iterable):
            words = [_text('a word of the command', word) for word in command]
        else:
            said = 'a command is a line for the shell, or a list of a program and its arguments, and not %r'
            raise TypeError(said % type(command).__name__)
        if not isinstance(env or {}, Mapping):
            raise TypeError('env is a dict of names and texts, and not %r' % type(env).__name__)
        variables = [(name, _text('the variable %s' % name, value)) for name, value in (env or {}).items()]
        if not isinstance(input, (str, bytes, bytearray, memoryview, type(None))):
            raise TypeError('input is text or bytes, and not %r' % type(input).__name__)
        if isinstance(input, str):
            input = input.encode(encoding or 'utf-8')
        folder = None if cwd is None else os.fsencode(cwd)
        # What its function at the server is called with.
        self.arguments = _native.wrap_command(words, folder, variables, input)
        self._command = command
        self._encoding = encoding
        self._check = check

    def result(self, host: str, answer: Any) -> CommandResult:
        """The result that the function's value stands for."""
        stdout, stderr, returncode = _checked.parts(host, answer, _checked.BYTES, _checked.BYTES, (int,))
        printed = [bytes(stdout), bytes(stderr)]
        texts = printed if self._encoding is None else [text.decode(self._encoding, 'replace') for text in printed]
        made = CommandResult(host, self._command, texts[0], texts[1], returncode)
        return made.check() if self._check else made
