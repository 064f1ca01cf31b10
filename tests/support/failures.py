"""Whether a test has failed, for fixtures that keep what it used for the next one."""

import pytest

_FAILED = pytest.StashKey()


def note(item, report):
    """Takes note of what came of one part of a test."""
    if report.failed:
        item.stash[_FAILED] = True


def has_failed(item):
    return _FAILED in item.stash
