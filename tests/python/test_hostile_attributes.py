"""Attributes by which Python and libraries call what they find, or read memory where a server says."""

from __future__ import annotations

import copy
import ctypes
import pickle
import sys
import traceback
import types

import numpy
import pytest
from easycluster import Refused, define_common
from easycluster._pickling import policy, unpickler

REMOTE = 'attribute_definitions'
DEFINITIONS = '''
import types
import easycluster
called = []
class Plain(object):
    pass
class Number(int):
    pass
class Willing(object):
    __easycluster_untrusted_state__ = True
class Answers(object):
    def __eq__(self, other):
        called.append(self)
        return True
    __hash__ = None
class Stays(easycluster.ServerObject):
    def __getattr__(self, name):
        if name in found:
            return found[name]
        raise AttributeError(name)
class Array(object):
    def __array__(self, *args, **keywords):
        import numpy
        return numpy.arange(3)
    __array_interface__ = {'shape': (3,), 'typestr': '|u1', 'data': (1, True), 'version': 3}
found = {}
def told(kind, **attributes):
    made = types.SimpleNamespace() if kind == 'SimpleNamespace' else ValueError(1) if kind == 'ValueError' else globals()[kind]()
    vars(made).update(attributes)
    return made
def call(*args):
    called.append(args)
'''  # fmt: skip
KINDS = ['Plain', 'Number', 'Willing', 'SimpleNamespace', 'ValueError']
MEMORY = ['__array_interface__', '__array_struct__', '__cuda_array_interface__', '_as_parameter_']
# A notebook shows what these give, and runs the scripts in it.
SHOWN = ['_repr_html_', '_repr_mimebundle_', '_ipython_display_', '_render_traceback_']

define_common(DEFINITIONS, name=REMOTE)


@pytest.fixture
def client(connect):
    client = connect(rpython=sys.executable, definitions=REMOTE)
    client.execblock(DEFINITIONS)
    return client


@pytest.mark.parametrize('kind', KINDS)
def test_no_value_says_where_its_memory_is(client, kind):
    secret = ctypes.create_string_buffer(b'a secret of the client')
    for name in MEMORY + SHOWN:
        told = {'shape': (len(secret),), 'typestr': '|u1', 'data': (ctypes.addressof(secret), True), 'version': 3}
        with pytest.raises(Refused, match=name):
            client.eval('told(%r, %s=%r)' % (kind, name, told))
    assert client.eval('told(%r, interface=1).interface' % kind) == 1


def test_no_proxy_does_so(client):
    secret = ctypes.create_string_buffer(b'a secret of the client')
    told = {'shape': (len(secret),), 'typestr': '|u1', 'data': (ctypes.addressof(secret), True), 'version': 3}
    client.eval('found.update(%r)' % dict.fromkeys(MEMORY + SHOWN, told))
    proxy = client.eval('Stays()')
    for name in MEMORY + SHOWN:
        assert not hasattr(proxy, name)
    client.execblock(
        'class Listed(easycluster.ServerObject):\n    export_attrs = %r\n    export_methods = %r' % (SHOWN, MEMORY)
    )
    listed = client.eval('Listed()')
    assert not any(hasattr(listed, name) for name in MEMORY + SHOWN)
    assert b'secret' not in numpy.asarray(proxy).tobytes()
    with pytest.raises(ctypes.ArgumentError):
        ctypes.pythonapi.PyLong_AsLong(proxy)


def test_an_array_that_stays_there_comes_as_a_copy(client):
    # Where it is in memory says nothing here.
    proxy = client.eval('Array()', keep=True)
    assert numpy.asarray(proxy).tolist() == [0, 1, 2]


MADE = {
    'Plain': b'cattribute_definitions\nPlain\n)\x81',
    'SimpleNamespace': b'ctypes\nSimpleNamespace\n)R',
    'ValueError': b'cbuiltins\nValueError\n)R',
    'AttributeError': b'cbuiltins\nAttributeError\n)R',
    'ImportError': b'cbuiltins\nImportError\n)R',
}


