"""Calls a second and latency of the stub over a pipe, beside an echo over the same kind of pipe.

usage: stub_pipe.py [INTERPRETER...]
"""

import os
import pickle
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "stub"))
import assemble  # noqa: E402

HEADER = struct.Struct(">HBBIIi")
ECHO = "import os\nwhile 1:\n    data = os.read(0, 65536)\n    if not data: break\n    os.write(1, data)\n"


def frame(kind, request, thread, payload, flags=0):
    return HEADER.pack(0x4543, kind, flags, len(payload), request, thread) + payload


def start(interpreter):
    command, stub, marker = assemble.assemble(interpreter)
    process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    hello = {
        "protocol": 1,
        "peer": "python",
        "pickle": 4,
        "compress": False,
        "window": 1 << 20,
        "version": "bench",
        "definitions": "easycluster.remote_code",
    }
    os.write(process.stdin.fileno(), stub + frame(1, 0, 0, pickle.dumps(hello, 2)))
    return process, marker


def median_latency(exchange, count=3000):
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        exchange()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def connect_time(interpreter):
    begin = time.perf_counter()
    process, marker = start(interpreter)
    os.write(process.stdin.fileno(), frame(2, 1, 0, pickle.dumps(("abs", (-1,), {}), 2)))
    data = b""
    while not data.endswith(pickle.dumps(1, 2)[2:]):
        got = os.read(process.stdout.fileno(), 65536)
        assert got, data
        data += got
    took = time.perf_counter() - begin
    process.stdin.close()
    process.wait()
    return took * 1e3


def bare_time(interpreter):
    begin = time.perf_counter()
    subprocess.run(["sh", "-c", "exec %s -c pass" % interpreter])
    return (time.perf_counter() - begin) * 1e3


def measure(interpreter):
    bare = statistics.median(bare_time(interpreter) for _ in range(15))
    connect = statistics.median(connect_time(interpreter) for _ in range(15))
    echo = subprocess.Popen([interpreter, "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    call = frame(2, 1, 0, pickle.dumps(("abs", (-1,), {}), 2))

    def echoed():
        os.write(echo.stdin.fileno(), call)
        os.read(echo.stdout.fileno(), 65536)

    echo_latency = median_latency(echoed)
    echo.stdin.close()
    echo.wait()
    process, marker = start(interpreter)
    to, back = process.stdin.fileno(), process.stdout.fileno()

    def called():
        os.write(to, call)
        os.read(back, 65536)

    answer = HEADER.pack(0x4543, 0x42, 0, len(pickle.dumps(1, 2)), 1, 0)
    os.write(to, call)
    data = b""
    while answer not in data:
        got = os.read(back, 65536)
        assert got, data
        data += got
    latency = median_latency(called)
    count = 100000
    calls = [frame(2, n + 1, 0, pickle.dumps(("abs", (-n,), {}), 2)) for n in range(count)]
    answers = sent = 0
    rest = b""

    def used():
        with open("/proc/%d/stat" % process.pid) as file:
            return sum(int(ticks) for ticks in file.read().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")

    cpu = used()
    begin = time.perf_counter()
    while answers < count:
        # Far enough ahead to keep the stub busy, and within the thread's window.
        while sent < count and sent - answers < 8000:
            os.write(to, b"".join(calls[sent : sent + 800]))
            sent += 800
        got = os.read(back, 1 << 20)
        assert got, rest[-200:]
        rest += got
        at = 0
        while len(rest) - at >= 16:
            length = HEADER.unpack_from(rest, at)[3]
            if len(rest) - at < 16 + length:
                break
            answers += rest[at + 2] == 0x42
            at += 16 + length
        rest = rest[at:]
    took = time.perf_counter() - begin
    cpu = used() - cpu
    process.stdin.close()
    process.wait()
    print(
        "%s: pass %.1f ms, first result %.1f ms; echo %.1f us, call %.1f us; %d calls/s in flight, %.1f us of CPU each"
        % (interpreter, bare, connect, echo_latency, latency, count / took, cpu / count * 1e6)
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or [sys.executable]:
        measure(name)
