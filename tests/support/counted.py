"""A relay in front of a server, which counts what goes there and cuts its connections."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


class Counted:
    """Passes connections on to a server, and counts what goes there."""

    def __init__(self, port):
        self.sent = 0
        self._port = port
        self._open = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            behind = socket.create_connection(("127.0.0.1", self._port))
            self._open += [accepted, behind]
            threading.Thread(target=self._copy, args=(accepted, behind, True), daemon=True).start()
            threading.Thread(target=self._copy, args=(behind, accepted, False), daemon=True).start()

    def _copy(self, source, sink, counts):
        try:
            while data := source.recv(1 << 20):
                self.sent += len(data) if counts else 0
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Cuts what is open, and takes no more."""
        # Closing alone would leave the thread that waits there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextlib.contextmanager
def relays_to(server, count):
    """So many in front of one server."""
    made = [Counted(server.port) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def hosts_behind(server, relays):
    """Specs of hosts by SSH, each behind its own relay."""
    return [
        server.spec("rpython=" + sys.executable, "name=host%d" % n, "hostkey=off").replace(
            ":%d" % server.port, ":%d" % each.port, 1
        )
        for n, each in enumerate(relays)
    ]
