"""Members of enumerations and NumPy's data types, whose pickled states must not be taken as they come.

NumPy believes the state of a data type: one that hides that it holds objects makes pointers of a server's bytes. An enumeration
gives out the members that everybody here shares, which a state would change.
"""

from __future__ import annotations

import enum
import sys
from typing import Any

from .. import _errors

# Flags of a data type (NumPy's NPY_ITEM_REFCOUNT and NPY_ALIGNED_STRUCT).
_HAS_OBJECTS = 0x01
_ALIGNED = 0x80


def has_checked_state(found: Any) -> bool:
    """Whether the states of what a name stands for have to be checked before they are set."""
    numpy = sys.modules.get('numpy')
    return isinstance(found, enum.EnumMeta) or numpy is not None and found is numpy.dtype


def member(kind: Any, name: Any) -> Any:
    """A member of an enumeration, for which some releases of Python 3.11 ask by getattr()."""
    if isinstance(kind, enum.EnumMeta) and isinstance(name, str) and name in kind.__members__:
        return kind.__members__[name]
    raise _errors.Refused('a server asked for the attribute %.100r of %r' % (name, kind), 'builtins.getattr')


def either(one: Any, other: Any) -> Any:
    """Flags of an enumeration together, for which the first releases of Python 3.11 ask by or_()."""
    if isinstance(one, enum.Flag) and type(one) is type(other):
        return enum.Flag.__or__(one, other)
    raise _errors.Refused('a server asked for %.100r | %.100r' % (one, other), '_operator.or_')


def checked_state(made: Any, state: Any) -> Any:
    """The state to set on what a pickle made: a data type's is put together anew, an enumeration's is refused."""
    if isinstance(made, enum.Enum):
        raise _errors.Refused('a server sent a pickle that changes %r' % (made,))
    numpy = sys.modules.get('numpy')
    if numpy is None or not isinstance(made, numpy.dtype):
        return state
    try:
        sound = _sound(numpy, made, state)
        _, arguments, state = sound.__reduce__()
        if arguments != made.__reduce__()[1]:
            raise ValueError('it is %r, and the state one of %r' % (made, sound))
    except Exception as error:
        raise _errors.Refused('a server sent a data type of NumPy with a state that is none: %s' % error) from None
    return state


def _text(value: Any) -> Any:
    return value.decode('ascii') if isinstance(value, bytes) else value


def _sound(numpy: Any, made: Any, state: Any) -> Any:
    """The data type that a state describes, put together by NumPy itself out of data types that are sound."""
    version, order, subarray, names, fields, size, _, flags = state[:8]
    if version not in (3, 4) or len(state) > 9:
        raise ValueError('its version is %r' % (version,))
    metadata = state[8] if len(state) == 9 else None
    if subarray is not None:
        base, shape = subarray
        sound = numpy.dtype((_checked(numpy, base), shape))
    elif names is not None:
        columns = [fields[name] for name in names]
        spec = {
            'names': [_text(name) for name in names],
            'formats': [_checked(numpy, column[0]) for column in columns],
            'offsets': [column[1] for column in columns],
            'itemsize': size,
        }
        if any(len(column) > 2 for column in columns):
            spec['titles'] = [column[2] if len(column) > 2 else None for column in columns]
        sound = numpy.dtype(spec, align=bool(flags & _ALIGNED))
    elif made.kind in 'mM' and metadata is not None:
        # The units of times are a part of the type.
        metadata, (unit, count, divisor, _event) = metadata
        if divisor != 1:
            raise ValueError('its unit is divided by %r' % (divisor,))
        generic = _text(unit) == 'generic'
        sound = numpy.dtype(made.kind + '8' + ('' if generic else '[%d%s]' % (count, _text(unit))))
    elif fields:
        raise ValueError('its fields have no names')
    else:
        sound = made
    if sound.hasobject != bool(flags & _HAS_OBJECTS):
        raise ValueError('its flags say something else of what it holds')
    order = _text(order)
    if order in ('<', '>') and names is None and subarray is None:
        sound = sound.newbyteorder(order)
    if metadata:
        sound = numpy.dtype(sound, metadata=dict(metadata))
    return sound


def _checked(numpy: Any, part: Any) -> Any:
    if not isinstance(part, numpy.dtype):
        raise ValueError('a part of it is %r' % (part,))
    return part
