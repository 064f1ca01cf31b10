# Dotted names to values and back. Free of the stub's own parts: the Python package loads this same file.
# In the stub not by an import, which waits while remote code is in one, up to 3.2.
sys = load.__globals__['sys'] if 'load' in globals() else __import__('sys')

if 'builtins' in sys.modules and hasattr(sys.modules['builtins'], 'print'):
    builtins = sys.modules['builtins']
else:
    builtins = sys.modules['__builtin__']
ModuleType = type(sys)
_MISSING = object()


class ExecReturn(BaseException):
    """Carries the value of exec_return() out of a block of statements."""

    def __init__(self, value):
        BaseException.__init__(self, 'exec_return() outside of execblock()')
        self.value = value


def exec_return(value):
    """Ends the block of statements sent by execblock(); its result is `value`."""
    raise ExecReturn(value)


def packages(path):
    """Imports the packages that a module is in, if that is not imported yet. By itself, Python from 3.3 on would do so while it holds
    the lock of the module; another thread that imports such a package and comes to the module would go on with half of it."""
    end = path not in sys.modules and path.find('.') or -1
    while end > 0:
        __import__(path[:end])
        end = path.find('.', end + 1)


def _import(path):
    """The module of that dotted name, or _MISSING if there is none; its own failure to import is raised."""
    try:
        __import__(path)
    except ImportError:
        error = sys.exc_info()[1]
        missing = getattr(error, 'name', None) or str(error).split(' ')[-1].strip("'\"")
        if missing != path and missing != path.split('.')[-1]:
            raise
        return _MISSING
    return sys.modules[path]


def get_global(name, context=None, auto_import=False):
    """The value of a dotted name.

    The first part is looked up in the module `context` and among the built-ins, the others as attributes.
    With `auto_import`, modules on the way are imported, and the first one becomes a global of `context`.
    Raises AttributeError if there is no such thing."""
    parts = name.split('.')
    first = parts[0]
    value = _MISSING
    if context is not None:
        value = getattr(context, first, _MISSING)
    if value is _MISSING:
        value = getattr(builtins, first, _MISSING)
    if value is _MISSING and auto_import:
        value = _import(first)
        if value is not _MISSING and context is not None:
            setattr(context, first, value)
    if value is _MISSING:
        place = 'defined in %s, ' % context.__name__ if context else ''
        raise AttributeError('%r is not %sa built-in, or a module that is there' % (first, place))
    for part in parts[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            if not (auto_import and isinstance(value, ModuleType)):
                raise
            found = _import(value.__name__ + '.' + part)
            if found is _MISSING:
                raise
            value = getattr(value, part, found)
    return value


def set_global(name, value, context=None):
    """Sets what the dotted name `name` stands for, seen from the module `context`."""
    if '.' in name:
        owner, name = name.rsplit('.', 1)
        setattr(get_global(owner, context), name, value)
    elif context is None:
        raise TypeError('a name without a dot needs a context module')
    else:
        setattr(context, name, value)
