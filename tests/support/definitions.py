"""Definitions that the tests of several files send to servers."""

SLEEPER = '''
import time, threading
def nap(seconds):
    # In steps, because only the main thread of a Python can be interrupted within one sleep.
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.01)
    return seconds
'''
