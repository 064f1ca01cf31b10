"""What does not travel by value: iterators and views become proxies, and `keep=True` keeps any result on the server."""

from __future__ import annotations

import asyncio
import gc
import pickle

import pytest
from easycluster import AsyncClient, RemoteProxy, ThreadedClient
from support.processes import poll

ITERATORS = [
    ('(number for number in range(3))', [0, 1, 2]),
    ('iter([1, 2])', [1, 2]),
    ('map(str, [1, 2])', ['1', '2']),
    ('filter(None, [0, 1, 2])', [1, 2]),
    ('zip([1], map(str, [2]))', [(1, '2')]),
    ('zip([1], [2])', [(1, 2)]),
    ('enumerate(number for number in [5])', [(0, 5)]),
    ('enumerate([5])', [(0, 5)]),
    ('reversed([1, 2])', [2, 1]),
    ("__import__('itertools').chain([1], [2])", [1, 2]),
    ("__import__('itertools').islice(__import__('itertools').count(), 3)", [0, 1, 2]),
    ("iter({'a': 1})", ['a']),
    ("iter(__import__('collections').deque([1]))", [1]),
    ("iter(int, 0)", []),
    ("__import__('re').finditer('x', '')", []),
]  # fmt: skip


def test_iterators_can_be_gone_through(there):
    for source, items in ITERATORS:
        assert list(there.eval(source)) == items, source
        # Also inside of something else.
        assert [list(inner) for inner in there.eval('[%s, %s]' % (source, source))] == [items, items], source


def test_views_are_views(there):
    there.execblock("held = {'a': 1}")
    keys = there.eval('held.keys()')
    assert list(keys) == ['a'] and len(keys) == 1 and 'a' in keys
    assert list(there.eval('held.items()')) == [('a', 1)]
    assert list(there.eval('held.values()')) == [1]
    if there.sys.version_info.value > (2, 7):
        there.execblock("import sys\nview = held.keys() if sys.version_info[0] > 2 else held.viewkeys()")
        view = there.eval('view')
        there.execblock("held['b'] = 2")
        assert sorted(view) == ['a', 'b'] and len(view) == 2
        assert there.eval("memoryview(b'abc')").tobytes() == b'abc' or there.sys.version_info.value < (3,)
    assert there.eval('vars(type("C", (object,), {"x": 5}))')['x'] == 5


def test_a_server_object_is_iterated_by_what_it_holds(connect, interpreter, definitions):
    client = connect(rpython=interpreter.path, definitions=definitions)
    client._defmod.define('''
from easycluster import ServerObject
class Held(ServerObject):
    def __init__(self, items): self.items = items
    def __iter__(self): return iter(self.items)
''')
    client.update_definitions()
    assert list(client.Held([1, 2])) == [1, 2]


def test_a_result_that_is_kept_stays_there_until_it_is_dropped(there):
    lock = there.call('threading.Lock', keep=True)
    assert lock.acquire() and lock.locked()
    lock.release()
    with lock:
        assert lock.locked()
    assert not lock.locked()
    process = there.subprocess.Popen(['true'], keep=True)
    assert process.wait() == 0 and process.returncode == 0
    connection = there.call('sqlite3.connect', ':memory:', keep=True)
    cursor = connection.execute('select 1 union select 2', keep=True)
    assert cursor.fetchall() == [(1,), (2,)]
    digest = there.call('hashlib.md5', b'x', keep=True)
    assert len(digest.hexdigest()) == 32
    plain = there.eval('[1, 2]', keep=True)
    plain.append(3)
    assert len(plain) == 3 and there.call('sum', plain) == 6
    assert there.execblock('pass', keep=True) is None
    # Sent again it is the same one, also by those that do not ask for it.
    there.execblock('def same(value): return value')
    assert there.same(lock) is lock
    assert there.same([process])[0] is process
    # And once it is dropped, nothing holds it there.
    there.execblock('''
import weakref
class Held(object): pass
made = []
def make():
    held = Held()
    made.append(weakref.ref(held))
    return held
def living(): return len([1 for held in made if held() is not None])
''')
    held = there.make(keep=True)
    assert there.living() == 1
    del held
    gc.collect()
    assert poll(lambda: there.living() == 0)
    with pytest.raises(pickle.PicklingError, match='keep=True.*make_server_class'):
        there.call('threading.Lock')
    # Other values than True are the function's.
    there.execblock('def keeping(keep): return keep')
    assert there.keeping(keep='last') == 'last'


def test_keep_is_an_option_of_every_way_to_call(connect):
    client = connect()
    assert isinstance(client.call('object', nonblocking=True, keep=True).wait(), RemoteProxy)
    got = []
    client.call('object', oncomplete=got.append, keep=True)
    client.read_response()
    assert isinstance(got[0], RemoteProxy)
    assert client.run(make_lock, keep=True).acquire()
    assert client.run(takes_keep, keep=True) == 'given True'
    assert client.raw_call('threading.Lock', (), keep=True).acquire()
    threaded = connect(clientclass=ThreadedClient)
    assert threaded.call('threading.Lock', keep=True).acquire()
    with pytest.raises(Exception, match='sleep'):
        client.time.sleep(60, timeout=0.1, keep=True)


def make_lock():
    import threading

    return threading.Lock()


def takes_keep(keep):
    return 'given %s' % keep


def test_keep_is_an_option_of_awaited_calls(sshd):
    async def main():
        async with AsyncClient.open(sshd.spec()) as client:
            lock = await client.call('threading.Lock', keep=True)
            assert await lock.acquire()

    asyncio.run(main())
