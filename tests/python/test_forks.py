"""What a program forks does not keep the program's connections: the other side sees the program's end, whoever lives on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap

import pytest
from easycluster import ConnectionLost
from support.processes import poll, runs

PROGRAM = """
import multiprocessing, os, sys, warnings
warnings.simplefilter('ignore')
from easycluster import Client

def idle():
    # Ends when the test does: its own input is a pipe of the test's.
    sys.stdin.buffer.raw.read(1)

client = Client.from_spec(sys.argv[1])
remote = client.os.getpid()
if sys.argv[2] == 'fork':
    if not os.fork():
        idle()
        os._exit(0)
else:
    multiprocessing.get_context('fork').Process(target=os.read, args=(int(sys.argv[3]), 1)).start()
assert client.eval('1') == 1
print(remote, flush=True)
client.time.sleep(600)
"""


@pytest.fixture
def specs(sshd, tmp_path):
    """A spec for each way to a remote Python, by what keeps it: a socket, a child's pipes, a proxy's pipes."""
    python = 'rpython=%s' % sys.executable
    by_ssh = tmp_path / 'ssh'
    by_ssh.write_text('#!/bin/sh\nexec %s "$@"\n' % shlex.join(sshd.ssh()[:-1]))
    by_ssh.chmod(0o755)
    proxied = tmp_path / 'config'
    program, *options = sshd.ssh()
    forward = shlex.join([program, '-W', '127.0.0.1:%d' % sshd.port, *options])
    proxied.write_text('Host *\n  ProxyCommand %s\n' % forward)
    return {
        'local': ':local:%s' % python,
        'ssh': sshd.spec(python),
        'openssh': '%s@127.0.0.1:%d:ssh=%s:%s' % (sshd.user, sshd.port, by_ssh, python),
        'proxy': sshd.spec(python).replace('config=none', 'config=%s' % proxied),
    }


@pytest.mark.parametrize('child', ['fork', 'multiprocessing'])
@pytest.mark.parametrize('way', ['local', 'ssh', 'openssh', 'proxy'])
def test_the_other_side_ends_with_the_program_and_not_with_its_children(specs, way, child):
    ours, theirs = os.pipe()
    arguments = [sys.executable, '-c', PROGRAM, specs[way], child, str(ours)]
    with subprocess.Popen(arguments, stdin=ours, stdout=subprocess.PIPE, text=True, pass_fds=[ours]) as program:
        os.close(ours)
        try:
            remote = int(program.stdout.readline())
            assert runs(remote)
            program.kill()
            assert poll(lambda: not runs(remote)), 'the remote Python outlived the program that used it'
        finally:
            program.kill()
            os.close(theirs)


@pytest.mark.parametrize('closed', [[0], [1], [2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize('way', ['local', 'ssh'])
def test_no_connection_takes_the_number_of_a_closed_standard_stream(specs, tmp_path, way, closed):
    text = tmp_path / 'result'
    program = textwrap.dedent(
        """
        import os, sys
        for number in %r:
            os.close(number)
        from easycluster import Client
        client = Client.from_spec(sys.argv[1])
        assert client.eval('6 * 7') == 42
        client.execblock('print("lost")')
        kinds = [os.readlink('/proc/self/fd/%%d' %% number) for number in %r]
        # Code in C prints there whatever it likes.
        os.system('echo noise; echo noise >&2')
        assert client.eval('[1] * 100000') == [1] * 100000
        open(sys.argv[2], 'w').write(repr(kinds))
        """
        % (closed, closed)
    )
    subprocess.run([sys.executable, '-c', program, specs[way], str(text)], timeout=60, stdin=subprocess.DEVNULL)
    assert text.read_text() == repr(['/dev/null'] * len(closed))


AMID_CONNECTING = """
import os, resource, socket, threading
from easycluster import Client, ConnectError

silent = socket.create_server(('127.0.0.1', 0), backlog=100)

def connect(user, limit):
    try:
        Client.from_spec('%s@127.0.0.1:%d:ssh=yes:config=none:batch=yes:timeout=%d' % (user, silent.getsockname()[1], limit))
    except ConnectError as error:
        return error

for number in range(20):
    threading.Thread(target=connect, args=('user%d' % number, 100), daemon=True).start()
accepted = [silent.accept() for number in range(20)]
if not os.fork():
    # For one connection, and not for the twenty of the parent.
    used = len(os.listdir('/dev/fd'))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(connect('child', 2), flush=True)
    os._exit(0)
os.wait()
os._exit(0)
"""


def test_a_child_does_not_count_the_connections_that_its_parent_was_making():
    program = [sys.executable, '-W', 'ignore', '-c', AMID_CONNECTING]
    said = subprocess.run(program, timeout=60, stdout=subprocess.PIPE, text=True).stdout
    # The server says nothing, but it was connected to.
    assert 'no answer within 2 s' in said


FORKING = """
import os
def fork_and_tell():
    if not os.fork():
        os.read(os.open(%r, os.O_RDONLY), 1)
        os._exit(0)
    return os.getpid()
"""


@pytest.mark.parametrize('way', ['local', 'ssh'])
def test_a_remote_python_that_is_killed_is_lost_though_a_child_of_it_lives_on(connect, tmp_path, way):
    # The child waits at a named pipe until the test opens it.
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    client = connect(way, output=None)
    client.execblock(FORKING % str(pipe))
    remote = client.fork_and_tell()
    begun = client.call('time.sleep', 600, nonblocking=True)
    os.kill(remote, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match='KILL'):
        begun.wait(timeout=60)
    # Does not wait for a reader: the child may have been ended with the connection.
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
