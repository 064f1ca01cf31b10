"""What one answer of a hostile server does is that call's result alone, and its text is shown and not obeyed."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import traceback

import easycluster
import pytest
from easycluster import Client, RemoteException
from easycluster.server import spawn_local
from support import hostile_stub
from support.hostile_stub import CLASS, ERROR, RESULT, error
from support.processes import poll


@pytest.fixture
def hostile(tmp_path):
    """Makes clients whose server answers as given."""
    made = []

    def make(answers, clientclass=Client, max_result=None, **options):
        path = hostile_stub.program(tmp_path, answers, **options)
        client = spawn_local(clientclass, rpython=path, max_result=max_result)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


GOOD = (RESULT, pickle.dumps('good', 2))
DEEP = b'\x80\x04' + b')' + b'\x85' * 100_000 + b'.'
BAD_ANSWERS = {
    'type is a number': (ERROR, error(type=5)),
    'message is a list': (ERROR, error(message=[1])),
    'traceback is a number': (ERROR, error(traceback=7)),
    'traceback of numbers': (ERROR, error(traceback=[7])),
    'no fields': (ERROR, pickle.dumps({}, 2)),
    'no dict': (ERROR, pickle.dumps(5, 2)),
    'no pickle': (ERROR, b'\xff\xff'),
    'a call in it': (ERROR, b'\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.'),
    'deep': (ERROR, DEEP),
    'a pickle that is none': (ERROR, error(pickle=b'\xff')),
    'a pickle of no exception': (ERROR, error(pickle=pickle.dumps(5))),
    'args that are none': (ERROR, error(args=5)),
    'args of a number': (ERROR, error(type='UnicodeDecodeError', args=[1, 2])),
    'an exception group of nothing': (ERROR, error(type='ExceptionGroup', args=[])),
    'deep result': (RESULT, DEEP),
    'memo': (RESULT, b'\x80\x04Nr\x00\x00\x00\x08.'),
    'result that is none': (RESULT, b'\xff'),
    'empty result': (RESULT, b''),
    'too much memory': (RESULT, pickle.dumps(bytearray(b'x'), 2).replace(b'bytearray\n', b'bytearray\n', 1)[:-1] + b'0K\x01a.'),
    'a reference that is none': (RESULT, b'\x80\x04X\x01\x00\x00\x00xQ.'),
    'a reference of no class': (RESULT, b'\x80\x04X\x01\x00\x00\x00rK\x05K\x07\x87Q.'),
    'keyboard interrupt': (ERROR, error(type='KeyboardInterrupt')),
    'system exit': (ERROR, error(type='SystemExit', args=[3])),
    'generator exit': (ERROR, error(type='GeneratorExit')),
}  # fmt: skip


@pytest.mark.parametrize('kind', BAD_ANSWERS)
def test_a_bad_answer_is_its_own_calls_alone(hostile, kind):
    client = hostile([GOOD, BAD_ANSWERS[kind], GOOD, GOOD], at_once=4)
    calls = [client.eval('1', nonblocking=True) for _ in range(4)]
    got = []
    for call in calls:
        try:
            got.append(call.wait(timeout=60))
        except (Exception, KeyboardInterrupt) as raised:
            got.append(type(raised))
    assert [value for value in got if value == 'good'] == ['good'] * 3 and got[1] != 'good', got
    assert client.eval('1') == 'good'


@pytest.mark.parametrize('kind', ['type is a number', 'deep', 'memo', 'a reference of no class'])
def test_a_bad_answer_ends_no_other_call_of_an_async_client(hostile, kind):
    client = hostile([GOOD, BAD_ANSWERS[kind], GOOD, GOOD], clientclass=easycluster.AsyncClient, at_once=4)

    async def run():
        calls = [client.eval('1') for _ in range(4)]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)

    got = asyncio.run(run())
    assert got[0] == got[2] == got[3] == 'good' and isinstance(got[1], Exception)


def test_answers_that_nobody_takes_share_the_limit(hostile):
    large = (RESULT, pickle.dumps(b'x' * 400_000, 3))
    client = hostile([large], max_result='1M')
    calls = [client.eval('1', nonblocking=True) for _ in range(4)]
    assert poll(lambda: not client._native.outstanding())
    got = []
    for call in calls:
        try:
            got.append(len(call.wait(timeout=60)))
        except MemoryError as error:
            got.append(str(error))
    assert got[:2] == [400_000] * 2 and all('max_result' in text for text in got[2:]), got
    # Those that are taken count no more.
    assert [len(client.eval('1')) for _ in range(4)] == [400_000] * 4


def test_text_of_a_server_is_visible(hostile, capsys):
    escape = 'one\x1b[2J\x1b[1;31m\rtwo\x07\u202e\x9b'
    client = hostile([
        (ERROR, error(message=escape, traceback=['first\n', escape + '\n'])),
        (ERROR, error(type=escape, module=escape, message=escape, args=[escape])),
        (ERROR, error(kind='unpickle', type=escape, message=escape)),
        (ERROR, error(kind='pickle', type=escape, message=escape)),
        (RESULT, b'\x80\x04\x8c\x04a\x1b[2\x8c\x02b\r\x93.'),
    ])  # fmt: skip
    for _ in range(5):
        with pytest.raises(Exception) as raised:
            client.eval('1', origexc=False)
        for text in [str(raised.value)] + list(getattr(raised.value, 'text', None) or ()):
            assert not set(text) & set('\x1b\r\x07\u202e\x9b'), ascii(text)
    client2 = hostile([(ERROR, error(message=escape, traceback=[escape]))])
    with pytest.raises(ValueError):
        client2.eval('1')
    shown = capsys.readouterr().err
    assert 'one' in shown and not set(shown) & set('\x1b\r\x07\u202e\x9b')


def described(*methods, attrs=(), cached=()):
    return (CLASS, pickle.dumps((1, 'Thing', methods, attrs, cached, None), 2))


REFERENCE = (RESULT, b'\x80\x04X\x01\x00\x00\x00rK\x05K\x01\x87Q.')


def test_names_that_python_asks_for_by_itself_are_never_remote(hostile):
    names = (
        '__del__',
        '__class__',
        '__eq__',
        '__getattribute__',
        '__setattr__',
        '__init__',
        '__new__',
        '__reduce_ex__',
        '__dict__',
    )
    client = hostile(
        [REFERENCE, (RESULT, pickle.dumps('asked', 2))],
        classes=[described(*names, attrs=names, cached=names)[1]],
    )
    proxy = client.eval('1')
    asked = []
    client.__dict__['send_request'] = lambda *args, **options: asked.append(args)
    assert isinstance(proxy, easycluster.RemoteProxy) and not isinstance(proxy, str)
    assert proxy.__class__ is type(proxy) and proxy.proxy_object_id == 5
    del proxy
    gc.collect()
    assert asked == []
    del client.__dict__['send_request']
    assert client.eval('1') == 'asked'


@pytest.mark.parametrize(
    'description',
    [
        (1, 5, (), (), (), None), (1, 'Thing', 5, (), (), None), (1, 'Thing', (5,), (), (), None), (1, 'Thing', (), 'abc', (), None),
        (1, 'Thing', (), (), (), 5), (1, 'Thing', (), (), (), 'os.path'), (1, 'Thing'), ('x', 'Thing', (), (), (), None), 5,
    ],
)  # fmt: skip
def test_a_description_that_is_none_is_refused(hostile, description):
    client = hostile([REFERENCE, GOOD], classes=[pickle.dumps(description, 2)])
    with pytest.raises(pickle.UnpicklingError, match=client.peername):
        client.eval('1')
    assert client.eval('1') == 'good'


@pytest.mark.parametrize('number', [-1, 1 << 64, 1 << 80])
def test_a_number_that_no_object_has_is_its_own_calls_alone(hostile, number):
    reference = b'\x80\x04X\x01\x00\x00\x00r' + pickle.dumps(number, 2)[2:-1] + b'K\x01\x87Q.'
    client = hostile([(RESULT, reference), GOOD], classes=[described()[1]])
    with pytest.raises(pickle.UnpicklingError, match=client.peername):
        client.eval('1')
    gc.collect()
    assert [client.eval('1') for _ in range(2)] == ['good'] * 2


def test_an_exception_that_asks_when_it_is_shown_is_told_in_the_servers_words(hostile):
    client = hostile(
        [
            (
                ERROR,
                error(
                    pickle=b'\x80\x04cbuiltins\nValueError\nX\x01\x00\x00\x00rK\x05K\x01\x87Q\x85R.',
                    message='its words',
                ),
            ),
            GOOD,
        ],
        classes=[described('__str__', '__repr__')[1]],
    )
    with pytest.raises(RemoteException) as raised:
        client.eval('1', origexc=False)
    assert str(raised.value) == 'its words' and type(raised.value.orig) is ValueError
    assert client.eval('1') == 'good'


def doubled(made, kind, count=60):
    """What holds twice what holds twice, and so on."""
    for _ in range(count):
        made = kind(made, made)
    return made


def grown(count=60):
    """The same, whose parts are held before they hold anything."""
    lists = [[] for _ in range(count)]
    lists[-1].append(1)
    error = ValueError(lists[0])
    for one, next_one in zip(lists, lists[1:]):
        one += [next_one, next_one]
    return error


LENGTHS = {
    'lists': lambda: ValueError(doubled(1, lambda *parts: list(parts))),
    'lists that are held first': grown,
    'tuples': lambda: ValueError(doubled(1, lambda *parts: parts)),
    'values of a dict': lambda: KeyError(doubled(1, lambda *parts: dict(enumerate(parts)))),
    'exceptions': lambda: ValueError(doubled(ValueError(1), ValueError)),
    'the name of a file': lambda: OSError(1, 'no', doubled('x', lambda *parts: parts)),
    'a text many times': lambda: ValueError(['x' * 100_000] * 1000),
}
if sys.version_info >= (3, 11):
    LENGTHS['groups'] = lambda: doubled(ValueError(1), lambda *parts: ExceptionGroup('several', parts))  # noqa: F821


@pytest.mark.parametrize('kind', LENGTHS)
def test_an_exception_shows_no_more_than_was_received(hostile, kind):
    """One that is not caught is shown by Python itself."""
    told = error(pickle=pickle.dumps(LENGTHS[kind](), 4), message='its words', args=['its words'])
    client = hostile([(ERROR, told), GOOD])
    with pytest.raises(Exception, match='its words') as raised:
        client.eval('1')
    said = ''.join(traceback.format_exception(type(raised.value), raised.value, None))
    assert 'shows far more than was received' in said and len(said) < 10_000
    assert client.eval('1') == 'good'


@pytest.mark.parametrize('kind', ['long', 'itself'])
def test_an_exception_of_what_it_is_itself_arrives(hostile, kind):
    items = list(range(100_000))
    if kind == 'itself':
        items.append(items)
    client = hostile([(ERROR, error(pickle=pickle.dumps(ValueError(items, items), 4)))])
    with pytest.raises(ValueError) as raised:
        client.eval('1')
    assert len(raised.value.args[1]) == len(items)
