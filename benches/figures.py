"""Runs the comparisons one after the other and tells how the ratios have changed since those that are kept.

    python benches/figures.py WHEEL PROGRAM          measures, writes target/figures/figures.json, compares
    python benches/figures.py WHEEL PROGRAM --keep   the same, and keeps the result in benches/figures.json
    python benches/figures.py --draw                 draws docs/figures.svg from what is kept

Only ratios within one run are kept: they hold on other machines and on busy ones, as far as anything does.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / 'benches' / 'figures.json'
CHART = ROOT / 'docs' / 'figures.svg'

# By the names that the comparisons print: what it is, and whether less is better.
OF_PACKAGES = {
    'connect': ('connect to first result', True),
    'call': ('one call', True),
    'flight': ('calls in flight, a second', False),
    'up': ('64 MiB argument', False),
    'down': ('64 MiB result', False),
    'hosts32': ('32 hosts connected and called', True),
    'memory32': ('memory of one more connection', True),
}
OF_PROGRAMS = {'wall': 'seconds', 'processor': 'processor time', 'memory': 'memory'}
# How much worse a ratio may become before it is told as worse.
NOISE = 1.25


def of_packages(text: str) -> dict[str, float]:
    """The ratios to the best of EasyCluster, execnet and Mitogen, from the table of compare.py."""
    found = {}
    for line in text.splitlines():
        match = re.match(r'(\w+) .* (\d+\.\d+) \(', line)
        if match and match[1] in OF_PACKAGES:
            found['package/' + match[1]] = float(match[2])
    return found


def of_programs(text: str) -> dict[str, float]:
    """The ratios to other programs on many hosts, from the last lines of many_hosts_program.py."""
    found = {}
    for match in re.finditer(r'^easycluster / (\S.*?\S) {2,}(.*)$|^easycluster / (\S+) +(.*)$', text, re.MULTILINE):
        name, figures = (match[1] or match[3]).strip(), match[2] or match[4]
        for figure in figures.split('  '):
            key, _, value = figure.strip().partition(' ')
            if key in OF_PROGRAMS:
                found['program/%s/%s' % (name, key)] = float(value)
    return found


def about(key: str) -> tuple[str, bool]:
    """What a ratio is of, and whether less is better."""
    kind, name, *rest = key.split('/')
    if kind == 'package':
        return OF_PACKAGES[name]
    return '200 hosts, %s, beside %s' % (OF_PROGRAMS[rest[0]], name), True


def changes(before: dict[str, float], now: dict[str, float]) -> list[tuple[str, float | None, float | None, str]]:
    """Each ratio before and now, and what to think of it."""
    result = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            result.append((key, old, new, 'new' if old is None else 'missing'))
            continue
        worse = new / old if about(key)[1] else old / new
        verdict = 'worse' if worse > NOISE else 'better' if worse < 1 / NOISE else ''
        result.append((key, old, new, verdict))
    return result


def drawn(ratios: dict[str, float]) -> str:
    """A chart: how many times better than the others, on a scale of doublings; the line is where both are alike."""
    rows = [(about(key)[0], 1 / value if about(key)[1] else value) for key, value in ratios.items()]
    left, unit, top, step = 330, 68, 34, 24
    height = top + step * len(rows) + 12
    most = max(5, *(_doublings(times) + 1 for _, times in rows))
    zero = left + unit
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">'
        % (zero + unit * most + 40, height),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for doubling in range(-1, int(most) + 1):
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
    import math

    return math.log2(times)


def ran(*command: str) -> str:
    """What a comparison prints, shown as it comes. It fails where a goal of its own is missed, which is told by the figures too."""
    lines = []
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout
        for line in running.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    return ''.join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('wheel', nargs='?')
    parser.add_argument('program', nargs='?')
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--draw', action='store_true')
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text())
    if options.draw:
        CHART.write_text(drawn(kept['ratios']))
        return 0
    if not options.program:
        parser.error('needs the wheel and the program; make figures builds both')
    now = of_packages(ran('benches/compare.py', options.wheel))
    now.update(of_programs(ran('benches/many_hosts_program.py', options.program)))
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, cwd=ROOT)
    measured = {'commit': commit.stdout.strip(), 'ratios': now}
    folder = ROOT / 'target' / 'figures'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'figures.json').write_text(json.dumps(measured, indent=1) + '\n')
    (folder / 'figures.svg').write_text(drawn(now))
    found = changes(kept['ratios'], now)
    for key, old, new, verdict in found:
        shown = ['%8.2f' % value if value is not None else '       -' for value in (old, new)]
        print('%-48s %s %s  %s' % (about(key)[0], *shown, verdict))
    if options.keep:
        KEPT.write_text(json.dumps(measured, indent=1) + '\n')
        CHART.write_text(drawn(now))
    return 1 if any(verdict in ('worse', 'missing') for *_, verdict in found) else 0


if __name__ == '__main__':
    sys.exit(main())
