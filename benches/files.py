"""Copies of files by the program beside scp, sftp, tar through ssh, and rsync where it is installed, in one run over the same sshd.

    python benches/files.py PROGRAM [--rounds 3] [--size 1024] [--files 10000] [--only NAME]

PROGRAM is a release build of `easycluster`. Starts an sshd of its own on the loopback. One large file of random bytes goes there and comes
back, and a tree of small files of 2 kB in folders of a hundred does; the best of the rounds counts. Before each copy what an earlier
one has made is removed, trees by another name until the end. Prints a table in seconds, and the ratios of the program to each of the others, below 1 where it is quicker.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tests'))

from support.sshd import Sshd


def subjects(program: str, server: Sshd) -> dict[str, dict[str, list[str]]]:
    """The command line of each for each direction; {here} and {there} are paths without a slash at the end."""
    key, port, user = str(server.key), str(server.port), server.user
    options = ['-o', 'BatchMode=yes', '-o', 'UserKnownHostsFile=%s' % server.known_hosts, '-o', 'LogLevel=ERROR']
    options += ['-F', 'none', '-i', key]
    ssh = ['ssh', *options, '-p', port, '%s@127.0.0.1' % user]
    quoted = ' '.join(ssh)
    remote = '%s@127.0.0.1:{there}' % user
    copy = [program, 'copy', '-q', server.spec(), '--']
    found = {
        'easycluster': {'up': [*copy, '{here}', ':{there_in}'], 'down': [*copy, ':{there}', '{here_in}']},
        'scp': {
            'up': ['scp', '-q', '-r', *options, '-P', port, '{here}', remote],
            'down': ['scp', '-q', '-r', *options, '-P', port, remote, '{here}'],
        },
        'sftp': {
            'up': ['sh', '-c', 'echo "put -r {here} {there}" | sftp -q -b - %s -P %s %s@127.0.0.1 >/dev/null'
                   % (' '.join(options), port, user)],
            'down': ['sh', '-c', 'echo "get -r {there} {here}" | sftp -q -b - %s -P %s %s@127.0.0.1 >/dev/null'
                     % (' '.join(options), port, user)],
        },
        'tar': {
            'up': ['sh', '-c', "tar -C {here_up} -cf - {name} | %s 'mkdir -p {there_in} && tar -C {there_in} -xf -'" % quoted],
            'down': ['sh', '-c', "mkdir -p {here_in} && %s 'tar -C {there_up} -cf - {name}' | tar -C {here_in} -xf -" % quoted],
        },
    }  # fmt: skip
    if shutil.which('rsync'):
        shell = ' '.join(ssh[:-1])
        found['rsync'] = {
            'up': ['rsync', '-a', '-e', shell, '{here}', '%s@127.0.0.1:{there_in}' % user],
            'down': ['rsync', '-a', '-e', shell, remote, '{here_in}'],
        }
    return found


def count(path: Path) -> tuple[int, int]:
    """Files beneath, and their bytes."""
    if path.is_file():
        return 1, path.stat().st_size
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return len(files), sum(file.stat().st_size for file in files)


def measure(words: list[str], source: Path, made: Path) -> float:
    """Seconds of one copy of `source` to `made`, which is removed before and looked at afterwards."""
    made.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        # Not deleted yet: for seconds after that, ext4 searches long for each new file, and all of them would be as slow.
        made.rename(tempfile.mkdtemp(dir=made.parent.parent))
    made.unlink(missing_ok=True)
    os.sync()
    began = time.perf_counter()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    assert count(made) == count(source), (words, count(made), count(source))
    return seconds


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--size', type=int, default=1024, help='MiB of the large file')
    parser.add_argument('--files', type=int, default=10000)
    parser.add_argument('--only')
    options = parser.parse_args()
    program = str(Path(options.program).resolve())
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as name, Sshd(lines=('Subsystem sftp internal-sftp',)) as server:
        folder = Path(name)
        large, tree = folder / 'from' / 'large', folder / 'from' / 'tree'
        large.parent.mkdir()
        with large.open('wb') as file:
            for _ in range(options.size):
                file.write(os.urandom(1 << 20))
        for number in range(options.files):
            inner = tree / ('%03d' % (number // 100))
            inner.mkdir(parents=True, exist_ok=True)
            (inner / ('%05d' % number)).write_bytes(os.urandom(2000))
        found = subjects(program, server)
        for _ in range(options.rounds):
            for what, source in (('large', large), ('tree', tree)):
                for direction in ('up', 'down'):
                    for subject, lines in found.items():
                        if options.only not in (None, subject):
                            continue
                        made = folder / 'to' / source.name
                        up = direction == 'up'
                        here, there = (source, made) if up else (made, source)
                        values = {
                            'here': here, 'there': there, 'name': source.name, 'here_up': here.parent, 'there_up': there.parent,
                            'here_in': '%s/' % here.parent, 'there_in': '%s/' % there.parent,
                        }  # fmt: skip
                        words = [word.format(**values) for word in lines[direction]]
                        seconds = measure(words, source, made)
                        key = '%s %s' % (what, direction), subject
                        best[key] = min(seconds, best.get(key, seconds))
    rows = sorted({row for row, _ in best})
    names = [subject for subject in found if any((row, subject) in best for row in rows)]
    print('%-12s' % 'seconds', *('%12s' % subject for subject in names))
    for row in rows:
        print('%-12s' % row, *('%12.2f' % best[row, subject] for subject in names))
    if 'easycluster' in names:
        print('%-12s' % 'ratio', *('%12s' % subject for subject in names))
        for row in rows:
            own = best[row, 'easycluster']
            print('%-12s' % row, *('%12.2f' % (own / best[row, subject]) for subject in names))


if __name__ == '__main__':
    main()
