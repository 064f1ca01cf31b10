"""Runs the comparisons and tells how the figures have changed since those that are kept.

    python benches/figures.py WHEEL PROGRAM                 measures, writes target/figures/figures.json, compares
    python benches/figures.py WHEEL PROGRAM --keep          the same, and keeps the result in benches/figures.json
    python benches/figures.py WHEEL PROGRAM --only files    one of them alone; --only more than once takes several
    python benches/figures.py WHEEL PROGRAM --times 3       each so many times; what they printed is in target/figures/outputs
    python benches/figures.py --printed                     measures nothing, and takes what they printed
    python benches/figures.py --draw                        makes the chart, and the tables of README.md and docs/figures.md, of what is kept

WHEEL and PROGRAM are builds of the profile `dist`. Kept are ratios within one run, which hold on other machines and on busy ones as far
as anything does, and a few times and sizes that have a goal. Each comparison is kept with its commit and machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'benches'))

from comparisons import COMPARISONS, Comparison, can_run  # noqa: E402
from goals import goal  # noqa: E402

KEPT = ROOT / 'benches' / 'figures.json'
CHART = ROOT / 'docs' / 'figures.svg'
README = ROOT / 'README.md'
PAGE = ROOT / 'docs' / 'figures.md'
# What the comparisons print: NAME.NUMBER.txt.
PRINTED = ROOT / 'target' / 'figures' / 'outputs'
# By the name of a comparison: `commit`, `machine`, and `ratios`, each with its value in every run.
Kept = dict[str, dict[str, Any]]
# How much worse a ratio may become before it is told as worse.
NOISE = 1.25
# What the comparisons inside the package need beside it.
BESIDE = ['ipyparallel', 'distributed', 'numpy', 'asyncssh', 'cryptography']
# A comparison that takes longer, in seconds, stands still.
LONGEST = 1800


Runs = dict[str, list[float]]


def changes(
    of: Comparison, before: Runs, now: Runs
) -> list[tuple[str, Optional[list[float]], Optional[list[float]], str]]:
    """Each figure of a comparison before and now, and what to think of it."""
    result = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            result.append((key, old, new, 'new' if old is None else 'missing'))
            continue
        one, other = statistics.median(old), statistics.median(new)
        worse = other / one if of.less(key) else one / other
        verdict = 'worse' if worse > NOISE else 'better' if worse < 1 / NOISE else ''
        result.append((key, old, new, verdict))
    return result


def shown(values: list[float]) -> str:
    """The range of some runs."""
    most = max(values)
    digits = 0 if most >= 100 else 1 if most >= 10 else 2
    ends = ['%.*f' % (digits, value) for value in (min(values), most)]
    return ' to '.join(ends if ends[0] != ends[1] else ends[:1])


def table(kept: Kept, names: list[str], only: str = '') -> str:
    """A table of these comparisons: what, its range, and what was wanted. `only` is a pattern of words that are taken."""
    rows = ['| | figure | goal |', '|---|---|---|']
    for name in names:
        of = COMPARISONS[name]
        for key, values in kept[name]['ratios'].items() if name in kept else ():
            if re.search(only, of.words(key)):
                wanted = goal(name, key)
                limit = '' if wanted is None else '%s %g' % ('at most' if of.less(key) else 'at least', wanted)
                rows.append('| %s | %s | %s |' % (of.words(key), shown(values), limit + missed(name, key, values)))
    return '\n'.join(rows)


def missed(name: str, key: str, values: list[float]) -> str:
    """Words where not every run of a comparison met the goal."""
    wanted = goal(name, key)
    if wanted is None:
        return ''
    less = COMPARISONS[name].less(key)
    met = [value <= wanted if less else value >= wanted for value in values]
    return '' if all(met) else ', missed in some runs' if any(met) else ', missed'


def filled(text: str, kept: Kept) -> str:
    """A page, with its tables made anew. Each stands between `<!-- figures: NAMES [/PATTERN/] -->` and `<!-- end -->`."""

    def made(match: re.Match[str]) -> str:
        names, _, pattern = match[1].partition(' /')
        return '<!-- figures: %s -->\n\n%s\n\n<!-- end -->' % (
            match[1],
            table(kept, names.split(), pattern.rstrip('/')),
        )

    said = [of['machine'] for of in kept.values() if 'machine' in of]
    text = re.sub(
        r'<!-- machine -->\n[^<]*',
        lambda _: '<!-- machine -->\n\nMeasured on %s.\n\n' % '; '.join(dict.fromkeys(said)),
        text,
    )
    return re.sub(r'<!-- figures: (.*) -->\n[^<]*<!-- end -->', made, text)


def drawn(kept: Kept) -> str:
    """A chart: how many times better than the others, on a scale of doublings; the line is where both are alike."""
    rows = []
    for name, of in COMPARISONS.items():
        if of.charted and name in kept:
            rows += [
                (of.words(key), 1 / value if of.less(key) else value)
                for key, value in ((key, statistics.median(runs)) for key, runs in kept[name]['ratios'].items())
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


def ran(name: str, number: int, command: list[str]) -> None:
    """Runs a comparison; what it prints is shown as it comes, and kept. It fails where a goal of its own is missed, which is told by
    the figures too."""
    print('\n' + ' '.join(command), flush=True)
    with (
        open(PRINTED / ('%s.%d.txt' % (name, number)), 'w') as printed,
        subprocess.Popen(
            ['timeout', str(LONGEST), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        ) as running,
    ):
        assert running.stdout
        for line in running.stdout:
            print(line, end='', flush=True)
            printed.write(line)


def measure(names: list[str], times: int, wheel: str, program: str) -> None:
    """Runs the comparisons, one after the other and then all of them again."""
    from compare import environment

    PRINTED.mkdir(parents=True, exist_ok=True)
    for name in names:
        for old in PRINTED.glob(name + '.*.txt'):
            old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        values = {'wheel': wheel, 'program': program, 'python': ''}
        for number in range(times):
            for name in names:
                of = COMPARISONS[name]
                if not can_run(of):
                    print('%s: left out, it needs root' % name)
                    continue
                if '{python}' in of.command and not values['python']:
                    values['python'] = environment(Path(folder) / 'venv', [wheel, *BESIDE])
                ran(name, number + 1, [word.format(**values) for word in of.command])


def read(names: list[str]) -> Kept:
    """The figures in what the comparisons printed."""
    says = subprocess.run(['git', 'describe', '--always', '--dirty'], capture_output=True, text=True, cwd=ROOT)
    now: Kept = {}
    for name in names:
        runs: Runs = {}
        for path in sorted(PRINTED.glob(name + '.*.txt')):
            for key, value in COMPARISONS[name].ratios(path.read_text()).items():
                runs.setdefault(key, []).append(round(value, 3))
        if runs:
            now[name] = {'commit': says.stdout.strip(), 'machine': machine(), 'ratios': runs}
    return now


def machine() -> str:
    """This one, in a line."""
    model = re.search(r'^model name\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30)
    ssh = subprocess.run(['ssh', '-V'], capture_output=True, text=True).stderr.partition(',')[0]
    parts = [
        '%d processors (%s)' % (os.cpu_count() or 1, model[1] if model else platform.machine()),
        '%.0f GiB' % memory,
        'Linux ' + re.sub(r'^(\d+\.\d+).*', r'\1', platform.release()),
        ssh.strip().partition(' ')[0].replace('_', ' '),
        'Python ' + platform.python_version(),
    ]
    return ', '.join(parts)


def draw(kept: Kept) -> None:
    """Makes what is made of the figures that are kept."""
    CHART.write_text(drawn(kept))
    for page in (README, PAGE):
        page.write_text(filled(page.read_text(), kept))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('wheel', nargs='?')
    parser.add_argument('program', nargs='?')
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--draw', action='store_true')
    parser.add_argument('--printed', action='store_true')
    parser.add_argument('--times', type=int, default=1)
    parser.add_argument('--only', action='append', choices=[*COMPARISONS])
    options = parser.parse_args()
    kept: Kept = json.loads(KEPT.read_text())
    if options.draw:
        draw(kept)
        return 0
    names = options.only or [*COMPARISONS]
    if not options.printed:
        if not options.program:
            parser.error('needs the wheel and the program; make figures builds both')
        measure(names, options.times, os.path.abspath(options.wheel), os.path.abspath(options.program))
    now = read(names)
    folder = PRINTED.parent
    (folder / 'figures.json').write_text(json.dumps(now, indent=1) + '\n')
    (folder / 'figures.svg').write_text(drawn(now))
    bad = 0
    print('\n%-70s %16s %16s' % ('', 'kept', 'now'))
    for name in names:
        before, after = (figures.get(name, {'ratios': {}})['ratios'] for figures in (kept, now))
        for key, old, new, verdict in changes(COMPARISONS[name], before, after):
            words = [shown(values) if values is not None else '-' for values in (old, new)]
            print('%-70s %16s %16s  %s' % (COMPARISONS[name].words(key), *words, verdict))
            bad += verdict in ('worse', 'missing')
    if options.keep:
        kept.update(now)
        in_order = json.dumps({name: kept[name] for name in COMPARISONS if name in kept}, indent=1)
        # The runs of a figure stay in one line.
        KEPT.write_text(re.sub(r'\[\s+([^]]*?)\s+\]', lambda runs: '[%s]' % ' '.join(runs[1].split()), in_order) + '\n')
        draw(kept)
    return int(bool(bad))


if __name__ == '__main__':
    sys.exit(main())
