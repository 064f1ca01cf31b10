"""What a hostile server could send, one case for each way a pickle reaches a callable; and what must still arrive."""

from __future__ import annotations

import array
import collections
import copyreg
import datetime
import decimal
import fractions
import importlib
import io
import ipaddress
import os
import pathlib
import pickle
import subprocess
import sys
import uuid

import numpy
import pytest
from easycluster import Client, Refused, _native, define_common
from easycluster._pickling import policy, unpickler

define_common('''
import os
import os as system_module
from subprocess import Popen

class Value(object):
    def __init__(self, number):
        self.number = number
    def __eq__(self, other):
        return self.number == other.number

class Command(object):
    ran = []
    def __init__(self, command='default'):
        Command.ran.append(command)

def run_command(command):
    Command.ran.append(command)

class Oops(Exception):
    pass

class FakeProxy(object):
    def __init__(self, connection, oid):
        Command.ran.append(oid)

class Outer(object):
    class Inner(object):
        pass
''')  # fmt: skip

REMOTE = 'easycluster.remote_code'
MARK = 'EASYCLUSTER_TEST_PWNED'


def unpickle(data, allow=()):
    allowed = policy.Policy(allow, [REMOTE])
    return unpickler.unpickle_scanned(data, allowed, lambda pid: pytest.fail('no reference is expected'))


def line(text):
    return text.encode() + b'\n'


SET_MARK = "__import__('os').environ.__setitem__('%s', '1')" % MARK
ATTACKS = {
    'GLOBAL and REDUCE': b"cbuiltins\neval\n(S" + repr(SET_MARK).encode() + b"\ntR.",
    'GLOBAL of the old name': b"c__builtin__\neval\n(S" + repr(SET_MARK).encode() + b"\ntR.",
    'STACK_GLOBAL': b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    'INST': b"(S'true'\nios\nsystem\n.",
    'OBJ': b"(cos\nsystem\nS'true'\no.",
    'NEWOBJ': b"\x80\x02csubprocess\nPopen\n(S'true'\nt\x81.",
    'NEWOBJ_EX': b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93)}\x92.",
    'the name alone': b"cos\nsystem\n.",
    'EXT1': b"\x80\x02\x82\xf0S'true'\n\x85R.",
    'EXT2': b"\x80\x02\x83\xf0\x00S'true'\n\x85R.",
    'EXT4': b"\x80\x02\x84\xf0\x00\x00\x00S'true'\n\x85R.",
    'a dotted name through numpy': b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93\x8c\x04true\x85R.",
    'numpy.load, which unpickles': b"cnumpy\nload\n(S'/dev/null'\ntR.",
    'a dotted name through definitions': b"\x80\x04\x8c\x17easycluster.remote_code\x8c\x09os.system\x93\x8c\x04true\x85R.",
    'a module that definitions import': b"ceasycluster.remote_code\nos\n.",
    'the same by another name': b"ceasycluster.remote_code\nsystem_module\n.",
    'a class that definitions import': b"ceasycluster.remote_code\nPopen\n(S'true'\ntR.",
    'a function of definitions, called': b"ceasycluster.remote_code\nrun_command\n(S'x'\ntR.",
    'the same by OBJ': b"(ceasycluster.remote_code\nrun_command\nS'x'\no.",
    'the same by INST': b"(S'x'\nieasycluster.remote_code\nrun_command\n.",
    'the same by way of the memo': b"\x80\x02ceasycluster.remote_code\nrun_command\nq\x000h\x00(S'x'\ntR.",
    'a class of definitions, called': b"ceasycluster.remote_code\nCommand\n(S'x'\ntR.",
    'define of the module': b"ceasycluster.remote_code\ndefine\n(S'x = 1'\ntR.",
    'a class changed by BUILD': b"ceasycluster.remote_code\nValue\n(NS'number'\nI1\nd\x86b.".replace(b'(NS', b'(N(S').replace(
        b'd\x86b', b'dtb'),
    '__setstate__ of a class': b"ceasycluster.remote_code\nValue\n}b.",
    'getattr': b"cbuiltins\ngetattr\n(cos\nstat_result\nS'__class__'\ntR.",
    'type': b"cbuiltins\ntype\n(S'X'\n)}tR.",
    'functools.partial': b"cfunctools\npartial\n(cbuiltins\nint\ntR.",
    'operator.attrgetter': b"coperator\nattrgetter\n(S'x'\ntR.",
    'a codec that inflates': b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    'copyreg.add_extension': b"ccopyreg\nadd_extension\n(S'os'\nS'system'\nI9\ntR.",
    'the package itself': b"ceasycluster._shared\nload\n(S'objects'\ntR.",
    'pickle.loads': b"cpickle\nloads\n(C\x02N.tR.",
    'the result of a call, called': b"cbuiltins\nint\n(I1\ntR)R.",
    'ndarray itself': b"cnumpy\nndarray\n(I1\ntR.",
}  # fmt: skip


