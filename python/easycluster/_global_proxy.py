"""Remote globals by dotted name: `client.os.path.join('a', 'b')`, `client.counter.value = 3`."""

_OPTIONS = ('nonblocking', 'oncomplete', 'onerror', 'threadid', 'origexc', 'call_timeout')


def split_options(kwargs):
    """Takes the options of a call out of its keyword arguments."""
    return {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}


class GlobalProxy:
    """A global of the server. Call it to call the function or class, chain it for attributes and modules in it, read or set
    `value` for the global itself."""

    __slots__ = ('_client', '_name')

    def __init__(self, client, name):
        object.__setattr__(self, '_client', client)
        object.__setattr__(self, '_name', name)

    def __getattribute__(self, name):
        # `value` is no property, because an AttributeError that its remote side raises would be taken for its own absence.
        if name == 'value':
            client = object.__getattribute__(self, '_client')
            return client.send_request(0, 'get_global', (object.__getattribute__(self, '_name'),))
        if name[:2] == '__' or name == '_client' or name == '_name':
            return object.__getattribute__(self, name)
        return GlobalProxy(
            object.__getattribute__(self, '_client'), object.__getattribute__(self, '_name') + '.' + name
        )

    def __setattr__(self, name, value):
        client = object.__getattribute__(self, '_client')
        own = object.__getattribute__(self, '_name')
        if name != 'value':
            raise AttributeError('to set a remote global, set its value: client.%s.%s.value = ...' % (own, name))
        client.send_request(0, 'set_global', (own, value))

    def __call__(self, *args, **kwargs):
        call = _client_of(self)._call
        if kwargs:
            if len(kwargs) == 1 and 'nonblocking' in kwargs:
                # The usual one, without the detour.
                return call(_name_of(self), args, {}, kwargs['nonblocking'])
            options = split_options(kwargs)
            if 'timeout' in kwargs:
                return _client_of(self)._send_timed(None, _name_of(self), args, kwargs, options)
            if options:
                return call(_name_of(self), args, kwargs, **options)
        return call(_name_of(self), args, kwargs)

    def __repr__(self):
        client = object.__getattribute__(self, '_client')
        return '<global %s on %s>' % (object.__getattribute__(self, '_name'), client.peername)


# Past __getattribute__, which takes every name for a remote one.
_client_of = GlobalProxy.__dict__['_client'].__get__
_name_of = GlobalProxy.__dict__['_name'].__get__
