"""Connection specs from Python: what they may be, what errors say, and the parsed spec as one object."""

import os

import easycluster
import pytest
from easycluster import Client, _native

PIN = 'SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKZIDTMczCvj3tD2s'


def test_a_bare_host_says_what_it_lacks():
    with pytest.raises(ValueError) as raised:
        Client.from_spec('web1')
    assert str(raised.value) == (
        'no key for the standalone server on web1: add user@ or ssh=yes for SSH, or give a key (kf=FILE in a spec)'
    )


def test_this_machine_needs_no_key():
    with Client.from_spec(':local:name=here') as client:
        assert client.eval('6 * 7') == 42
        assert client.peername == 'here'
    with Client(**easycluster.parse_connection_spec(':local')) as client:
        assert client.eval('6 * 7') == 42
        assert client.peername.startswith('local:')
        client.reconnect()
        assert client.eval('6 * 7') == 42


def test_an_interpreter_has_arguments():
    with Client.from_spec(':local:rpython=python3 -S -X utf8') as client:
        assert client.eval('(__import__("sys").flags.no_site, __import__("sys").flags.utf8_mode)') == (1, 1)


def test_a_url_is_a_spec():
    params = easycluster.parse_connection_spec('ssh://deploy@web1:2222/')
    assert (params['host'], params['port'], params['user'], params['ssh']) == ('web1', 2222, 'deploy', True)


def test_a_slip_is_answered_with_the_name():
    with pytest.raises(ValueError, match='did you mean "rpython"'):
        easycluster.parse_connection_spec('u@h:rpyton=python3')
    with pytest.raises(ValueError, match='follows the host directly'):
        easycluster.parse_connection_spec('u@h:port=22')


def test_fingerprints_are_a_parameter():
    params = easycluster.parse_connection_spec('u@h:hostkey=%s,%s' % (PIN, PIN))
    assert params['hostkey'] == '%s,%s' % (PIN, PIN)


def test_a_spec_takes_the_keywords_of_a_client():
    spec = _native.Spec.for_host('fe80::1%eth0', 22)
    for keyword, value, text in (
        ('user', 'deploy', None),
        ('ssh', True, 'ssh=yes'),
        ('ssh', 'ssh', 'ssh=yes'),
        ('ssh', '/usr/bin/ssh', 'ssh=/usr/bin/ssh'),
        ('enable_compression', False, 'compress=no'),
        ('extra_args', ['-o', 'SetEnv A="b c"'], "extra=-o 'SetEnv A=\"b c\"'"),
        ('timeout', 1.5, 'timeout=1.5'),
        ('timeout', 3, 'timeout=3'),
        ('identity', os.path.join('~', 'we${ird}'), 'identity=~/we${ird}'),
        ('hostkey', [PIN, PIN], 'hostkey=%s,%s' % (PIN, PIN)),
        ('jump', 'a@gate:22', 'jump=a@gate\\:22'),
        ('ahead', 2, 'ahead=2'),
        ('max_result', 3 << 20, 'max_result=3M'),
        ('max_result', '7K', 'max_result=7K'),
        ('name', None, None),
    ):
        changed = spec.with_option(keyword, value)
        assert text is None or str(changed).endswith(':' + text), (keyword, value, str(changed))
    assert str(spec) == '[fe80::1%eth0]:22'
    assert str(spec.with_option('user', 'u').with_option('key', b'k' * 32)) == 'u@[fe80::1%eth0]:22'


def test_a_path_need_not_be_text():
    name = os.fsdecode(b'/keys/\xff')
    spec = _native.Spec.for_host('u@h').with_option('identity', name)
    assert os.fsencode(spec.parameters()['identity']) == b'/keys/\xff'


@pytest.mark.parametrize(
    ('keyword', 'value', 'kind'),
    (
        ('timeout', float('inf'), ValueError),
        ('timeout', -1, ValueError),
        ('hostkey', 'maybe', ValueError),
        ('user', '-oProxyCommand=x', ValueError),
        ('identity', object(), TypeError),
        ('key', 'text', TypeError),
        ('colour', 1, TypeError),
    ),
)
def test_a_wrong_keyword_is_named(keyword, value, kind):
    with pytest.raises(kind) as raised:
        _native.Spec.for_host('u@h').with_option(keyword, value)
    assert keyword in str(raised.value)


def test_the_object_is_what_the_text_said():
    text = 'u@h:2222:key=geheim:compress=yes:rpython=python3 -S:allow=a.b,c.*:own=1'
    spec = _native.Spec.parse(text, ['own'])
    assert spec.key_in_spec and spec.has_key and spec.custom == {'own': '1'}
    assert (spec.host, spec.port, spec.transport, spec.label) == ('h', 2222, 'ssh', 'u@h:2222')
    assert spec.parameters() == {
        'host': 'h', 'port': 2222, 'user': 'u', 'key': easycluster.decode_key('geheim'), 'enable_compression': True,
        'rpython': 'python3 -S', 'allow': ['a.b', 'c.*'],
    }  # fmt: skip
    assert 'geheim' not in str(spec) + repr(spec)


def test_a_connection_opens_by_the_object(sshd):
    native = _native.open(_native.Spec.parse(sshd.spec()), 'easycluster.remote_code', 2)
    assert native.wait_ready()['pid']
    native.close()
