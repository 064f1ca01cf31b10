"""Which hosts are meant: ranges and lists of names, and the inventories of Ansible."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

from . import _native
from ._errors import file_hint
from ._spec import Path


class HostSpec(str):
    """The connection spec of a host: a text, as every function that connects takes it.

    name: what messages call it, and an inventory.
    groups: the groups of the inventory that it is in, sorted, without `all`.
    variables: those of the inventory that are valid for it, also those that say how to connect.
    """

    name: str
    groups: tuple[str, ...]
    variables: dict[str, Any]


def hosts(
    *names: str, inventory: Path | Iterable[Path] | None = None, exclude: str | Iterable[str] = ()
) -> list[HostSpec]:
    """The connection specs that names stand for, for Cluster(), connect_multi() or Client.from_spec().

        >>> [str(spec) for spec in hosts('me@web[01-02]', 'db1:2222')]
        ['me@web01', 'me@web02', 'db1:2222:ssh=yes']

    names: specs with ranges (`web[01-20,40]`, `[1-10/3]`, `[a:f]`) and commas between. With `inventory` they are patterns of it, as
        Ansible has them: `web:&prod:!web03`, globs, `~regex`, `group[0:3]`, `all`.
    inventory: a file in Ansible's INI, YAML or JSON, a program that prints JSON for --list, or a folder; or several.
    exclude: a pattern, or several, of hosts to leave out.

    Hosts go by SSH if nothing else is said. Raises ValueError for what cannot be understood or matches nothing. Passwords of an
    inventory do not stand in specs; there is a warning if it has any.
    """
    files = [inventory] if isinstance(inventory, (str, os.PathLike)) else list(inventory or ())
    without = [exclude] if isinstance(exclude, str) else list(exclude)
    for each in names:
        if not isinstance(each, str):
            raise TypeError(
                with_hint('a host is named by text, such as user@host, and not %r' % type(each).__name__, each)
            )
    try:
        found, told = _native.hosts(list(names), [os.fspath(file) for file in files], without)
    except ValueError as error:
        # A path is no name of a host.
        meant = next((each for each in names if file_hint(each)), None)
        raise ValueError(with_hint(str(error), meant)) from None
    for text in told:
        warnings.warn(text, stacklevel=2)
    result = []
    for name, text, groups, variables in found:
        spec = HostSpec(text)
        spec.name = name
        spec.groups = tuple(groups)
        spec.variables = variables
        result.append(spec)
    return result


def with_hint(text: str, given: object) -> str:
    """A text about hosts, with what to do where a file is given in their place."""
    hint = file_hint(given)
    return text if hint is None else '%s\n  hint: %s' % (text, hint)
