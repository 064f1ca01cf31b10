# Proxies and definitions modules: the client's half, which the Python package loads; it is not sent to servers.
import linecache
import sys

names = load('names')
exports = load('exports')

ModuleType = type(sys)
RemoteException = exports.RemoteException
ServerObject = exports.ServerObject
make_server_class = exports.make_server_class
make_singleton = exports.make_singleton
OPTIONS = ('nonblocking', 'oncomplete', 'onerror', 'threadid', 'origexc', 'call_timeout')
# The thread number that asks for a thread of its own for one request.
SINGLE = -1


class ProxyPickled(TypeError):
    """A proxy was pickled outside of a call; `proxy` is the one."""

    def __init__(self, proxy):
        # By the base class, because a proxy class may ask the server.
        TypeError.__init__(self, 'a proxy can only be sent to the connection that it came from: %s' % (
            RemoteProxy.__repr__(proxy),))
        self.proxy = proxy


def split_options(kwargs):
    """Takes the options of a call out of its keyword arguments, and returns them."""
    options = {}
    for name in OPTIONS:
        if name in kwargs:
            options[name] = kwargs.pop(name)
    # Other values are the function's, as in `frame.drop_duplicates(keep='last')`.
    if kwargs.get('keep') is True:
        options['keep'] = kwargs.pop('keep')
    return options


def _method(name):
    """A method of a proxy class that calls the one of that name on the server."""
    def call(self, *args, **kwargs):
        options = split_options(kwargs)
        if 'timeout' in kwargs:
            # Of the method or of the call; the connection finds out.
            return self._connection._send_timed(self, name, args, kwargs, options)
        return self._connection.send_request(self._oid, name, args, kwargs, **options)

    def represent(self):
        # What is said of a proxy must not depend on whether its connection still is.
        return RemoteProxy.__repr__(self) if self.proxy_connection is None else call(self)

    def leave(self, kind=None, error=None, trace=None):
        # A traceback cannot be sent.
        return call(self, kind, error, None)

    call.__name__ = represent.__name__ = leave.__name__ = name
    return {'__repr__': represent, '__exit__': leave}.get(name, call)


def _attribute(name, cached):
    """A property of a proxy class for the attribute of that name on the server."""
    def get(self):
        if cached and name in self.__dict__:
            return self.__dict__[name]
        value = self._connection.send_request(0, 'getattr', (self, name), {})
        if cached:
            self.__dict__[name] = value
        return value

    def change(self, value):
        self.__dict__.pop(name, None)
        self._connection.send_request(0, 'setattr', (self, name, value), {})

    def delete(self):
        self.__dict__.pop(name, None)
        self._connection.send_request(0, 'delattr', (self, name), {})

    return property(get, change, delete)


class _ProxyType(type):
    """Makes the methods and attributes that a proxy class lists."""

    def __new__(meta, name, bases, members):
        members.setdefault('proxy_methods', ())
        members.setdefault('proxy_attrs', ())
        members.setdefault('proxy_attrs_cache', ())
        for method in members['proxy_methods']:
            members.setdefault(method, _method(method))
        for attribute in members['proxy_attrs']:
            members.setdefault(attribute, _attribute(attribute, False))
        for attribute in members['proxy_attrs_cache']:
            members.setdefault(attribute, _attribute(attribute, True))
        return type.__new__(meta, name, bases, members)


# Called, because the metaclass syntaxes of 2.x and 3.x exclude each other.
_ProxyBase = _ProxyType('_ProxyBase', (object,), {'__module__': 'easycluster'})


