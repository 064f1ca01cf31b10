"""One client's proxies: which remote objects it holds, how often each was received, and what is given back."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import chain, starmap
from typing import Any, NoReturn

from .. import _errors, _native, _process
from .._shared import load, objects
from . import named_tuples
from .policy import Policy
from .settled import Raised, Unreadable, settled
from .unpickler import unpickle_scanned

RemoteProxy = objects.RemoteProxy
# A proxy in words, also where its class asks the server for them.
shown = RemoteProxy.__repr__


class _Ref(weakref.ref['objects.RemoteProxy']):
    """A weak reference that knows its object's number and how often it was received."""

    __slots__ = ('oid', 'receipts')
    oid: int
    # A byte for each.
    receipts: bytearray

    def __new__(cls, proxy: objects.RemoteProxy, callback: Callable[[_Ref], None], oid: int) -> _Ref:
        self = super().__new__(cls, proxy, callback)
        self.oid = oid
        self.receipts = bytearray()
        return self

    def __init__(self, proxy: objects.RemoteProxy, callback: Callable[[_Ref], None], oid: int) -> None:
        super().__init__(proxy, callback)  # type: ignore[call-arg]

    @property
    def times(self) -> int:
        """How often the object was received."""
        return len(self.receipts)


class ClosedConnection:
    """Stands in for the connection of a proxy whose connection is gone."""

    peername = '<closed connection>'
    proxy_closed = True

    def send_request(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises IOError."""
        raise IOError('Connection has been closed')

    # Whose a `timeout` is makes no difference any more.
    _send_timed = send_request

    def report_exception(self, exc: Exception) -> None:
        """Nothing was raised remotely."""


CLOSED = ClosedConnection()


# What a proxy class never asks the server for, whatever that says: what is looked up while no call waits for an answer, such as when
# an object is dropped or its class is asked, and what a proxy itself consists of.
NEVER_REMOTE = (
    load('exports').NOT_EXPORTED
    | frozenset(name for name in dir(RemoteProxy) if not (name[:2] == '__' and callable(getattr(RemoteProxy, name))))
    | frozenset(
        (
            '__class__ __dict__ __weakref__ __slots__ __mro__ __bases__ __subclasshook__ __init_subclass__ __instancecheck__ '
            '__subclasscheck__ __set_name__ __mro_entries__ __getnewargs__ __getnewargs_ex__ __getinitargs__ __module__ '
            '_connection _oid _known_methods'
        ).split()
    )
)  # fmt: skip


def _named_tuple(name: str, fields: tuple[Any, ...], items: tuple[Any, ...]) -> Any:
    try:
        return named_tuples.named_tuple(name, fields, items)
    except (TypeError, ValueError) as error:
        raise _errors.Refused('the server sent a tuple with names that cannot be made: %s' % error) from None


def _names(value: Any) -> tuple[str, ...]:
    """Names of methods or attributes that a server lists, without those that are never remote."""
    if type(value) not in (tuple, list) or any(type(name) is not str for name in value):
        raise _errors.Refused('the server describes a class by other things than names')
    return tuple(name for name in value if name not in NEVER_REMOTE and not objects.acts(name))


class References:
    """The proxies of one connection.

    `_lock` guards `_refs` and the receipts in it. Whatever runs when a proxy is dropped only appends to `dropped`, because that is
    anywhere, also in a thread that holds the lock.
    """

    def __init__(
        self, client: Any, native: _native.Connection, policy: Policy, own_methods: frozenset[str] = frozenset()
    ) -> None:
        """`own_methods` are those that proxy classes do not ask the server for, whatever it exports."""
        self._client = weakref.ref(client)
        self._native = native
        self._policy = policy
        self._own_methods = own_methods
        self._refs: dict[int, _Ref] = {}
        self._classes: dict[int, type[objects.RemoteProxy] | Exception] = {}
        self._described: deque[bytes] = deque()
        self.dropped: deque[_Ref] = deque()
        self._when_dropped = self.dropped.append
        self._renew_locks()
        _process.renew_after_fork(self)

    def _renew_locks(self) -> None:
        self._lock = threading.RLock()

    def load(self, pid: Any) -> Any:
        """The proxy for a persistent id (ME-7), or the bytes that a Python 2 server marks as no text."""
        value, ref = self.find(pid)
        if ref is not None:
            ref.receipts.append(0)
        return value

    def find(self, pid: Any) -> tuple[Any, _Ref | None]:
        """As load(), with the reference to the proxy, and not counted as received yet."""
        if type(pid) is tuple and list(map(type, pid)) == [str, str] and pid[0] == 'b':
            return pid[1].encode('latin-1', 'replace'), None
        if type(pid) is tuple and list(map(type, pid)) == [str, str, tuple, tuple] and pid[0] == 't':
            return _named_tuple(*pid[1:]), None
        if not (type(pid) is tuple and list(map(type, pid)) == [str, int, int] and pid[0] == 'r'):
            raise _errors.Refused('the server sent a reference that is none')
        _, oid, class_id = pid
        if not 0 <= oid < 1 << 64:
            # It goes back in frames that have no more room, together with what other answers brought.
            raise _errors.Refused('the server sent an object by a number that is none')
        # Two threads may receive the same object at once; it must be one proxy, and both receipts count.
        with self._lock:
            ref = self._refs.get(oid)
            proxy = ref() if ref is not None else None
        if proxy is not None:
            return proxy, ref
        # Not under the lock, because a proxy class may have a constructor of its own.
        made = self._class(class_id)(self._client(), oid)
        with self._lock:
            ref = self._refs.get(oid)
            proxy = ref() if ref is not None else None
            if proxy is None:
                proxy = made
                ref = self._refs[oid] = _Ref(made, self._when_dropped, oid)
        return proxy, ref

    def _class(self, class_id: int) -> type[objects.RemoteProxy]:
        made = self._classes.get(class_id)
        if made is None:
            # Another thread may have taken the description and not noted it yet.
            with self._lock:
                self._describe_all()
                made = self._classes.get(class_id)
            if made is None:
                raise _errors.Refused('the server sent an object of a class %d that it has not described' % class_id)
        if isinstance(made, Exception):
            raise made
        return made

    def _describe_all(self) -> None:
        """Notes the classes that the server has described. One is in `_described` until it is noted: taking them from the extension
        is one step of the interpreter, so that a signal handler cannot raise between the two."""
        self._described.extend(chain.from_iterable(starmap(self._native.classes, ((),))))
        while self._described:
            try:
                class_id, made = settled(lambda: self._describe(self._described[0]))
            except Raised as raised:
                raise raised.error from None
            except Unreadable as unreadable:
                self._described.popleft()
                raise unreadable.error from None
            self._classes[class_id] = made
            self._described.popleft()

    def _describe(self, pickled: bytes) -> tuple[int, type[objects.RemoteProxy] | Exception]:
        """A class by its number, or why objects of it are refused."""
        number, name, methods, attrs, cached, proxy_class = unpickle_scanned(pickled, self._policy, self.load, True)
        if type(number) is not int:
            raise _errors.Refused('the server describes a class that has no number')

        def make() -> type[objects.RemoteProxy]:
            if type(name) is not str or type(proxy_class) not in (str, type(None)):
                raise _errors.Refused('the server describes a class by other things than names')
            if proxy_class is not None:
                return self._named(proxy_class)
            wanted = tuple(method for method in _names(methods) if method not in self._own_methods)
            return objects.make_proxy_class(
                _native.printable(name), wanted, _names(attrs), _names(cached), 'easycluster'
            )

        try:
            return number, settled(make)
        except Unreadable as unreadable:
            return number, unreadable.error

    def _named(self, name: str) -> type[objects.RemoteProxy]:
        """The proxy class that a server names. Nothing but proxy classes is taken, whatever the name leads to."""
        module, _, attribute = name.rpartition('.')
        if module == 'easycluster' or not module:
            found = getattr(objects, attribute, None)
        else:
            try:
                found = self._policy.find(module, attribute).value
            except _errors.Refused:
                raise
            except (ImportError, AttributeError):
                found = None
        if not (isinstance(found, type) and issubclass(found, RemoteProxy)):
            raise _errors.Refused(
                'the server names %s as the proxy class of an object, but that is not a proxy class here'
                % _native.printable(name)
            )
        return found

    def release_dropped(self) -> None:
        """Gives back what was dropped since the last time. Any number of threads may do so at once."""
        receipts = []
        try:
            while True:
                ref = self.dropped.popleft()
                with self._lock:
                    # Its place may be another reference's by now, whose proxy lives.
                    if self._refs.get(ref.oid) is ref:
                        del self._refs[ref.oid]
                if ref.times:
                    receipts.append((ref.oid, ref.times))
        except IndexError:
            pass
        if receipts:
            self._native.release(receipts)

    def close(self) -> None:
        """Makes every proxy say that its connection is gone."""
        with self._lock:
            refs = list(self._refs.values())
            self._refs.clear()
        for ref in refs:
            proxy = ref()
            if proxy is not None:
                proxy.__dict__['_connection'] = CLOSED


class Receipts:
    """The references in one answer. Each is received once, however often reading the answer starts again."""

    __slots__ = ('_references', '_found', '_counted', '_next', 'failures')

    def __init__(self, references: References) -> None:
        self._references = references
        self._found: list[tuple[Any, _Ref | None]] = []
        self._counted: list[None] = []
        self._next = 0
        # How often reading it has failed for want of room here.
        self.failures = 0

    @property
    def place(self) -> int:
        """How many references have been read."""
        return self._next

    def restart(self, place: int = 0) -> None:
        """The answer is read again, from its beginning or from a place in it."""
        self._next = place

    def load(self, pid: Any) -> Any:
        """As References.load(), for the reference that is next in the answer."""
        if self._next == len(self._found):
            self._found.append(self._references.find(pid))
        value, ref = self._found[self._next]
        if self._next == len(self._counted):
            if ref is None:
                self._counted.append(None)
            else:
                # Counted and noted in one step of the interpreter, so that a signal handler cannot raise between the two.
                self._counted.extend(map(ref.receipts.append, (0,)))
        self._next += 1
        return value


class ReferencePickler(pickle.Pickler):
    """Pickles arguments that hold proxies of one client."""

    def __init__(self, file: Any, client: Any, **options: Any) -> None:
        super().__init__(file, **options)
        self.client = client
        self.oids: list[int] = []
        self.channels: list[_native.Channel] = []
        # Whether functions are named.
        self.functions = False

    def reducer_override(self, value: Any) -> Any:
        """Tuples of classes that cannot be named; all else in its own way."""
        return named_tuples.by_its_names(value) if named_tuples.is_unnamed(value) else NotImplemented

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        """Proxies by number (ME-7), channels (ME-33) and functions (ME-39) by their names; all else as it is."""
        if not isinstance(value, RemoteProxy):
            named = getattr(type(value), '_named_in', None)
            return None if named is None else named(value, self)
        connection = value.__dict__.get('_connection')
        if connection is self.client:
            oid: int = value.__dict__['_oid']
            self.oids.append(oid)
            return ('o', oid)
        if getattr(connection, 'proxy_closed', False):
            raise IOError('cannot send %s to %s: its connection has been closed' % (shown(value), self.client.peername))
        raise TypeError('cannot send %s to remote connection %s' % (shown(value), self.client.peername))
