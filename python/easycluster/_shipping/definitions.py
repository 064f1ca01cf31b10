"""Definitions modules on this side: code that both ends run."""

from __future__ import annotations

from typing import Any

from .._options import checked_code
from .._shared import objects


def definitions_module(name: str, keep_source: bool = True) -> Any:
    """The module of that name that holds definitions, made if there is none.

    Its `define(code, local=True)` adds a block of definitions; with `local` the block is run here too. Clients that use the module
    send what they have not sent yet when `update_definitions()` is called on them, and all of it when they connect.

    Raises ImportError if the name belongs to a module of another kind, or to a package that cannot be imported.
    """
    module = objects.definitions_module(name, keep_source)
    if not module.__dict__.get('_easycluster_ready'):
        exec('import easycluster\nfrom easycluster import *\n', module.__dict__)
        module._easycluster_ready = True
    return module


def define_common(code: str, name: str = 'easycluster.remote_code', local: bool = True) -> None:
    """Defines functions and classes that both ends have: `definitions_module(name).define(code, local)`.

    Call `update_definitions()` on connections that were made before. With `local=False` the code is not run on this side, which
    then lacks proxy classes and classes of values that it defines.
    """
    checked_code('define_common', code)
    definitions_module(name).define(code, local)
