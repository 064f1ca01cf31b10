# The root object, oid 0: what a client asks of the server as a whole.
import sys

compat = load('compat')
names = load('names')
sources = load('sources')


class Root(object):
    """Its methods are called with METHOD and oid 0."""

    def __init__(self, machine):
        self.machine = machine

    def getattr(self, owner, name):
        """An attribute's value."""
        return getattr(owner, compat.native(name))

    def setattr(self, owner, name, value):
        """Sets an attribute."""
        setattr(owner, compat.native(name), value)

    def delattr(self, owner, name):
        """Deletes an attribute."""
        delattr(owner, compat.native(name))

    def getmethod(self, owner, name):
        """(True, None) for what can be called by name, else (False, value)."""
        value = compat.attribute(owner, compat.native(name))
        if isinstance(value, compat.method_types):
            return True, None
        return False, value

    def get_global(self, name):
        """The value of a dotted name."""
        return names.get_global(compat.native(name), self.machine.module, True)

    def set_global(self, name, value):
        """Sets what a dotted name stands for."""
        names.set_global(compat.native(name), value, self.machine.module)

    def import_modules(self, wanted):
        """Imports modules and makes them globals of the definitions module; the value is None."""
        for name in wanted:
            name = compat.native(name)
            __import__(name)
            first = name.split('.')[0]
            setattr(self.machine.module, first, sys.modules[first])

    def call(self, name, args, kwargs={}):
        """Calls a global by its dotted name."""
        function = self.get_global(name)
        return function(*compat.native_arguments(args), **compat.native_keywords(kwargs))

    def eval(self, source, mode):
        """An expression's value with mode 'eval', or that of exec_return() with 'exec'."""
        return sources.execute(self.machine, self.machine.module, source, mode)

    def update_definitions(self, blocks):
        """Runs blocks of definitions."""
        for block in blocks:
            sources.define(self.machine, self.machine.module, block)
