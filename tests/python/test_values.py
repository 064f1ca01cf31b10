"""Values that cross by rule: what each version of Python sends and takes, and exceptions with what is behind them."""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import json
import os
import pickle
import platform
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
import urllib.error
import urllib.parse

import pytest
from easycluster import Refused, RemoteException


def raised(client, source):
    """What statements raise there."""
    with pytest.raises(RemoteException) as info:
        client.execblock(source, origexc=False)
    return info.value.orig


HANDED_ERRORS = '''
import sys
class Apart(Exception):
    def __init__(self, name, number=0):
        Exception.__init__(self, '%s has %d' % (name, number))
        self.name, self.number = name, number
class Absent(EnvironmentError):
    def __init__(self, path):
        EnvironmentError.__init__(self, 2, 'no such thing', path)
class Made(ValueError):
    def __new__(cls, one, two):
        self = ValueError.__new__(cls, one + two)
        self.two = two
        return self
    def __init__(self, one, two):
        ValueError.__init__(self, one + two)
def told(error):
    return type(error).__name__, [str(arg) for arg in error.args], error.__dict__
number_of = lambda error: (error.errno, error.filename)
parts = lambda error: [told(each) for each in error.exceptions]
'''


@pytest.fixture
def handed(connect, interpreter, definitions):
    """A client of each interpreter, with classes that both ends have."""
    client = connect(rpython=interpreter.path, definitions=definitions)
    client._defmod.define(HANDED_ERRORS)
    client.update_definitions()
    return client


def test_an_exception_as_an_argument_needs_no_constructor(handed):
    made = handed.call('Apart', 'web', 3)
    assert handed.call('told', made) == ('Apart', ['web has 3'], {'name': 'web', 'number': 3})
    made.more = [made]
    assert handed.call('told', made)[2]['more'][0].args == ('web has 3',)
    assert handed.call('number_of', handed.call('Absent', '/nowhere')) == (2, '/nowhere')
    assert handed.call('told', handed.call('Made', 'a', 'b')) == ('Made', ['ab'], {'two': 'b'})
    assert handed.call('told', subprocess.CalledProcessError(3, ['ls']))[0] == 'CalledProcessError'
    # Classes are themselves.
    assert handed.call('isinstance', made, type(made))


def test_what_cannot_be_sent_of_an_exception_is_its_repr(handed):
    error = KeyError('key', threading.Lock())
    error.lock = threading.Lock()
    error.proxy = handed.call('iter', [1, 2, 3], keep=True)
    kind, args, kept = handed.call('told', error)
    assert (kind, args[0]) == ('KeyError', 'key') and 'lock' in args[1] and 'lock' in kept['lock']
    assert next(kept['proxy']) == 1
    made = handed.call('Apart', 'web', 3)
    made.lock, made.number = threading.Lock(), error
    _, args, kept = handed.call('told', made)
    assert args == ['web has 3'] and 'lock' in kept['lock'] and 'lock' in kept['number'].lock
    # One behind the other, as causes are kept by some, and in themselves.
    for _ in range(40):
        outer = KeyError('outer')
        outer.inner, outer.lock, outer.itself = made, threading.Lock(), outer
        made = outer
    assert 'lock' in handed.call('told', made)[2]['inner'].lock
    # What is no exception is refused in words.
    with pytest.raises(TypeError, match='cannot send the arguments'):
        handed.call('told', [error, threading.Lock()])


def test_the_members_of_a_group_as_an_argument_are_exceptions(handed):
    group = getattr(builtins, 'ExceptionGroup', None)
    if group is None or tuple(handed.server_info['python']) < (3, 11):
        return
    members = [handed.call('Apart', 'web', 3), KeyError(threading.Lock())]
    first, second = handed.call('parts', group('several', members))
    assert first == ('Apart', ['web has 3'], {'name': 'web', 'number': 3})
    assert second[0] == 'KeyError' and 'lock' in second[1][0]


ZONES = '''
import datetime
def zones():
    made = [None]
    try:
        made.append(datetime.timezone(datetime.timedelta(hours=2), 'two'))
        import zoneinfo
        made.append(zoneinfo.ZoneInfo('Europe/Berlin'))
    except (ImportError, AttributeError):
        pass
    return [datetime.datetime(2020, 7, 1, 12, tzinfo=zone) for zone in made]
'''


