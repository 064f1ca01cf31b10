"""Records and progress that no honest server would tell."""

from __future__ import annotations

import logging
import sys

import pytest
from easycluster import define_common
from support.processes import poll

REMOTE = 'report_definitions'
SOURCE = '''
import logging, time
def raw(*items):
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == 'Handler':
            for item in items:
                handler.channel.send(item)
class Number(int):
    def __int__(self, *other):
        called.append(self)
        return 5
    __str__ = __index__ = __eq__ = __int__
    __hash__ = None
called = []
RECORD = ['log', 'hostile', 40, 'text', '', 1e9, 'path', 1, 'function', 'thread', 1, 0]
def with_part(place, value):
    return tuple(RECORD[:place] + [value] + RECORD[place + 1:])
def flood():
    while True:
        raw(with_part(1, 'unending'))
def speak():
    logging.getLogger('spoken').error('a word')
'''

define_common(SOURCE, name=REMOTE)


@pytest.fixture
def start(connect, caplog):
    caplog.set_level(logging.INFO)

    def start():
        client = connect(rpython=sys.executable, definitions=REMOTE)
        client.execblock(SOURCE)
        client.forward_logs()
        return client

    return start


def test_what_a_server_calls_a_record_does_no_harm(start, caplog):
    client = start()
    known = logging.root.manager.loggerDict
    begun = len(known)
    # A logger for each name would fill the memory, and one for each part of a long one at once.
    client.eval("raw(with_part(1, 'a.' * 8000))")
    client.eval("raw(*[with_part(1, 'name%d' % number) for number in range(3000)])")
    client.eval('raw(*[with_part(2, level) for level in range(50, 2000)])')
    for place in range(12):
        client.eval('raw(with_part(%d, Number(5)), with_part(%d, None), with_part(%d, [5]))' % (place, place, place))
    client.eval("raw(5, None, (), ('log',), with_part(0, 'other'))")
    client.eval('raw(*[with_part(5, moment) for moment in (1e300, -1e300, float("inf"), float("nan"))])')
    client.eval('raw(*[with_part(place, %r) for place in (1, 3, 4, 6, 8, 9)])' % 'before\x1b[2J\r\nbehind')
    client.eval("raw(with_part(3, 'the last one'))")
    assert poll(lambda: caplog.records and caplog.records[-1].getMessage() == 'the last one')
    assert len(known) - begun < 1100
    assert max(len(logger._cache) for logger in known.values() if isinstance(logger, logging.Logger)) < 120
    formatter = logging.Formatter('%(asctime)s %(name)s %(pathname)s %(funcName)s %(threadName)s')
    for record in caplog.records:
        first, *more = formatter.format(record).split('\n')
        assert not set(first) & set('\x1b\r') and (not more or record.exc_text)
    assert len(caplog.records) == 1 + 3000 + 1950 + 4 + 6 + 1
    assert client.eval('called') == [] == vars(sys.modules[REMOTE])['called']


def test_a_server_that_reports_without_end_holds_up_no_other(start, caplog):
    hostile, honest = start(), start()
    flooding = hostile.flood(nonblocking=True)
    assert poll(lambda: any(record.name.endswith('unending') for record in list(caplog.records)), 20)
    honest.speak()
    came = poll(lambda: any(record.name.endswith('spoken') for record in list(caplog.records)), 20)
    hostile.close()
    # What has come by then is logged yet, and is no record of another test.
    counts = []

    def rests():
        counts.append(len(caplog.records))
        return len(counts) > 50 and counts[-50] == counts[-1]

    assert poll(rests)
    del flooding
    assert came


def test_progress_is_told_in_numbers(start):
    client = start()
    told = []
    client.show_progress(told.append)
    client.execblock(
        "import easycluster, fractions\n"
        "step = easycluster.progress(total=fractions.Fraction(5), desc='in\\nparts')\n"
        'step.update(fractions.Fraction(1, 2))\n'
        'step.close()\n'
    )
    assert poll(lambda: told and told[-1].finished)
    assert (told[-1].desc, told[-1].done, told[-1].total) == ('in parts', 0.5, 5.0)
