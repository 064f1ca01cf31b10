"""What `ping` tells of a machine: the function of helpers/probe.py, under every interpreter."""

from __future__ import annotations

import json
import subprocess

ORACLE = """
import json, os, platform
cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.sysconf('SC_NPROCESSORS_ONLN')
print(json.dumps([platform.machine(), cores]))
"""


def test_it_is_what_python_itself_says_of_the_machine(stub, interpreter):
    stub.helper("helpers/probe")
    told = stub.call("helpers/probe.describe_machine")
    expected = subprocess.run([interpreter, "-c", ORACLE], capture_output=True, check=True, timeout=60).stdout
    assert [told.pop("architecture"), told.pop("cores")] == json.loads(expected)
    assert told.pop("system")
    # Which Python it is, HELLO has said.
    assert not told


def test_nothing_is_imported_for_it_that_takes_long(fresh_stub, interpreter):
    fresh_stub.helper("helpers/probe")
    fresh_stub.call("helpers/probe.describe_machine")
    modules = fresh_stub.call("eval", "list(__import__('sys').modules)")
    assert not {"platform", "re", "multiprocessing", "subprocess"} & set(modules) - set(imported_at_start(interpreter))


def imported_at_start(interpreter):
    """What this interpreter has imported before it runs anything."""
    code = "import sys, json; names = list(sys.modules); print(json.dumps(names))"
    return json.loads(subprocess.run([interpreter, "-c", code], capture_output=True, check=True, timeout=60).stdout)
