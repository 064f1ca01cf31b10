"""NumPy's data: arrays, scalars and data types made of parts that fit each other, never by NumPy's own unpickling.

NumPy believes the state of a data type and of an array: one that hides that it holds objects makes pointers of a server's bytes,
and one that was set twice frees memory that is in use.
"""

from __future__ import annotations

import datetime
import importlib
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .. import _errors, _native
from . import trust
from .made import REPLACED, UNFINISHED, Made, raw

# Flags of a data type (NumPy's NPY_ITEM_REFCOUNT and NPY_ALIGNED_STRUCT).
_HAS_OBJECTS = 0x01
_ALIGNED = 0x80
_CODE = re.compile('[?bBhHiIlLqQpPefdguFDGSUVOMmac][0-9]{0,10}')
# The largest dimensions of an array whose items take no bytes.
_MOST_EMPTY = 1 << 16


def _numpy() -> Any:
    return importlib.import_module('numpy')


def dtype_class() -> Any:
    """The class of data types itself."""
    return _numpy().dtype


def _text(value: Any) -> Any:
    return value.decode('ascii') if type(value) is bytes else value


def _refused(what: str, error: Exception) -> _errors.Refused:
    text = 'a server sent %s of NumPy with a state that is none: %s' % (what, error)
    return _errors.Refused(_native.printable(text))


# -- data types


def _dtype(code: Any, align: Any = False, copy: Any = False) -> Made:
    code = _text(code)
    if type(code) is not str or not _CODE.fullmatch(code):
        raise ValueError('its code is none')
    return Made(_numpy().dtype(code), _sound, waits=REPLACED)


def _sound(made: Any, state: Any) -> Any:
    """The data type that a state describes, put together by NumPy itself out of data types that are sound."""
    try:
        numpy = _numpy()
        sound = _described(numpy, made, state)
        if sound.__reduce__()[1] != made.__reduce__()[1]:
            raise ValueError('it is %s, and the state one of %s' % (made.str, sound.str))
    except Exception as error:
        raise _refused('a data type', error) from None
    return sound


