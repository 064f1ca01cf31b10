"""Loads the files that both ends run from the extension, which carries them for the stub already."""

from __future__ import annotations

import linecache
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from . import _native

__all__ = ['load', 'names', 'objects']


def load(name: str, folder: str = 'shared') -> ModuleType:
    """The file `name`.py of a folder of remote code as the module `easycluster._stub_<name>`."""
    full_name = 'easycluster._stub_' + name
    module = sys.modules.get(full_name)
    if module is None:
        source = _native.stub_source('%s/%s.py' % (folder, name))
        filename = '<easycluster>/%s.py' % name
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        module = ModuleType(full_name)
        module.__dict__['load'] = load
        sys.modules[full_name] = module
        exec(compile(source, filename, 'exec', dont_inherit=True), module.__dict__)
    return module


if TYPE_CHECKING:
    # Their types are in stub files of these names, because their sources are not a part of the package.
    from . import _stub_names as names
    from . import _stub_objects as objects
else:
    names = load('names')
    objects = load('objects')
