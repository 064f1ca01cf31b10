"""What programs written for EasyCluster 0.22.3 see: each line here was compared with that version, side by side."""

from __future__ import annotations

import copy
import select
import sys

import easycluster
import pytest
from easycluster import (
    AsyncClient,
    Client,
    DefaultRemoteProxy,
    RemoteException,
    RemoteProxy,
    call_multi,
    define_common,
    parse_connection_spec,
)

define_common('''
import array, collections

class LikeAll(ServerObject):
    def __init__(self, value=1):
        self.value = value
    def get(self):
        return self.value
    def me(self):
        return self
    def __len__(self):
        return 3
    def __getitem__(self, key):
        return 'item', key
    def __setitem__(self, key, value):
        self.value = key, value
    def __delitem__(self, key):
        self.value = 'deleted', key
    def __contains__(self, key):
        return key == 5
    def __call__(self, *args):
        return ('called',) + args
    def __iter__(self):
        return iter([1, 2, 3])
    def __str__(self):
        return 'as str'
    def __repr__(self):
        return 'as repr'
    def __eq__(self, other):
        return other == 'me'
    def __ne__(self, other):
        return 'ne'
    def __hash__(self):
        return 77
    def __lt__(self, other):
        return 'lt'
    def __add__(self, other):
        return 'add', other
    def __radd__(self, other):
        return 'radd', other
    def __iadd__(self, other):
        return 'iadd', other
    def __neg__(self):
        return 'neg'
    def __bool__(self):
        return False
    __nonzero__ = __bool__
    def __int__(self):
        return 9
    def __index__(self):
        return 9
    def __enter__(self):
        return 'entered'
    def __exit__(self, *info):
        return True
    def __abs__(self):
        return 'abs'
    def __truediv__(self, other):
        return 'div'
    __div__ = __truediv__
    def __format__(self, how):
        return 'as ' + how
    def _private(self):
        return 'private'
    @property
    def wrong(self):
        raise KeyError('inner')

class LikePlain(ServerObject):
    pass

class LikeEqual(ServerObject):
    def __eq__(self, other):
        return True

class LikeListed(ServerObject):
    export_methods = ('get',)
    export_attrs = ('value', 'other')
    export_attrs_cache = ('counted',)
    times = 0
    def __init__(self):
        self.value, self.other = 1, 2
    def get(self):
        return 'got'
    def hidden(self):
        return 'hidden'
    @property
    def counted(self):
        LikeListed.times += 1
        return LikeListed.times

class LikeIterProxy(SelfIterProxy):
    pass

class LikeIterator(ServerObject):
    proxy_class = LikeIterProxy
    left = 3
    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left
    next = __next__

make_server_class(array.array)
make_server_class(collections.deque)

def like_keywords(*args, **keywords):
    return args, sorted(keywords)

def like_generator():
    for number in range(3):
        got = yield number
        if got:
            yield 'got', got

def like_fail():
    raise ValueError('foo')

def run(*args, **keywords):
    return 'the own run', args, sorted(keywords)
''', name='like_definitions')  # fmt: skip


@pytest.fixture
def rmt(share, way, interpreter):
    return share(way, rpython=interpreter.path, definitions='like_definitions')


@pytest.fixture
def one(share):
    return share(definitions='like_definitions')


def test_special_methods_of_proxies(rmt):
    thing = rmt.LikeAll()
    assert (len(thing), thing[1], 5 in thing, 4 in thing, thing(1)) == (3, ('item', 1), True, False, ('called', 1))
    assert (str(thing), repr(thing), format(thing, 'x')) == ('as str', 'as repr', 'as x')
    assert (hash(thing), bool(thing), int(thing), list(range(10))[thing]) == (77, False, 9, 9)
    assert (thing == 'me', thing == 3, thing != 3, thing < 1) == (True, False, 'ne', 'lt')
    assert (thing + 1, 1 + thing, -thing, abs(thing), thing / 2) == (('add', 1), ('radd', 1), 'neg', 'abs', 'div')
    assert thing.me() is thing
    thing[1] = 2
    assert thing.value == (1, 2)
    del thing[1]
    assert thing.value == ('deleted', 1)
    with thing as entered:
        assert entered == 'entered'
        raise KeyError('swallowed by the remote __exit__')
    changed = thing
    changed += 1
    assert changed == ('iadd', 1)
    assert thing._private() == 'private'
    with pytest.raises(KeyError, match='inner'):
        assert thing.wrong
    plain = rmt.LikePlain()
    assert repr(plain) == '<RemoteProxy for oid %d on %s>' % (plain.proxy_object_id, rmt.peername)
    assert plain == plain and plain != rmt.LikePlain() and {plain: 1}[plain] == 1


