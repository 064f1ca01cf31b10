"""What exceptions tell: which call, which host, where it stood; and what a name on the server is not."""

from __future__ import annotations

import asyncio
import builtins
import copy
import os
import pickle
import subprocess
import sys
import time
import traceback

import pytest
from easycluster import (
    AsyncClient,
    CallTimeout,
    Client,
    RemoteException,
    ThreadedClient,
    call_method_multi,
    call_multi,
    define_common,
    eval_multi,
    execblock_multi,
)

CODE = '''
import time
def nap_there(seconds):
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.01)
def inner_fault(text):
    raise KeyError(text)
def outer_fault(text):
    inner_fault(text)
def may_fail(numbers):
    import os
    if os.getpid() in numbers:
        raise ValueError('unlucky %d' % os.getpid())
    return 'fine'
'''


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_a_time_limit_tells_the_call_the_host_and_the_place(connect, kind):
    client = connect(clientclass=kind, output=None)
    client.execblock(CODE)
    calls = (
        lambda: client.nap_there(60, call_timeout=0.2, origexc='quiet'),
        lambda: client.nap_there(60, call_timeout=0.2, nonblocking=True, origexc='quiet').wait(),
    )
    for call in calls:
        with pytest.raises(CallTimeout) as raised:
            call()
        text = str(raised.value)
        assert text.startswith('%s: nap_there() gave no result within 0.2 s; it stood at File ' % client.peername)
        assert text.endswith('in nap_there')
    with pytest.raises(CallTimeout, match=r"eval of 'nap_there\(61\)' gave no result within 0.25 s"):
        client.eval('nap_there(61)', call_timeout=0.25, origexc='quiet')
    failed = []
    client.nap_there(62, call_timeout=0.25, oncomplete=failed.append)
    if kind is Client:
        client.read_response()
    deadline = time.monotonic() + 60
    while not failed:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 'nap_there() gave no result within 0.25 s' in str(failed[0].orig)


def test_an_exception_has_the_host_and_the_remote_traceback(connect, capsys):
    client = connect()
    client.execblock(CODE)
    with pytest.raises(KeyError) as raised:
        client.outer_fault('gone')
    error = raised.value
    assert error.args == ('gone',)
    assert 'in inner_fault' in str(error.__cause__) and 'in outer_fault' in str(error.__cause__)
    shown = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    assert shown.index('in inner_fault') < shown.rindex('KeyError')
    if sys.version_info >= (3, 11):
        assert error.__notes__ == ['on %s' % client.peername]
    capsys.readouterr()


@pytest.mark.parametrize('name, origexc', [('outer_fault', False), ('ending', True)])
def test_a_remote_exception_as_such_has_the_host_and_the_remote_traceback_too(connect, name, origexc, capsys):
    client = connect()
    client.execblock(CODE + 'def ending(text):\n    raise SystemExit(text)\n')
    with pytest.raises(RemoteException) as raised:
        client.call(name, 'gone', origexc=origexc)
    error = raised.value
    shown = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    assert 'in ' + name in shown and {'outer_fault': 'KeyError', 'ending': 'SystemExit'}[name] in shown
    if sys.version_info >= (3, 11):
        assert error.__notes__ == ['on %s' % client.peername]
    capsys.readouterr()


def test_failures_on_many_hosts_are_all_told(connect):
    clients = [connect(output=None) for _ in range(3)]
    execblock_multi(clients, CODE)
    pids = eval_multi(clients, '__import__("os").getpid()')
    unlucky = [pids[0], pids[2]]
    values = call_multi(clients, 'may_fail', unlucky, return_exceptions=True)
    assert values[1] == 'fine'
    assert [str(values[place]) for place in (0, 2)] == ['unlucky %d' % pid for pid in unlucky]
    with pytest.raises(ValueError, match='unlucky %d' % pids[0]) as raised:
        call_multi(clients, 'may_fail', unlucky)
    told = 'failed on 2 of 3: %s, %s' % (clients[0].peername, clients[2].peername)
    if sys.version_info >= (3, 11):
        assert told in raised.value.__notes__
        with pytest.raises(builtins.ExceptionGroup) as group:
            call_multi(clients, 'may_fail', unlucky, return_exceptions='group')
        assert group.value.message == told
        assert [str(error) for error in group.value.exceptions] == ['unlucky %d' % pid for pid in unlucky]
    with pytest.raises(ValueError, match='return_exceptions'):
        call_multi(clients, 'may_fail', unlucky, return_exceptions='all')
    for values in (
        eval_multi(clients, 'may_fail(%r)' % unlucky, return_exceptions=True),
        execblock_multi(clients, 'exec_return(may_fail(%r))' % unlucky, return_exceptions=True),
        call_method_multi([client.get_root() for client in clients], 'get_global', 'absent', return_exceptions=True),
    ):
        assert isinstance(values[0], Exception) and isinstance(values[2], Exception)


