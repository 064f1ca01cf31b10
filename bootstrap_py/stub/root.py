# The root object, oid 0: what a client asks of the server as a whole.
import sys

compat = load('compat')
names = load('names')
sources = load('sources')
attribute = load('compat_late').attribute
native = compat.native


class Root(object):
    """Its methods are called with METHOD and oid 0."""

    def __init__(self, machine):
        self.machine = machine

    getattr = staticmethod(getattr)
    setattr = staticmethod(setattr)
    delattr = staticmethod(delattr)

    def getmethod(self, owner, name):
        """(True, None) for what is called by name, else (False, value)."""
        value = attribute(owner, native(name))
        kind = type(value).__name__
        # Methods and functions of all sorts; classes and instances that can be called are values.
        return (True, None) if 'method' in kind or 'function' in kind else (False, value)

    def get_global(self, name):
        """The value of a dotted name."""
        return names.get_global(native(name), self.machine.module, True)

    def set_global(self, name, value):
        """Sets what a dotted name stands for."""
        names.set_global(native(name), value, self.machine.module)

    def import_modules(self, wanted):
        """Imports modules and makes them globals of the definitions module."""
        for name in wanted:
            names.packages(native(name))
            __import__(native(name))
            first = native(name).split('.')[0]
            setattr(self.machine.module, first, sys.modules[first])

    def keep(self, kind, content):
        """Does a request whose result stays here (ME-30)."""
        value = load('requests').do(self.machine, kind, content)
        return value if value is None else load('writing').Kept(value)

    def batches(self, items, size, seconds):
        """What gives the items of something many at a time (ME-31)."""
        return load('batches').Batches(items, size, seconds)

    def call(self, name, args, kwargs={}):
        """Calls a global by its dotted name."""
        return load('calls').call(self.machine, name, args, kwargs)

    def eval(self, source, mode):
        """An expression's value with mode 'eval', or that of exec_return() with 'exec'."""
        return sources.run(self.machine, self.machine.module, source, native(mode))

    def update_definitions(self, blocks):
        """Runs blocks of definitions."""
        for block in blocks:
            sources.define(self.machine, self.machine.module, block)


def method(machine, oid, name, args, kwargs):
    """Calls a method of the object of that number, or of the root object."""
    owner = load('references').of(machine).held(oid) if oid else Root(machine)
    return attribute(owner, native(name))(*args, **compat.native_keywords(kwargs))
