"""The live view of the program on a terminal: what is to be seen while hosts are at work, and that nothing of it stays.

`python tests/python/test_live_view.py` makes the picture in the README.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.screen import Terminal
from support.sshd import Sshd

HOSTS = 12
PICTURE = Path(__file__).resolve().parent.parent.parent / "docs" / "live-view.svg"

WORK = r"""
import os, sys, time
number = int(os.environ['SSH_CONNECTION'].split()[2].split('.')[-1])
time.sleep(float(sys.argv[2]) * number)
load = ('load 0.%02d' % (number * 7 % 40)).encode('ascii')
# Characters that a terminal shows wider than one column.
wide = b'\t\xe4\xb8\xad\xe6\x96\x87' if 'wide' in sys.argv else b''
os.write(1, load + wide + b'\n')
if number == 3:
    sys.exit(5)
while number > 4 and not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
"""


def command(sshd: Sshd, *arguments: str) -> list[str]:
    hosts = [
        sshd.spec("rpython=%s" % sys.executable, "name=web%02d" % number, address="127.0.0.%d" % number)
        for number in range(1, HOSTS + 1)
    ]
    return [sys.executable, "-m", "easycluster", "run", *hosts, *arguments]


def environment(**more: str) -> dict[str, str]:
    # A job of CI has logs of its own kind.
    own = {name: value for name, value in os.environ.items() if name not in ("GITHUB_ACTIONS", "GITLAB_CI", "NO_COLOR")}
    return {**own, "TERM": "xterm-256color", **more}


@pytest.fixture(scope="module")
def hosts():
    with Sshd(addresses=HOSTS) as server:
        yield server
        server.wait_until_idle()


def view_of(lines: list[str]) -> list[str]:
    """The lines from the one that counts on."""
    for place, line in enumerate(lines):
        if " of 12 host" in line:
            return lines[place:]
    return []


def four_done(lines: list[str]) -> bool:
    view = view_of(lines)
    return bool(view) and "4 of 12 hosts done: 3 ok, 1 failed; 8 running" in view[0] and " running" in view[-1]


@pytest.mark.parametrize("columns,rows", [(100, 30), (80, 12), (40, 6)])
def test_the_view_names_the_longest_running_hosts_and_goes_away(hosts, tmp_path, columns, rows):
    mark = tmp_path / "go"
    work = ["-c", WORK, "--", str(mark), "0", "wide"]
    with Terminal(command(hosts, *work), columns=columns, rows=rows, environment=environment()) as terminal:
        if columns >= 80:
            view = view_of(terminal.until(four_done))
            assert view[0].startswith("[======>             ] ")
        else:
            # A line that is too long for the terminal is cut, and never goes on in the next one.
            view = view_of(terminal.until(lambda lines: len(view_of(lines)) == 2 and "running" in lines[-1]))
        names = [line.split()[0] for line in view[1:]]
        # At most a third of the terminal, at most ten, and those that began first.
        assert 1 <= len(names) <= min(10, max(rows // 3 - 1, 1))
        if columns >= 80:
            assert set(names) <= {"web%02d" % number for number in range(5, HOSTS + 1)}
        mark.touch()
        assert terminal.end() == 1
        past = terminal.past()
    # What hosts printed is there once, whole, and nothing of the view has stayed.
    printed = [line for line in past if line.startswith("web") and " | load" in line]
    assert sorted(line[:5] for line in printed) == ["web%02d" % number for number in range(1, HOSTS + 1)]
    assert not [line for line in past if "hosts done" in line or "[==" in line]
    assert any(line.startswith("12 hosts: 11 ok, 1 failed, ") for line in past)
    # Nor do blanks that a copied line would have.
    assert b"0.07\t\xe4\xb8\xad\xe6\x96\x87\r\n" in terminal.received


@pytest.mark.parametrize(
    "options,more",
    [(["--no-progress"], {}), (["--quiet"], {}), ([], {"TERM": "dumb"})],
)
def test_no_view_where_none_is_wanted(hosts, tmp_path, options, more):
    mark = tmp_path / "go"
    work = [*options, "-c", WORK, "--", str(mark), "0"]
    with Terminal(command(hosts, *work), columns=100, rows=30, environment=environment(**more)) as terminal:
        terminal.until(lambda lines: sum(" | load" in line for line in lines) == HOSTS)
        mark.touch()
        assert terminal.end() == 1
    assert b"hosts done" not in terminal.received
    assert (b"12 hosts: " in terminal.received) == ("--quiet" not in options)
    assert b"\x1b[2K" not in terminal.received


def test_no_colour_where_none_is_wanted(hosts, tmp_path):
    mark = tmp_path / "go"
    work = ["-c", WORK, "--", str(mark), "0"]
    with Terminal(command(hosts, *work), columns=100, rows=30, environment=environment(NO_COLOR="1")) as terminal:
        terminal.until(four_done)
        mark.touch()
        assert terminal.end() == 1
    assert b"hosts done" in terminal.received
    assert b"m" not in {sequence[-1:] for sequence in sequences(terminal.received)}


def sequences(received: bytes) -> list[bytes]:
    return re.findall(rb"\x1b\[[0-9;?]*[A-Za-z]", received)


def test_the_picture_of_the_readme_is_what_a_terminal_shows():
    picture = PICTURE.read_text()
    readme = Path(PICTURE.parent.parent, "README.md").read_text()
    assert "](docs/live-view.svg)" in readme
    assert picture.startswith("<svg ") and picture.count("<text ") >= 8


def make_picture() -> None:
    with Sshd(addresses=HOSTS) as server, tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "go")
        work = ["-j", "10", "-c", WORK, "--", str(mark), "0.15"]
        with Terminal(command(server, *work), columns=78, rows=24, environment=environment()) as terminal:
            terminal.until(lambda lines: sum(" | load" in line for line in lines) >= 11)
            terminal.until(lambda lines: "3 s" in "".join(view_of(lines)[:1]))
            PICTURE.write_text(terminal.picture())
            print("\n".join(terminal.lines()))
            mark.touch()
            terminal.end()


if __name__ == "__main__":
    make_picture()