def test_a_name_on_the_server_is_no_value_of_it(client):
    platform = client.sys.platform
    for use in (
        lambda: '{}'.format(platform),
        lambda: f'{platform}',
        lambda: platform == 'linux',
        lambda: platform != 'linux',
        lambda: 'linux' == platform,
        lambda: bool(client.sys.flags.debug),
        lambda: not platform,
        lambda: '%s' % platform,
        lambda: str(platform),
        lambda: platform < 'm',
        lambda: 'system: ' + platform,
        lambda: platform + 1,
        lambda: client.sys.maxsize // 2,
        lambda: -client.sys.maxsize,
        lambda: int(client.sys.maxsize),
        lambda: [1, 2][client.sys.dont_write_bytecode],
        lambda: list(client.sys.path),
        lambda: len(client.sys.path),
        lambda: '/' in client.sys.path,
        lambda: client.sys.path[0],
        lambda: client.sys.modules.__setitem__('a', 1),
        lambda: next(client.sys.path),
        lambda: open(client.sys.executable),
        lambda: os.path.join(client.sys.prefix, 'bin'),
        lambda: copy.deepcopy(client.sys.path),
        lambda: pickle.dumps(client.sys.path),
        lambda: client.len(client.sys.path),
        lambda: client.len([client.sys.path]),
    ):
        with pytest.raises(TypeError, match=r'its value is client\.sys\.[a-z._]+\.value'):
            use()
    assert client.sys.platform.value == sys.platform
    assert {platform: 1}[platform] == 1 and repr(platform).startswith('<global sys.platform')


@pytest.mark.parametrize('given, told', [
    (7, "such as 'os.getcwd', and not a int"), (len, 'run\\(\\) takes a function'), (None, 'and not a NoneType'),
])  # fmt: skip
def test_what_is_called_has_a_name(client, given, told):
    with pytest.raises(TypeError, match='call\\(\\) takes the name of a function there.*' + told):
        client.call(given, 1)


@pytest.mark.parametrize('spec', [7, None, b':local', [':local']])
def test_a_spec_is_text(spec):
    with pytest.raises(
        TypeError, match="a connection spec is text, such as user@host, and not '%s'" % type(spec).__name__
    ):
        Client.from_spec(spec)


def test_a_spec_of_several_hosts_names_what_takes_them():
    for spec in ('web[1-3]', 'u@web[1-3]', 'u@a,u@b', 'a,b'):
        with pytest.raises(ValueError, match=r'not one host: .*hosts\(\) of the Python package'):
            Client.from_spec(spec)


def test_an_awaited_client(sshd):
    async def main():
        client = await AsyncClient.open(sshd.spec('rpython=%s' % sys.executable))
        with pytest.raises(TypeError, match=r'await client\.get\("sys.platform"\)'):
            bool(client.sys.platform)
        await client.execblock(CODE)
        with pytest.raises(CallTimeout, match=r'nap_there\(\) gave no result within 0.2 s; it stood at'):
            await client.nap_there(60, call_timeout=0.2, origexc='quiet')
        assert await client.close() is None
        client.close()

    asyncio.run(main())


