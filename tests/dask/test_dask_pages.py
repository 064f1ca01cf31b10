"""The code of the page on Dask runs as it stands, on real servers, with smaller arrays and fewer workers."""

from __future__ import annotations

import sys

import pytest
from support.pages import HOSTS, ROOT, of, python_with_hosts, run_python
from support.sshd import Sshd

pytest.importorskip('distributed')

COUNT = (
    'import easycluster\n\ndef count(path):\n    with open(path) as file:\n        return sum(1 for line in file)\n\n'
)
CLUSTER = "cluster = easycluster.Cluster(['one', 'two'])\n"


@pytest.mark.parametrize('code, words', of([ROOT / 'docs' / 'beyond-one-machine.md'], 'python'))
def test_python_runs(code, words, tmp_path):
    with Sshd(addresses=3, max_sessions=100) as server:
        hosts = {
            name: server.spec('rpython=' + sys.executable, 'name=' + name, address='127.0.0.%d' % (place + 1))
            for place, name in enumerate(HOSTS)
        }
        code = COUNT + ('' if 'Cluster(' in code else CLUSTER) + code
        # Not eighty gigabytes, and not a dozen processes that import Dask.
        code = code.replace('100_000', '1_000').replace('5_000', '500').replace('workers=4', 'workers=1')
        said = run_python(python_with_hosts(code, hosts), tmp_path, silent=False)
        assert said or 'print' not in code
        server.wait_until_idle()
