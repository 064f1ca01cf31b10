"""A server that answers with bytes of a test's choice: a fake interpreter that says the marker and HELLO as a stub does.

As a module it makes such a program; run as that program, it is one.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import threading
from pathlib import Path

HEADER = struct.Struct('>HBBIIi')
MAGIC = 0x4543
DEFINE = 6
CREDIT = 0x11
HELLO, RESULT, ERROR, OUTPUT, CLASS = 65, 66, 67, 68, 69
MORE, REFERENCES = 1, 64
DATA = 16
CHUNK = 65536


def program(folder, answers, classes=(), at_once=1, flood=False):
    """Writes a program for `rpython=`: the n-th request that is no definition is answered by `answers[n]`, `(kind, payload)`, the
    last one again and again; `classes` are payloads of CLASS that it sends first. The first `at_once` answers are sent together, so that they arrive in one batch. With `flood` it prints all
    the time, as much as the window allows."""
    path = Path(folder) / 'hostile_interpreter'
    script = {
        'answers': [(kind, payload.hex()) for kind, payload in answers],
        'classes': [payload.hex() for payload in classes],
        'at_once': at_once,
        'flood': flood,
    }
    source = Path(__file__).read_text('utf-8')
    path.write_text('#!%s\n%s\nSCRIPT = %r\nserve()\n' % (sys.executable, source, json.dumps(script)), 'utf-8')
    path.chmod(0o755)
    return str(path)


def error(**changes):
    """The payload of an ERROR as a stub sends it, with some fields changed."""
    fields = {
        'kind': 'exception', 'type': 'ValueError', 'module': 'builtins', 'message': 'no', 'traceback': ['a line\n'],
        'args': None, 'pickle': None,
    }  # fmt: skip
    fields.update(changes)
    return pickle.dumps(fields, 2)


def _read(count):
    data = b''
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def _write(data):
    while data:
        data = data[os.write(1, data) :]


def _message(kind, number, payload):
    frames = []
    chunks = [payload[start : start + CHUNK] for start in range(0, len(payload), CHUNK)] or [b'']
    for place, chunk in enumerate(chunks):
        more = MORE if place + 1 < len(chunks) else 0
        frames.append(HEADER.pack(MAGIC, kind if place == 0 else DATA, more, len(chunk), number, 0) + chunk)
    return b''.join(frames)


_room = threading.Semaphore(0)
_writing = threading.Lock()


def _flood():
    printed = _message(OUTPUT, 0, b'x' * 4095 + b'\n')
    while True:
        _room.acquire()
        with _writing:
            _write(printed)


def serve():
    """The program."""
    script = json.loads(globals()['SCRIPT'])
    marker = sys.argv[5] + sys.argv[6]
    _read(int(sys.argv[7]))
    hello = {
        'protocol': 1, 'python': tuple(sys.version_info[:3]), 'implementation': 'cpython', 'platform': sys.platform,
        'pid': os.getpid(), 'pickle': 5, 'executable': sys.executable, 'features': [],
    }  # fmt: skip
    _write((marker + 'l\n' + marker + 'r\n').encode())
    _write(_message(HELLO, 0, pickle.dumps(hello, 2)))
    for payload in script['classes']:
        _write(_message(CLASS, 0, bytes.fromhex(payload)))
    if script['flood']:
        threading.Thread(target=_flood, daemon=True).start()
        for _ in range(256):
            _room.release()
    credit = 0
    answers = [(kind, bytes.fromhex(payload)) for kind, payload in script['answers']]
    waiting = []
    while True:
        _, kind, flags, length, number, _ = HEADER.unpack(_read(HEADER.size))
        payload = _read(length)
        if kind == CREDIT:
            credit += struct.unpack('>I', payload)[0]
            while credit >= 4096:
                credit -= 4096
                _room.release()
        if kind == DEFINE:
            with _writing:
                _write(_message(RESULT, number, pickle.dumps(None, 2)))
        elif 2 <= kind <= 7 and not flags & MORE:
            waiting.append(_message(answers[0][0], number, answers[0][1]))
            if len(answers) > 1:
                del answers[0]
            if len(waiting) >= script['at_once']:
                with _writing:
                    _write(b''.join(waiting))
                waiting = []
                script['at_once'] = 1
