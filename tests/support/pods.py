"""A stand-in for a cluster's API server, for the real kubectl: it knows one pod, whose commands it runs for real, as this process.

Its only argument is the port. What is asked of it is what `kubectl exec` asks: the kinds of things that there are, the pod, and
the command on a WebSocket of channels (v5.channel.k8s.io).
"""

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "app", "namespace": "shop"},
    "spec": {"containers": [{"name": "main", "image": "x"}, {"name": "side", "image": "x"}]},
    "status": {"phase": "Running"},
}
KINDS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
    "/api/v1/namespaces/shop": {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}},
    "/api/v1/namespaces/shop/pods/app": POD,
}
EXEC = "/api/v1/namespaces/shop/pods/app/exec"
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == EXEC:
            self.run(urllib.parse.parse_qs(url.query))
        elif url.path in KINDS:
            self.answer(200, KINDS[url.path])
        elif "/namespaces/secret" in url.path:
            self.fail(403, "Forbidden", 'pods "app" is forbidden: User "u" cannot get resource "pods"')
        else:
            self.fail(404, "NotFound", 'pods "%s" not found' % url.path.rsplit("/", 1)[-1])

    def do_POST(self):
        """The older way to run a command, which kubectl tries where the other one was refused."""
        self.do_GET()

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, code, reason, message):
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self.answer(code, dict(status, message=message, reason=reason, code=code))

    def run(self, query):
        container = query.get("container", ["main"])[0]
        if container not in ("main", "side"):
            return self.fail(400, "BadRequest", "container %s is not valid for pod app" % container)
        accept = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        self.close_connection = True
        self.sending = threading.Lock()
        process = subprocess.Popen(
            query["command"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, CONTAINER=container),
        )
        readers = [
            threading.Thread(target=self.copy, args=(stream, channel))
            for stream, channel in ((process.stdout, STDOUT), (process.stderr, STDERR))
        ]
        for reader in readers:
            reader.start()
        threading.Thread(target=self.feed, args=(process.stdin,), daemon=True).start()
        for reader in readers:
            reader.join()
        code = process.wait()
        status = {"metadata": {}, "status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"status": "Failure", "reason": "NonZeroExitCode", "message": "", "details": {"causes": causes}}
        self.send(STATUS, json.dumps(status).encode())
        self.frame(8, struct.pack(">H", 1000))

    def copy(self, stream, channel):
        while True:
            data = os.read(stream.fileno(), 32768)
            if not data:
                return
            self.send(channel, data)

    def feed(self, stdin):
        """What kubectl sends, until it closes standard input or goes away."""
        try:
            for code, data in iter(self.received, None):
                if code in (0, 2) and data[:1] == bytes([STDIN]):
                    stdin.write(data[1:])
                    stdin.flush()
                elif code == 9:
                    self.frame(10, data)
                elif code == 8 or data[:2] == bytes([CLOSE, STDIN]):
                    break
        except OSError:
            pass
        stdin.close()

    def received(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        if length > 125:
            length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
        mask = self.rfile.read(4)
        data = self.rfile.read(length)
        key = (mask * (length // 4 + 1))[:length]
        plain = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
        return head[0] & 15, plain.to_bytes(length, "big")

    def send(self, channel, data):
        self.frame(2, bytes([channel]) + data)

    def frame(self, code, data):
        size = len(data)
        head = bytes([size]) if size < 126 else struct.pack(">BH", 126, size)
        try:
            with self.sending:
                self.wfile.write(bytes([128 | code]) + head + data)
        except OSError:
            # kubectl is gone; the command ends by the end of its input.
            pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()
