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
    """Asks every few milliseconds until the answer is true; the last answer when the patience is over."""
    deadline = time.monotonic() + patience
    while True:
        answer = ask()
        if answer or time.monotonic() >= deadline:
            return answer
        time.sleep(0.01)


def all_processes() -> list[Process]:
    """Every process but zombies, which have ended and only wait for their parent."""
    return [process for name in os.listdir("/proc") if name.isdigit() for process in _read(int(name))]


def _read(pid: int):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            state, parent = stat.read().rpartition(")")[2].split()[:2]
        with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
            command = cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return
    if state not in "ZX":
        yield Process(pid, int(parent), command)


def descendants(pid: int) -> list[Process]:
    """The children of a process, their children, and so on, without itself."""
    everything = all_processes()
    found: list[Process] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        children = [process for process in everything if process.parent == parent]
        parents.extend(process.pid for process in children)
        found.extend(children)
    return found


def with_environment(name: str, value: str) -> list[Process]:
    """The processes that were started with ``name=value``, whatever their parent is by now."""
    wanted = ("%s=%s" % (name, value)).encode()
    return [process for process in all_processes() if wanted in _environment(process.pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        with open("/proc/%d/environ" % pid, "rb") as environ:
            return environ.read().split(b"\0")
    except OSError:
        return []
