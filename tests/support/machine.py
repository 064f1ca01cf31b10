"""A machine of its own: this one's file system under an overlay that nobody else sees, with users, sudoers and an sshd of a test alone.

The twin of tests/support/machine.rs. As a context manager::

    with Machine("useradd -m alice") as machine:
        client = easycluster.Client.from_spec(machine.spec("alice"))
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .parts import need
from .processes import PATIENCE, Process, descendants, poll
from .sshd import make_key, program, public

IN_HERE = "EASYCLUSTER_TEST_MACHINE"
"""Stands in the command line of the machine's first process."""

SCRIPT = """set -e; : %(here)s; R=%(at)s/top/root; mkdir -p %(at)s/top; mount -t tmpfs tmpfs %(at)s/top
mkdir %(at)s/top/u %(at)s/top/w $R
mount -t overlay overlay -o lowerdir=/,upperdir=%(at)s/top/u,workdir=%(at)s/top/w $R
mount -t proc proc $R/proc; mount --rbind /dev $R/dev; mount --rbind /sys $R/sys; mkdir -p $R%(at)s; mount --bind %(at)s $R%(at)s
chmod 1777 $R/tmp; chroot $R /bin/sh -e %(at)s/setup; mkdir -p $R/run/sshd
chroot $R %(sshd)s -D -e -f %(at)s/sshd_config & read end || :"""
"""The first process: covers the file system, sets the machine up, and ends, with everything else, at the end of its input."""

CONFIGURATION = """ListenAddress 127.0.0.1:%(port)d
HostKey %(at)s/host_key
PidFile none
AuthorizedKeysFile %(at)s/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
MaxStartups 500
MaxSessions 30
"""


def as_root(*words: str) -> list[str]:
    first = program(words[0])
    return ([] if os.geteuid() == 0 else [program("sudo"), "-n"]) + [first, *words[1:]]


UNSHARE = ("unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c")


@functools.lru_cache(None)
def allowed() -> bool:
    """Whether such a machine can be made here."""
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        return False
    with tempfile.TemporaryDirectory() as at:
        script = (
            "mount -t tmpfs tmpfs {0} && mkdir {0}/u {0}/w {0}/r && "
            "mount -t overlay overlay -o lowerdir=/,upperdir={0}/u,workdir={0}/w {0}/r && mount -t proc proc {0}/r/proc"
        ).format(at)
        done = subprocess.run(
            as_root(*UNSHARE, script), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
        )
        return done.returncode == 0


class Machine:
    """A machine that is ready when the constructor returns. ``setup``: a shell script that root runs there first."""

    def __init__(self, setup: str = "") -> None:
        need("machines", allowed())
        self.folder = Path(tempfile.mkdtemp(prefix="machine"))
        # Its accounts go through the folder to their keys.
        self.folder.chmod(0o755)
        self.key = make_key(self.folder / "client_key")
        host_key = make_key(self.folder / "host_key")
        (self.folder / "authorized_keys").write_text(public(self.key) + "\n")
        (self.folder / "setup").write_text(setup)
        # Another process may take the free port before sshd does; then the next one is tried.
        for _ in range(5):
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                self.port = listener.getsockname()[1]
            (self.folder / "known_hosts").write_text("[127.0.0.1]:%d %s\n" % (self.port, public(host_key)))
            values = {"at": self.folder, "port": self.port, "sshd": program("sshd"), "here": IN_HERE}
            (self.folder / "sshd_config").write_text(CONFIGURATION % values)
            with open(self.folder / "log", "wb") as log:
                self.process = subprocess.Popen(
                    as_root(*UNSHARE, SCRIPT % values), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
                )
            if poll(self._listens_or_ended) == "listens":
                return
            self.stop(remove=False)
            if "Address already in use" not in self.log():
                raise AssertionError("no machine:\n" + self.log())
        raise AssertionError("no free port for a machine after five attempts")

    def _listens_or_ended(self) -> str | None:
        if self.process.poll() is not None:
            return "ended"
        if "Server listening" not in self.log():
            return "ended" if "error: Bind" in self.log() else None
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            return "listens" if connection.recv(4) == b"SSH-" else None

    def spec(self, user: str, *options: str) -> str:
        """A spec that logs in as this account."""
        own = "%s@127.0.0.1:%d:identity=%s:known_hosts=%s/known_hosts:config=none"
        return ":".join((own % (user, self.port, self.key, self.folder), *options))

    def log(self) -> str:
        """What sshd and the setup have said."""
        return (self.folder / "log").read_text(errors="replace")

    def session_processes(self) -> list[Process]:
        """What runs there but for its first process and the server that listens."""
        found = descendants(self.process.pid)
        return [process for process in found if "[listener]" not in process.command and IN_HERE not in process.command]

    def wait_until_idle(self) -> None:
        """Waits until no session is left, without ending any. What is left after the patience fails the test."""
        if not poll(lambda: not self.session_processes()):
            raise AssertionError("still running: %r\nits log:\n%s" % (self.session_processes(), self.log()))

    def stop(self, remove: bool = True) -> None:
        """Ends the machine and every process of it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *exception) -> None:
        if exception[0] is not None:
            print("the machine's log:\n" + self.log())
        self.stop()
