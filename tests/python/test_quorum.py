"""One run over many hosts of which each bad one is bad in its own way: the report is right, and none costs more than itself."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

import pytest
from easycluster import Cluster, ClusterError
from support.sshd import Sshd, make_key

GOOD = 20
# How long the host that hangs may take.
LIMIT = 10


@pytest.fixture(scope='module')
def server():
    with Sshd(addresses=10, max_sessions=100) as made:
        yield made
        made.wait_until_idle()


@contextlib.contextmanager
def relay(port, count):
    """Passes so many bytes of a server on, and then dies; nothing at all where `count` is 0, and never dies."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(20)
        held = []

        def serve():
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                held.append(accepted)
                if count:
                    with accepted, socket.create_connection(('127.0.0.1', port)) as behind:
                        accepted.sendall(accepted.recv(65536))
                        accepted.sendall(behind.recv(count))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in held:
            each.close()


def closed_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def test_each_bad_host_is_reported_and_costs_only_itself(server, tmp_path):
    def at(port, *options):
        return server.spec(*options).replace(':%d:' % server.port, ':%d:' % port, 1)

    wrong_key = make_key(tmp_path / 'wrong')
    good = ['good%02d' % n for n in range(GOOD)]
    python = 'rpython=' + sys.executable
    specs = [server.spec(python, 'name=' + name, address='127.0.0.%d' % (1 + n % 10)) for n, name in enumerate(good)]
    with relay(server.port, 0) as hanging, relay(server.port, 60) as dying:
        specs += [
            at(closed_port(), 'name=unreachable'),
            at(hanging, 'name=hanging', 'hostkey=off', 'timeout=%d' % LIMIT),
            at(dying, 'name=dying', 'hostkey=off'),
            server.spec('name=wrong').replace(str(server.key), str(wrong_key)),
            server.spec('name=pythonless', 'rpython=/nowhere/python'),
        ]
        with Cluster(specs, quorum='80%', retries=0, output=None) as cluster:
            report = cluster.report
            states = {host.host: host for host in report}
            assert [name for name in good if not states[name].connected] == []
            assert {host.host: host.error.stage for host in report.missing} == {
                'unreachable': 'connect',
                'hanging': 'key exchange',
                'dying': 'key exchange',
                'wrong': 'authentication',
                'pythonless': 'interpreter',
            }
            assert {host.attempts for host in report} == {1}
            # The one that hangs is given up at its limit, and nothing waits for longer than for the slowest.
            longest = max(host.seconds for host in report)
            assert LIMIT <= states['hanging'].seconds and report.seconds < longest + 5
            for name in ('unreachable', 'hanging', 'dying', 'wrong', 'pythonless'):
                assert '\n  %s' % name in str(report) and '<td>%s</td>' % name in report._repr_html_()
            assert cluster.call('abs', -1) == dict.fromkeys(good, 1)
            assert sum(cluster.map('abs', range(200))) == sum(range(200))
        with pytest.raises(ClusterError, match='failed on 5 of 25 hosts'):
            Cluster(specs, quorum='90%', retries=0, output=None)
