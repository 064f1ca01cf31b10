"""The figures that are kept: the chart is drawn from them, the README says the same, and what the comparisons print is understood."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_found = importlib.util.spec_from_file_location('figures', ROOT / 'benches' / 'figures.py')
figures = importlib.util.module_from_spec(_found)
_found.loader.exec_module(figures)


def kept():
    return json.loads(figures.KEPT.read_text())['ratios']


def test_the_chart_is_drawn_from_what_is_kept():
    assert figures.CHART.read_text() == figures.drawn(kept()), 'python benches/figures.py --draw'


def test_the_readme_has_the_same_figures():
    readme = (ROOT / 'README.md').read_text()
    for key, value in kept().items():
        assert '%.2f' % value in readme, key
    assert {key for key in kept() if key.startswith('package/')} == {'package/' + name for name in figures.OF_PACKAGES}


def test_what_the_comparisons_print_is_understood():
    packages = (
        'connect           3.1         12.4         15.0         11.9   0.26 (at most 0.45) ms\nflight not measured\n'
    )
    assert figures.of_packages(packages) == {'package/connect': 0.26}
    programs = 'easycluster / parallel-ssh  wall 0.65  processor 0.56  memory 0.97\n'
    programs += 'easycluster / xargs ssh     wall 0.19  processor 0.02  memory 0.66\n'
    found = figures.of_programs(programs)
    assert found['program/xargs ssh/processor'] == 0.02 and found['program/parallel-ssh/memory'] == 0.97
    assert len(found) == 6


def test_what_became_worse_is_told():
    before = {'package/connect': 0.3, 'package/up': 4.0, 'package/call': 0.6}
    now = {'package/connect': 0.5, 'package/up': 2.0, 'package/down': 3.0}
    told = {key: verdict for key, _, _, verdict in figures.changes(before, now)}
    assert told == {'package/connect': 'worse', 'package/up': 'worse', 'package/call': 'missing', 'package/down': 'new'}
    assert not any(verdict for *_, verdict in figures.changes(before, before))
