"""One error for all the names in a pickle that are refused, so that nobody has to allow them a name a try."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator

from .. import _errors, _native
from .policy import Policy

# How far a pickle is looked through, and how many names an error tells.
_MOST_INSTRUCTIONS = 200_000
_MOST_NAMES = 24
# What the error for one of them says.
_WORDS = 'which this client does not unpickle'


def _names(pickled: bytes) -> Iterator[tuple[str, str]]:
    """The names that a pickle looks up, as far as they stand in it; those of STACK_GLOBAL are the two texts before it."""
    memo: dict[int, str] = {}
    texts: list[str] = []
    noted = 0
    last: str | None = None
    for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if count > _MOST_INSTRUCTIONS:
            return
        name = opcode.name
        if name == 'MEMOIZE' or name.endswith('PUT'):
            place = noted if name == 'MEMOIZE' else argument
            noted += 1
            if last is not None and isinstance(place, int):
                memo[place] = last
            continue
        last = None
        if name in ('GLOBAL', 'INST'):
            module, _, attribute = str(argument).partition(' ')
            yield module, attribute
        elif name == 'STACK_GLOBAL' and len(texts) == 2:
            yield texts[0], texts[1]
        elif isinstance(argument, str):
            last = argument
            texts = [*texts[-1:], argument]
        elif name.endswith('GET') and argument in memo:
            last = memo[argument]
            texts = [*texts[-1:], last]


def all_of(first: _errors.Refused, pickled: bytes, policy: Policy) -> _errors.Refused:
    """`first`, or an exception that also tells the other names in the same pickle that are refused."""
    if first.name is None or _WORDS not in str(first):
        # Not a name, but what was done with one.
        return first
    refused: dict[str, None] = {first.name: None}
    try:
        for module, name in _names(pickled):
            try:
                policy.find(module, name)
            except _errors.Refused as error:
                if error.name is not None:
                    refused.setdefault(error.name)
            if len(refused) > _MOST_NAMES:
                break
    except Exception:
        # Bytes that are no pickle behind the place that was refused.
        pass
    if len(refused) == 1:
        return first
    names = list(refused)[:_MOST_NAMES]
    packages = sorted({name.split('.')[0] for name in names})
    return _errors.Refused(
        '%s sent %s%s, which this client does not unpickle. To allow them, give the client allow=%r or the connection spec allow=%s; '
        'to trust the server wholly, allow=\'*\''
        % (
            policy.where,
            ', '.join(map(_native.printable, names)),
            ' and more' if len(refused) > _MOST_NAMES else '',
            packages,
            ','.join(map(_native.printable, packages)),
        ),
        first.name,
    )
