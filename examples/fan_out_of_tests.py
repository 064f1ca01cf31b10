"""Runs the same checks on every machine, and says where which failed.

python examples/fan_out_of_tests.py web1 web2 db1
"""

from __future__ import annotations

import sys

import easycluster


def check_disk():
    import os

    status = os.statvfs('/')
    assert status.f_bavail * 100 >= status.f_blocks, 'less than 1 % of the disk is free'


def check_clock():
    import time

    assert time.time() > 1577836800, 'the clock is before 2020'


CHECKS = [check_disk, check_clock]


def main():
    failed = 0
    with easycluster.Cluster(sys.argv[1:], quorum='any') as cluster:
        for host in cluster.report.missing:
            failed += 1
            print('%s: not connected: %s' % (host.host, host.error))
        for check in CHECKS:
            for host, error in cluster.each(check, return_exceptions=True):
                failed += error is not None
                print('%s: %s: %s' % (host, check.__name__, 'passed' if error is None else error))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
