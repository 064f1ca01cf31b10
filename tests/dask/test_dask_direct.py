"""Dask whose workers reach each other by TLS, on three machines with addresses of their own, and who is kept out."""

from __future__ import annotations

import datetime
import ssl

import pytest
from support.network import run_beside
from support.wheels import bare_python, requirements

pytest.importorskip('distributed')
from easycluster.dask.keys import security_of_this_run

# What all programs begin with: `specs` of machines that have this program's Dask, and what of a machine is looked at from the
# program's own. A worker whose packages have just been brought there compiles them all, which is tried once for each kind of traffic.
COMMON = '''
import asyncio, os, subprocess, sys, threading, warnings
import distributed
import easycluster
from support.network import left_in_tmp
from support.processes import poll

machines = sys.stdin.read().split()
specs = [machine + ':rpython=' + sys.executable for machine in machines]
MACHINES = ('m1', 'm2', 'm3')

def at(machine, *words):
    done = subprocess.run(['ip', 'netns', 'exec', machine, *words], capture_output=True, text=True, timeout=60)
    return done.stdout

def listeners(machine):
    """Where it listens, on its loopback left out."""
    text = at(machine, 'ss', '-ltnH') if machine else subprocess.run(['ss', '-ltnH'], capture_output=True, text=True).stdout
    return {line.split()[3] for line in text.splitlines() if not line.split()[3].startswith(('127.0.0.1:', '[::1]:'))}
'''

WORK = (
    COMMON
    + '''
import intruder
from support import dask_work

# Tells how keys lie there while Dask hands them to OpenSSL.
SEES = """
import os, ssl, stat
# It may be run more than once.
seen = ssl.seen_here = getattr(ssl, 'seen_here', [])
real = ssl.real_here = getattr(ssl, 'real_here', ssl.SSLContext.load_cert_chain)
def load(self, certificate, key=None, password=None):
    folder = os.path.dirname(key)
    seen.append((folder, stat.S_IMODE(os.stat(folder).st_mode), os.stat(folder).st_uid == os.getuid()))
    return real(self, certificate, key, password)
ssl.SSLContext.load_cert_chain = load
"""

def seen():
    import ssl
    return ssl.seen_here

def keys():
    """Where a private key can be read there: in files, arguments or environments of processes."""
    import glob
    found = []
    for place in glob.glob('/tmp/easycluster-worker-*/**', recursive=True) + glob.glob('/tmp/*') + glob.glob(
            '/proc/[0-9]*/cmdline') + glob.glob('/proc/[0-9]*/environ'):
        try:
            with open(place, 'rb') as file:
                if b'PRIVATE' + b' KEY' in file.read(1 << 20):
                    found.append(place)
        except EnvironmentError:
            pass
    return found

before = {machine: listeners(machine) for machine in ('', *MACHINES)}
with easycluster.Cluster(specs, output=None) as cluster:
    client = cluster.dask(threads=1, traffic='direct', preload=[SEES])
    workers = lambda: client.scheduler_info(n_workers=-1)['workers']
    addresses = sorted(workers())
    assert [each.rpartition(':')[0] for each in addresses] == ['tls://10.77.0.%d' % n for n in (1, 2, 3)], addresses
    # What listens is known to the right keys alone.
    open_there = {address for machine in before for address in listeners(machine) - before[machine]}
    scheduler = client.cluster.scheduler.listeners[-1].contact_address
    assert {'tls://' + each for each in open_there} == {scheduler, *addresses}, (open_there, scheduler, addresses)
    for address in open_there:
        intruder.try_all(address, client.cluster.security)
    assert intruder.is_kept_out(scheduler)
    assert sorted(workers()) == addresses
    # Keys.
    told = [each for some in client.run(seen).values() for each in some]
    assert len(told) >= 3
    assert all(mode == 0o700 and own and '/easycluster-worker-' in folder for folder, mode, own in told), told
    assert not any(cluster.call(keys).values()), cluster.call(keys)
    dask_work.group_and_shuffle('2024-01-08')
    # More workers as there is work.
    dask_work.adapts(client, 4, lambda: poll(lambda: len(workers()) > 3, 60))
    # A worker is killed, and comes again.
    dask_work.survives(client, 60, lambda: dask_work.kill_a_worker(client))
    # The link to a machine is killed: its workers end, though they would still reach the scheduler.
    kill = 'kill -9 $(ps -o ppid= -p $PPID)'
    dask_work.survives(client, 60, lambda: cluster['*77.0.2*'].command(kill, return_exceptions=True))
    assert poll(lambda: not any('10.77.0.2:' in each for each in workers()), 60)
    assert poll(lambda: listeners('m2') == before['m2'], 60)
    client.close()
    assert len(cluster.eval('1')) == 2
for machine in before:
    assert poll(lambda: listeners(machine) == before[machine], 60), machine
with easycluster.Cluster(specs, output=None) as cluster:
    left = lambda: left_in_tmp(cluster)
    assert poll(lambda: not any(left().values()), 60), left()
print('all is well')
'''
)