class RemoteProxy(_ProxyBase):
    """Stands on the client for an object that stays on the server."""

    _connection = None
    _oid = None

    def __init__(self, connection, oid):
        self._connection = connection
        self._oid = oid

    @property
    def proxy_connection(self):
        """The connection that the object is reached by, or None if that has ended."""
        if getattr(self._connection, 'proxy_closed', False):
            return None
        return self._connection

    @property
    def proxy_object_id(self):
        """The number of the object on its connection."""
        return self._oid

    def raw_call_method(self, method, args, kwargs={}, nonblocking=False, oncomplete=None, onerror=None,
                        threadid=None, origexc=True, call_timeout=None, timeout=None, keep=False):
        """Calls a method by name; options as in any remote call."""
        return self._connection.send_request(self._oid, method, args, kwargs, nonblocking, oncomplete, onerror,
                                             threadid, origexc, call_timeout, timeout, keep)

    def raw_get_attribute(self, attr, nonblocking=False, oncomplete=None, onerror=None, threadid=None,
                          origexc=True, call_timeout=None, timeout=None, keep=False):
        """The value of an attribute on the server."""
        return self._connection.send_request(0, 'getattr', (self, attr), {}, nonblocking, oncomplete, onerror,
                                             threadid, origexc, call_timeout, timeout, keep)

    def raw_set_attribute(self, attr, value, nonblocking=False, oncomplete=None, onerror=None, threadid=None,
                          origexc=True, call_timeout=None, timeout=None, keep=False):
        """Sets an attribute on the server."""
        return self._connection.send_request(0, 'setattr', (self, attr, value), {}, nonblocking, oncomplete, onerror,
                                             threadid, origexc, call_timeout, timeout, keep)

    def __repr__(self):
        return '<RemoteProxy for oid %s on %s>' % (self._oid, getattr(self._connection, 'peername', None))

    def __reduce_ex__(self, protocol):
        raise ProxyPickled(self)


# By these, libraries take memory at the address that an attribute says, which is one of the server.
MEMORY = frozenset(
    '__array_interface__ __array_struct__ __cuda_array_interface__ __hip_array_interface__ _as_parameter_'.split())


def acts(attr):
    """Whether libraries act on an attribute: on memory, or on a notebook, which shows the HTML and runs the scripts that it gives."""
    return attr in MEMORY or attr[-1:] == '_' and attr.startswith(('_repr_', '_ipython_', '_render_traceback_'))


class DefaultRemoteProxy(RemoteProxy):
    """A proxy that asks the server for every attribute that its class does not have.

    A class derived from it names its own attributes in its body; others are set on the server."""

    _known_methods = None

    def __init__(self, *args, **kwargs):
        super(DefaultRemoteProxy, self).__init__(*args, **kwargs)
        self._known_methods = {}

    def __getattr__(self, attr):
        if attr in exports.NOT_EXPORTED or acts(attr):
            raise AttributeError(attr)
        method = (self._known_methods or {}).get(attr)
        if method is None:
            try:
                known, value = self._connection.send_request(0, 'getmethod', (self, attr), {}, origexc=False)
            except RemoteException:
                error = sys.exc_info()[1]
                # hasattr() and getattr() with a default ask for what may not be there.
                if not isinstance(error.orig, AttributeError):
                    self._connection.report_exception(error)
                raise error.orig
            if not known:
                return value
            method = self._known_methods[attr] = _method(attr)
        return method.__get__(self, type(self))

    def __setattr__(self, attr, value):
        if hasattr(type(self), attr) or attr in self.__dict__ or self._connection is None or attr in (
                '_connection', '_oid'):
            return RemoteProxy.__setattr__(self, attr, value)
        return self._connection.send_request(0, 'setattr', (self, attr, value), {})

    def __delattr__(self, attr):
        if hasattr(type(self), attr) or attr in self.__dict__:
            return RemoteProxy.__delattr__(self, attr)
        return self._connection.send_request(0, 'delattr', (self, attr), {})


class SelfIterProxy(RemoteProxy):
    """A proxy for an iterator, which is its own iterator."""

    proxy_methods = ('__next__',)

    def __iter__(self):
        return self

    def next(self):
        """The next item."""
        return self.__next__()


class GeneratorProxy(SelfIterProxy):
    """A proxy for a generator."""

    proxy_methods = ('send', 'throw', 'close')


