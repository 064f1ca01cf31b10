"""A network of a test's own: machines with an address, a /tmp and an sshd on port 22 each, in namespaces that end with the test.

What is to be tried on it runs as a Python program in a namespace beside them::

    done = run_beside(3, program, *arguments)

`program` gets the connection specs of the machines as text, one a line, in its standard input.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .machine import CONFIGURATION, as_root
from .parts import need
from .processes import PATIENCE
from .sshd import make_key, program, public

SCRIPT = """set -e; mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir -p /run/sshd /run/netns; mount -t proc proc /proc
mkdir %(at)s/python; mount --bind %(python)s %(at)s/python
ip link set lo up; ip link add bridge type bridge; ip link set bridge up; ip addr add 10.77.0.254/24 dev bridge
for n in $(seq %(count)d); do
 ip netns add m$n; ip link add v$n type veth peer name eth0 netns m$n; ip link set v$n master bridge up
 ip -n m$n link set lo up; ip -n m$n addr add 10.77.0.$n/24 dev eth0; ip -n m$n link set eth0 up
 ip netns exec m$n sh -c 'mount -t tmpfs tmpfs /tmp; %(shown)s exec "$@"' sh %(sshd)s -D -e -f %(at)s/sshd_config -o ListenAddress=10.77.0.$n:22 2>%(at)s/log$n &
done
for n in $(seq %(count)d); do
 until ssh-keyscan -T 1 -t ed25519 10.77.0.$n 2>/dev/null | grep -q ed25519; do :; done
done
exec "$@"
"""
"""The first process of the namespaces; everything ends with it."""

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c")


@functools.lru_cache(None)
def allowed() -> bool:
    """Whether such a network can be made here."""
    if os.geteuid() != 0 and shutil.which("sudo") is None or shutil.which("ip") is None:
        return False
    script = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add m1 && ip link add bridge type bridge && ip link add v1 type veth peer name eth0 netns m1"
    done = subprocess.run(as_root(*UNSHARE, script), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    return done.returncode == 0


def kept_in_tmp() -> list[str]:
    """What is in the /tmp of each machine from the start: the folder with this Python's packages, if it is there."""
    parts = Path(sys.prefix).parts
    return [parts[2]] if parts[:2] == ("/", "tmp") else []


def left_in_tmp(cluster) -> dict[str, list[str]]:
    """What programs have left in the /tmp of each machine, by host."""
    found = cluster.eval('__import__("os").listdir("/tmp")')
    return {host: [name for name in names if name not in kept_in_tmp()] for host, names in found.items()}


def run_beside(count: int, source: str, *arguments: str, timeout: float = 300, **environment: str) -> str:
    """Runs a Python program beside `count` machines; what it printed. Fails with all that it said if it fails."""
    need("networks", allowed())
    # Not in /tmp, of which each machine has its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        at = Path(folder)
        key = make_key(at / "key")
        make_key(at / "host_key")
        (at / "authorized_keys").write_text(public(key))
        (at / "sshd_config").write_text(CONFIGURATION % {"at": at, "port": 22})
        known = "".join("10.77.0.%d %s\n" % (number, public(at / "host_key")) for number in range(1, count + 1))
        (at / "known_hosts").write_text(known)
        (at / "program.py").write_text(source)
        # What the machines' Pythons are may be in /tmp, too.
        shown = "mkdir -p %s; mount --bind %s/python %s;" % (sys.prefix, at, sys.prefix) if kept_in_tmp() else ""
        parts = {"at": at, "sshd": program("sshd"), "count": count, "python": sys.prefix, "shown": shown}
        script = SCRIPT % parts
        specs = [
            "root@10.77.0.%d:identity=%s:known_hosts=%s:config=none:batch=yes" % (number, key, at / "known_hosts")
            for number in range(1, count + 1)
        ]
        done = subprocess.run(
            as_root(*UNSHARE, script, "sh", sys.executable, str(at / "program.py"), *arguments),
            input="\n".join(specs),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]), **environment),
        )
        assert done.returncode == 0, (
            done.stdout + done.stderr + "".join(log.read_text(errors="replace")[-2000:] for log in at.glob("log*"))
        )
        return done.stdout
