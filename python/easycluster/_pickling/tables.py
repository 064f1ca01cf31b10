"""Which names of the standard library and of NumPy may be looked up and called by what a server pickles."""

from __future__ import annotations

# By module: names of value types and the functions that remake them, found and called freely. None of them runs anything that
# the pickle brings along, opens anything, or hands out what it was not given.
VALUES = {
    'array': {'array', '_array_reconstructor'},
    'builtins': {
        'bool',
        'bytearray',
        'bytes',
        'complex',
        'dict',
        'float',
        'frozenset',
        'int',
        'list',
        'object',
        'range',
        'set',
        'slice',
        'str',
        'tuple',
        'Ellipsis',
        'NotImplemented',
    },
    'collections': {
        'ChainMap',
        'Counter',
        'OrderedDict',
        'UserDict',
        'UserList',
        'UserString',
        'defaultdict',
        'deque',
    },
    'datetime': {'date', 'datetime', 'time', 'timedelta', 'timezone', 'tzinfo'},
    'decimal': {'Decimal'},
    'fractions': {'Fraction'},
    'ipaddress': {'IPv4Address', 'IPv4Interface', 'IPv4Network', 'IPv6Address', 'IPv6Interface', 'IPv6Network'},
    'pathlib': {'Path', 'PosixPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath', 'WindowsPath'},
    'types': {'SimpleNamespace'},
    'uuid': {'SafeUUID', 'UUID'},
    'subprocess': {'CompletedProcess'},
    'zoneinfo': {'ZoneInfo'},
}

NUMPY_VALUES = {'numpy': {'ndarray'}, 'numpy.ma.core': {'MaskedArray'}, 'numpy.ma': {'MaskedArray'}}

# Classes in Python that only hold what their state says.
PLAIN_CLASSES = frozenset((
    ('collections', 'ChainMap'),
    ('collections', 'UserDict'),
    ('collections', 'UserList'),
    ('collections', 'UserString'),
    ('subprocess', 'CompletedProcess'),
))  # fmt: skip

# Whose classes are not this program's own: what they define runs nothing that a pickle brings along.
OWN_MODULES = frozenset(VALUES) | frozenset((
    'abc',
    '_collections_abc',
    'collections.abc',
    'easycluster',
    'easycluster._errors',
    'easycluster._stub_objects',
    'easycluster._stub_exports',
    'enum',
    'numbers',
    'typing',
))  # fmt: skip