class FileProxy(SelfIterProxy):
    """A proxy for a file."""

    proxy_methods = ('close', 'fileno', 'flush', 'isatty', 'read', 'readable', 'readline', 'readlines', 'seek',
                     'seekable', 'tell', 'truncate', 'writable', 'write', 'writelines')
    proxy_attrs = ('closed', 'encoding', 'errors', 'mode', 'name', 'newlines')

    def __enter__(self):
        return self

    def __exit__(self, *info):
        self.close()

    def readinto(self, buffer, **options):
        """Reads bytes into a buffer, which is here and would be filled there as a copy; their number. None where none are there
        yet."""
        target = names.builtins.memoryview(buffer).cast('B')
        data = self.read(len(target), **options)
        if data is None:
            return None
        if isinstance(data, str) and 'b' in self.mode:
            # Python 2 has no bytes that are no text.
            data = data.encode('utf-8')
        if type(data) not in (bytes, bytearray):
            raise AttributeError('only a file of bytes has readinto(), of a client that waits')
        target[:len(data)] = data
        return len(data)


class RootProxy(DefaultRemoteProxy):
    """A proxy for the root object of a server, which has these methods and nothing else."""

    proxy_methods = ('getattr', 'setattr', 'delattr', 'getmethod', 'get_global', 'set_global', 'import_modules', 'call',
                     'eval', 'update_definitions')

    def __getattr__(self, attr):
        raise AttributeError('the root object has no attribute %r' % attr)


def make_proxy_class(name, methods, attrs, cached, module):
    """The proxy class for objects of a class that has none of its own."""
    base = DefaultRemoteProxy if '@auto' in attrs else RemoteProxy
    attrs = tuple([attr for attr in attrs if attr != '@auto'])
    members = {'__module__': module, 'proxy_methods': tuple(methods), 'proxy_attrs': attrs,
               'proxy_attrs_cache': tuple(cached), '__doc__': 'A proxy for %s.' % name}
    return _ProxyType('dynamic_proxy_' + '_'.join(tuple(methods) + attrs + tuple(cached)), (base,), members)


_counter = [0]


def definitions_module(name, keep_source=True):
    """The module of that name that holds definitions, made if there is none.

    Its `define(code, local=True)` adds definitions, and with `local` runs them here as well. ImportError if the
    name belongs to a module of another kind, or is in a package that cannot be imported."""
    module = sys.modules.get(name)
    if module is None:
        module = ModuleType(name)
        module.__doc__ = 'Definitions shared by client and server.'
        module._source_code = []
        if '.' in name:
            parent, child = name.rsplit('.', 1)
            try:
                __import__(parent)
            except ImportError:
                raise ImportError('a definitions module is top-level or in a package; there is no package %s' % parent)
            if hasattr(sys.modules[parent], child):
                raise ImportError('%s exists already and is not a module' % name)
            setattr(sys.modules[parent], child, module)
        sys.modules[name] = module
    elif not hasattr(module, '_source_code'):
        raise ImportError('%s exists already and is not a definitions module' % name)
    if not hasattr(module, 'define'):
        def define(code, local=True):
            """Adds definitions; with `local`, runs them here."""
            if code[-1:] != '\n':
                code += '\n'
            if local:
                _counter[0] += 1
                filename = '<easycluster definitions %s %d>' % (name, _counter[0])
                linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
                eval(compile(code, filename, 'exec', 0, True), module.__dict__)
            if keep_source:
                module._source_code.append(code)
        define.__module__ = name
        module.define = define
    return module


def define_common(code, name='easycluster.remote_code', local=True):
    """Adds definitions to the definitions module of that name."""
    definitions_module(name).define(code, local)


for _name in ('RemoteProxy', 'DefaultRemoteProxy', 'SelfIterProxy', 'GeneratorProxy', 'FileProxy'):
    # Pickles name them by the place where both ends have them.
    globals()[_name].__module__ = 'easycluster'
