"""What a structured argument costs, under every interpreter found: a list of a million whole numbers, as ratios to Python 3.6 or newer.

    python benches/arguments.py

Fails if one of the older versions takes more than three times as long. 3.2 and 3.3, where they are not installed, read as
`tests/stub/test_old_pythons.py` has newer ones play them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / 'tests'), str(Path(__file__).parents[1] / 'tests' / 'stub')]

from easycluster.server import spawn_local  # noqa: E402
from support.interpreters import interpreters  # noqa: E402

COUNT, ROUNDS, LIMIT = 1_000_000, 7, 3.0


def measured(path: str) -> float:
    """The shortest of some rounds, in seconds."""
    numbers = list(range(COUNT))
    with spawn_local(rpython=path) as client:
        best = float('inf')
        for _ in range(ROUNDS):
            start = time.perf_counter()
            assert client.call('len', numbers) == COUNT
            best = min(best, time.perf_counter() - start)
    return best


def main() -> int:
    """Prints the ratios; 1 if one is too large."""
    import test_old_pythons

    programs = [(str(found), found.version, found.path) for found in interpreters()]
    with tempfile.TemporaryDirectory() as folder:
        for version in ((3, 2), (3, 3)):
            if not any(known == version for _, known, _ in programs):
                place = Path(folder) / ('%d.%d' % version)
                place.mkdir()
                played = test_old_pythons.as_version(version, place, test_old_pythons.VERSION_3_2 % version[1])
                programs.append(('%d.%d, played' % version, version, getattr(played, 'path', played)))
        taken = [(name, version, measured(path)) for name, version, path in programs]
    common = min(seconds for _, version, seconds in taken if version >= (3, 6))
    late = False
    for name, version, seconds in sorted(taken, key=lambda each: each[1]):
        late |= version < (3, 6) and seconds > LIMIT * common
        print('%-16s %6.1f ms, %4.1f times' % (name, seconds * 1e3, seconds / common))
    return late


if __name__ == '__main__':
    sys.exit(main())
