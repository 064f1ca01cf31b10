"""What a call that does not wait gives back."""

from . import _shared

RemoteException = _shared.load('objects').RemoteException


class NonblockingResponse:
    """The response to a call made with `nonblocking=True`: `wait()` gives the call's value or raises its exception."""

    __slots__ = ('client', 'request_id', '_response_val', '_have_response', '_origexc', '__weakref__', '__dict__')

    def __init__(self, client, request_id, origexc):
        self.client = client
        self.request_id = request_id
        self._origexc = origexc
        self._have_response = False
        self._response_val = None

    @property
    def have_response(self):
        """True if the response is there, so that `wait()` would not wait."""
        return self._have_response or self.client._has_response(self)

    def fileno(self):
        """The client's descriptor, so that responses can be given to select()."""
        return self.client.fileno()

    def read_response(self, block=True):
        """Calls `read_response` of the client."""
        return self.client.read_response(block)

    def set_response(self, val):
        """Sets the response. Called by the client."""
        self._response_val = val
        self._have_response = True

    def cancel(self):
        """Gives the call up: dropped if it has not begun, interrupted if it runs. False if its response is there already.

        `wait()` then raises CallCancelled, or gives the value if the call ended first.
        """
        return not self._have_response and self.client._cancel(self.request_id)

    def wait(self, origexc=None, timeout=None):
        """Waits for the call's end and gives its value, or raises its exception.

        `origexc` is that of the call unless given: True raises the original exception and prints the remote traceback,
        'quiet' raises it without printing, False raises RemoteException. `timeout` is in seconds; when it passes TimeoutError is
        raised, the call goes on, and `wait()` may be called again.
        """
        if not self._have_response:
            self.client._wait_for_response(self, timeout)
        value = self._response_val
        if type(value) is _Failed:
            self.client._raise(value.exception, self._origexc if origexc is None else origexc)
        return value

    def __repr__(self):
        state = 'done' if self.have_response else 'pending'
        return '<NonblockingResponse %d of %s, %s>' % (self.request_id, self.client.peername, state)


class _Failed:
    """Marks a response that is an exception, which a value of the same type is not."""

    __slots__ = ('exception',)

    def __init__(self, exception):
        self.exception = exception
