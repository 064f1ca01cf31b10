"""A short run of the fuzzer of pickles; `make fuzz` runs it for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_mutated_pickles_call_change_and_ask_nothing():
    program = Path(__file__).with_name('fuzz_pickles.py')
    done = subprocess.run([sys.executable, str(program), '5000', '7'], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and 'of 5000 arrived' in done.stdout, done.stdout + done.stderr
