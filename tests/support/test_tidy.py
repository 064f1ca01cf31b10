"""The rules of the tests in Python that no linter knows; tests/rust/tidy has those of all code."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def bare_sleeps(tree: ast.AST, polls: bool = False):
    """The lines that sleep outside of a loop with a condition, for which something else may be waited."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep", "sleep"):
            # One turn of an event loop takes no time.
            if not polls and not (node.args and ast.unparse(node.args[0]) == "0"):
                yield node.lineno
        yield from bare_sleeps(node, polls or isinstance(node, ast.While))


def test_tests_wait_for_what_they_want():
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        found += ["%s:%d" % (path.relative_to(TESTS), line) for line in bare_sleeps(ast.parse(path.read_text()))]
    assert found == [], "sleeps for a time"


def test_bare_sleeps_are_found():
    assert list(bare_sleeps(ast.parse("import time\ntime.sleep(1)\nfor x in y:\n    time.sleep(2)\n"))) == [2, 4]
    assert list(bare_sleeps(ast.parse("while not done():\n    time.sleep(1)\n"))) == []
