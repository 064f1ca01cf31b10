"""The figures that are kept: the chart is drawn from them, the README says the same, and what the comparisons print is understood."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benches'))

import comparisons  # noqa: E402
import figures  # noqa: E402


def kept():
    return json.loads(figures.KEPT.read_text())


def test_the_chart_is_drawn_from_what_is_kept():
    assert figures.CHART.read_text() == figures.drawn(kept()), 'python benches/figures.py --draw'
    # One alone may have nothing for it.
    assert figures.drawn({'decode': {'commit': '', 'ratios': {'a million ints': 1.1}}}).startswith('<svg')


def test_the_readme_has_the_same_figures():
    readme = (ROOT / 'README.md').read_text()
    for name in ('package', 'program'):
        for key, value in kept()[name]['ratios'].items():
            assert '%.2f' % value in readme, key
    assert set(kept()['package']['ratios']) == set(comparisons.PACKAGES)


def test_each_kept_figure_is_of_a_comparison_that_says_what_it_is():
    for name, measured in kept().items():
        of = comparisons.COMPARISONS[name]
        assert measured['ratios'] and measured['commit']
        assert all(of.words(key) for key in measured['ratios']), name


PRINTED = {
    'start': (
        'run 27.9 ms, of which Python and the program alone 9.7 + 1.9 ms\none run over both: +16.3 ms (goal 10), 2.40 times\n',
        {'one run': 2.40},
    ),
    'package': (
        'connect           3.1         12.4         15.0         11.9   0.26 (at most 0.45) ms\nflight not measured\n',
        {'connect': 0.26},
    ),
    'program': (
        'easycluster / parallel-ssh  wall 0.65  processor 0.56  memory 0.97\n'
        'easycluster / xargs ssh     wall 0.19  processor 0.02\n'
        'exec / parallel-ssh  wall 0.53\n',
        {
            'parallel-ssh/wall': 0.65,
            'parallel-ssh/processor': 0.56,
            'parallel-ssh/memory': 0.97,
            'xargs ssh/wall': 0.19,
            'xargs ssh/processor': 0.02,
            'exec/parallel-ssh/wall': 0.53,
        },
    ),
    'maps': (
        'easycluster  0.55 s, 1.021 of the ideal\ndask         1.10 s, 2.0 of the ideal, ours takes 0.50 of it (goal 0.8)\n',
        {'dask': 0.5},
    ),
    'dask': (
        'three workers up               session  1.85 s, SSHCluster 3.70 s: 0.50 of it (goal 0.7)\n'
        '200 MB from worker to worker   direct   0.44 s, SSHCluster 0.22 s: 2.00 of it\n',
        {'three workers up               session': 0.5, '200 MB from worker to worker   direct': 2.0},
    ),
    'files': (
        'seconds       easycluster          scp\nlarge down           2.00         4.00\n'
        'ratio         easycluster          scp\nlarge down           1.00         0.50\n',
        {'large down/scp': 0.5},
    ),
    'steps': ('sudo, password                  102        931     0.11\nthe goal is\n', {'sudo, password': 0.11}),
    'stub': (
        '/usr/bin/python3.11: pass 9.0, stub +8.0, execnet +16.0 (2.0 times), mitogen -\n',
        {'python3.11/execnet': 2.0},
    ),
    'channels': (
        '1024 MiB through a channel to there, to the rate of an argument: 1.27 (goal 0.90)\n',
        {'to there': 1.27},
    ),
    'decode': (
        'a million ints                    27.10 ms      25.10 ms      1.1 times\n',
        {'a million ints': 1.1},
    ),
    'core': (
        'one call                                     1.32 of the floor (119 us against 90 us); at most 1.5: met\n',
        {'one call': 1.32},
    ),
}


def test_what_the_comparisons_print_is_understood():
    assert PRINTED.keys() == comparisons.COMPARISONS.keys()
    for name, (text, ratios) in PRINTED.items():
        of = comparisons.COMPARISONS[name]
        assert of.ratios(text) == ratios, name
        assert all(of.words(key) for key in ratios)


def test_what_became_worse_is_told():
    package = comparisons.COMPARISONS['package']
    before = {'connect': 0.3, 'up': 4.0, 'call': 0.6}
    now = {'connect': 0.5, 'up': 2.0, 'down': 3.0}
    told = {key: verdict for key, _, _, verdict in figures.changes(package, before, now)}
    assert told == {'connect': 'worse', 'up': 'worse', 'call': 'missing', 'down': 'new'}
    assert not any(verdict for *_, verdict in figures.changes(package, before, before))
