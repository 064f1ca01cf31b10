"""The comparisons that `figures.py` runs: how each is started, how its ratios are read from what it prints, and what they are of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

Ratios = dict[str, float]


class Comparison(NamedTuple):
    """One program that compares. Its ratios have keys of this comparison's own."""

    # {wheel}, {program}, {python} (one that has the wheel and what it is compared with) and {here} (one without).
    command: list[str]
    ratios: Callable[[str], Ratios]
    # What a ratio is of, by its key.
    words: Callable[[str], str]
    # The keys of those that are better when they are more.
    more: str = '$^'
    # Whether it is with other tools, which the chart shows.
    charted: bool = True
    root: bool = False

    def less(self, key: str) -> bool:
        """Whether less is better."""
        return not re.match(self.more, key)


def found(pattern: str) -> Callable[[str], Ratios]:
    """Reads the ratios that a pattern finds, by its groups `key` and `ratio`."""
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text: {match['key'].strip(): float(match['ratio']) for match in compiled.finditer(text)}


def of_programs(text: str) -> Ratios:
    """The ratios to other programs on many hosts, from the last lines of many_hosts_program.py."""
    ratios = {}
    for match in re.finditer(r'^(exec|easycluster) / (\S.*?) {2,}(.*)$', text, re.MULTILINE):
        for figure in re.split(' {2,}', match[3]):
            key, _, value = figure.strip().partition(' ')
            if key in PROGRAMS:
                ratios['/'.join((*match[1].replace('easycluster', '').split(), match[2].strip(), key))] = float(value)
    return ratios


def of_tables(text: str) -> Ratios:
    """The ratios of files.py: a table whose first line begins with `ratio`, and which has others in its columns."""
    ratios: Ratios = {}
    names: list[str] = []
    for line in text.splitlines():
        label, cells = line[:12].strip(), line[12:].split()
        if label == 'ratio':
            names = cells
        elif names and len(cells) == len(names):
            ratios.update(
                {'%s/%s' % (label, name): float(cell) for name, cell in zip(names, cells) if name != 'easycluster'}
            )
    return ratios


def of_stubs(text: str) -> Ratios:
    """What others cost a host, to ours, from stub_cost.py: for each interpreter and each of them."""
    ratios = {}
    for line in text.splitlines():
        interpreter, _, rest = line.partition(': ')
        version = re.search(r'(python[\d.]+|pypy[\d.]*)$', interpreter)
        for match in re.finditer(r'(\w+) \+[\d.]+ \(([\d.]+) times\)', rest):
            if version:
                ratios['%s/%s' % (version[1], match[1])] = float(match[2])
    return ratios


PACKAGES = {
    'connect': 'connect to first result',
    'call': 'one call',
    'flight': 'calls in flight, a second',
    'up': '64 MiB argument',
    'down': '64 MiB result',
    'hosts32': '32 hosts connected and called',
    'memory32': 'memory of one more connection',
}
PROGRAMS = {'wall': 'seconds', 'processor': 'processor time', 'memory': 'memory'}


def _program(key: str) -> str:
    *kind, name, figure = key.split('/')
    return '200 hosts%s, %s, beside %s' % (''.join(', ' + word for word in kind), PROGRAMS[figure], name)


def _copy(key: str) -> str:
    what, _, name = key.partition('/')
    size, _, way = what.partition(' ')
    return '%s %s, beside %s' % ({'large': '1 GiB', 'tree': '10,000 small files'}[size], way, name)


def _stub(key: str) -> str:
    interpreter, _, name = key.partition('/')
    return "processor time of %s's start, beside %s" % (interpreter, name)


HERE = sys.executable

COMPARISONS = {
    'package': Comparison(
        [HERE, 'benches/compare.py', '{wheel}'],
        found(r'^(?P<key>%s) .* (?P<ratio>\d+\.\d+) \(' % '|'.join(PACKAGES)),
        PACKAGES.__getitem__,
        'flight|up|down',
    ),
    'program': Comparison([HERE, 'benches/many_hosts_program.py', '{program}'], of_programs, _program),
    'maps': Comparison(
        ['{python}', 'benches/compare_maps.py'],
        found(r'^(?P<key>\w+) .* ours takes (?P<ratio>[\d.]+) of it'),
        lambda key: 'a map of items of 1 ms, beside %s' % key,
    ),
    'dask': Comparison(
        ['{python}', 'benches/dask_cluster.py'],
        found(r'^(?P<key>\S.{37}) .*: (?P<ratio>[\d.]+) of it'),
        lambda key: 'Dask, %s, beside SSHCluster' % ' '.join(key.split()),
    ),
    'files': Comparison([HERE, 'benches/files.py', '{program}'], of_tables, _copy),
    'steps': Comparison(
        [HERE, 'benches/steps.py', '{wheel}'],
        found(r'^(?P<key>\S.{23}) +\d+ +\d+ +(?P<ratio>\d+\.\d+)$'),
        lambda key: '%s, beside mitogen' % key.replace('ssh alone', 'no step'),
        root=True,
    ),
    'stub': Comparison([HERE, 'benches/stub_cost.py'], of_stubs, _stub, '.', charted=False),
    'channels': Comparison(
        ['{python}', 'benches/channels.py'],
        found(r'^\d+ MiB through a channel (?P<key>.*), to the rate of .*: (?P<ratio>[\d.]+) \(goal'),
        lambda key: '1 GiB through a channel %s, to the rate of a value' % key,
        '.',
        charted=False,
    ),
    'decode': Comparison(
        ['{python}', 'benches/decode.py'],
        found(r'^(?P<key>\S.{27}) .* (?P<ratio>[\d.]+) times$'),
        lambda key: 'decoding %s, to pickle.loads' % key,
        charted=False,
    ),
    'start': Comparison(
        [HERE, 'benches/start.py', '{program}'],
        found(r'^(?P<key>one run) over both: .* (?P<ratio>[\d.]+) times$'),
        lambda key: 'processor time of a run on this machine, to Python and the program alone',
        charted=False,
    ),
    'core': Comparison(
        ['cargo', 'bench', '--locked', '--bench', 'connect_and_call'],
        found(r'^(?P<key>\S.*?) {2,}(?P<ratio>[\d.]+) of the floor'),
        lambda key: 'from Rust: %s, to the floor' % key,
        charted=False,
    ),
}


def can_run(comparison: Comparison) -> bool:
    """Whether this machine and account can."""
    return not comparison.root or os.geteuid() == 0
