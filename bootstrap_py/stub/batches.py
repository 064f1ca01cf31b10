# Items of what stays here, many in one answer (ME-31).
import sys
import time
from itertools import islice

compat = load('compat')
late = load('compat_late')
clock = getattr(time, 'monotonic', time.time)
MOST = 65536


class Batches(object):
    """Goes through something for a client that reads ahead. A batch stays until the client asks for the one after it, so that
    nothing is lost with an answer that a client has given up."""

    def __init__(self, items, size, seconds):
        self.iterator = iter(items)
        self.size = size
        self.seconds = seconds
        self.number = 0
        self.batch = []
        self.taken = 0
        # The batch is full; there is nothing behind it; what was raised behind it.
        self.full = True
        self.ended = False
        self.failed = None

    def take(self, number):
        """The batch of that number, the first being 1, and whether there may be more behind it: (items, more)."""
        if number != self.number:
            self.number, self.batch, self.taken, self.full = number, [], 0, self.ended
        if not self.full and not self.failed:
            self.fill()
        if self.failed and not self.batch:
            failed, self.failed = self.failed, None
            late.again(failed)
        return self.batch, not self.ended

    def fill(self):
        """Takes items for a while. An interruption leaves those that there are in the batch."""
        end = clock() + self.seconds
        batch = self.batch
        try:
            while not self.full:
                count = len(batch)
                # Taken and kept in one step, so that no interruption comes between.
                batch.extend(islice(self.iterator, 1))
                if len(batch) == count:
                    self.full = self.ended = True
                    return
                self.taken += weight(batch[-1], 3)
                self.full = self.taken >= self.size or len(batch) >= MOST or clock() >= end
        except Exception:
            self.failed = sys.exc_info()
            self.full = True


def weight(item, depth):
    """About how many bytes an item takes on the wire."""
    kind = type(item)
    if kind in compat.numbers:
        return 8
    if kind in compat.scalars or kind in (bytes, bytearray):
        return len(item) + 8
    if not depth or kind not in (list, tuple, set, frozenset, dict):
        return 64
    parts = list(item)[:64] + (list(item.values())[:64] if kind is dict else [])
    known = sum([weight(part, depth - 1) for part in parts])
    return 16 + known * len(item) // max(1, min(len(item), 64))