def unpickled(kind, **attributes):
    """A value whose attributes are what stands at these pickled names."""
    state = b''.join(b'X%c\0\0\0%s%s' % (len(name), name.encode(), value) for name, value in attributes.items())
    data = b'\x80\x02' + MADE[kind] + b'}(' + state + b'ub.'
    return unpickler.unpickle_scanned(data, policy.Policy((), [REMOTE]), lambda pid: None)


def test_what_an_attribute_was_looked_for_in_is_not_asked_when_that_is_printed(monkeypatch, capsys):
    here = vars(sys.modules[REMOTE])
    monkeypatch.setattr(here['Plain'], '__dir__', lambda self: here['called'].append(self) or ['named'], raising=False)
    error = unpickled('AttributeError', name=b'X\5\0\0\0names', obj=MADE['Plain'])
    assert 'AttributeError' in ''.join(traceback.format_exception(type(error), error, None))
    # Before 3.12, Python itself does so alone.
    sys.__excepthook__(type(error), error, None)
    assert 'AttributeError' in capsys.readouterr().err
    assert here['called'] == []


def test_no_module_is_imported_when_an_import_error_is_printed(tmp_path, monkeypatch, capsys):
    (tmp_path / 'named_by_a_server.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    error = unpickled('ImportError', name=b'X\x11\0\0\0named_by_a_server', name_from=b'X\5\0\0\0other')
    assert error.name == 'named_by_a_server' and getattr(error, 'name_from', None) is None
    traceback.format_exception(type(error), error, None)
    sys.__excepthook__(type(error), error, None)
    assert 'ImportError' in capsys.readouterr().err and 'named_by_a_server' not in sys.modules


def test_a_syntax_error_marks_no_more_than_there_is():
    told = SyntaxError(
        'wrong', ('file', 1, 3, 'some text', 1, 10**7) if sys.version_info >= (3, 10) else ('file', 1, 3, 'some text')
    )
    received = unpickler.unpickle_scanned(pickle.dumps(told, 2), policy.Policy((), [REMOTE]), lambda pid: None)
    assert len(''.join(traceback.format_exception(type(received), received, None))) < 1000
    assert received.offset == 3 and received.text == 'some text' and getattr(received, 'end_offset', 10) == 10
    told.offset = 10**7
    received = unpickler.unpickle_scanned(pickle.dumps(told, 2), policy.Policy((), [REMOTE]), lambda pid: None)
    assert len(''.join(traceback.format_exception(type(received), received, None))) < 1000


@pytest.mark.parametrize('kind', list(MADE))
def test_nothing_is_called_that_a_server_has_put_into_a_value(kind):
    here = vars(sys.modules[REMOTE])
    call = b'cattribute_definitions\ncall\n'
    for name in ('__deepcopy__', '__reduce_ex__', '__array__', '__getstate__', '__class__'):
        with pytest.raises(Refused, match=name):
            unpickled(kind, **{name: call})
    described = unpickled(kind, __doc__=b'K\1', __orig_class__=b'cattribute_definitions\nPlain\n', function=call)
    held = vars(copy.deepcopy(described))
    assert held == {'__doc__': 1, '__orig_class__': here['Plain'], 'function': here['call']}
    assert here['called'] == []


def test_a_key_is_compared_by_nothing_that_a_server_has_put_into_it(client):
    network = "__import__('ipaddress').ip_network('0.0.0.5/32')"
    with pytest.raises(Refused, match='network_address'):
        client.eval('{%s: 1, told("Number", network_address=Answers()): 2}' % network)
    number = client.eval('told("Number", network_address="10.0.0.1", owner=Answers())')
    assert number.network_address == '10.0.0.1' and type(number.owner).__name__ == 'Answers'
    assert vars(sys.modules[REMOTE])['called'] == []


def test_attributes_of_plain_instances_are_what_they_were(client):
    held = client.eval('told("Plain", network=Plain(), version=Plain(), numerator=Plain(), items=call)')
    assert {name: type(value).__name__ for name, value in vars(held).items()} == {
        'network': 'Plain',
        'version': 'Plain',
        'numerator': 'Plain',
        'items': 'function',
    }
    assert client.eval('told("SimpleNamespace", version=Plain())').version.__class__.__name__ == 'Plain'
    assert isinstance(held.items, types.FunctionType)