ENDS = (
    COMMON
    + '''
before = {machine: listeners(machine) for machine in ('', *MACHINES)}
without_dask = [machine + ':rpython=' + sys.argv[1] for machine in machines]

def clean():
    with easycluster.Cluster(specs, output=None) as cluster:
        left = lambda: left_in_tmp(cluster)
        assert poll(lambda: not any(left().values()), 60), left()
    for machine in before:
        assert poll(lambda: listeners(machine) == before[machine], 60), machine

# The program ends by force: so do the workers, and nothing of them and of their packages stays.
program = '''
    + repr('''
import easycluster, sys, threading
with easycluster.Cluster(sys.argv[3:], output=None) as cluster:
    client = cluster.dask(environment=easycluster.Environment(sys.argv[1:3]), traffic='direct', threads=1, dashboard=False)
    print('up', flush=True)
    threading.Event().wait()
''')
    + '''
master = subprocess.Popen([sys.executable, '-c', program, *sys.argv[2:], *without_dask], stdout=subprocess.PIPE)
assert master.stdout.read(2) == b'up'
assert all(listeners(machine) - before[machine] for machine in before)
master.kill()
master.wait()
clean()

# One machine does not reach another.
subprocess.run(['ip', '-n', 'm1', 'route', 'add', 'unreachable', '10.77.0.2/32'], check=True)
with easycluster.Cluster(specs, output=None) as cluster:
    try:
        cluster.dask(traffic='direct')
    except RuntimeError as error:
        said = str(error)
    # And with traffic='auto' all goes over the connections.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with cluster.dask(traffic='auto', threads=1, dashboard=False) as client:
            assert client.submit(pow, 2, 10).result() == 1024
            assert all(each.startswith('ec://') for each in client.scheduler_info(n_workers=-1)['workers'])
one, two = (spec.partition(':')[0] for spec in specs[:2])
assert '%s from %s: ' % (two, one) in said and "traffic='session'" in said, said
assert said.count(' from ') in (1, 2), said
subprocess.run(['ip', '-n', 'm1', 'route', 'del', 'unreachable', '10.77.0.2/32'], check=True)
clean()

# A host that joins when all is up is tried too, and gets a worker.
subprocess.run(['ip', '-n', 'm3', 'link', 'set', 'eth0', 'down'], check=True)
with easycluster.Cluster(specs, output=None, quorum=2, deadline=3, retries=20) as cluster:
    assert len(cluster) == 2
    with cluster.dask(traffic='direct', threads=1, dashboard=False) as client:
        subprocess.run(['ip', '-n', 'm3', 'link', 'set', 'eth0', 'up'], check=True)
        assert poll(lambda: len(cluster) == 3, 60), cluster.report
        client.cluster.scale(3)
        client.wait_for_workers(3, timeout=60)
        assert any('10.77.0.3:' in each for each in client.scheduler_info(n_workers=-1)['workers'])
        assert client.submit(pow, 2, 10).result() == 1024
clean()
print('all is well')
'''
)

