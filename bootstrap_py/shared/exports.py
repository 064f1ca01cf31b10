# Which objects stay on the server and what a proxy for them offers: shared with the Python package on the client.
import sys
# Not the module in Python around it, which remote code may be amid importing.
import _weakref as weakref

# Methods that '@auto' does not export: they make or unmake the object, or say how it is pickled where it is.
NOT_EXPORTED = frozenset((
    '__init__ __new__ __del__ __getattr__ __getattribute__ __setattr__ __delattr__ __reduce__ __reduce_ex__ '
    '__getstate__ __setstate__ __class_getitem__ __buffer__ __release_buffer__').split())


class RemoteException(Exception):
    """An exception raised on the server: `orig` is the exception, `text` the lines of its traceback there."""

    def __init__(self, orig=None, text=None):
        Exception.__init__(self, str(orig))
        self.orig = orig
        self.text = text


class ServerObject(object):
    """Base of classes whose instances stay on the server; a client that is given one gets a proxy."""

    export_methods = ('@auto',)
    export_attrs = ('@auto',)
    export_attrs_cache = ()
    proxy_class = None


# Exports: given for classes, resolved for classes, and resolved for single objects by their id().
given = {}
answers = {}
singletons = {}


def make_server_class(typ, export_methods=('@auto',), export_attrs=('@auto',), export_attrs_cache=(),
                      proxy_class=None):
    """Makes instances of an existing class stay on the server, as those of ServerObject do.

    '@auto' among the methods stands for all methods of the class, among the attributes for asking the server
    about any name. With a proxy class the lists are not used."""
    global answers
    given[typ] = export_methods, export_attrs, export_attrs_cache, proxy_class
    # A new one: who is just finding an answer finds it of before, and puts it where nobody looks any more.
    answers = {}


def make_singleton(typ_or_obj, export_methods=('@auto',), export_attrs=('@auto',), export_attrs_cache=(),
                   proxy_class=None):
    """Makes this one object stay on the server, as make_server_class does for all of a class. Returns it."""
    key = id(typ_or_obj)
    export = resolve(class_of(typ_or_obj), export_methods, export_attrs, export_attrs_cache, proxy_class)
    try:
        singletons[key] = export, weakref.ref(typ_or_obj, lambda gone: singletons.pop(key, None))
    except TypeError:
        # It cannot be referred to weakly, so it lives as long as the process.
        singletons[key] = export, lambda: typ_or_obj
    return typ_or_obj


def class_of(value):
    """An object's class, also that of an instance of an old-style class."""
    return value.__class__ if type(value).__name__ == 'instance' else type(value)


def ancestors(kind):
    """A class and its bases in the order in which they are looked at."""
    return getattr(kind, '__mro__', None) or type('Order', (kind, object), {}).__mro__[1:]


def listed(names):
    """A list of names; one name alone is a list of one."""
    return (names,) if isinstance(names, str) else tuple(names or ())


def resolve(kind, methods, attrs, cached, proxy):
    """What is exported of a class: (methods, attributes, cached attributes, path of the proxy class or None)."""
    if proxy is not None:
        return (), (), (), proxy if isinstance(proxy, str) else '%s.%s' % (proxy.__module__, proxy.__name__)
    methods = set(listed(methods))
    if '@auto' in methods:
        methods.discard('@auto')
        for base in ancestors(kind):
            if base is not object:
                methods.update([
                    name for name, value in base.__dict__.items() if name not in NOT_EXPORTED
                    and (hasattr(value, '__call__') or isinstance(value, (staticmethod, classmethod)))
                    and not isinstance(value, type)])
        if 'next' in methods and '__iter__' in methods:
            methods.add('__next__')
    return (tuple(sorted(methods)), tuple(sorted(set(listed(attrs)) - set(listed(cached)))),
            tuple(sorted(listed(cached))), None)


def export_of(value):
    """The export of an object that stays on the server; None for one that is sent by value."""
    single = singletons.get(id(value))
    if single and single[1]() is value:
        return single[0]
    kind = class_of(value)
    # Looked up once and put there once, because other threads ask and change meanwhile.
    known = answers
    export = known.get(kind, known)
    if export is known:
        export = of_iterator(kind) or of_file(kind, value)
        for base in ancestors(kind):
            found = given.get(base)
            if found is None and base is not object and issubclass(base, ServerObject):
                found = kind.export_methods, kind.export_attrs, kind.export_attrs_cache, kind.proxy_class
            if found:
                export = resolve(kind, *found)
                break
        known[kind] = export
    return export and (export is not REMAKEABLE and export or not is_remade(value) and ITERATOR or None)