@pytest.mark.parametrize('kind', [Client, ThreadedClient])
def test_definitions_that_fail_are_the_reason_of_later_calls_too(connect, definitions, kind, capsys):
    code = 'import os\nif os.getpid() != %d:\n    raise LookupError("no such table")\n' % os.getpid()
    define_common(code, definitions)
    with pytest.raises(IOError, match='no such table'):
        client = connect(clientclass=kind, definitions=definitions)
        for _ in range(2):
            deadline = time.monotonic() + 60
            while client.connected:
                assert time.monotonic() < deadline
                try:
                    client.eval('1')
                except (IOError, LookupError):
                    pass
        try:
            client.eval('1')
        except IOError as error:
            assert str(error).startswith('Not connected: ') and isinstance(error.__cause__, RemoteException)
            raise
    capsys.readouterr()


def test_a_connection_that_was_closed_says_no_more_than_that(client):
    client.close()
    with pytest.raises(IOError) as raised:
        client.eval('1')
    assert raised.value.args == ('Not connected',)


def test_what_was_defined_after_connecting_is_told(connect, definitions, capsys):
    client = connect(definitions=definitions)
    define_common('def defined_late():\n    return 1\n', definitions)
    for call in (client.defined_late, lambda: client.eval('defined_late()')):
        with pytest.raises((AttributeError, NameError), match='defined_late') as raised:
            call()
        assert 'call update_definitions() to send it' in capsys.readouterr().err
        if sys.version_info >= (3, 11):
            assert 'update_definitions()' in raised.value.__notes__[-1]
    with pytest.raises(AttributeError):
        client.never_defined()
    assert 'update_definitions' not in capsys.readouterr().err
    client.update_definitions()
    assert client.defined_late() == 1


@pytest.mark.parametrize('kind', [Client, AsyncClient])
def test_a_keyword_that_there_is_not_names_the_one_that_is_meant(kind):
    for keyword, meant in [('hostkye', 'hostkey'), ('identitiy', 'identity'), ('alow', 'allow')]:
        with pytest.raises(
            TypeError, match=r"^%s\(\) got .* %r\. Did you mean %r\?$" % (kind.__name__, keyword, meant)
        ):
            kind.from_spec('me@web1', **{keyword: 'x'})
    with pytest.raises(TypeError, match=r" keyword argument 'colour'$"):
        kind.from_spec('me@web1', colour='red')


UNWRITTEN = '''
import os, sys
def closed():
    sys.stderr.close()
def full():
    sys.stderr = open('/dev/full', 'w', buffering=1)
def left():
    source, sink = os.pipe()
    os.close(source)
    sys.stderr = os.fdopen(sink, 'w', buffering=1)
def ascii():
    sys.stderr = open(os.devnull, 'w', encoding='ascii')
def none():
    sys.stderr = None
'''


@pytest.mark.parametrize('how', ['closed', 'full', 'left', 'ascii', 'none'])
def test_a_remote_exception_is_raised_where_stderr_takes_no_report_of_it(how, tmp_path):
    program = UNWRITTEN + (
        '%s()\n'
        'from easycluster import Client, ThreadedClient\n'
        'from easycluster.server import spawn_local\n'
        'for kind in (Client, ThreadedClient):\n'
        '    with spawn_local(kind) as client:\n'
        '        try:\n'
        '            client.execblock(\'raise KeyError(u"\\u20ac")\')\n'
        '        except KeyError:\n'
        '            print("KeyError", client.eval("1 + 1"), flush=True)\n' % how
    )
    (tmp_path / 'program.py').write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / 'program.py')], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert done.stdout == 'KeyError 2\nKeyError 2\n'


@pytest.mark.parametrize(
    'module, line, words',
    [
        ('distributed', 'Cluster([]).dask()', "distributed, which this Python does not have: pip install 'dask[distributed]'"),
        ('distributed', 'import easycluster.dask', "pip install 'dask[distributed]'"),
        ('joblib', 'Cluster([]).joblib()', 'joblib, which this Python does not have: pip install joblib cloudpickle'),
        ('cloudpickle', 'Cluster([]).joblib()', 'cluster.joblib() needs the package cloudpickle, which'),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_here_is_named_with_what_installs_it(module, line, words):
    code = 'import sys\nsys.modules[%r] = None\nfrom easycluster import Cluster\n%s\n' % (module, line)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1], done.stderr
