"""Which attributes a server may give an instance: none that Python or a library would call, or take for an address."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from .._shared import objects
from . import trust

# Of the names between underscores, those that only describe. By the others copying, pickling and NumPy call what they find.
_DESCRIBING = frozenset(
    (
        '__orig_class__ __notes__ __doc__ __name__ __qualname__ __module__ __wrapped__ __annotations__ __author__ '
        '__version__'
    ).split()
)
# What an address of `ipaddress` looks for in whatever it is compared with.
_COMPARED = frozenset(('_ip', '_version', 'version', 'network', 'network_address', 'netmask', '_scope_id'))
# Of these, nothing is called when they are used as a number, compared, or hashed.
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset))


def check_attribute(kind: type, name: str, value: Any) -> None:
    """Raises Refused for an attribute that an instance of this class does not get from a server."""
    if name[:2] == '__' and name[-2:] == '__' and name not in _DESCRIBING or objects.acts(name):
        raise _refusal(kind, name)
    if type(value) not in _PLAIN and name in _names_of_base(kind):
        raise _refusal(kind, name)


def check_names(kind: type, names: Iterable[Any]) -> None:
    """The same for a class that takes whatever a server chooses, and can not know of these."""
    for name in names:
        if type(name) is str and objects.acts(name):
            raise _refusal(kind, name)


def _refusal(kind: type, name: str) -> Exception:
    return trust.refusal(kind, 'has an attribute %s, by which Python or a library would act on what it holds' % name)


@functools.lru_cache(maxsize=1024)
def _names_of_base(kind: type) -> frozenset[str]:
    """What the hash and the comparison of the class, which are those of a base, may look for in an instance."""
    base: Any = trust.first_known(kind)
    if base is kind or base is object or base.__hash__ in (None, object.__hash__):
        return frozenset()
    return _COMPARED.union(dir(base))