@pytest.mark.parametrize('attack', ATTACKS)
def test_attacks_are_refused(attack):
    from easycluster import remote_code

    copyreg.add_extension('os', 'system', 240)
    # The cache that the C unpickler asks before anything else.
    copyreg._extension_cache[240] = os.system
    os.environ.pop(MARK, None)
    ran = list(remote_code.Command.ran)
    try:
        with pytest.raises(Refused):
            unpickle(ATTACKS[attack])
    finally:
        copyreg.remove_extension('os', 'system', 240)
        copyreg._extension_cache.pop(240, None)
    assert MARK not in os.environ
    assert remote_code.Command.ran == ran
    assert not hasattr(remote_code.Value, 'number')


def test_the_attacks_work_on_the_plain_unpickler():
    """They would be worth nothing as tests if they did not."""
    from easycluster import remote_code

    for name in ['GLOBAL and REDUCE', 'a function of definitions, called', 'a class of definitions, called',
                 'a dotted name through definitions', 'the same by INST', 'STACK_GLOBAL']:  # fmt: skip
        pickle.loads(ATTACKS[name])
    assert os.environ.pop(MARK) == '1'
    assert remote_code.Command.ran == ['x', 'x', 'x']
    remote_code.Command.ran.clear()


def test_the_refusal_says_what_and_how_to_allow_it():
    with pytest.raises(Refused) as refused:
        unpickle(b"cos\nsystem\n(S'true'\ntR.")
    assert refused.value.name == 'os.system'
    assert "allow=['os.system']" in str(refused.value) and "allow='*'" in str(refused.value)


def test_what_is_allowed_is_found():
    pickled = pickle.dumps(subprocess.Popen)
    with pytest.raises(Refused):
        unpickle(pickled)
    assert unpickle(pickled, ['subprocess.Popen']) is subprocess.Popen
    assert unpickle(pickled, ['subprocess']) is subprocess.Popen
    assert unpickle(pickled, [subprocess.Popen]) is subprocess.Popen
    assert unpickle(pickled, [subprocess]) is subprocess.Popen
    # A module that is allowed does not bring along what it imports.
    with pytest.raises(Refused):
        unpickle(b"csubprocess\nos\n.", ['subprocess'])
    with pytest.raises(Refused):
        unpickle(b"\x80\x04\x8c\x0asubprocess\x8c\x09os.system\x93.", ['subprocess'])