# The export of iterators, and what stands for that of those that may be sent as what they go through.
ITERATOR = (), (), (), 'easycluster.SelfIterProxy'
REMAKEABLE = 'iterator',
# Modules of iterators that belong to Python itself, and those of them that a pickle remakes, from 3.3 on.
HOMES = 'builtins', '__builtin__', 'itertools', 'collections', '_collections', 'array', 'arrays'
REMADE = frozenset((
    'list_iterator list_reverseiterator tuple_iterator str_iterator str_ascii_iterator bytes_iterator bytearray_iterator '
    'range_iterator longrange_iterator dict_keyiterator dict_valueiterator dict_itemiterator dict_reversekeyiterator '
    'dict_reversevalueiterator dict_reverseitemiterator odict_iterator set_iterator _deque_iterator arrayiterator iterator '
    'enumerate zip reversed').split())
PLAIN = frozenset('list tuple str bytes bytearray range dict set frozenset int array deque OrderedDict'.split())


def of_iterator(kind):
    """The export of an iterator of Python's own: it stays here unless a pickle remakes it. None for all else."""
    if getattr(kind, '__module__', None) not in HOMES or not hasattr(kind, '__iter__') or not (
            hasattr(kind, '__next__') or hasattr(kind, 'next')):
        return None
    # PyPy has pickles of its own for them.
    remade = hasattr(iter(()), '__setstate__') and not hasattr(sys, 'pypy_version_info') and kind.__name__ in REMADE
    return REMAKEABLE if remade else ITERATOR


# Modules, or packages of such, whose classes are files or go around one without being of `io`.
AROUND_FILES = frozenset(
    'StringIO bz2 cStringIO codecs encodings fileinput gzip mmap os socket tarfile tempfile urllib urllib2 zipfile'.split())


def of_file(kind, value):
    """The export of a file of Python's own library that is none of `io`: it stays here as those do. None for all else.

    The value is asked, because many pass on to another file whatever their class has not. An HTTPError goes around
    one, too, and is an exception nevertheless."""
    if (getattr(kind, '__module__', None) or '').split('.')[0] not in AROUND_FILES or isinstance(value, BaseException):
        return None
    if not hasattr(value, 'close') or not (hasattr(value, 'readline') or hasattr(value, 'writelines')):
        return None
    # An instance of an old class may have these by itself alone.
    going = hasattr(value, '__iter__') and ['__iter__', '__next__'] or []
    return resolve(kind, ['@auto'] + going, ['@auto'], (), None)


def is_remade(value):
    """Whether an iterator goes through nothing but what a pickle remakes there."""
    if type(value).__name__ not in ('enumerate', 'zip', 'reversed', 'iterator'):
        return True
    parts = value.__reduce__()[1]
    return not [part for part in parts if not (
        type(part).__name__ in PLAIN and type(part).__module__ in HOMES
        or answers.get(type(part), of_iterator(type(part))) is REMAKEABLE and is_remade(part)
        or type(value).__name__ == 'iterator' and export_of(part))]


def usual():
    """Generators, files and modules stay on the server, and views of what does."""
    import io
    views = [type(getattr({}, name)()) for name in ('keys', 'values', 'items', 'viewkeys', 'viewvalues', 'viewitems')
             if hasattr({}, name)] + [type(type.__dict__)]
    # Not in 2.6.
    views.append(getattr(__import__(int.__module__), 'memoryview', list))
    for name in ('_collections_abc', '_abcoll'):
        if name in sys.modules:
            views.append(sys.modules[name].MappingView)
    for kind in views:
        if kind is not list:
            make_server_class(kind)
    make_server_class(type(sys))
    make_server_class(type((item for item in ())), proxy_class='easycluster.GeneratorProxy')
    # `file` of 2.x, and what io.IOBase and the C classes of files have in common.
    for kind in (type(sys.__stdin__), io.BytesIO):
        for base in ancestors(kind):
            if base.__name__ == 'file' or base.__name__.endswith('IOBase'):
                make_server_class(base, proxy_class='easycluster.FileProxy')


usual()
RemoteException.__module__ = ServerObject.__module__ = 'easycluster'
