"""A stub over two pipes, driven as a client would: the smallest client that can test it."""

import io
import itertools
import os
import pickle
import queue
import struct
import subprocess
import threading
import time
import zlib

import assemble

HEADER = struct.Struct(">HBBIIi")
MORE, DEFLATED, BUFFERS, NO_REPLY, ONE_SHOT, STDERR, REFERENCES = 1, 2, 4, 8, 16, 32, 64
HELLO, CALL, METHOD, EVAL, EXEC, DEFINE, RUN = 1, 2, 3, 4, 5, 6, 7
DATA, CREDIT, CANCEL, RELEASE, STOP_THREAD, PING, CLOSE, PART = 16, 17, 18, 19, 20, 21, 22, 23
CHANNEL, CHANNEL_CREDIT, CHANNEL_OPEN, END = 24, 25, 26, 128
HELLO_S, RESULT, ERROR, OUTPUT, CLASS, PONG, FATAL = 65, 66, 67, 68, 69, 70, 71
CHUNK = 131072
DEADLINE = 60
TAG = "\0easycluster.object"


class Reference:
    """An object on the server, as a client sees it."""

    def __init__(self, oid, class_id):
        self.oid = oid
        self.class_id = class_id


class Channel:
    """A channel as a client sees it: what came on it, and what was returned."""

    def __init__(self, number, window=0, raw=True):
        self.number = number
        self.window = window
        self.raw = raw
        self.came = []
        self.ended = None
        self.returned = 0
        self.unread = False


class Failed(Exception):
    """A request's ERROR."""

    def __init__(self, fields):
        super().__init__("".join(fields["traceback"]))
        self.fields = fields


class Unpickler(pickle.Unpickler):
    def persistent_load(self, identity):
        if identity[0] == "r":
            return Reference(*identity[1:])
        assert identity[0] == "b", identity
        return identity[1].encode("latin-1")


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Channel):
            return ("c", value.number, value.raw)
        return ("o", value.oid) if isinstance(value, Reference) else None


