"""One client's proxies: which remote objects it holds, how often each was received, and what is given back."""

import pickle
import threading
import weakref

from . import _errors, _safe_pickle, _shared

_objects = _shared.load('objects')
RemoteProxy = _objects.RemoteProxy
RootProxy = _objects.RootProxy
# A proxy in words, also where its class asks the server for them.
shown = RemoteProxy.__repr__


class _Ref(weakref.ref):
    """A weak reference that knows its object's number and how often it was received."""

    __slots__ = ('oid', 'times')
    oid: int
    times: int

    def __new__(cls, proxy, callback, oid):
        self = super().__new__(cls, proxy, callback)
        self.oid = oid
        self.times = 0
        return self

    def __init__(self, proxy, callback, oid):
        super().__init__(proxy, callback)


class ClosedConnection:
    """Stands in for the connection of a proxy whose connection is gone."""

    peername = '<closed connection>'
    proxy_closed = True

    def send_request(self, *args, **kwargs):
        """Raises IOError."""
        raise IOError('Connection has been closed')

    # Whose a `timeout` is makes no difference any more.
    _send_timed = send_request

    def _is_open(self, *args):
        return False

    def report_exception(self, exc):
        """Nothing was raised remotely."""


CLOSED = ClosedConnection()


class References:
    """The proxies of one connection."""

    def __init__(self, client, native, policy):
        self._client = weakref.ref(client)
        self._native = native
        self._policy = policy
        self._refs = {}
        self._classes = {}
        self._dropped = []
        self._lock = threading.RLock()

        def dropped(ref, dead=self._dropped, refs=self._refs):
            # Runs wherever the last name goes, also in the middle of another call; so it only notes.
            if refs.get(ref.oid) is ref:
                del refs[ref.oid]
            dead.append((ref.oid, ref.times))

        self._when_dropped = dropped

    def load(self, pid):
        """The proxy for a persistent id (ME-7), or the bytes that a Python 2 server marks as no text."""
        if type(pid) is tuple and len(pid) == 2 and pid[0] == 'b' and type(pid[1]) is str:
            return pid[1].encode('latin-1', 'replace')
        if not (
            isinstance(pid, tuple) and len(pid) == 3 and pid[0] == 'r' and type(pid[1]) is int and type(pid[2]) is int
        ):
            raise _errors.Refused('the server sent a reference that is none: %.100r' % (pid,))
        _, oid, class_id = pid
        # Two threads may receive the same object at once; it must be one proxy, and both receipts count.
        with self._lock:
            ref = self._refs.get(oid)
            proxy = ref() if ref is not None else None
            if proxy is None:
                proxy = self._class(class_id)(self._client(), oid)
                ref = self._refs[oid] = _Ref(proxy, self._when_dropped, oid)
            ref.times += 1
        return proxy

    def _class(self, class_id):
        made = self._classes.get(class_id)
        if made is None:
            # Another thread may have taken the description and not noted it yet.
            with self._lock:
                for pickled in self._native.classes():
                    self._describe(pickled)
                made = self._classes.get(class_id)
            if made is None:
                raise _errors.Refused('the server sent an object of a class %d that it has not described' % class_id)
        if isinstance(made, Exception):
            raise made
        return made

    def _describe(self, pickled):
        try:
            description = _safe_pickle.unpickle_scanned(pickled, self._policy, self.load, True)
            class_id, name, methods, attrs, cached, proxy_class = description
            if proxy_class is None:
                own = self._client()._own_methods
                methods = tuple(method for method in methods if method not in own)
                made = _objects.make_proxy_class(name, methods, tuple(attrs), tuple(cached), 'easycluster')
            else:
                made = self._named(proxy_class)
        except Exception as error:
            if 'class_id' not in locals():
                raise
            made = error
        self._classes[class_id] = made

    def _named(self, name):
        """The proxy class that a server names. Nothing but proxy classes is taken, whatever the name leads to."""
        module, _, attribute = name.rpartition('.')
        if module == 'easycluster' or not module:
            found = getattr(_objects, attribute, None)
        else:
            try:
                found = self._policy.find(module, attribute, 0)
            except _errors.Refused:
                raise
            except (ImportError, AttributeError):
                found = None
        if not (isinstance(found, type) and issubclass(found, RemoteProxy)):
            raise _errors.Refused(
                'the server names %s as the proxy class of an object, but that is no proxy class here' % name
            )
        return found

    def release_dropped(self):
        """Gives back what was dropped since the last time."""
        if self._dropped:
            receipts = []
            while self._dropped:
                receipts.append(self._dropped.pop())
            self._native.release(receipts)

    def close(self):
        """Makes every proxy say that its connection is gone."""
        for ref in list(self._refs.values()):
            proxy = ref()
            if proxy is not None:
                proxy.__dict__['_connection'] = CLOSED
        self._refs.clear()


class ReferencePickler(pickle.Pickler):
    """Pickles arguments that hold proxies of one client."""

    def __init__(self, file, client, **options):
        super().__init__(file, **options)
        self._client = client
        self.oids = []

    def persistent_id(self, value):
        """Proxies by number (ME-7); all else as it is."""
        if not isinstance(value, RemoteProxy):
            return None
        connection = value.__dict__.get('_connection')
        if connection is self._client:
            oid = value.__dict__['_oid']
            self.oids.append(oid)
            return ('o', oid)
        if getattr(connection, 'proxy_closed', False):
            raise IOError(
                'cannot send %s to %s: its connection has been closed' % (shown(value), self._client.peername)
            )
        raise TypeError('cannot send %s to remote connection %s' % (shown(value), self._client.peername))
