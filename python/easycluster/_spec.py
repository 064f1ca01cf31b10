"""Connection specs, keys and the options of programs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Union

from . import _native

if TYPE_CHECKING:
    import argparse
    import optparse

Path = Union[str, 'os.PathLike[str]']


def generate_key() -> bytes:
    """A random key for a standalone server, as bytes."""
    return _native.generate_key()


def decode_key(key: str | bytes) -> bytes:
    """The key that a text stands for: the hex digits of a key, or any other text, which is hashed."""
    if isinstance(key, bytes):
        key = key.decode('utf-8')
    return _native.decode_key(key)


def read_key_file(path: Path) -> bytes:
    """The key in a key file. Raises OSError if the file cannot be read."""
    return _native.read_key_file(os.fspath(path))


def write_key_file(path: Path, key: bytes, overwrite: bool = False) -> bool:
    """Writes a key file that only its owner can read. False if the file exists and `overwrite` is not set."""
    return _native.write_key_file(os.fspath(path), key, overwrite)


_KEY_HELP = 'shared key to use: hex digits, or any other text. Other users of this machine can read it, so a key file is better.'
_KEYFILE_HELP = 'read the shared key from FILE.'


def add_key_options(
    options: optparse.OptionParser | argparse.ArgumentParser, key_option: str = '-K', keyfile_option: str = '-k'
) -> None:
    """Adds options for a shared key and a key file to an optparse.OptionParser or an argparse.ArgumentParser."""
    add: Any = getattr(options, 'add_option', None) or getattr(options, 'add_argument', None)
    add(key_option, '--key', help=_KEY_HELP)
    add(keyfile_option, '--keyfile', metavar='FILE', help=_KEYFILE_HELP)


def key_from_options(opts: Any, warn: bool = True) -> bytes:
    """The key that parsed options name; b'' if none. With `warn`, a key from the command line gets a warning on stderr."""
    if opts.keyfile:
        return read_key_file(opts.keyfile)
    if opts.key:
        if warn:
            _warn()
        return decode_key(opts.key)
    return b''


def _warn() -> None:
    # Where it cannot be read it is no reason not to connect.
    with contextlib.suppress(OSError, ValueError):
        print('SECURITY WARNING: using key from command line.', file=sys.stderr)


def parse(text: str, warn: bool = True, custom_options: Iterable[str] | Literal[True] = ()) -> _native.Spec:
    """The spec of a text, as parse_connection_spec() has it."""
    custom: list[str] | bool | None = True if custom_options is True else (list(custom_options) or None)
    if not isinstance(text, str):
        raise TypeError('a connection spec is text, such as user@host, and not %r' % type(text).__name__)
    spec = _native.Spec.parse(text, custom)
    if spec.key_in_spec and warn:
        _warn()
    return spec


def parse_connection_spec(
    spec: str,
    default_port: int | None = None,
    default_key: bytes | None = b'',
    default_enable_compression: bool = False,
    custom_options: Iterable[str] | Literal[True] = (),
    warn: bool = True,
) -> Any:
    """The parameters of Client that a connection spec `[user@]host[:port][:opt=val]...` stands for, as a dict.

    default_port, default_key, default_enable_compression: where the spec says nothing.
    custom_options: names of the program's own options, or True for any; the result is then a pair of the parameters and a dict of
        these.
    warn: warn on stderr about a key that stands in the spec itself.

    Raises ValueError with the place marked for a spec that is malformed, OSError for a key file that cannot be read.
    """
    parsed = parse(spec, warn, custom_options)
    params = {
        'port': default_port,
        'key': default_key,
        'ssh': parsed.ssh,
        'enable_compression': default_enable_compression,
    }
    found = parsed.parameters()
    params.update((name, value) for name, value in found.items() if name != 'port' or value is not None)
    return (params, parsed.custom) if custom_options else params