VALUES = [
    None, True, 2**100, -1.5, 'text', b'bytes', bytearray(b'array'), (1, [2, {3: {4}}]), frozenset((1, 2)), 1j, range(3), slice(1, 2),
    Ellipsis, datetime.datetime(2020, 1, 2, 3, 4, 5, 6, datetime.timezone.utc), datetime.timedelta(3), datetime.date(2020, 1, 2),
    decimal.Decimal('1.5'), fractions.Fraction(1, 3), uuid.UUID(int=5), ipaddress.ip_address('::1'), ipaddress.ip_network('10.0.0.0/8'),
    pathlib.PurePosixPath('/a/b'), pathlib.Path('/a'), collections.OrderedDict(a=1), collections.Counter('aab'),
    collections.deque([1, 2], 5), collections.defaultdict(list, {1: [2]}), array.array('d', [1.5, 2.5]), os.stat('/'), os.uname(),
    int, ValueError,
]  # fmt: skip


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('value', VALUES, ids=lambda value: type(value).__name__)
def test_plain_and_well_known_values_arrive(value, protocol):
    got = unpickle(pickle.dumps(value, protocol))
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_definitions_arrive(protocol):
    from easycluster import remote_code

    assert unpickle(pickle.dumps(remote_code.Value(5), protocol)) == remote_code.Value(5)
    # As values, functions and classes are references to what is here.
    assert unpickle(pickle.dumps(remote_code.run_command, protocol)) is remote_code.run_command
    assert unpickle(pickle.dumps(remote_code.Value, protocol)) is remote_code.Value
    error = unpickle(pickle.dumps(remote_code.Oops('a', 1), protocol))
    assert type(error) is remote_code.Oops and error.args == ('a', 1)
    if protocol >= 4:
        assert unpickle(pickle.dumps(remote_code.Outer.Inner, protocol)) is remote_code.Outer.Inner


def test_exceptions_arrive():
    for error in [ValueError('a'), OSError(2, 'no'), UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad'), KeyError(1),
                  subprocess.CalledProcessError(1, 'x'), StopIteration(5)]:  # fmt: skip
        file = io.BytesIO()
        pickler = pickle.Pickler(file)
        # Dask, where it is imported, registers ways of its own for exceptions.
        pickler.dispatch_table = {}
        pickler.dump(error)
        got = unpickle(file.getvalue())
        assert type(got) is type(error) and got.args == error.args


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_arrives(protocol):
    for value in [numpy.arange(10), numpy.zeros((3, 4), 'f4'), numpy.array(['a', 'bc']), numpy.array([None, {1: 2}], object),
                  numpy.array([(1, 2.0)], [('x', 'i4'), ('y', 'f8')]), numpy.float64(1.5), numpy.dtype('i8'),
                  numpy.ma.array([1, 2], mask=[0, 1])]:  # fmt: skip
        got = unpickle(pickle.dumps(value, protocol))
        assert type(got) is type(value) and numpy.array_equal(got, value)


def test_the_scan_agrees_with_the_unpickler():
    """Every look-up that the unpickler makes is one that the scan has announced."""
    import pickletools

    for value in VALUES:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps([value, value], protocol)
            names = [op for op, _, _ in pickletools.genops(data) if op.name in ('GLOBAL', 'STACK_GLOBAL', 'INST')]
            assert len(_native.scan_pickle(data) or b'') == len(names)


def test_cut_off_pickles_are_refused_and_not_read_past():
    data = pickle.dumps([VALUES[7], datetime.date(2020, 1, 1)])
    for cut in range(len(data)):
        with pytest.raises((Refused, ValueError)):
            unpickle(data[:cut])


# -- with a server


@pytest.fixture
def hostile(client):
    """A server whose answers are pickles of our choice: a class whose instances pickle as that."""
    client.execblock('''
import os
class Evil(object):
    def __init__(self, reduced):
        self.reduced = reduced
    def __reduce__(self):
        return self.reduced
def evil(path):
    return Evil((os.system, ('touch ' + path + '.$PPID',)))
def evil_error(path):
    error = ValueError('x')
    error.extra = Evil((os.system, ('touch ' + path + '.$PPID',)))
    raise error
class Stranger(ServerObject):
    proxy_class = Popen
class Pretender(ServerObject):
    proxy_class = FakeProxy
''')
    return client