def _typed(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise ValueError('a part of it is a %s' % type(value).__name__)
    return value


def _shape(shape: Any) -> Any:
    shape = (shape,) if type(shape) is int else _typed(shape, tuple)
    if len(shape) > 64 or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError('its shape is none')
    return shape


def _described(numpy: Any, made: Any, state: Any) -> Any:
    if not 8 <= len(_typed(state, tuple)) <= 9:
        raise ValueError('its state has %d parts' % len(state))
    version, order, subarray, names, fields, size, _, flags = state[:8]
    if _typed(version, int) not in (3, 4):
        raise ValueError('its version is %d' % version)
    _typed(flags, int)
    metadata = state[8] if len(state) == 9 else None
    if subarray is not None:
        base, shape = _typed(subarray, tuple)
        sound = numpy.dtype((_checked(numpy, base), _shape(shape)))
    elif names is not None:
        for name in _typed(names, tuple):
            _typed(name, str, bytes)
        columns = [_typed(_typed(fields, dict)[name], tuple) for name in names]
        spec = {
            'names': [_text(name) for name in names],
            'formats': [_checked(numpy, column[0]) for column in columns],
            'offsets': [_typed(column[1], int) for column in columns],
            'itemsize': _typed(size, int),
        }
        if any(len(column) > 2 for column in columns):
            spec['titles'] = [_typed(column[2], str, type(None)) if len(column) > 2 else None for column in columns]
        if flags & _ALIGNED and any(column.alignment < 1 for column in spec['formats']):
            # NumPy 1 has such types, of structures without fields, and divides by it.
            raise ValueError('a part of it has no alignment')
        sound = numpy.dtype(spec, align=bool(flags & _ALIGNED))
    elif made.kind in 'mM' and metadata is not None:
        # The units of times are a part of the type.
        metadata, parts = _typed(metadata, tuple)
        unit, count, divisor, _event = _typed(parts, tuple)
        if _typed(divisor, int) != 1:
            raise ValueError('its unit is divided by %d' % divisor)
        unit = _text(_typed(unit, str, bytes))
        generic = unit == 'generic'
        sound = numpy.dtype(made.kind + '8' + ('' if generic else '[%d%s]' % (_typed(count, int), unit)))
    elif fields is not None:
        raise ValueError('its fields have no names')
    else:
        sound = made
    if sound.hasobject != bool(flags & _HAS_OBJECTS):
        raise ValueError('its flags say something else of what it holds')
    order = _text(_typed(order, str, bytes))
    if order in ('<', '>') and names is None and subarray is None:
        sound = sound.newbyteorder(order)
    if metadata is not None and _typed(metadata, dict):
        sound = numpy.dtype(sound, metadata=dict(_typed(metadata, dict)))
    return sound


def _checked(numpy: Any, part: Any) -> Any:
    if not issubclass(type(part), numpy.dtype):
        raise ValueError('a part of it is a %s' % type(part).__name__)
    return part


# -- arrays


def _count(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _fitting(dtype: Any, shape: Any, length: int) -> Any:
    """The shape, if it is exactly that of so many bytes."""
    shape = _shape(shape)
    count = _count(shape)
    if count * dtype.itemsize != length or not dtype.itemsize and max(shape, default=1) > _MOST_EMPTY:
        raise ValueError('its shape %.200r is not that of %d bytes' % (shape, length))
    if not dtype.itemsize and count > _MOST_EMPTY:
        raise ValueError('its shape %.200r is too large for items without bytes' % (shape,))
    return shape


def _laid_over(numpy: Any, shape: Any, dtype: Any, data: Any, order: str) -> Any:
    # Old releases of NumPy divide by the size of an item.
    if not dtype.itemsize:
        return numpy.zeros(shape, dtype, order)
    return numpy.ndarray(shape, dtype, data, 0, None, order)


def _check_items(numpy: Any, dtype: Any, data: Any) -> None:
    """Refuses characters that there are not, and truth values that are neither: NumPy makes strings of the first, and counts the
    others as more than one."""
    kinds = [(place, kind) for place, kind in _parts_of(dtype) if kind.kind in 'Ub' and kind.itemsize]
    if not kinds:
        return
    rows = numpy.frombuffer(data, numpy.uint8).reshape(-1, dtype.itemsize)
    for place, kind in kinds:
        column = rows[:, place : place + kind.itemsize]
        if kind.kind == 'b':
            if column.size and column.max() > 1:
                raise ValueError('a truth value in it is none')
            continue
        letters = numpy.ascontiguousarray(column).view(kind.byteorder.replace('|', '=') + 'u4')
        if letters.size and letters.max() > sys.maxunicode:
            raise ValueError('a character in it is none')


def _parts_of(dtype: Any, place: int = 0) -> Iterator[tuple[int, Any]]:
    """The simple types in a type, each with its place."""
    if dtype.names is not None:
        for name in dtype.names:
            yield from _parts_of(dtype.fields[name][0], place + dtype.fields[name][1])
    elif dtype.subdtype is not None:
        base, shape = dtype.subdtype
        if base.kind in 'UbV':
            for step in range(_count(shape)):
                yield from _parts_of(base, place + step * base.itemsize)
    else:
        yield place, dtype


def _order(fortran: Any) -> str:
    return 'F' if _typed(fortran, bool, int) else 'C'


def _assembled(shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
    """An array of its shape, type and order, and of its bytes, or of its objects in a list."""
    numpy = _numpy()
    _checked(numpy, dtype)
    order = _order(fortran)
    if dtype.hasobject:
        return _of_objects(numpy, _shape(shape), dtype, order, data)
    data = raw(data)
    shape = _fitting(dtype, shape, len(data))
    _check_items(numpy, dtype, data)
    if dtype.kind == 'V':
        # NumPy copies items with fields field by field, and would leave unset what is between them.
        array = _laid_over(numpy, shape, dtype, bytearray(data), order)
    else:
        array = _laid_over(numpy, shape, dtype, data, order)
        if array.dtype.isnative:
            # NumPy's memory comes in larger pages than Python's, which takes less time.
            return array.copy('K')
    if array.dtype.isnative or array.dtype.names is not None:
        return array
    # As NumPy's own unpickling has it, which turns foreign byte orders into this machine's.
    native = numpy.dtype(array.dtype.type) if array.dtype.kind in 'iufc' else array.dtype.newbyteorder('=')
    return array.astype(native)


def _of_objects(numpy: Any, shape: tuple[int, ...], dtype: Any, order: str, data: Any) -> Any:
    count = _count(shape)
    if len(_typed(data, list)) != count:
        raise ValueError('it has %d objects and its shape is %.200r' % (len(data), shape))
    flat = numpy.empty(count, dtype)
    for place, item in enumerate(data):
        _check_part(numpy, dtype, item)
        # By itself: where it takes many objects at once, NumPy makes arrays of lists among them.
        flat[place] = item
    return flat.reshape(shape, order=order)


_SCALARS = frozenset(
    (type(None), bool, int, float, complex, str, bytes, datetime.date, datetime.datetime, datetime.timedelta)
)


def _check_part(numpy: Any, dtype: Any, item: Any) -> None:
    """Refuses what NumPy would ask for a number: only values that are one already are put where no objects are."""
    kind = type(item)
    if dtype.names is not None:
        if len(_typed(item, tuple)) != len(dtype.names):
            raise ValueError('an item has not as many parts as its type')
        for name, part in zip(dtype.names, item):
            _check_part(numpy, dtype.fields[name][0], part)
    elif dtype.subdtype is not None:
        if kind is not numpy.ndarray:
            raise ValueError('a part of an item is a %s' % kind.__name__)
    elif dtype.kind != 'O' and kind not in _SCALARS and not issubclass(kind, numpy.generic):
        raise ValueError('a part of an item is a %s' % kind.__name__)


def _reconstruct(kind: Any, shape: Any, code: Any) -> Made:
    numpy = _numpy()
    if kind is not numpy.ndarray and not (
        issubclass(type(kind), type) and issubclass(kind, numpy.ndarray) and trust.takes_untrusted_state(kind)
    ):
        raise ValueError('it is of another class')
    if _shape(shape) != (0,) or _text(_typed(code, str, bytes)) != 'b':
        raise ValueError('it is not empty before its state')

    def build(_: Any, state: Any) -> Any:
        _, shape, dtype, fortran, data = state if len(state) == 5 else (1, *state)
        array = _assembled(shape, dtype, fortran, data)
        return array if kind is numpy.ndarray else array.view(kind)

    return Made(None, _building(build), waits=UNFINISHED)


def _building(build: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(made: Any, state: Any) -> Any:
        try:
            return build(made, _typed(state, tuple))
        except _errors.Refused:
            raise
        except Exception as error:
            raise _refused('an array', error) from None

    return checked


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axis: Any = None) -> Any:
    numpy = _numpy()
    if type(data) not in (bytes, bytearray, memoryview) or type(order) not in (str, type(None)) or axis is not None:
        raise ValueError('it is made of other things than bytes')
    if _checked(numpy, dtype).hasobject:
        raise ValueError('its type holds objects')
    shape = _fitting(dtype, shape, len(data) if type(data) is not memoryview else data.nbytes)
    _check_items(numpy, dtype, data)
    return _laid_over(numpy, shape, dtype, data, 'F' if order == 'F' else 'C')


def _scalar(dtype: Any, data: Any = b'') -> Any:
    numpy = _numpy()
    if _checked(numpy, dtype).hasobject:
        raise ValueError('its type holds objects')
    data = raw(data)
    _fitting(dtype, (), len(data))
    _check_items(numpy, dtype, data)
    return _laid_over(numpy, (), dtype, data, 'C').copy()[()]


def _masked(kind: Any, base: Any, shape: Any, code: Any) -> Made:
    numpy = _numpy()
    if kind is not numpy.ma.MaskedArray or base is not numpy.ndarray:
        raise ValueError('it is of another class')

    def build(_: Any, state: Any) -> Any:
        _, shape, dtype, fortran, data, mask, fill = state
        if _checked(numpy, dtype).hasobject:
            raise ValueError('its type holds objects')
        array = _assembled(shape, dtype, fortran, data)
        hidden = _assembled(shape, numpy.ma.make_mask_descr(array.dtype), fortran, mask)
        made = numpy.ma.MaskedArray(array, mask=hidden)
        if fill is not None:
            if (
                type(fill) not in _SCALARS
                and type(fill) is not numpy.ndarray
                and not issubclass(type(fill), numpy.generic)
            ):
                raise ValueError('its fill value is a %s' % type(fill).__name__)
            made.fill_value = fill
        return made

    return Made(None, _building(build), waits=UNFINISHED)


CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ('numpy', 'dtype'): _dtype,
    ('numpy.core.multiarray', '_reconstruct'): _reconstruct,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy.core.numeric', '_frombuffer'): _from_buffer,
    ('numpy.ma.core', '_mareconstruct'): _masked,
}
