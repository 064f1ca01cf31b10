"""What the figures of each comparison are to be: by its name, and by the key of a figure. Benchmarks print them, and pages tell which
are missed."""

from __future__ import annotations

# The key of what is wanted of all figures of a comparison that have no goal of their own.
ALL = '*'
# The others whose figures ours are to be below.
BEST = ('parallel-ssh', 'asyncssh')
# Interpreters that the machine of the kept figures has.
STUB_VERSIONS = ('2.7', '3.6', '3.7', '3.8', '3.9', '3.10', '3.11', '3.12', '3.13')

GOALS: dict[str, dict[str, float]] = {
    'package': {
        'connect': 0.2,
        'call': 0.5,
        'echo': 1.0,
        'flight': 4.0,
        'up': 5.0,
        'down': 5.0,
        'hosts32': 0.2,
        'memory32': 0.1,
    },
    'program': {
        **{'%s/wall' % name: 0.95 for name in BEST},
        **{'%s/%s' % (name, key): 0.6 for name in BEST for key in ('processor', 'memory')},
        **{'exec/%s/wall' % name: 0.9 for name in BEST},
    },
    'maps': {ALL: 0.8},
    'dask': {
        'three workers up               session': 0.7,
        'three workers up               direct': 0.7,
        '200 MB from worker to worker   direct': 2.5,
    },
    'files': {
        **{'large %s/scp' % way: 0.83 for way in ('up', 'down')},
        **{'tree %s/scp' % way: 0.3 for way in ('up', 'down')},
        **{'tree %s/tar' % way: 1.0 for way in ('up', 'down')},
    },
    'steps': {ALL: 0.4},
    'stub': {'python%s/milliseconds' % version: 8 for version in STUB_VERSIONS},
    'channels': {ALL: 0.9},
    'start': {'milliseconds': 10},
    'core': {
        'connect to first result': 0.55,
        '32 hosts connected and called': 1.15,
        'one call': 1.1,
        'beside 1 GiB as an argument': 30,
        'beside 1 GiB as a result': 30,
    },
    'thousands': {'processor': 1.0, 'memory, all at once': 64},
}


def goal(comparison: str, key: str = ALL) -> float | None:
    """What is wanted of a figure, if anything is."""
    of = GOALS.get(comparison, {})
    return of.get(key, of.get(ALL))
