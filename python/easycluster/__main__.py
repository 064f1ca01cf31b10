"""`python -m easycluster`, and the script `easycluster`: the same program as the one without Python."""

from __future__ import annotations

import signal
import sys

from easycluster import _native


def main() -> int:
    """Runs the program and gives its exit status."""
    # The program's own runtime deals with Ctrl-C; Python's handler would only note it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return _native.main(sys.argv[1:])


if __name__ == '__main__':
    sys.exit(main())
