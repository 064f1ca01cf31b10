"""The comparisons that `figures.py` runs: how each is started, how its ratios are read from what it prints, and what they are of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from compare import MEASURES

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


def of_core(text: str) -> Ratios:
    """Ratios of connect_and_call.rs to its floors, and the milliseconds of the slowest small call beside each kind of bulk."""
    ratios = found(r'^(?P<key>\S.*?) {2,}(?P<ratio>[\d.]+) of the floor')(text)
    bulk = ''
    for line in text.splitlines():
        what, _, figures = line.partition('  ')
        if figures.endswith('MiB/s'):
            bulk = what
        elif 'the slowest' in line:
            ratios['beside ' + bulk] = float(line.split()[2])
    return ratios


def of_starts(text: str) -> Ratios:
    """What start.py prints: how many times Python and the program alone, and how many milliseconds more."""
    match = re.search(r'^one run over both: \+([\d.]+) ms .* ([\d.]+) times$', text, re.MULTILINE)
    return {'milliseconds': float(match[1]), 'times': float(match[2])} if match else {}


def of_thousands(text: str) -> Ratios:
    """From many_hosts_program.py --stand-in: what a host costs among many, to what it costs among few, and KiB of memory for each."""
    each = {
        (int(match[1]), int(match[2])): (float(match[3]), float(match[4]))
        for match in re.finditer(
            r'^ *(\d+) hosts, +(\d+) at once: .* each +([\d.]+) ms, +([\d.]+) KiB$', text, re.MULTILINE
        )
    }
    if not each:
        return {}
    most = max(each)
    few = min(count for count, _ in each)
    some = sorted({at_once for _, at_once in each})[-2]
    return {
        'processor': each[most[0], some][0] / each[few, some][0],
        'processor, all at once': each[most][0] / each[few, some][0],
        'memory': each[most[0], some][1],
        'memory, all at once': each[most][1],
    }


def of_stubs(text: str) -> Ratios:
    """What a start costs a host in milliseconds, from stub_cost.py, and what others cost it, to ours: for each version of Python."""
    ratios: Ratios = {}
    for line in text.splitlines():
        version, _, rest = line.partition(', ')
        cost = re.search(r', stub \+([\d.]+)', rest)
        if cost and version + '/milliseconds' not in ratios:
            ratios[version + '/milliseconds'] = float(cost[1])
            for match in re.finditer(r'(\w+) \+[\d.]+ \(([\d.]+) times\)', rest):
                ratios['%s/%s' % (version, match[1])] = float(match[2])
    return ratios


PACKAGES = {
    'connect': 'connect to first result',
    'call': 'one call',
    'echo': 'one call, to an echo by a Python over ssh',
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


def _core(key: str) -> str:
    if key.startswith('beside '):
        return 'from Rust: milliseconds of the slowest small call beside %s' % key[7:]
    return 'from Rust: %s, to the floor' % key


def _start(key: str) -> str:
    return {
        'milliseconds': 'milliseconds of processor time of a run on this machine, over Python and the program alone',
        'times': 'processor time of a run on this machine, to Python and the program alone',
    }[key]


def _thousand(key: str) -> str:
    figure, _, how = key.partition(', ')
    what = {
        'processor': 'processor time of each of 5,000 hosts, to each of 200',
        'memory': 'KiB of memory for each of 5,000 hosts',
    }
    return '%s, %s' % (what[figure], how or '200 at once')


def _dask(key: str) -> str:
    return 'Dask, %s, beside %s' % (
        ' '.join(key.split()),
        'two `ssh`' if key.startswith('200 MB from host') else 'SSHCluster',
    )


def _copy(key: str) -> str:
    what, _, name = key.partition('/')
    size, _, way = what.partition(' ')
    return '%s %s, beside %s' % ({'large': '1 GiB', 'tree': '10,000 small files'}[size], way, name)


def _stub(key: str) -> str:
    version, _, name = key.partition('/')
    if name == 'milliseconds':
        return 'milliseconds of processor time of a start by %s, over Python alone' % version
    return 'processor time of a start by %s: what %s takes, to ours' % (version, name)


HERE = sys.executable
CORE = ['cargo', 'bench', '--locked', '--bench', 'connect_and_call']

COMPARISONS = {
    'package': Comparison(
        [HERE, 'benches/compare.py', '{wheel}'],
        found(r'^(?P<key>%s) .* (?P<ratio>\d+\.\d+) \(' % '|'.join(PACKAGES)),
        PACKAGES.__getitem__,
        '|'.join(name for name, (_, less) in MEASURES.items() if not less),
    ),
    'program': Comparison(
        [HERE, 'benches/many_hosts_program.py', '{program}'],
        of_programs,
        _program,
    ),
    'maps': Comparison(
        ['{python}', 'benches/compare_maps.py'],
        found(r'^(?P<key>\w+) .* ours takes (?P<ratio>[\d.]+) of it'),
        lambda key: 'a map of items of 1 ms, beside %s' % key,
    ),
    'dask': Comparison(
        ['{python}', 'benches/dask_cluster.py'],
        found(r'^(?P<key>\S.{37}) .*: (?P<ratio>[\d.]+) of it'),
        _dask,
    ),
    'files': Comparison(
        [HERE, 'benches/files.py', '{program}'],
        of_tables,
        _copy,
    ),
    'steps': Comparison(
        [HERE, 'benches/steps.py', '{wheel}'],
        found(r'^(?P<key>\S.{23}) +\d+ +\d+ +(?P<ratio>\d+\.\d+)$'),
        lambda key: '%s, beside mitogen' % key.replace('ssh alone', 'no step'),
        root=True,
    ),
    'stub': Comparison(
        [HERE, 'benches/stub_cost.py'],
        of_stubs,
        _stub,
        '.*/(execnet|mitogen)',
        charted=False,
    ),
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
    'start': Comparison([HERE, 'benches/start.py', '{program}'], of_starts, _start, charted=False),
    'core': Comparison(
        CORE,
        of_core,
        _core,
        charted=False,
    ),
    # Another machine, as far as this one can be one.
    'core_one': Comparison(
        ['taskset', '-c', '0', *CORE], of_core, lambda key: _core(key) + ', on one processor', charted=False
    ),
    'thousands': Comparison(
        [HERE, 'benches/many_hosts_program.py', '{program}', '--stand-in'],
        of_thousands,
        _thousand,
        charted=False,
    ),
}


def can_run(comparison: Comparison) -> bool:
    """Whether this machine and account can."""
    return not comparison.root or os.geteuid() == 0
