"""Processes as /proc shows them: whose children they are and which mark their environment has."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

PATIENCE = 30.0
"""How long anything may take to become ready or to go away, in seconds, on a busy machine too."""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def poll(ask, patience: float = PATIENCE):
    """Asks, soon again at first and then ever less often, until the answer is true; the last answer when the patience is over."""
    deadline = time.monotonic() + patience
    pause = 0.005
    while True:
        answer = ask()
        if answer or time.monotonic() >= deadline:
            return answer
        # Many ask for something that takes processor time itself, such as all processes.
        time.sleep(pause)
        pause = min(1.3 * pause, 0.05)


def runs(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent to ask how it ended."""
    return any(_parent(pid))


def all_processes() -> list[Process]:
    """Every process but zombies, which have ended and only wait for their parent."""
    return [process for pid, parent in _parents() for process in _process(pid, parent)]


def descendants(pid: int) -> list[Process]:
    """The children of a process, their children, and so on, without itself."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: list[Process] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        for child in children.get(parent, ()):
            parents.append(child)
            found.extend(_process(child, parent))
    return found


def with_environment(name: str, value: str) -> list[Process]:
    """The processes that were started with ``name=value``, whatever their parent is by now."""
    wanted = ("%s=%s" % (name, value)).encode()
    marked = [pid for pid in _all() if wanted in _environment(pid)]
    return [process for pid in marked for _, parent in _parent(pid) for process in _process(pid, parent)]


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parents() -> list[tuple[int, int]]:
    return [found for pid in _all() for found in _parent(pid)]


def _parent(pid: int):
    """The process and its parent, unless it has ended."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            state, parent = stat.read().rpartition(b")")[2].split(None, 2)[:2]
    except OSError:
        return
    if state not in b"ZX":
        yield pid, int(parent)


def _process(pid: int, parent: int):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
            yield Process(pid, parent, cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip())
    except OSError:
        pass


def _environment(pid: int) -> list[bytes]:
    try:
        with open("/proc/%d/environ" % pid, "rb") as environ:
            return environ.read().split(b"\0")
    except OSError:
        return []