def test_aware_times_arrive_and_go_back(there):
    there.execblock(ZONES)
    for made in there.zones():
        assert made.replace(tzinfo=None) == datetime.datetime(2020, 7, 1, 12)
        if made.tzinfo is not None:
            assert made.utcoffset() == datetime.timedelta(hours=2)
        assert there.call('str', made) == str(made)
    # In a set, where hash and comparison are asked.
    there.execblock('def together(): return set(zones()[:1] + zones()[-1:])')
    assert there.together()


def test_paths_go_both_ways_between_versions(there):
    if there.sys.version_info.value < (3, 4):
        with pytest.raises(pickle.UnpicklingError, match='pathlib'):
            there.call('str', __import__('pathlib').PurePosixPath('/a/b'))
        return
    path = there.eval("__import__('pathlib').PurePosixPath('/a/b')")
    assert path == __import__('pathlib').PurePosixPath('/a/b')
    assert there.call('str', path) == '/a/b'
    # As 3.13 writes it, to whatever is there.
    moved = pickle.dumps(path, 2).replace(b'cpathlib\n', b'cpathlib._local\n')
    there.execblock('import pickle')
    from easycluster._pickling.policy import Policy
    from easycluster._pickling.unpickler import unpickle_scanned

    assert unpickle_scanned(moved, Policy(), None) == path


SENT = [
    ("__import__('io').UnsupportedOperation('x')", 'io.UnsupportedOperation'),
    ("__import__('statistics').StatisticsError('x')", 'statistics.StatisticsError'),
    ("__import__('ipaddress').AddressValueError('x')", 'ipaddress.AddressValueError'),
    ("__import__('dataclasses').FrozenInstanceError('x')", 'dataclasses.FrozenInstanceError'),
    ("(__import__('queue') if str is not bytes else __import__('Queue')).Full('x')", 'queue.Full'),
    ("__import__('zipfile').BadZipfile('x')", 'zipfile.BadZipFile'),
    ("__import__('asyncio').IncompleteReadError(b'a', 2)", 'asyncio.exceptions.IncompleteReadError'),
    ("__import__('imaplib').IMAP4.abort('x')", 'imaplib.IMAP4.abort'),
    ("__import__('getopt').GetoptError('x', 'y')", 'getopt.GetoptError'),
    ("__import__('optparse').OptionValueError('x')", 'optparse.OptionValueError'),
    ("__import__('calendar').IllegalMonthError(13)", 'calendar.IllegalMonthError'),
]


@pytest.mark.parametrize('source, name', SENT)
def test_exceptions_of_the_library_arrive_as_themselves(there, source, name):
    error = raised(there, 'try:\n    error = %s\nexcept (ImportError, AttributeError):\n    error = None\nif error: raise error\n'
                          'raise LookupError("not here")' % source)  # fmt: skip
    if type(error) is LookupError or '.' in name.partition('.')[2] and there.sys.version_info.value < (3, 4):
        # Not there, or in a class, where 2.x and the first 3.x cannot name it.
        return
    module, _, attribute = name.partition('.')
    kind = __import__(module)
    for part in attribute.split('.'):
        kind = getattr(kind, part)
    assert type(error) is kind
    # Prints, as made here.
    assert str(error) is not None


def test_what_a_library_exception_is_made_of_is_kept(there):
    error = raised(there, 'import subprocess; raise subprocess.CalledProcessError(3, ["a", "b"])')
    assert type(error) is subprocess.CalledProcessError
    assert (error.returncode, error.cmd) == (3, ['a', 'b'])
    error = raised(there, r'b"caf\xff".decode("utf-8")')
    assert type(error) is UnicodeDecodeError
    assert error.object == b'caf\xff' and error.start == 3
    error = raised(there, r'b"caf\xc3\xa9".decode("ascii")')
    assert type(error) is UnicodeDecodeError
    assert error.object == b'caf\xc3\xa9'
    if there.sys.version_info.value >= (3, 5):
        error = raised(there, 'import json; json.loads("[1,")')
        assert type(error) is json.JSONDecodeError
        assert (error.doc, error.pos, error.lineno) == ('[1,', 3, 1)
    error = raised(there, 'open("/nonexistent/file")')
    assert isinstance(error, OSError) and error.errno == 2 and error.filename == '/nonexistent/file'


