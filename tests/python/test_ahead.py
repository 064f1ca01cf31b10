"""Interpreters that a spec has started ahead of need, as Python's clients see them."""

from __future__ import annotations

import time

import easycluster
import pytest


def interpreters(sshd) -> set[int]:
    return {process.pid for process in sshd.session_processes() if "import sys" in process.command}


def until(wanted, look):
    deadline = time.monotonic() + 60
    while not wanted(look()):
        assert time.monotonic() < deadline, look()
        time.sleep(0.02)
    return look()


@pytest.mark.parametrize("by", ["spec", "parameter"])
def test_a_client_takes_over_an_interpreter_that_waits(sshd, definitions, by):
    easycluster.define_common("def pid():\n    import os\n    return os.getpid()\n", definitions)

    def connect():
        if by == "spec":
            return easycluster.Client.from_spec(sshd.spec("ahead=1"), definitions=definitions)
        known = easycluster.parse_connection_spec(sshd.spec())
        return easycluster.Client(definitions=definitions, ahead=1, **known)

    sshd.wait_until_idle()
    with connect() as first:
        mine = first.pid()
        waiting = until(lambda found: len(found) == 1, lambda: interpreters(sshd) - {mine})
        with connect() as second:
            assert {second.pid()} == waiting
            # Another one takes its place.
            until(lambda found: len(found) == 1, lambda: interpreters(sshd) - {mine} - waiting)
    sshd.wait_until_idle()


def test_the_number_is_checked():
    assert easycluster.parse_connection_spec("u@h:ahead=3")["ahead"] == 3
    for wrong in ("65", "x", "-1"):
        with pytest.raises(ValueError):
            easycluster.parse_connection_spec("u@h:ahead=" + wrong)
    with pytest.raises(ValueError, match="ahead"):
        easycluster.Client(host="h", user="u", ahead=65)
