"""A cluster whose connecting is given up leaves no process that would still have come."""

from __future__ import annotations

import asyncio
import sys

import pytest
from easycluster import AsyncCluster
from support.processes import poll, runs


@pytest.fixture
def python(tmp_path):
    """A Python whose second process waits, and says so."""
    made = tmp_path / "python"
    made.write_text(
        "#!/bin/sh\n"
        'if mkdir "%s/once"; then exec %s "$@"; fi\n'
        'echo $$ > "%s/pid.new"; mv "%s/pid.new" "%s/pid"\n'
        "exec sleep 600\n" % (tmp_path, sys.executable, tmp_path, tmp_path, tmp_path)
    )
    made.chmod(0o755)
    return made


def test_a_cancelled_one_ends_the_further_processes_of_its_hosts(python, tmp_path):
    async def main():
        cluster = AsyncCluster([":local:name=host:rpython=%s" % python], slots=2)
        task = asyncio.ensure_future(cluster._opened())
        mark = tmp_path / "pid"
        while not mark.exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert poll(lambda: not runs(int(mark.read_text())), 10)
        # It is there all the while.
        assert cluster._closed

    asyncio.run(main())