HTTP_ERROR = '''
try:
    from urllib.error import HTTPError
    from http.client import HTTPMessage
except ImportError:
    from urllib2 import HTTPError
    HTTPMessage = dict
headers = HTTPMessage()
headers['Retry-After'] = '7'
raise HTTPError('http://h/x', 503, 'Busy', headers, None)
'''


def test_an_error_of_http_is_whole_and_can_be_printed(there):
    """It is a file too, of which whatever looks for an attribute asks: also what prints a traceback."""
    error = raised(there, HTTP_ERROR)
    assert type(error) is urllib.error.HTTPError
    assert (error.code, error.filename, error.headers['Retry-After']) == (503, 'http://h/x', '7')
    assert getattr(error, 'anything', None) is None
    assert '503' in ''.join(traceback.format_exception(type(error), error, error.__traceback__))


DEFINED = '''
class Two(Exception):
    def __init__(self, a, b):
        self.a = a
        self.b = b

class Other(ValueError):
    def __init__(self, code, text='x'):
        super(Other, self).__init__('%s: %s' % (code, text))
        self.code = code

class Slow(KeyError):
    def __init__(self, held):
        Exception.__init__(self, 'slow', held)
        self.held = held

def two(): raise Two(1, 'b')
def other(): raise Other(7)
def slow(): raise Slow(__import__('threading').Lock())
'''


def test_exceptions_of_definitions_need_no_constructor(connect, interpreter, definitions):
    client = connect(rpython=interpreter.path, definitions=definitions)
    client._defmod.define(DEFINED)
    client.update_definitions()
    module = client._defmod
    with pytest.raises(module.Two) as info:
        client.two()
    assert (info.value.a, info.value.b) == (1, 'b')
    with pytest.raises(module.Other) as info:
        client.other()
    assert info.value.code == 7 and info.value.args == ('7: x',)
    with pytest.raises(module.Slow) as info:
        client.slow()
    # What cannot be sent is shown.
    assert info.value.args[0] == 'slow' and 'lock' in info.value.args[1] and 'lock' in info.value.held


CHAINED = '''
def chained():
    try:
        try:
            {}['a']
        except KeyError as error:
            raise ValueError('middle') from error
    except ValueError:
        raise LookupError('last')
def hidden():
    try:
        1 / 0
    except ZeroDivisionError:
        raise LookupError('last') from None
def circle():
    one, two = ValueError(1), ValueError(2)
    one.__context__, two.__context__ = two, one
    one.__cause__ = two
    raise one
'''


def test_causes_and_contexts_are_kept(there):
    if there.sys.version_info.value < (3,):
        return
    there.execblock(CHAINED)
    error = raised(there, 'chained()')
    assert isinstance(error.__context__, ValueError) and error.__context__.args == ('middle',)
    assert isinstance(error.__context__.__cause__, KeyError)
    assert 'chained' in str(error.__cause__)
    error = raised(there, 'hidden()')
    assert isinstance(error.__context__, ZeroDivisionError) and error.__suppress_context__
    if there.sys.version_info.value < (3, 9):
        # Older ones walk for ever through such a circle themselves.
        return
    error = raised(there, 'circle()')
    assert error.__cause__.args == (2,) and error.__cause__.__context__ is error


def test_notes_and_groups_are_kept(there):
    if sys.version_info < (3, 11) or there.sys.version_info.value < (3, 11):
        return
    error = raised(there, 'error = ValueError(1); error.add_note("noted"); raise error')
    assert error.__notes__[0] == 'noted' and there.peername in error.__notes__[1]
    error = raised(there, 'raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("more", [KeyError(2)])])')
    assert isinstance(error, ExceptionGroup)  # noqa: F821
    assert [type(one) for one in error.exceptions] == [ValueError, ExceptionGroup]  # noqa: F821
    assert error.exceptions[1].exceptions[0].args == (2,)