class Stub:
    def __init__(
        self,
        interpreter,
        peer="python",
        compress=False,
        window=1 << 20,
        env=None,
        cwd=None,
        rpython=True,
        command=None,
        hello=True,
        credit=True,
        reading=True,
        parts=("requests", "calls", "control", "channels"),
    ):
        assembled, stub, self.marker = assemble.assemble(interpreter if rpython is True else rpython)
        self.process = subprocess.Popen(
            command(assembled) if command else ["/bin/sh", "-c", assembled],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=env,
            cwd=cwd,
        )
        self.peer = peer
        self.credit = credit
        self.protocol = 2
        self.numbers = itertools.count(1)
        self.channel_numbers = itertools.count(1)
        # Requests that will be answered and are not yet.
        self.awaited = set()
        self.changed = threading.Condition()
        self.write_lock = threading.Lock()
        self.noise = b""
        self.parts = {}
        self.classes = {}
        self.forget()
        self.credits = {}
        # What counts against a thread's window, in bytes, before what is credited.
        self.sent = {}
        self.fatal = None
        self.hello = None
        self.ended = False
        self.errors = b""
        self.write(stub)
        for name in parts:
            self.part(name)
        self.greeting = {
            "protocol": 1,
            "peer": peer,
            "pickle": 5,
            "compress": compress,
            "definitions": "easycluster.remote_code",
            "window": window,
            "version": "0.0",
        }
        if hello:
            self.frame(HELLO, 0, 0, pickle.dumps(self.greeting, 2))
        # Credit for output, which another thread sends: reading never waits for writing.
        self.credited = queue.SimpleQueue()
        self.crediting = threading.Thread(target=self.give_credit, daemon=True)
        self.crediting.start()
        self.reader = threading.Thread(target=self.read, daemon=True)
        if reading:
            self.begin_reading()
        self.error_reader = threading.Thread(target=self.read_errors, daemon=True)
        self.error_reader.start()

    def forget(self):
        """Forgets what it has seen and a new one had not."""
        self.output = b""
        self.outputs = []
        self.log = []
        self.answers = {}
        self.pongs = []
        self.channels = {}

    def begin_reading(self):
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *info):
        self.credited.put(None)
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.crediting.join(DEADLINE)
            self.reader.join(DEADLINE)
            self.error_reader.join(DEADLINE)
            self.process.stdout.close()
            self.process.stderr.close()

    # Sending.

    def write(self, data):
        view = memoryview(data)
        try:
            with self.write_lock:
                while len(view):
                    view = view[os.write(self.process.stdin.fileno(), view) :]
        except (BrokenPipeError, ValueError):
            # The other end is gone, or this one has been closed.
            pass

    def frame(self, kind, request, thread, payload, flags=0):
        if CALL <= kind <= DATA:
            self.sent[thread] = self.sent.get(thread, 0) + HEADER.size + len(payload)
        self.write(HEADER.pack(0x4543, kind, flags, len(payload), request, thread) + payload)

    def part(self, name):
        """Sends a part of the stub."""
        self.frame(PART, 0, 0, assemble.part(name))

    def helper(self, name):
        """Sends a file of the program's own, such as helpers/commands."""
        self.frame(PART, 0, 0, assemble.deflate(assemble.together([name + ".py"])))

    def open(self, window=1 << 20, raw=True):
        """Opens a channel."""
        channel = Channel(next(self.channel_numbers), window, raw)
        self.channels[channel.number] = channel
        self.frame(CHANNEL_OPEN, channel.number, 0, struct.pack(">I", window))
        return channel

    def dumps(self, content, protocol=None):
        file = io.BytesIO()
        self.until(lambda: self.hello or self.ended)
        assert self.hello, self.errors
        Pickler(file, min(4, self.hello["pickle"]) if protocol is None else protocol).dump(content)
        return file.getvalue()

    def request(self, kind, content, thread=0, flags=0):
        """Sends a request, in chunks if it is long; its number."""
        return self.send_message(kind, self.dumps(content), thread, flags)

    def send_message(self, kind, data, thread=0, flags=0):
        number = next(self.numbers)
        if not flags & NO_REPLY:
            self.awaited.add(number)
        for start in range(0, len(data) or 1, CHUNK):
            more = MORE if start + CHUNK < len(data) else 0
            self.frame(
                kind if not start else DATA, number, thread, data[start : start + CHUNK], (0 if start else flags) | more
            )
        return number

    def start_call(self, name, *args, thread=0, flags=0, **kwargs):
        return self.request(CALL, (name, args, kwargs), thread, flags)

    # Waiting.

    def until(self, condition, seconds=DEADLINE):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.log[-5:], self.errors)

    def wait(self, number, seconds=DEADLINE):
        """The value of a request; Failed if it has none."""
        self.until(lambda: number in self.answers or self.ended, seconds)
        assert number in self.answers, ("no answer", self.fatal, self.errors)
        kind, value = self.answers.pop(number)
        if kind == ERROR:
            raise Failed(value)
        return value

    def call(self, name, *args, thread=0, **kwargs):
        return self.wait(self.start_call(name, *args, thread=thread, **kwargs))

    def eval(self, source, thread=0):
        return self.wait(self.request(EVAL, (source, None), thread))

    def exec(self, source, thread=0):
        return self.wait(self.request(EXEC, (source, None), thread))

    def define(self, source, module="easycluster.remote_code"):
        return self.wait(self.request(DEFINE, (module, source, True)))

    def method(self, reference, name, *args, thread=0, **kwargs):
        oid = reference.oid if isinstance(reference, Reference) else reference
        return self.wait(self.request(METHOD, (oid, name, args, kwargs), thread))

    def end(self):
        """Waits for the stub's end."""
        self.until(lambda: self.ended)
        return self.process.wait(DEADLINE)

    # Receiving.

    def read(self):
        data = b""
        started = False
        while True:
            got = os.read(self.process.stdout.fileno(), 1 << 18)
            if not got:
                break
            data = data + got
            if not started:
                at = data.find(self.marker.encode() + b"r\n")
                if at < 0:
                    self.noise = data
                    continue
                self.noise = data[:at]
                data = data[at + len(self.marker) + 2 :]
                started = True
            at = 0
            while len(data) - at >= 16:
                header = HEADER.unpack_from(data, at)
                if len(data) - at < 16 + header[3]:
                    break
                self.take(header, data[at + 16 : at + 16 + header[3]])
                at += 16 + header[3]
            data = data[at:]
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def give_credit(self):
        for payload in iter(self.credited.get, None):
            try:
                self.frame(CREDIT, 0, 0, payload)
            except OSError:
                # Its input was closed just then.
                return

    def read_errors(self):
        while True:
            got = os.read(self.process.stderr.fileno(), 65536)
            if not got:
                break
            self.errors += got

    def take(self, header, payload):
        magic, kind, flags, length, request, thread = header
        assert magic == 0x4543, (header, payload)
        if flags & DEFLATED:
            payload = zlib.decompress(payload)
        with self.changed:
            self.log.append((kind, flags, request, thread, length))
            if kind in (RESULT, ERROR):
                assert request not in self.parts and request not in self.answers
                self.parts[request] = [kind, flags, [payload]]
            elif kind == DATA:
                self.parts[request][2].append(payload)
            if kind in (RESULT, ERROR, DATA) and not flags & MORE:
                first, flagged, parts = self.parts.pop(request)
                self.awaited.discard(request)
                self.answers[request] = (first, self.value(first, flagged, b"".join(parts)))
            elif kind == OUTPUT:
                self.output += payload
                self.outputs.append((request, bool(flags & STDERR), payload))
                if self.credit:
                    self.credited.put(struct.pack(">I", len(payload)))
            elif kind == CLASS:
                fields = pickle.loads(payload)
                self.classes[fields[0]] = fields[1:]
            elif kind == PONG:
                self.pongs.append(payload)
            elif kind in (CHANNEL, CHANNEL_CREDIT):
                self.take_channel(self.channels.setdefault(request, Channel(request)), kind, flags, payload)
            elif kind == CREDIT:
                self.credits[thread] = self.credits.get(thread, 0) + struct.unpack(">I", payload)[0]
            elif kind == FATAL:
                self.fatal = payload.decode()
            elif kind == HELLO_S:
                assert self.hello is None
                self.hello = pickle.loads(payload)
            self.changed.notify_all()

    def take_channel(self, channel, kind, flags, payload):
        if kind == CHANNEL_CREDIT:
            size = struct.unpack(">I", payload)[0]
            channel.returned += size
            channel.unread |= not size
            return
        assert channel.ended is None
        if flags & END:
            channel.ended = payload.decode()
        else:
            channel.came.append(payload)

    def value(self, kind, flags, data):
        buffers = None
        if flags & BUFFERS:
            count, size = struct.unpack_from(">IQ", data)
            lengths = struct.unpack_from(">%dQ" % count, data, 12)
            at = 12 + 8 * count
            buffers = []
            for length in lengths:
                buffers.append(bytearray(data[at + size : at + size + length]))
                at += length
            assert at + size == len(data)
            data = data[12 + 8 * count :][:size]
        try:
            return Unpickler(io.BytesIO(data), encoding="utf-8", buffers=buffers).load()
        except Exception as error:
            return error


def cancel(stub, number, thread=0):
    """Cancels a request; the fields of its ERROR."""
    stub.frame(CANCEL, number, thread, b"")
    try:
        value = stub.wait(number)
    except Failed as error:
        assert error.fields["kind"] == "cancelled", error
        return error.fields
    raise AssertionError("it returned %r" % (value,))


def wait_until(condition, seconds=DEADLINE):
    """Polls until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def is_running(pid):
    """Whether a process runs; one that has ended but is not collected does not."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
