"""Parts of the tests that not every machine has what they need for; tests/parts.txt lists them.

tests/support/parts.rs is the same for the tests in Rust. As a program it writes the closing line of ``make test``: under
which interpreters was tested, and which parts were tried and which not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LIST = Path(__file__).parents[1] / "parts.txt"
RECORD = "EASYCLUSTER_TESTS_RECORD"
REQUIRE = "EASYCLUSTER_TESTS_REQUIRE"


def parts() -> dict[str, str]:
    """What each part is, by its name."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines)


def required() -> set[str]:
    """The names of what has to be there: parts, and interpreters such as ``python3.9``."""
    return set(filter(None, os.environ.get(REQUIRE, "").split(",")))


def need(part: str, found):
    """What was found of what a part of the tests needs; without it, pytest is told to pass the test over.

    Noted either way. With the part's name in EASYCLUSTER_TESTS_REQUIRE the test fails instead.
    """
    import pytest

    description = parts()[part]
    assert found or part not in required(), "not here, and required: " + description
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
    if RECORD in os.environ:
        # In one write, because others write at the same time.
        with open(os.environ[RECORD], "ab", buffering=0) as record:
            record.write(("%s %s %s\n" % ("tried" if found else "untried", part, test)).encode())
    if not found:
        pytest.skip("not tried: " + description)
    return found


def noted(record: str) -> dict[str, set[str]]:
    """The parts that were tried and those that were not, as noted."""
    found: dict[str, set[str]] = {"tried": set(), "untried": set()}
    if os.path.exists(record):
        for line in Path(record).read_text().splitlines():
            how, part, _test = line.split(" ", 2)
            found[how].add(part)
    return found


def closing_line(record: str) -> str:
    """Under what was tested, what else was tried, and what was not."""
    from support.interpreters import interpreters

    known = parts()
    found = noted(record)
    here = dict.fromkeys(str(interpreter) for interpreter in interpreters())
    newest = max(interpreter.version for interpreter in interpreters())
    served = [(2, 6), (2, 7)] + [(3, minor) for minor in range(2, newest[1] + 1)]
    absent = ["%d.%d" % version for version in served if "python%d.%d" % version not in here]
    told = "tested under " + ", ".join(here)
    if absent:
        told += " (not here: %s)" % ", ".join(absent)
    tried = [known[part] for part in sorted(found["tried"])]
    untried = [known[part] for part in sorted(found["untried"])]
    if tried:
        told += "; with " + "; with ".join(tried)
    return told + ("; NOT TRIED: " + "; ".join(untried) if untried else "; nothing was left out")


def missing(record: str) -> list[str]:
    """What is required and was not there, and parts that no test has asked for."""
    from support.interpreters import interpreters

    found = noted(record)
    there = found["tried"] | {str(interpreter) for interpreter in interpreters()}
    problems = ["%s is required (%s) and was not tried" % (name, REQUIRE) for name in sorted(required() - there)]
    unasked = sorted(set(parts()) - found["tried"] - found["untried"])
    return problems + ["no test has asked for the part %s" % name for name in unasked]


def main(record: str) -> int:
    print(closing_line(record))
    problems = missing(record)
    for problem in problems:
        print("error: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.path.insert(0, str(LIST.parent))
    sys.exit(main(sys.argv[1]))
