"""A real OpenSSH server, run by the current user on a free port of the loopback, with everything in a temporary folder.

The twin of tests/support/sshd.rs. As a context manager::

    with Sshd() as server:
        client = easycluster.Client.from_spec(server.spec())
"""

from __future__ import annotations

import getpass
import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .processes import PATIENCE, Process, descendants, poll, with_environment

MARK = "EASYCLUSTER_TEST_SSHD"
"""The variable that every process of a session has, so that it is found even when its parents are gone."""

READY = "---- ready ----\n"
"""Stands in the log where the harness's own login ends."""

_count = itertools.count()


def program(name: str) -> str:
    """The full path of a program, also where only the system administrator's path has it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise AssertionError("these tests need the program %s; `make prepare` installs it" % name)
    return found


class Sshd:
    """A server that is ready when the constructor returns.

    ``addresses``: on how many addresses it listens (127.0.0.1, 127.0.0.2 and so on), as if they were so many hosts; 16 at most.
    ``shell``: a shell in place of the user's own. ``greeting``: printed to stdout before the command runs.
    ``force_command``: runs in place of what the client asks for. ``environment``: variables for the session.
    ``home``: files for the session's home directory, by name; it is a folder of its own, so that the user's own
    start-up files neither slow a test down nor decide how it ends. ``lines``: further lines of sshd_config, which
    stand first, because the first mention of a keyword wins. ``log_in``: whether to log in once to see that it is
    ready.
    """

    def __init__(
        self,
        *,
        addresses: int = 1,
        max_sessions: int = 10,
        max_auth_tries: int = 6,
        host_key_types: tuple[str, ...] = ("ed25519",),
        client_key_type: str = "ed25519",
        shell: str | None = None,
        greeting: str = "",
        force_command: str | None = None,
        environment: dict[str, str] | None = None,
        home: dict[str, str] | None = None,
        lines: tuple[str, ...] = (),
        log_in: bool = True,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sshd"))
        self._addresses = addresses
        self.user = getpass.getuser()
        self.mark = "py%d-%d" % (os.getpid(), next(_count))
        self.key = make_key(self.folder / "client_key", client_key_type)
        self.host_keys = [make_key(self.folder / ("host_" + kind), kind) for kind in host_key_types]
        self.known_hosts = self.folder / "known_hosts"
        self.authorize(public(self.key))
        self._lines = list(lines) + [
            "MaxSessions %d" % max_sessions,
            "MaxAuthTries %d" % max_auth_tries,
            self._set_env(environment or {}, home or {}),
        ]
        forced = force_command or self._shell(shell, greeting)
        if forced:
            self._lines.append("ForceCommand " + forced)
        if os.geteuid() == 0:
            # As root, sshd wants a folder that only the system's start-up script makes.
            os.makedirs("/run/sshd", exist_ok=True)
        self._start()
        if log_in:
            self._log_in()

    def _start(self) -> None:
        # Another process may take the free port before sshd does; then the next one is tried.
        for _ in range(5):
            self.port = _free_port()
            hosts = "[127.0.0.*]:%d,[localhost]:%d,testhost" % (self.port, self.port)
            self.known_hosts.write_text("".join("%s %s\n" % (hosts, public(key)) for key in self.host_keys))
            (self.folder / "sshd_config").write_text("\n".join(self._configuration()) + "\n")
            (self.folder / "log").write_text("")
            with open(self.folder / "log", "ab") as log:
                self.process = subprocess.Popen(
                    [program("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
            if poll(self._listens_or_ended) == "listens":
                return
            if "Address already in use" not in self.log():
                raise AssertionError("sshd does not start:\n" + self.log())
        raise AssertionError("no free port for sshd after five attempts")

    def _listens_or_ended(self) -> str | None:
        if self.process.poll() is not None:
            return "ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return "listens" if connection.recv(4) == b"SSH-" else None
        except OSError:
            return None

    def _configuration(self) -> list[str]:
        lines = self._lines + [
            "PidFile none",
            "AuthorizedKeysFile %s/authorized_keys" % self.folder,
            # The temporary folder is writable by others up the path, and PAM needs root.
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "PrintMotd no",
            "PrintLastLog no",
            "LogLevel VERBOSE",
            "MaxStartups 500",
            "LoginGraceTime 60",
        ]
        if _openssh_version() >= (9, 8):
            # Newer servers shut out an address after failed logins, and here every test has the same address.
            lines.append("PerSourcePenalties no")
        lines += ["ListenAddress 127.0.0.%d:%d" % (last, self.port) for last in range(1, self._addresses + 1)]
        return lines + ["HostKey %s" % key for key in self.host_keys]

    def _set_env(self, environment: dict[str, str], home: dict[str, str]) -> str:
        variables = {"HOME": str(self.folder / "home"), **environment, MARK: self.mark}
        (self.folder / "home").mkdir()
        for name, content in home.items():
            file = self.folder / "home" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        # Only the first SetEnv line counts.
        return "SetEnv " + " ".join('"%s=%s"' % item for item in variables.items())

    def _shell(self, shell: str | None, greeting: str) -> str | None:
        """The current user's shell cannot be changed, so a script execs another one with the client's command."""
        if shell is None and not greeting:
            return None
        (self.folder / "greeting").write_text(greeting)
        text = "cat '%s/greeting'\nexec '%s' -c \"$SSH_ORIGINAL_COMMAND\"\n" % (self.folder, shell or "/bin/sh")
        (self.folder / "login").write_text(text)
        return "exec /bin/sh %s/login" % self.folder

    def spec(self, *options: str, address: str = "127.0.0.1") -> str:
        """A spec that logs in, whatever the user's own configuration is."""
        own = "%s@%s:%d:identity=%s:known_hosts=%s:config=none:batch=yes"
        return ":".join((own % (self.user, address, self.port, self.key, self.known_hosts), *options))

    def authorize(self, line: str) -> None:
        """Accepts one more public key; the line may have options of authorized_keys in front."""
        with open(self.folder / "authorized_keys", "a") as file:
            file.write(line + "\n")

    def ssh(self, *command: str) -> list[str]:
        """The arguments of an ``ssh`` program that logs in here."""
        return [
            program("ssh"), "-F", "none", "-T", "-p", str(self.port), "-i", str(self.key),
            "-oUserKnownHostsFile=%s" % self.known_hosts, "-oGlobalKnownHostsFile=none", "-oIdentitiesOnly=yes",
            "-oIdentityAgent=none", "-oBatchMode=yes", "-oConnectTimeout=20", self.user + "@127.0.0.1", *command,
        ]  # fmt: skip

    def log(self) -> str:
        """What the server has logged so far."""
        return (self.folder / "log").read_text(errors="replace")

    def logins(self) -> int:
        """How many connections have been authenticated so far, without the harness's own."""
        return _count_logins(self.log().rpartition(READY)[2])

    def session_processes(self) -> list[Process]:
        """What runs in sessions now: sshd's own processes for them, and theirs."""
        found = {process.pid: process for process in descendants(self.process.pid)}
        found.update((process.pid, process) for process in with_environment(MARK, self.mark))
        return list(found.values())

    def wait_until_idle(self) -> None:
        """Waits until no session is left, without ending any. What is left after the patience fails the test."""
        if not poll(lambda: not self.session_processes()):
            raise AssertionError("still running: %r\nsshd's log:\n%s" % (self.session_processes(), self.log()))

    def break_sessions(self) -> None:
        """Ends the sessions, not the server: connections break."""

        def none_left() -> bool:
            left = self.session_processes()
            for process in left:
                process.kill()
            return not left

        if not poll(none_left):
            raise AssertionError("sessions do not end: %r" % self.session_processes())

    def stop(self) -> None:
        """Ends the server and every session, and takes its files away."""
        self.process.kill()
        self.process.wait()
        try:
            self.break_sessions()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Sshd":
        return self

    def __exit__(self, *exception) -> None:
        if exception[0] is not None:
            print("sshd's log:\n" + self.log())
        self.stop()

    def _log_in(self) -> None:
        """Logs in by ``ssh``. Seen from the log, so that a session whose command never ends counts too."""
        client = subprocess.Popen(
            self.ssh("true"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            poll(lambda: _count_logins(self.log()) or client.poll() is not None)
            if not poll(lambda: _count_logins(self.log()), 1):
                raise AssertionError("logging in to sshd failed; its log:\n" + self.log())
            poll(lambda: client.poll() is not None, 2)
        finally:
            client.kill()
            client.wait()
        self.break_sessions()
        with open(self.folder / "log", "a") as log:
            log.write(READY)


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Makes a key pair; the public key is beside the private one."""
    command = [program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "test key", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    return path


def public(private: Path) -> str:
    """The line of the public key."""
    return Path(str(private) + ".pub").read_text().strip()


def _count_logins(log: str) -> int:
    # `Accepted key` without ` for ` is only a step on the way.
    return len(re.findall(r"^Accepted \S+ for ", log, re.MULTILINE))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _openssh_version() -> tuple[int, int]:
    done = subprocess.run([program("ssh"), "-V"], stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