def test_iterating_over_proxies(rmt):
    if rmt.server_info['python'][0] > 2:
        # Python 2 cannot pickle its iterators.
        assert list(rmt.LikeAll()) == [1, 2, 3]
        assert [row for row in zip(rmt.LikeAll(), 'abc')] == [(1, 'a'), (2, 'b'), (3, 'c')]
    assert list(rmt.LikeIterator()) == [2, 1, 0]
    steps = rmt.LikeIterator()
    assert iter(steps) is steps and next(steps) == 2
    numbers = rmt.like_generator()
    assert next(numbers) == 0 and numbers.send('x') == ('got', 'x') and list(numbers) == [1, 2]
    with pytest.raises(StopIteration):
        next(numbers)


def test_sequences_that_stay_on_the_server_are_iterated_over_there(one):
    numbers = one.array.array('i', [1, 2, 34])
    assert list(numbers) == [1, 2, 34] and list(one.eval('enumerate([5, 6])')) == [(0, 5), (1, 6)]
    queue = one.collections.deque([[1], 'two'])
    assert list(queue) == [[1], 'two']
    assert one.eval('list(enumerate(zip(iter("ab"), reversed([1, 2]))))') == [(0, ('a', 2)), (1, ('b', 1))]
    assert list(one.eval('enumerate(zip(iter("ab"), reversed([1, 2])))')) == [(0, ('a', 2)), (1, ('b', 1))]
    one.execblock('class List(list):\n    pass\nkept = make_singleton(List([7, 8]))\n')
    assert list(one.kept.value) == [7, 8] and one.kept.value[1] == 8
    got = iter(one.kept.value)
    assert next(got) == 7
    one.execblock('kept.append(9)')
    assert list(got) == [8, 9]


def test_what_compares_equal_there_cannot_be_hashed_here(one):
    equal = one.LikeEqual()
    assert equal == 3
    with pytest.raises(TypeError, match='unhashable'):
        hash(equal)
    assert one.like_keywords(equal)[0][0] is equal


def test_proxies_of_a_closed_connection_can_be_shown(one, connect):
    thing = one.LikeAll()
    other = connect()
    with pytest.raises(TypeError, match='<RemoteProxy for oid %d on ' % thing.proxy_object_id):
        other.call('len', thing)
    with pytest.raises(TypeError, match='can only be sent'):
        copy.deepcopy(one.LikePlain())
    one.close()
    assert repr(thing) == '<RemoteProxy for oid %d on <closed connection>>' % thing.proxy_object_id
    with pytest.raises(IOError):
        len(thing)


def test_listed_exports(rmt):
    thing = rmt.LikeListed()
    assert not isinstance(thing, DefaultRemoteProxy) and isinstance(thing, RemoteProxy)
    assert (thing.get(), thing.value, thing.other) == ('got', 1, 2)
    assert (thing.counted, thing.counted) == (1, 1)
    with pytest.raises(AttributeError):
        thing.hidden()
    thing.value = 4
    assert thing.value == 4 and rmt.like_keywords(thing)[0][0] is thing
    thing.local = 3
    assert thing.local == 3
    with pytest.raises(AttributeError):
        thing.raw_get_attribute('local', origexc='quiet')


