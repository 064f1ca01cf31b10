"""The figures that are kept: the chart is drawn from them, the README says the same, and what the comparisons print is understood."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benches'))

import comparisons  # noqa: E402
import figures  # noqa: E402
import goals  # noqa: E402


def kept():
    return json.loads(figures.KEPT.read_text())


def test_the_chart_is_drawn_from_what_is_kept():
    assert figures.CHART.read_text() == figures.drawn(kept()), 'python benches/figures.py --draw'
    # One alone may have nothing for it.
    assert figures.drawn({'decode': {'commit': '', 'ratios': {'a million ints': [1.1]}}}).startswith('<svg')


def test_the_pages_have_the_figures_that_are_kept():
    for page in (figures.README, figures.PAGE):
        assert page.read_text() == figures.filled(page.read_text(), kept()), 'python benches/figures.py --draw'
    # Every comparison has a place, and what is wanted of it is of figures that there are.
    page = figures.PAGE.read_text()
    assert goals.GOALS.keys() <= comparisons.COMPARISONS.keys()
    for name in comparisons.COMPARISONS:
        assert re.search('<!-- figures: .*%s' % name, page), name
        if name in kept():
            assert set(goals.GOALS.get(name, ())) - {goals.ALL} <= set(kept()[name]['ratios']), name
    assert set(kept()['package']['ratios']) == set(comparisons.PACKAGES)


def test_a_figure_is_shown_as_the_range_of_its_runs_and_judged_by_each():
    assert figures.shown([0.221, 0.2, 0.21]) == '0.20 to 0.22'
    assert figures.shown([0.221, 0.2249]) == '0.22'
    assert figures.shown([17.21, 14.9]) == '14.9 to 17.2'
    assert figures.shown([512.0, 64]) == '64 to 512'
    assert figures.missed('package', 'connect', [0.19, 0.2]) == ''
    assert figures.missed('package', 'connect', [0.19, 0.21]) == ', missed in some runs'
    assert figures.missed('package', 'flight', [3.9, 2.0]) == ', missed'
    assert figures.missed('package', 'flight', [4.1, 5.0]) == ''


def test_each_kept_figure_is_of_a_comparison_that_says_what_it_is():
    for name, measured in kept().items():
        of = comparisons.COMPARISONS[name]
        assert measured['ratios'] and measured['commit']
        assert all(of.words(key) for key in measured['ratios']), name


PRINTED = {
    'start': (
        'run 27.9 ms, of which Python and the program alone 9.7 + 1.9 ms\none run over both: +16.3 ms (goal 10), 2.40 times\n',
        {'milliseconds': 16.3, 'times': 2.40},
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
        'python3.11, /usr/bin/python3: pass 9.0, stub +8.0, execnet +16.0 (2.0 times), mitogen -\n'
        'python3.11, /opt/bin/python3: pass 9.0, stub +9.0, execnet -, mitogen -\n',
        {'python3.11/milliseconds': 8.0, 'python3.11/execnet': 2.0},
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
        'one call                                     1.32 of the floor (119 us against 90 us); at most 1.5: kept\n'
        '64 x 1 MiB there and back                    454 MiB/s\n'
        'small calls beside them                      95 calls, median 2.8 ms\n'
        '  the slowest                                18.5 ms; at most 50 ms: kept\n'
        '1 GiB as an argument                         246 MiB/s\n'
        '  peak memory of this process                2.11 GiB\n'
        '  the slowest                                20.2 ms; at most 50 ms: kept\n',
        {'one call': 1.32, 'beside 64 x 1 MiB there and back': 18.5, 'beside 1 GiB as an argument': 20.2},
    ),
    'core_one': (
        'one call                                     1.52 of the floor (119 us against 90 us); at most 1.5: EXCEEDED\n',
        {'one call': 1.52},
    ),
    'thousands': (
        '  200 hosts,    32 at once: wall  1.00 s  processor  0.20 s  memory  20.0 MiB  each  1.00 ms,  102.4 KiB\n'
        '  200 hosts,   200 at once: wall  1.00 s  processor  0.20 s  memory  30.0 MiB  each  1.00 ms,  153.6 KiB\n'
        ' 5000 hosts,   200 at once: wall 20.00 s  processor  4.00 s  memory  60.0 MiB  each  0.80 ms,   12.3 KiB\n'
        ' 5000 hosts,  5000 at once: wall 20.00 s  processor  6.00 s  memory 300.0 MiB  each  1.20 ms,   61.4 KiB\n',
        {'processor': 0.8, 'processor, all at once': 1.2, 'memory': 12.3, 'memory, all at once': 61.4},
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
    before = {'connect': [0.3, 0.31, 0.6], 'up': [4.0], 'call': [0.6]}
    now = {'connect': [0.5], 'up': [2.0], 'down': [3.0]}
    told = {key: verdict for key, _, _, verdict in figures.changes(package, before, now)}
    assert told == {'connect': 'worse', 'up': 'worse', 'call': 'missing', 'down': 'new'}
    assert not any(verdict for *_, verdict in figures.changes(package, before, before))
