"""Data frames of pandas cross with `allow=['pandas']`, and without it one error says all of what would be needed."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from easycluster import Refused
from support.parts import need

# Its texts are Arrow's where that is installed.
ALLOWED = [name for name in ('pandas', 'pyarrow') if importlib.util.find_spec(name)]

SOURCE = '''
import pandas
def made():
    frame = pandas.DataFrame({
        'number': [1, 2, 3], 'text': ['x', 'y', None], 'time': pandas.to_datetime(['2020-01-01', '2020-01-02', None]),
        'kind': pandas.Categorical(['u', 'v', 'u']), 'float': [1.5, None, 2]})
    return {
        'frame': frame, 'series': frame['number'], 'indexed': frame.set_index('text'),
        'grouped': frame.groupby(['number', 'text']).sum(numeric_only=True),
        'timestamp': pandas.Timestamp('2020-01-01', tz='Europe/Berlin'), 'timedelta': pandas.Timedelta(days=1),
        'periods': pandas.period_range('2020-01', '2020-05', freq='M'), 'intervals': pandas.interval_range(0, 3),
        'integers': pandas.array([1, None], dtype='Int64'), 'zoned': pandas.date_range('2020', '2021', freq='MS', tz='UTC'),
        'missing': pandas.NA, 'no time': pandas.NaT, 'types': frame.dtypes,
        'by time': {pandas.Timestamp('2020-01-01'): 1, (pandas.Timedelta(days=1), 2): 3}}
def one(name): return made()[name]
'''


def test_frames_and_what_they_are_made_of_cross(connect):
    need('pandas', importlib.util.find_spec('pandas') is not None)
    client = connect(rpython=sys.executable, allow=ALLOWED)
    client.execblock(SOURCE)
    space: dict = {}
    exec(SOURCE, space)
    for name, wanted in space['made']().items():
        got = client.one(name)
        assert type(got) is type(wanted), name
        assert repr(got) == repr(wanted)
        # And back.
        assert client.call('repr', got) == repr(wanted)
    names = client.eval("list(made()['frame'].itertuples())[0]._fields")
    assert names[0] == 'Index'
    row = client.eval("list(made()['frame'].itertuples())[0]")
    assert row.number == 1


def test_one_error_tells_all_that_is_refused(connect):
    need('pandas', importlib.util.find_spec('pandas') is not None)
    client = connect(rpython=sys.executable)
    client.execblock(SOURCE)
    with pytest.raises(Refused, match=r"DataFrame, .*BlockManager, .*Index.*allow=\['pandas'"):
        client.one('frame')
