"""What starting, one call and the end cost the remote machine: processor time beyond `python -c pass` of the same interpreter.

    python benches/stub_cost.py [--rounds 15] [--without-others] [INTERPRETER...]

For every interpreter found, or those named: the stub over a pipe (HELLO, one call, CLOSE), with its shell, and in the same run
execnet and Mitogen starting that interpreter in their own way for one call. They are installed from PyPI into a temporary
virtual environment; where one of them does not serve an interpreter, its place stays empty. Figures are medians of what
`wait4` says of a finished process, in milliseconds; rounds take turns, so that a busy moment meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'tests' / 'stub'), str(ROOT / 'benches')]

import assemble  # noqa: E402
from support.interpreters import interpreters  # noqa: E402

HEADER = struct.Struct('>HBBIIi')
HELLO, CALL, CLOSE, PART, RESULT = 1, 2, 22, 23, 66

# Each starts a child under PYTHON, calls one function there, ends it, and prints the processor time of its children.
OTHERS = {
    'execnet': r"""
import execnet
group = execnet.Group()
gateway = group.makegateway('popen//python=' + PYTHON)
channel = gateway.remote_exec('import os; channel.send(os.getpid())')
assert channel.receive(20) > 0
group.terminate(5)
""",
    'mitogen': r"""
import os, mitogen.core, mitogen.utils
def main(router):
    context = router.local(python_path=PYTHON, connect_timeout=20)
    assert context.call(os.getpid) > 0
    context.shutdown(wait=True)
mitogen.utils.run_with_router(main)
""",
}
PROLOGUE = 'import resource, sys\nPYTHON = sys.argv[1]\n'
EPILOGUE = """
used = resource.getrusage(resource.RUSAGE_CHILDREN)
assert used.ru_utime + used.ru_stime > 0.002, 'no child was waited for'
print((used.ru_utime + used.ru_stime) * 1000)
"""


def frame(kind: int, request: int, payload: bytes) -> bytes:
    return HEADER.pack(0x4543, kind, 0, len(payload), request, 0) + payload


def used_by(process: subprocess.Popen) -> float:
    """Waits for a process; its processor time in milliseconds."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    return (used.ru_utime + used.ru_stime) * 1000


def bare(interpreter: str) -> float:
    return used_by(subprocess.Popen([interpreter, '-c', 'pass']))


def ours(interpreter: str) -> float:
    command, stub, _ = assemble.assemble(interpreter)
    process = subprocess.Popen(['/bin/sh', '-c', command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    hello = {
        'protocol': 1,
        'peer': 'python',
        'pickle': 2,
        'compress': False,
        'definitions': 'easycluster.remote_code',
        'window': 1 << 20,
        'version': 'bench',
    }
    # As a client does: what the call may come to need goes right behind it.
    call = frame(CALL, 1, pickle.dumps(('abs', (-1,), {}), 2))
    behind = b''.join(frame(PART, 0, assemble.part(name)) for name in ('requests', 'calls'))
    process.stdin.write(stub + frame(HELLO, 0, pickle.dumps(hello, 2)) + call + behind)
    answer = HEADER.pack(0x4543, RESULT, 0, len(pickle.dumps(1, 2)), 1, 0)
    data = b''
    while answer not in data:
        got = os.read(process.stdout.fileno(), 65536)
        assert got, data
        data += got
    process.stdin.write(frame(CLOSE, 0, b''))
    used = used_by(process)
    process.stdin.close()
    process.stdout.close()
    return used


def other(python: str, name: str, interpreter: str) -> float | None:
    source = PROLOGUE + OTHERS[name] + EPILOGUE
    try:
        done = subprocess.run(
            [python, '-c', source, interpreter], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def version(interpreter: str) -> str:
    """Such as python3.8."""
    says = 'import sys; sys.stdout.write("python%d.%d" % sys.version_info[:2])'
    return subprocess.run([interpreter, '-c', says], capture_output=True, text=True, check=True).stdout


def measure(interpreter: str, rounds: int, others: str | None) -> dict[str, float | None]:
    subjects = {'pass': lambda: bare(interpreter), 'stub': lambda: ours(interpreter)}
    if others:
        for name in OTHERS:
            subjects[name] = lambda name=name: other(others, name, interpreter)
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            used = subject()
            if used is not None:
                taken[name].append(used)
    return {name: statistics.median(times) if times else None for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--without-others', action='store_true', help='measure only the stub')
    parser.add_argument('interpreters', nargs='*')
    options = parser.parse_args()
    named = options.interpreters or [found.path for found in interpreters()]
    with tempfile.TemporaryDirectory() as folder:
        others = None
        if not options.without_others:
            import compare

            wanted = [package for package in compare.OTHERS if package.split('==')[0] in OTHERS]
            others = compare.environment(Path(folder) / 'others', wanted)
        for interpreter in named:
            taken = measure(interpreter, options.rounds, others)
            over = {name: used and used - taken['pass'] for name, used in taken.items()}
            shown = ['pass %.1f' % taken['pass'], 'stub +%.1f' % over['stub']]
            for name in taken:
                if name in OTHERS:
                    ratio = over[name] and over[name] / over['stub']
                    shown.append('%s +%.1f (%.1f times)' % (name, over[name], ratio) if ratio else '%s -' % name)
            print('%s, %s: %s' % (version(interpreter), interpreter, ', '.join(shown)), flush=True)
            print(json.dumps({'interpreter': interpreter, **taken}), file=sys.stderr)


if __name__ == '__main__':
    main()