def test_a_hostile_result_fails_that_call_only(hostile, tmp_path):
    target = tmp_path / 'pwned'
    with pytest.raises(Refused, match='system'):
        hostile.evil(str(target))
    with pytest.raises(ValueError) as raised:
        hostile.evil_error(str(target), origexc='quiet')
    assert isinstance(raised.value.__cause__, Refused)
    seen = []
    hostile.evil(str(target), oncomplete=seen.append)
    hostile.read_response()
    assert isinstance(seen[0].orig, Refused)
    # The server itself may unpickle what it sends, so the file has the number of the process that made it.
    assert not pathlib.Path('%s.%d' % (target, os.getpid())).exists()
    assert hostile.eval('1 + 1') == 2


def test_trusting_a_server_wholly(connect, tmp_path):
    client = connect(allow='*')
    client.execblock('''
import os
class Evil(object):
    def __reduce__(self):
        return os.system, ('exit 3',)
def evil():
    return Evil()
''')
    assert os.waitstatus_to_exitcode(client.evil()) == 3


ALLOWED_ERRORS = '''
class Two(Exception):
    def __init__(self, name, number):
        Exception.__init__(self, '%s has %d' % (name, number))
        self.name = name
class Missing(OSError):
    def __init__(self, name):
        OSError.__init__(self, 2, 'no ' + name)
def made(what):
    try:
        raise Two('web', 3) if what == 'Two' else Missing('web')
    except Exception as error:
        return error
def fails(what):
    raise made(what)
class Kept(object):
    pass
def beside(what):
    return [object.__new__(Kept), made(what), Two]
'''


@pytest.mark.parametrize('allow', [['allowed_errors'], '*'])
def test_an_allowed_exception_whose_constructor_takes_other_arguments_arrives(connect, allow, tmp_path, monkeypatch):
    (tmp_path / 'allowed_errors.py').write_text(ALLOWED_ERRORS)
    monkeypatch.syspath_prepend(str(tmp_path))
    allowed_errors = importlib.import_module('allowed_errors')
    client = connect(allow=allow)
    client.execblock('import sys\nsys.path.insert(0, %r)' % str(tmp_path))
    for what, args in (('Two', ('web has 3',)), ('Missing', (2, 'no web'))):
        kind = getattr(allowed_errors, what)
        got = client.call('allowed_errors.made', what)
        assert (type(got), got.args) == (kind, args)
        with pytest.raises(kind) as raised:
            client.call('allowed_errors.fails', what, origexc='quiet')
        assert raised.value.args == args
    assert client.call('allowed_errors.made', 'Two').name == 'web'
    assert client.call('allowed_errors.made', 'Missing').errno == 2
    assert client.call('allowed_errors.beside', 'Two')[2] is allowed_errors.Two
    del sys.modules['allowed_errors']


def test_a_proxy_class_must_be_one(hostile):
    from easycluster import remote_code

    with pytest.raises(Refused, match='subprocess.Popen'):
        hostile.Stranger()
    with pytest.raises(Refused, match='not a proxy class'):
        hostile.Pretender()
    assert remote_code.Command.ran == []
    assert hostile.eval('1 + 1') == 2


def test_allow_stands_in_a_spec_too(sshd):
    with Client.from_spec(sshd.spec('rpython=%s' % sys.executable, 'allow=argparse.Namespace')) as client:
        client.import_module('argparse')
        assert client.eval('argparse.Namespace(a=1)').a == 1
        with pytest.raises(Refused, match='argparse.HelpFormatter'):
            client.eval('argparse.HelpFormatter')


def test_a_persistent_id_of_another_kind_is_refused(client):
    for pid in ['x', ('r',), ('r', 'a', 1), ('o', 1), ('r', 1, 999), (b'r', 1, 1)]:
        with pytest.raises(Refused):
            client._references.load(pid)
