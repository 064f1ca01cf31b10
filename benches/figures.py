"""Runs the comparisons one after the other and tells how the ratios have changed since those that are kept.

    python benches/figures.py WHEEL PROGRAM                 measures, writes target/figures/figures.json, compares
    python benches/figures.py WHEEL PROGRAM --keep          the same, and keeps the result in benches/figures.json
    python benches/figures.py WHEEL PROGRAM --only files    one of them alone; --only more than once takes several
    python benches/figures.py --draw                        draws docs/figures.svg from what is kept

WHEEL and PROGRAM are release builds. Only ratios within one run are kept: they hold on other machines and on busy ones, as far as
anything does. Each comparison is kept with the commit that it was made of.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'benches'))

from comparisons import COMPARISONS, Comparison, Ratios, can_run  # noqa: E402

KEPT = ROOT / 'benches' / 'figures.json'
CHART = ROOT / 'docs' / 'figures.svg'
# By the name of a comparison: `commit` and `ratios`.
Kept = dict[str, dict[str, Any]]
# How much worse a ratio may become before it is told as worse.
NOISE = 1.25
# What the comparisons inside the package need beside it.
BESIDE = ['ipyparallel', 'distributed', 'numpy', 'asyncssh', 'cryptography']
# A comparison that takes longer, in seconds, stands still.
LONGEST = 1800


def changes(of: Comparison, before: Ratios, now: Ratios) -> list[tuple[str, Optional[float], Optional[float], str]]:
    """Each ratio of a comparison before and now, and what to think of it."""
    result = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            result.append((key, old, new, 'new' if old is None else 'missing'))
            continue
        worse = new / old if of.less(key) else old / new
        verdict = 'worse' if worse > NOISE else 'better' if worse < 1 / NOISE else ''
        result.append((key, old, new, verdict))
    return result


def drawn(kept: Kept) -> str:
    """A chart: how many times better than the others, on a scale of doublings; the line is where both are alike."""
    rows = []
    for name, of in COMPARISONS.items():
        if of.charted and name in kept:
            rows += [
                (of.words(key), 1 / value if of.less(key) else value) for key, value in kept[name]['ratios'].items()
            ]
    left, unit, top, step = 330, 68, 34, 24
    height = top + step * len(rows) + 12
    most = max([5, *(_doublings(times) + 1 for _, times in rows)])
    below = max([1, *(math.ceil(-_doublings(times)) for _, times in rows)])
    zero = left + unit * below
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">'
        % (zero + unit * most + 40, height),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for doubling in range(-below, int(most) + 1):
        place = zero + unit * doubling
        words = '%gx' % 2**doubling
        parts.append('<text x="%d" y="20" text-anchor="middle" fill="#555">%s</text>' % (place, words))
        colour = '#333' if doubling == 0 else '#ddd'
        parts.append('<path d="M%d %dV%d" stroke="%s"/>' % (place, top - 6, height - 8, colour))
    for number, (words, times) in enumerate(rows):
        y = top + step * number
        end = zero + unit * _doublings(times)
        begin, width = min(zero, end), abs(end - zero)
        colour = '#00897b' if times >= 1 else '#c77c11'
        parts.append('<text x="%d" y="%d" text-anchor="end" fill="#222">%s</text>' % (left - 10, y + 15, escape(words)))
        parts.append('<rect x="%.1f" y="%d" width="%.1f" height="16" fill="%s"/>' % (begin, y + 2, width, colour))
        parts.append('<text x="%.1f" y="%d" fill="#222">%.1f</text>' % (max(zero, end) + 6, y + 15, times))
    return '\n'.join([*parts, '</svg>', ''])


def _doublings(times: float) -> float:
    return math.log2(max(times, 1 / 16))


def ran(command: list[str]) -> str:
    """What a comparison prints, shown as it comes. It fails where a goal of its own is missed, which is told by the figures too."""
    lines = []
    print('\n' + ' '.join(command), flush=True)
    with subprocess.Popen(
        ['timeout', str(LONGEST), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as running:
        assert running.stdout
        for line in running.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    return ''.join(lines)


def measured(names: list[str], wheel: str, program: str) -> Kept:
    """The ratios of these comparisons, now."""
    from compare import environment

    says = subprocess.run(['git', 'describe', '--always', '--dirty'], capture_output=True, text=True, cwd=ROOT)
    now: Kept = {}
    with tempfile.TemporaryDirectory() as folder:
        values = {'wheel': wheel, 'program': program, 'python': ''}
        for name in names:
            of = COMPARISONS[name]
            if not can_run(of):
                print('%s: left out, it needs root' % name)
                continue
            if '{python}' in of.command and not values['python']:
                values['python'] = environment(Path(folder) / 'venv', [wheel, *BESIDE])
            ratios = of.ratios(ran([word.format(**values) for word in of.command]))
            now[name] = {'commit': says.stdout.strip(), 'ratios': ratios}
    return now


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('wheel', nargs='?')
    parser.add_argument('program', nargs='?')
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--draw', action='store_true')
    parser.add_argument('--only', action='append', choices=[*COMPARISONS])
    options = parser.parse_args()
    kept: Kept = json.loads(KEPT.read_text())
    if options.draw:
        CHART.write_text(drawn(kept))
        return 0
    if not options.program:
        parser.error('needs the wheel and the program; make figures builds both')
    names = options.only or [*COMPARISONS]
    now = measured(names, os.path.abspath(options.wheel), os.path.abspath(options.program))
    folder = ROOT / 'target' / 'figures'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'figures.json').write_text(json.dumps(now, indent=1) + '\n')
    (folder / 'figures.svg').write_text(drawn(now))
    bad = 0
    print('\n%-60s %8s %8s' % ('ratio', 'kept', 'now'))
    for name in names:
        before, after = (figures.get(name, {'ratios': {}})['ratios'] for figures in (kept, now))
        for key, old, new, verdict in changes(COMPARISONS[name], before, after):
            shown = ['%8.2f' % value if value is not None else '       -' for value in (old, new)]
            print('%-60s %s %s  %s' % (COMPARISONS[name].words(key), *shown, verdict))
            bad += verdict in ('worse', 'missing')
    if options.keep:
        kept.update(now)
        KEPT.write_text(json.dumps({name: kept[name] for name in COMPARISONS if name in kept}, indent=1) + '\n')
        CHART.write_text(drawn(kept))
    return int(bool(bad))


if __name__ == '__main__':
    sys.exit(main())
