"""A program on a terminal of its own, and what is to be seen there."""

from __future__ import annotations

import fcntl
import html
import os
import pty
import select
import struct
import subprocess
import termios
from typing import Any

import pyte

from .processes import poll

COLOURS = {"red": "#e06c75", "green": "#98c379", "cyan": "#56b6c2", "blue": "#61afef", "brown": "#d19a66"}


class Terminal:
    """Starts the program with its stdin, stdout and stderr on a terminal of this size.

    As a context manager it ends the program where it still runs.
    """

    def __init__(self, command: list[str], *, columns: int, rows: int, environment: dict[str, str]) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._ours = ours
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _take(self) -> bool:
        """Takes what has come; False when nothing more can come."""
        while select.select([self._ours], [], [], 0)[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.received += data
            self._stream.feed(data)
        return True

    def lines(self) -> list[str]:
        """What is to be seen now, without the empty lines at the end."""
        shown = [line.rstrip() for line in self.screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def until(self, good: Any) -> list[str]:
        """Waits until `good` says yes to what is to be seen, and gives that."""
        looked_at = -1

        def look() -> list[str] | None:
            nonlocal looked_at
            self._take()
            # Reading the screen takes longer than the pauses between.
            if len(self.received) == looked_at:
                return None
            looked_at = len(self.received)
            shown = self.lines()
            return shown if good(shown) else None

        found = poll(look)
        if not found:
            raise AssertionError("the terminal shows:\n" + "\n".join(self.lines()))
        return found

    def end(self) -> int:
        """Waits until the program has ended and all of it is to be seen. Its exit status."""
        if not poll(lambda: not self._take() or self._process.poll() is not None):
            raise AssertionError("still running; the terminal shows:\n" + "\n".join(self.lines()))
        status = self._process.wait()
        self._take()
        return status

    def past(self) -> list[str]:
        """All lines since the start, also those that have left the screen at the top."""
        top = []
        for line in self.screen.history.top:
            top.append("".join(line[column].data for column in range(self.screen.columns)).rstrip())
        return top + self.lines()

    def picture(self) -> str:
        """The screen as an SVG."""
        width, height = 8.4, 18
        shown = self.lines()
        rows = []
        for number in range(len(shown)):
            parts = []
            cells = self.screen.buffer[number]
            for column in range(len(shown[number])):
                cell = cells[column]
                if cell.data == " ":
                    continue
                colour = COLOURS.get(cell.fg, "#d7dae0")
                weight = ' font-weight="bold"' if cell.bold else ""
                parts.append(
                    '<tspan x="%.1f" fill="%s"%s>%s</tspan>'
                    % (12 + column * width, colour, weight, html.escape(cell.data))
                )
            rows.append('<text y="%d">%s</text>' % (24 + number * height, "".join(parts)))
        size = (24 + self.screen.columns * width, 20 + len(shown) * height)
        head = '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" ' % size
        style = 'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">'
        back = '<rect width="100%" height="100%" rx="8" fill="#23272e"/>'
        return "\n".join([head + style, back, *rows, "</svg>"]) + "\n"
