"""Steps between the login and the interpreter, as values for the keyword `then`: another user, a container, a machine behind."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Union

from ._native import AskedPassword as AskedPassword

Secret = Union[str, AskedPassword, None]
"""A password: as text, or AskedPassword() to have the user asked once for all clients that have the same one. It is typed only
where a prompt for it was seen, at most once for each machine, and never shown."""


class Step:
    """One step, as the option `then` of a connection spec writes it, such as Step('podman/db'); those that take a password have a
    class of their own."""

    __slots__ = ('password', 'text')

    def __init__(self, text: str, password: Secret = None) -> None:
        self.text = text
        self.password = password

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return '<%s %s>' % (type(self).__name__, self.text)


class Sudo(Step):
    """Another user by sudo, root if none is named. Without a password sudo must not ask for one."""

    __slots__ = ()

    def __init__(self, user: str = 'root', password: Secret = None) -> None:
        super().__init__('sudo/' + user, password)


class Su(Step):
    """Another user by su, whose own password it wants; `login` gives that user's environment, as `su -` does. Without a password the
    user of this program is asked."""

    __slots__ = ()

    def __init__(self, user: str = 'root', password: Secret = None, login: bool = False) -> None:
        super().__init__('su/%s%s' % (user, '/login' if login else ''), password)


class Doas(Step):
    """Another user by doas. It asks for a password on a terminal alone, so with one Tty() stands in front of it."""

    __slots__ = ()

    def __init__(self, user: str = 'root', password: Secret = None) -> None:
        super().__init__('doas/' + user, password)


class Tty(Step):
    """A terminal for the step behind it, on which that one may ask; data does not go through it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__('tty')


class Docker(Step):
    """A running container of docker, as its own user or another one of it."""

    __slots__ = ()

    def __init__(self, container: str, user: str | None = None) -> None:
        super().__init__(_parts('docker', container, user))


class Podman(Step):
    """A running container of podman, as its own user or another one of it."""

    __slots__ = ()

    def __init__(self, container: str, user: str | None = None) -> None:
        super().__init__(_parts('podman', container, user))


class Kubectl(Step):
    """A container of a pod; `container` needs a namespace too."""

    __slots__ = ()

    def __init__(self, pod: str, namespace: str | None = None, container: str | None = None) -> None:
        if container is not None and namespace is None:
            namespace = 'default'
        parts = (namespace, pod, container) if namespace is not None else (pod,)
        super().__init__(_parts('kubectl', *parts))


class Nsenter(Step):
    """The namespaces of a process: all, or those of these letters, which nsenter's options have (`muinpCUT`)."""

    __slots__ = ()

    def __init__(self, pid: int, namespaces: str | None = None) -> None:
        super().__init__(_parts('nsenter', '%d' % pid, namespaces))


class Chroot(Step):
    """Another root directory."""

    __slots__ = ()

    def __init__(self, directory: str) -> None:
        super().__init__('chroot/' + directory.lstrip('/'))


class Lxc(Step):
    """A container of LXD."""

    __slots__ = ()

    def __init__(self, container: str) -> None:
        super().__init__('lxc/' + container)


class Incus(Step):
    """A container of Incus."""

    __slots__ = ()

    def __init__(self, container: str) -> None:
        super().__init__('incus/' + container)


class Machinectl(Step):
    """A container of systemd, as root or another user of it."""

    __slots__ = ()

    def __init__(self, machine: str, user: str | None = None) -> None:
        super().__init__(_parts('machinectl', machine, user))


class Ssh(Step):
    """Another machine, `[user@]host[:port]`, by the ssh program of the one before."""

    __slots__ = ()

    def __init__(self, host: str) -> None:
        super().__init__('ssh/' + host)


class Run(Step):
    """Any command that runs the arguments behind its own on its standard input and output, as a list of words."""

    __slots__ = ()

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__('run/' + ' '.join(shlex.quote(word) for word in words))


def _parts(*parts: str | None) -> str:
    return '/'.join(part for part in parts if part is not None)