def test_the_root_object(one):
    root = one.get_root()
    assert isinstance(root, DefaultRemoteProxy)
    assert root.eval('1 + 2', 'eval') == 3
    assert root.eval('exec_return(4)', 'exec') == 4
    assert root.call('like_keywords', (1,), {'a': 2}) == ((1,), ['a'])
    assert root.import_modules(['json']) is None
    assert root.getattr(one.LikeAll(8), 'value') == 8
    assert root.eval('1', 'eval', nonblocking=True).wait() == 1
    with pytest.raises(AttributeError, match='nothing_of_this_name'):
        assert root.nothing_of_this_name


def test_exec_return_ends_an_expression_too(rmt):
    assert rmt.eval('exec_return(4)') == 4
    assert rmt.execblock('def inner():\n    exec_return(5)\ninner()\n') == 5


def test_a_function_of_the_name_run(one, connect):
    assert one.run() == ('the own run', (), [])
    assert one.run('ls', flag=1) == ('the own run', ('ls',), ['flag'])
    plain = connect()
    assert plain.run(len_of, 'abc') == 3
    plain.execblock('def run(*args):\n    return args\n')
    assert plain.run('ls', 1) == ('ls', 1)


def len_of(text):
    return len(text)


def test_all_keywords_of_call_multi_are_the_functions(one):
    assert call_multi([one], 'like_keywords', 1, threadid=2, origexc=3) == [((1,), ['origexc', 'threadid'])]


def test_a_failed_response_may_be_waited_for_again(one, capsys):
    response = one.like_fail(nonblocking=True)
    for origexc, kind in [(None, ValueError), ('quiet', ValueError), (False, RemoteException)]:
        with pytest.raises(kind):
            response.wait(origexc)
    assert capsys.readouterr().err.count('*** Remote exception from') == 1
    for falsy in (None, 0, False):
        with pytest.raises(RemoteException):
            one.like_fail(origexc=falsy)


def test_a_closed_client_has_nothing_to_read(one):
    one.close()
    # EOFError is what loops around read_response() wait for.
    with pytest.raises(EOFError):
        one.read_response()
    with pytest.raises(IOError):
        one.eval('1')
    unconnected = Client()
    assert (unconnected.connected, unconnected.peername, unconnected.remote_host) == (False, '', None)
    with pytest.raises(ValueError):
        unconnected.reconnect()
    unconnected.close()


def test_paths_and_key_files_are_what_they_were(tmp_path):
    assert parse_connection_spec('h:ssh=/usr/bin/ssh')['ssh'] == '/usr/bin/ssh'
    assert type(parse_connection_spec('h:ssh=/usr/bin/ssh')['ssh']) is str
    missing = str(tmp_path / 'none' / 'key')
    for act in (
        lambda: easycluster.read_key_file(missing),
        lambda: parse_connection_spec('h:kf=' + missing),
        lambda: easycluster.write_key_file(missing, easycluster.generate_key()),
    ):
        with pytest.raises(FileNotFoundError) as raised:
            act()
        assert raised.value.filename == missing and 'key file' in str(raised.value)


def test_a_client_can_be_polled(one):
    poller = select.poll()
    poller.register(one.fileno(), select.POLLIN)
    assert poller.poll(0) == []
    seen = []
    one.like_keywords(1, oncomplete=(lambda value, *more: seen.append(more), 'a', 'b'))
    assert [number for number, _ in poller.poll(20000)] == [one.fileno()]
    assert one.read_response() and seen == [('a', 'b')]


def test_proxies_of_an_async_client_are_compared_here(sshd):
    import asyncio

    async def main():
        spec = sshd.spec('rpython=%s' % sys.executable)
        async with AsyncClient.open(spec, definitions='like_definitions') as client:
            thing = await client.LikeAll()
            assert thing == thing and hash(thing) == object.__hash__(thing)
            assert 'RemoteProxy' in repr(thing) and 'RemoteProxy' in str(thing)
            assert await thing.get() == 1
            # `in` would take the future for True.
            assert '__contains__' not in vars(type(thing)) and '__len__' in vars(type(thing))

    asyncio.run(main())
