"""What a signal handler raises, at every step of the interpreter in turn."""

from __future__ import annotations

import dis
import os
import sys

# In front of these Python looks for no signal, unless they come behind a call.
_SAFE = ('RETURN_VALUE', 'NOP', 'POP_BLOCK')


class Stop(BaseException):
    """What a signal handler raises."""


class Interrupted:
    """Raises Stop in the main thread at the step of the interpreter that is number `at` within some files of the package, once. `but`
    names functions in which it does not."""

    def __init__(self, at, files, but=()):
        self.at = self.left = at
        self.hit = False
        self._after_call = False
        self._files = files
        self._but = but

    def __enter__(self):
        sys.settrace(self.trace)
        return self

    def __exit__(self, kind, error, trace):
        sys.settrace(None)
        return kind is Stop

    def trace(self, frame, event, argument):
        if os.path.basename(frame.f_code.co_filename) not in self._files:
            return None
        frame.f_trace_opcodes = True
        if event == 'opcode':
            step = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            after_call, self._after_call = self._after_call, 'CALL' in step
            if frame.f_code.co_name not in self._but and (after_call or step not in _SAFE):
                self.left -= 1
                if self.left == 0:
                    self.hit = True
                    # Python runs signal handlers between two steps too, if not between any two.
                    raise Stop
        return self.trace


def all_the_steps(step, files, but=()):
    """Interruptions at every step or every few, until there is none any more."""
    at = start = 1
    while True:
        interrupted = Interrupted(at, files, but)
        yield interrupted
        if not interrupted.hit:
            assert at > start
            return
        at += step
