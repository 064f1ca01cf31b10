"""ThreadedClient: a client for programs with threads; each has its own thread on the server."""

import threading
import weakref

from ._answers import _CANCELLED, _TIMED_OUT
from ._client import Client, _dumps, _get_ident
from ._requests import _METHOD
from ._response import NonblockingResponse, RemoteException, _Failed

# How long a server thread whose call was given up may take to answer, in seconds.
_PATIENCE = 1.0


class _ServerThread:
    """A thread's own number on the server; lives in the thread's locals, and so ends with the thread."""

    __slots__ = ('number', '_client')

    def __init__(self, number, client):
        self.number = number
        self._client = weakref.ref(client)

    def __del__(self):
        client = self._client()
        native = client._native if client is not None else None
        if native is not None:
            native.stop_thread(self.number)


class _SlotResponse(NonblockingResponse):
    """A response that waits in the extension until it is asked for."""

    __slots__ = ('_native',)

    def __del__(self):
        native = getattr(self, '_native', None)
        if native is not None and not self._have_response:
            # Nobody will ask; what the response refers to on the server is given back all the same.
            native.forget(self.request_id)


class ThreadedClient(Client):
    """A client with one server thread for each thread of this program that makes calls; it ends when that thread does.

    Completion functions are called at once, in a thread of the client's own. The server is asked for a sign of life every
    `keep_alive_interval` seconds; without one for `keep_alive_timeout` seconds the connection is closed.
    Do not call read_response(), and do not put it into a ClientGroup.
    """

    def __init__(
        self,
        key=None,
        host=None,
        port=None,
        definitions='easycluster.remote_code',
        enable_compression=False,
        ssh=None,
        user=None,
        rpython=None,
        extra_args=(),
        keep_alive_interval=10,
        keep_alive_timeout=60,
        **options,
    ):
        """As Client, and the two times in seconds; None for either asks for no signs of life."""
        self._own = threading.local()
        self._next_thread = 1
        self._number_lock = threading.Lock()
        self._reader = None
        self._keep_alive_times = (keep_alive_interval, keep_alive_timeout)
        super().__init__(key, host, port, definitions, enable_compression, ssh, user, rpython, extra_args, **options)

    _response_class = _SlotResponse

    def _open(self, parameters):
        interval, limit = self._keep_alive_times
        self._keep_alive = None if interval is None or limit is None else (float(interval), float(limit))
        self._own = threading.local()
        super()._open(parameters)

    def _thread_id(self):
        own = self._own
        try:
            if own.doubtful:
                self._leave_if_stuck(own)
            return own.thread.number
        except AttributeError:
            pass
        with self._number_lock:
            number = self._next_thread
            self._next_thread = number + 1
        own.thread = _ServerThread(number, self)
        own.doubtful = False
        return number

    def _leave_if_stuck(self, own):
        """A call was given up: if its thread is still busy with it, which not all code lets itself be interrupted in, this thread
        gets another one on the server. The old one ends when it can."""
        native = self._connected_native()
        own.doubtful = False
        ticket = next(self._tickets)
        # No expression, of which the server would keep the source for a while.
        content = _dumps((0, 'import_modules', ([],), {}), self._protocol)
        native.submit(ticket, _METHOD, own.thread.number, content, None, None, True)
        batch = native.take_slot(ticket, _PATIENCE, _get_ident() == _main_ident())
        self._single(batch)
        if not [entry for entry in batch if entry[0] == ticket]:
            native.cancel(ticket)
            native.forget(ticket)
            del own.thread

    def _decode(self, tag, value):
        if value is None and tag in (_CANCELLED, _TIMED_OUT):
            # Given up without an answer.
            self._own.doubtful = True
        return super()._decode(tag, value)

    def check_threads(self):
        """Server threads end with the threads that they serve; there is nothing left to check."""

    def read_response(self, block=True):
        """Raises TypeError: this client reads its responses itself."""
        raise TypeError('read_response should not be called on ThreadedClient objects')

    def _request(self, *args, **options):
        native = self._native
        if native is not None and self._reader is None and native.ready_count():
            # Responses that nobody asked for, and no completion function needs a reader.
            self._dispatch(native.take(None, 256, 0.0, False))
        return super()._request(*args, **options)

    def _submit(self, native, kind, threadid, content, call_timeout, oids, target):
        ticket = next(self._tickets)
        if target.__class__ is _SlotResponse:
            native.submit(ticket, kind, threadid, content, call_timeout, oids, True)
            target.request_id = ticket
            target._native = native
            return ticket
        self._start_reader(native)
        # Registered first: the reader may deliver it before submit() returns.
        self._pending[ticket] = target
        try:
            native.submit(ticket, kind, threadid, content, call_timeout, oids)
        except BaseException:
            self._pending.pop(ticket, None)
            raise
        return ticket

    def _wait_for_call(self, native, kind, threadid, content, call_timeout, oids, origexc):
        main = _get_ident() == _main_ident()
        try:
            batch = native.call(next(self._tickets), kind, threadid, content, call_timeout, oids, True, main)
        except KeyboardInterrupt:
            self._own.doubtful = True
            raise
        value = self._single(batch)
        if value.__class__ is _Failed:
            self._raise(value.exception, origexc)
        return value

    def _wait_for_response(self, response, timeout=None):
        native = response._native
        try:
            batch = native.take_slot(response.request_id, timeout, _get_ident() == _main_ident())
        except KeyError:
            # Another thread waits for the same response and is about to set it.
            import time

            while not response._have_response:
                time.sleep(0.0002)
            return
        if not [entry for entry in batch if entry[1] != 7]:
            raise TimeoutError('%s: no response within %s s; the call goes on' % (self._peername, timeout))
        response.set_response(self._single(batch))

    def _has_response(self, response):
        return response._native.is_done(response.request_id)

    def _start_reader(self, native):
        reader = self._reader
        if reader is None or reader.native is not native or not reader.is_alive():
            with self._number_lock:
                reader = self._reader
                if reader is None or reader.native is not native or not reader.is_alive():
                    self._reader = _Reader(self, native)
                    self._reader.start()

    def close(self, message='Connection closed'):
        """As Client.close(); also ends the thread that calls completion functions."""
        reader = self._reader
        super().close(message)
        if reader is not None and reader is not threading.current_thread():
            reader.join(5)


def _main_ident():
    from . import _client

    return _client._main_ident


class _Reader(threading.Thread):
    """Calls completion functions."""

    def __init__(self, client, native):
        super().__init__(name='easycluster reader of %s' % client.peername, daemon=True)
        self._client = weakref.ref(client)
        self.native = native

    def run(self):
        native = self.native
        while True:
            batch = native.take(None, 256, None, False)
            client = self._client()
            if client is None:
                return
            if batch:
                try:
                    client._dispatch(batch)
                except Exception:
                    # As in any thread: the program's hook says what a completion function raised, and the others go on.
                    threading.excepthook(threading.ExceptHookArgs((*__import__('sys').exc_info(), self)))
            elif not native.is_connected():
                client._fail_pending(RemoteException(native.failure(), ''))
                return
            del client


AutoThreadingClient = ThreadedClient
"""The name that ThreadedClient had first."""