def test_enumerations_of_the_library_arrive_as_themselves(there):
    number = there.eval("__import__('signal').SIGINT")
    assert number == 2 and (type(number) is signal.Signals or there.sys.version_info.value < (3, 5))
    assert there.eval("__import__('socket').AF_INET") == socket.AF_INET
    # And go there, as numbers where there are none.
    assert there.call('int', signal.SIGINT) == 2
    assert there.call('int', socket.AF_INET) == int(socket.AF_INET)
    if there.sys.version_info.value >= (3, 6):
        import re

        assert there.eval("__import__('re').I | __import__('re').M") == re.I | re.M
        assert there.eval("__import__('http').HTTPStatus.NOT_FOUND").phrase == 'Not Found'


def test_result_tuples_arrive_as_what_they_are(there):
    status = there.os.stat('/')
    assert type(status) is os.stat_result and status.st_mode == os.stat('/').st_mode
    assert there.os.statvfs('/').f_bsize == os.statvfs('/').f_bsize
    assert there.time.gmtime(0).tm_year == 1970
    assert there.call('urllib.parse.urlsplit' if there.sys.version_info.value > (3,) else 'urlparse.urlsplit',
                      'http://h/p') == urllib.parse.urlsplit('http://h/p')  # fmt: skip
    family, kind, _, _, address = there.socket.getaddrinfo('127.0.0.1', 80)[0]
    assert family == socket.AF_INET and address == ('127.0.0.1', 80)
    assert there.call('pwd.getpwuid', 0).pw_name == 'root'
    assert there.call('resource.getrusage', 0).ru_maxrss > 0
    uname = there.platform.uname()
    assert uname[1] == platform.uname()[1]
    if there.sys.version_info.value > (3, 3):
        assert type(uname) is platform.uname_result
        assert there.eval("__import__('shutil').disk_usage('/').total") == there.call('shutil.disk_usage', '/').total
    # And back.
    assert there.call('len', uname) in (5, 6)
    assert there.call('len', status) >= 10


def test_tuples_with_names_that_no_pickle_can_name_arrive_with_them(there):
    version = there.eval("__import__('sys').version_info")
    assert version.major == version[0] and isinstance(version, tuple)
    assert version >= (2, 6)
    assert there.eval("__import__('sys').float_info.max") == there.eval("__import__('sys').float_info").max
    assert there.eval("__import__('sys').flags").debug == 0
    made = there.execblock("import collections; exec_return(collections.namedtuple('Local', 'a b')(1, 2))")
    assert (made.a, made.b, type(made).__name__) == (1, 2, 'Local')
    assert (
        there.call('repr', sys.version_info)
        .replace("u'", "'")
        .startswith('version_info(major=%d' % sys.version_info[0])
    )
    local = collections.namedtuple('Away', 'a b')
    assert there.call('tuple', local(1, 2)) == (1, 2)


def test_patterns_go_both_ways(there):
    made = there.eval("__import__('re').compile('a(b+)', 2)")
    assert made.findall('xABBx') == ['BB']
    assert there.execblock('import re') is None
    there.execblock('def matches(pattern, text): return bool(pattern.match(text))')
    assert there.matches(made, 'abb')


def test_what_cannot_be_remade_names_the_host(there):
    there.execblock('''
import re
class Odd(object):
    def __reduce__(self): return re._compile, ('(', 0)
class Huge(object):
    def __reduce__(self): return re._compile, ('a' * 100000, 0)
''')
    for made in ('Odd()', 'Huge()', "__import__('datetime').date.min.__class__"):
        if 'date' in made:
            continue
        with pytest.raises(pickle.UnpicklingError, match=there.peername):
            there.eval(made)
    assert there.eval('1') == 1


def test_queue_errors_of_any_version(there):
    error = raised(
        there, 'import sys\nq = __import__("queue" if sys.version_info[0] > 2 else "Queue")\nq.Queue().get(False)'
    )
    assert type(error) is queue.Empty


def test_one_error_tells_every_name_that_is_refused(there):
    there.execblock('import email.message, random')
    with pytest.raises(Refused) as info:
        there.eval('[random.Random(1), [email.message.Message()] if str is not bytes else [], random.Random(2)]')
    assert 'random.Random' in str(info.value)
    if there.sys.version_info.value > (3,):
        assert 'email.message.Message' in str(info.value)
        assert "allow=['email', 'random']" in str(info.value)


