"""Packages that hosts lack: `run --with`, what is kept of them, `clean`, and environments of the package."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import ModuleType

import easycluster
import pytest
from support.parts import need
from support.processes import poll

METADATA = 'Metadata-Version: 2.1\nName: greeting\nVersion: %s\n'
WHEEL = 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: %s\n'
PROGRAM = (
    'import greeting, os, subprocess, sys; print(greeting.WORD, greeting.__file__); sys.stdout.flush(); '
    'subprocess.check_call([sys.executable, "-c", "import greeting; print(greeting.WORD)"])'
)


def wheel(folder: Path, version: str = '1.0', tag: str = 'py3-none-any') -> None:
    """Puts a package `greeting` into a folder."""
    info = 'greeting-%s.dist-info/' % version
    with zipfile.ZipFile(folder / ('greeting-%s-%s.whl' % (version, tag)), 'w') as made:
        made.writestr('greeting/__init__.py', 'WORD = "hello from %s"\n' % version)
        made.writestr(info + 'METADATA', METADATA % version)
        made.writestr(info + 'WHEEL', WHEEL % tag)
        made.writestr(info + 'RECORD', '')


@pytest.fixture(params=['pip', 'uv'])
def wheels(request, tmp_path, monkeypatch):
    """A folder of wheels, the only place that pip and uv look at, with one of them the only installer in PATH."""
    folder = tmp_path / 'wheels'
    folder.mkdir()
    programs = tmp_path / 'bin'
    programs.mkdir()
    if request.param == 'uv':
        beside = os.path.join(os.path.dirname(sys.executable), 'uv')
        uv = need('uv', shutil.which('uv') or (os.path.exists(beside) and beside))
        (programs / 'uv').symlink_to(uv)
        # Not this user's, so that nothing comes from there.
        monkeypatch.setenv('UV_CACHE_DIR', str(tmp_path / 'uv'))
        # That it is uv that is used, and not pip.
        monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path / 'nothing'))
    else:
        monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    (programs / 'python3').write_text('#!/bin/sh\nexec %s "$@"\n' % sys.executable)
    (programs / 'python3').chmod(0o755)
    monkeypatch.setenv('PATH', '%s:/usr/bin:/bin' % programs)
    for name, value in (('PIP_NO_INDEX', '1'), ('UV_NO_INDEX', '1'), ('UV_FIND_LINKS', str(folder))):
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def cache(tmp_path):
    """Where hosts keep packages."""
    return tmp_path / 'cache'


def program(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end."""
    command = [sys.executable, '-m', 'easycluster', *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def host(cache: Path) -> str:
    """A spec of this machine."""
    script = cache.parent / 'python-there'
    script.write_text('#!/bin/sh\nXDG_CACHE_HOME=%s exec %s "$@"\n' % (cache, sys.executable))
    script.chmod(0o755)
    return ':local:rpython=%s' % script


def test_a_program_finds_packages_that_the_host_lacks_and_they_are_gone_then(wheels, cache):
    wheel(wheels)
    done = program('run', host(cache), '--with', 'greeting', '-c', PROGRAM)
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace('| ', '').split()
    assert done.stdout.count('hello from 1.0') == 2, done.stdout
    place = Path(next(word for word in words if word.endswith('__init__.py')))
    assert not place.parent.parent.exists()
    assert not cache.exists()


def test_packages_of_a_file_of_requirements(wheels, cache, tmp_path):
    wheel(wheels)
    wheel(wheels, '2.0')
    requirements = tmp_path / 'requirements.txt'
    requirements.write_text('greeting==1.0\n')
    done = program('run', host(cache), '--with-requirements', requirements, '-c', PROGRAM)
    assert (done.returncode, done.stdout.count('hello from 1.0')) == (0, 2), done.stderr


def test_what_is_kept_is_used_again_until_clean(wheels, cache):
    wheel(wheels)
    run = ['run', host(cache), '--keep', '--with', 'greeting', '-c', PROGRAM]
    assert program(*run).returncode == 0
    kept = list((cache / 'easycluster').iterdir())
    assert len(kept) == 1
    # It is not fetched anew.
    shutil.rmtree(wheels)
    done = program(*run)
    assert done.returncode == 0, done.stderr
    assert str(kept[0]) in done.stdout
    done = program('clean', host(cache))
    assert (done.returncode, '1 folder of packages removed' in done.stdout) == (0, True), done
    assert not list((cache / 'easycluster').iterdir())
    assert 'nothing was kept' in program('clean', host(cache)).stdout


@pytest.mark.parametrize('tag', ['', 'cp27-cp27m-manylinux1_x86_64'])
def test_what_cannot_be_had_is_said_with_the_host_and_its_platform(wheels, cache, tag):
    if tag:
        # There is none for that Python.
        wheel(wheels, tag=tag)
    done = program('run', host(cache), '--with', 'greeting', '-c', 'print(1)')
    assert done.returncode == 1
    version = '%d.%d' % sys.version_info[:2]
    assert 'no packages for Python %s on linux-' % version in done.stderr, done.stderr
    assert 'greeting' in done.stderr
    assert '1' not in done.stdout.split()


def test_without_uv_and_pip_both_are_named(wheels, cache, monkeypatch):
    (wheels.parent / 'bin' / 'uv').unlink(missing_ok=True)
    (wheels.parent / 'bin' / 'python3').write_text('#!/bin/sh\nexit 1\n')
    monkeypatch.setenv('PATH', str(wheels.parent / 'bin'))
    command = [sys.executable, '-m', 'easycluster', 'run', host(cache), '--with', 'greeting', '-c', '1']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert 'uv or pip, and neither is here' in done.stderr, done.stderr


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--keep', '-c', '1'], '--keep is about packages'),
        (['--with=--index-url=x', '-c', '1'], 'is an option'),
        (['--with-requirements', '/nonexistent', '-c', '1'], 'cannot be read'),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(words, said):
    done = program('run', ':local', *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_host_without_python_3_is_named(wheels, cache, interpreter):
    if interpreter.version >= (3,):
        return
    done = program('run', ':local:rpython=%s' % interpreter.path, '--with', 'greeting', '-c', 'print(1)')
    assert done.returncode == 1
    assert 'packages are for Python 3' in done.stderr, done.stderr


def test_environments_of_the_package_are_copied_and_removed(wheels, client, monkeypatch):
    # As in a program that has used it; setuptools warns who then looks for pip in its way.
    monkeypatch.setitem(sys.modules, 'distutils', ModuleType('distutils'))
    wheel(wheels)
    packages = easycluster.Environment(['greeting'])
    folder = packages.send_to('there', client)
    assert os.listdir(folder) and packages.versions('there', client) == {'greeting': '1.0'}
    packages.remove_from(client, folder)
    assert not os.path.exists(folder)


def word():
    import greeting

    return greeting.WORD, greeting.__file__


@pytest.fixture
def cluster():
    hosts = [':local:rpython=%s:name=host%d' % (sys.executable, n) for n in range(2)]
    with easycluster.Cluster(hosts, slots=2, output=None) as made:
        yield made


def test_processes_of_an_executor_have_an_environment_until_it_is_shut_down(wheels, cluster):
    wheel(wheels)
    with cluster.executor(environment=easycluster.Environment(['greeting'])) as executor:
        found = [executor.submit(word).result() for _ in range(8)]
    assert {text for text, _ in found} == {'hello from 1.0'}
    assert not any(os.path.exists(path) for _, path in found)
    paths = cluster.eval('__import__("sys").path')
    assert not any('easycluster-env-' in path for each in paths.values() for path in each)


def test_joblib_has_an_environment_while_it_lasts(wheels, cluster):
    joblib = pytest.importorskip('joblib')
    wheel(wheels)
    with cluster.joblib(environment=easycluster.Environment(['greeting'])):
        found = joblib.Parallel()(joblib.delayed(word)() for _ in range(8))
    assert {text for text, _ in found} == {'hello from 1.0'}
    assert not any(os.path.exists(path) for _, path in found)


def test_an_environment_that_cannot_be_had_is_an_error_of_the_executor(wheels, cluster):
    with pytest.raises(easycluster.EnvironmentFailed, match='greeting'):
        cluster.executor(environment=easycluster.Environment(['greeting']))
    assert cluster.executor().submit(pow, 2, 3).result() == 8


def test_a_host_that_joins_an_executor_late_gets_its_environment_too(wheels, tmp_path):
    wheel(wheels)
    script = tmp_path / 'python-later'
    script.write_text(
        '#!/bin/sh\nwhile [ ! -e %s ]; do sleep 0.05; done; exec %s "$@"\n' % (tmp_path / 'go', sys.executable)
    )
    script.chmod(0o755)
    hosts = [':local:rpython=%s:name=early' % sys.executable, ':local:rpython=%s:name=late' % script]
    with easycluster.Cluster(hosts, quorum='any', deadline=1.5, output=None) as cluster:
        assert list(cluster.clients) == ['early']
        with cluster.executor(environment=easycluster.Environment(['greeting'])) as executor:
            (tmp_path / 'go').touch()
            assert poll(lambda: executor._max_workers == 2), cluster.report
            both = [executor.submit(word) for _ in range(50)]
            found = [future.result() for future in both]
            assert {text for text, _ in found} == {'hello from 1.0'}
            assert len({path for _, path in found}) == 2
        assert not any(os.path.exists(path) for _, path in found)
        paths = cluster.eval('__import__("sys").path')
        assert not any('easycluster-env-' in path for each in paths.values() for path in each)


@pytest.fixture
def places(cluster, tmp_path):
    """Where the hosts of the cluster put packages that are not kept."""
    found = []
    for name, client in cluster._connected():
        found.append(tmp_path / name)
        found[-1].mkdir()
        client.execblock('import tempfile; tempfile.tempdir = %r' % str(found[-1]))
    return found


@pytest.mark.parametrize('failing', ['a folder', 'the copy', 'the path'])
def test_packages_that_one_host_does_not_take_stay_on_no_other(wheels, cluster, places, monkeypatch, failing):
    wheel(wheels)
    client = cluster._connected()[1][1]
    real = type(client).put

    def put(self, *args, **options):
        real(self, *args, **options)
        if self is client:
            raise OSError('No space left on device')

    if failing == 'a folder':
        client.execblock("tempfile.tempdir = '/nowhere'")
    elif failing == 'the copy':
        monkeypatch.setattr(type(client), 'put', put)
    else:
        client.execblock('import sys; sys.path = tuple(sys.path)')
    with pytest.raises((OSError, AttributeError)):
        cluster.executor(environment=easycluster.Environment(['greeting']))
    assert [list(place.iterdir()) for place in places] == [[], []]
    assert 'easycluster-env-' not in repr(cluster._connected()[0][1].eval('__import__("sys").path'))


def test_packages_whose_sending_is_interrupted_stay_nowhere(wheels, cluster, places, monkeypatch):
    wheel(wheels)
    client = cluster._connected()[1][1]
    main = threading.get_ident()
    raised = threading.Event()
    real = type(client).put

    def put(self, *args, **options):
        if self is client:
            assert poll(lambda: list(places[0].glob('*/greeting')))
            signal.pthread_kill(main, signal.SIGINT)
            assert raised.wait(30)
        real(self, *args, **options)

    monkeypatch.setattr(type(client), 'put', put)
    with pytest.raises(KeyboardInterrupt):
        cluster.executor(environment=easycluster.Environment(['greeting']))
    raised.set()
    assert poll(lambda: [list(place.iterdir()) for place in places] == [[], []]), places