INTRUDER = '''
import asyncio, socket, ssl, tempfile, os
import distributed
from distributed.comm import connect
from easycluster.dask.keys import security_of_this_run

OTHER = security_of_this_run()

def alert(data):
    """Whether what came is nothing, or an alert of TLS."""
    return not data or data[:2] == b'\\x15\\x03'

def plain(host, port):
    with socket.create_connection((host, port), 20) as end:
        end.settimeout(30)
        try:
            # A message of Dask's, as its plain comms have it.
            end.sendall((8).to_bytes(8, 'little') + bytes(64))
            data = end.recv(4096)
        except ConnectionError:
            data = b''
    assert alert(data), data

def stranger(host, port, certificate):
    """Takes any certificate, and shows another or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        with tempfile.NamedTemporaryFile('w') as file:
            file.write(OTHER.tls_worker_key + OTHER.tls_worker_cert)
            file.flush()
            context.load_cert_chain(file.name)
    try:
        with context.wrap_socket(socket.create_connection((host, port), 20)) as end:
            end.settimeout(30)
            data = end.recv(4096)
    except (ssl.SSLError, ConnectionError):
        return
    assert data == b'', data

async def by_dask(address, security, seconds=60):
    arguments = {} if security is None else security.get_connection_args('worker')
    comm = await connect(address, timeout=seconds, **arguments)
    await comm.close()

def refused(address, security):
    try:
        # It tries again and again.
        asyncio.run(by_dask(address, security, 1))
    except (OSError, distributed.comm.core.CommClosedError):
        return True
    return False

def try_all(address, security):
    """Speaks to a listener in every wrong way, and in the right one."""
    host, port = address.rsplit(':', 1)
    plain(host, int(port))
    stranger(host, int(port), True)
    stranger(host, int(port), False)
    assert refused('tcp://' + address, None)
    assert refused('tls://' + address, OTHER)
    asyncio.run(by_dask('tls://' + address, security))

async def worker(scheduler):
    async with distributed.Worker(scheduler, security=OTHER, nthreads=1, host='10.77.0.254',
                                  dashboard_address='127.0.0.1:0', death_timeout=10):
        pass

def is_kept_out(scheduler):
    """Whether a worker with keys of another run is."""
    try:
        asyncio.run(asyncio.wait_for(worker(scheduler), 60))
    except Exception as error:
        return True
    return False
'''


def test_three_machines_that_reach_each_other(tmp_path):
    (tmp_path / 'intruder.py').write_text(INTRUDER)
    said = run_beside(
        3, 'import sys; sys.path.insert(0, %r)\n' % str(tmp_path) + WORK, TMPDIR=str(tmp_path), timeout=280
    )
    assert 'all is well' in said


@pytest.mark.xdist_group('wheels')
def test_what_ends_it_and_what_keeps_it_from_beginning(tmp_path, wheels):
    said = run_beside(
        3, ENDS, bare_python(), *requirements(('dask', 'distributed')), TMPDIR=str(tmp_path), timeout=280, **wheels
    )
    assert 'all is well' in said


def test_the_certificate_is_valid_whatever_the_clocks_say():
    security = security_of_this_run()
    assert security.tls_worker_key != security_of_this_run().tls_worker_key
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(security.tls_worker_cert.encode())
    now = datetime.datetime.now(datetime.timezone.utc)
    assert certificate.not_valid_before_utc < now - datetime.timedelta(days=365 * 50)
    assert certificate.not_valid_after_utc > now + datetime.timedelta(days=365 * 50)
    assert security.get_listen_args('worker')['ssl_context'].verify_mode == ssl.CERT_REQUIRED
