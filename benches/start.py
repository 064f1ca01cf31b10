"""What one run on this machine costs beyond Python itself: processor time of both ends together.

    python benches/start.py PROGRAM [--rounds 25]

PROGRAM is a release build of `easycluster`. Compares `PROGRAM run :local -c pass` with `PROGRAM --version` and `python -c pass` of the
same interpreter together, which no way of running it there can save. Rounds take turns, so that a busy moment meets them all; figures are
medians of what `wait4` says of finished processes, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from goals import GOALS
from stub_cost import used_by


def cost(command: list[str]) -> float:
    """Milliseconds of processor time of a process and of those that it has waited for."""
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
    used = used_by(process)
    assert process.returncode == 0, command
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('program')
    parser.add_argument('--rounds', type=int, default=25)
    arguments = parser.parse_args()
    spec = ':local:rpython=%s' % sys.executable
    commands = {
        'run': [arguments.program, 'run', spec, '-c', 'pass'],
        'version': [arguments.program, '--version'],
        'python': [sys.executable, '-c', 'pass'],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            taken[name].append(cost(command))
    run, version, python = (statistics.median(taken[name]) for name in commands)
    print('run %.1f ms, of which Python and the program alone %.1f + %.1f ms' % (run, python, version))
    print(
        'one run over both: +%.1f ms (goal %g), %.2f times'
        % (run - version - python, GOALS['start']['milliseconds'], run / (version + python))
    )


if __name__ == '__main__':
    main()
