"""Loads the files that both ends run from the extension, which carries them for the stub already."""

import linecache
import sys
from types import ModuleType

from . import _native


def load(name):
    """The stub's file `name`.py as the module `easycluster._stub_<name>`."""
    full_name = 'easycluster._stub_' + name
    module = sys.modules.get(full_name)
    if module is None:
        source = _native.stub_source(name + '.py')
        filename = '<easycluster>/%s.py' % name
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        module = ModuleType(full_name)
        module.load = load
        sys.modules[full_name] = module
        exec(compile(source, filename, 'exec', dont_inherit=True), module.__dict__)
    return module