def test_many_small_buffers_go_in_one_argument(there):
    if there.sys.version_info.value >= (3, 8):
        assert there.call('len', [pickle.PickleBuffer(bytearray(8)) for _ in range(70_000)]) == 70_000
        # Large ones are sent beside the pickle all the same.
        assert there.call('len', [pickle.PickleBuffer(bytearray(100_000)) for _ in range(3)]) == 3


ALLOWED = '''
import sys
class Made(object):
    def __init__(self, value): self.value = value
    @classmethod
    def again(cls, value): return cls(value)
    def __reduce__(self): return self.again, (self.value,)
    def __eq__(self, other): return self.value == other.value
'''


def test_methods_of_allowed_classes_that_make_instances_are_called(connect, tmp_path, monkeypatch):
    (tmp_path / 'made_elsewhere').mkdir()
    (tmp_path / 'made_elsewhere' / '__init__.py').write_text('')
    (tmp_path / 'made_elsewhere' / 'inner.py').write_text(ALLOWED)
    monkeypatch.syspath_prepend(str(tmp_path))
    for allow in (['made_elsewhere'], ['made_elsewhere.inner'], ['made_elsewhere.inner.Made']):
        client = connect(allow=allow)
        client.execblock('import sys; sys.path.insert(0, %r)\nimport made_elsewhere.inner' % str(tmp_path))
        assert client.eval('made_elsewhere.inner.Made(7)').value == 7
    client = connect()
    client.execblock('import sys; sys.path.insert(0, %r)\nimport made_elsewhere.inner' % str(tmp_path))
    with pytest.raises(Refused):
        client.eval('made_elsewhere.inner.Made(7)')


def test_a_file_beside_the_program_is_not_imported_for_a_server(connect, tmp_path):
    """A server names modules of Python's own library, and gets those."""
    for name in ('statistics.py', 'sched.py'):
        (tmp_path / name).write_text(
            'open(%r, "w").close()\nclass StatisticsError(Exception): pass\n' % str(tmp_path / 'ran')
        )
    program = """
import sys
sys.path.insert(0, %r)
from easycluster._pickling.policy import Policy
from easycluster import Refused
try:
    print(Policy().find('sched', 'StatisticsError').value)
except Refused:
    print('refused')
""" % str(tmp_path)
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)
    assert done.stdout == 'refused\n', done.stderr
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('name', [
    ('this', 'c'), ('antigravity', 'x'), ('idlelib.idle', 'x'), ('test.autotest', 'x'), ('os', 'system'), ('subprocess', 'Popen'),
    ('shutil', 'rmtree'), ('io', 'open'), ('builtins', 'eval'), ('os', 'sys.modules'), ('signal', 'signal'), ('socket', 'os.system'),
    ('collections', 'namedtuple'), ('importlib', 'import_module'), ('json', 'JSONDecoder'), ('json', 'decoder.JSONDecodeError'),
])  # fmt: skip
def test_no_rule_finds_what_acts(name):
    from easycluster._pickling.policy import Policy

    imported = set(sys.modules)
    with pytest.raises(Refused):
        Policy().find(*name)
    assert not {'this', 'antigravity', 'idlelib.idle', 'test.autotest'} & (set(sys.modules) - imported)


def test_a_file_there_is_read_into_a_buffer_here(there, tmp_path):
    """The method there would fill a copy."""
    path = tmp_path / 'file'
    value = [bytearray(b'x' * 100_000), 'text']
    path.write_bytes(b'hello w\xc3\xb6rld!' + pickle.dumps(value, 5))
    with there.open(str(path), 'rb') as file:
        for buffer in (bytearray(5), array.array('H', [0, 0, 0, 0])):
            assert file.readinto(buffer) == len(bytes(buffer))
        assert bytes(buffer) == b' w\xc3\xb6rld!'
        # By which the unpickler reads what is large; of a Python 2 it would be given text for bytes.
        if there.server_info['python'] >= (3,):
            assert pickle.load(file) == value
            assert file.readinto(bytearray(5)) == 0
    with there.open(str(path), 'rb') as file:
        buffer = bytearray(200_000)
        assert file.readinto(buffer) == path.stat().st_size
        assert buffer[:13] == b'hello w\xc3\xb6rld!'
    path.write_text('text')
    with there.open(str(path)) as file, pytest.raises(AttributeError, match='readinto'):
        file.readinto(bytearray(5))
