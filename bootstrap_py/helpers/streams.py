# Goes through what a function gives, for a client that takes the items as they come by a channel.
import sys
import time

compat = load('compat')
late = load('compat_late')
calls = load('calls')
weight = load('batches').weight
channels = load('channels')
# Items are sent when they are about so many bytes, and at the latest after so many seconds.
SIZE, SECONDS = 32768, 0.005


def pour(channel, name, args, kwargs=()):
    """Calls a global by its dotted name, and sends the items of what it gives in lists. Ends when nobody reads them."""
    Pouring(channel).through(calls.call(channel._line.machine, name, args, dict(kwargs)))


def pour_function(channel, source, name, filename, line, args, kwargs):
    """The same with a function that is sent as source."""
    function = load('sources').function(channel._line.machine, source, name, filename, line)
    Pouring(channel).through(function(*args, **compat.native_keywords(kwargs)))


class Pouring(object):
    """Items on their way into a channel. The thread that makes them sends them where they are many; where the next one takes its time,
    a second thread sends those that there are."""

    def __init__(self, channel):
        self.line = channel._line
        # Appended to by the one thread, and taken from its beginning by whoever sends.
        self.batch = []
        self.taken = 0
        # Whether the second thread has something to look after, which it waits for by the lock.
        self.armed = self.over = False
        self.begun = compat.thread.allocate_lock()
        self.begun.acquire()
        self.failed = None

    def through(self, items):
        """Goes through all, until nobody reads any more."""
        iterator = iter(items)
        line, batch = self.line, self.batch
        line.machine.begin_thread(self.look_after)
        try:
            try:
                for item in iterator:
                    batch.append(item)
                    self.taken += weight(item, 3)
                    if self.taken >= SIZE:
                        self.send()
                    elif not self.armed:
                        self.armed = True
                        self.begun.release()
                    if line.unread:
                        return
                    if self.failed:
                        late.again(self.failed)
            except Exception:
                # What was made before it is sent before it.
                failed = sys.exc_info()
                self.send()
                late.again(failed)
            self.send()
        except EnvironmentError:
            if not line.unread:
                raise
        finally:
            late_one = None
            while not self.over:
                try:
                    line.machine.current().shielded(self.end, iterator)
                except KeyboardInterrupt:
                    # There is one at most.
                    late_one = sys.exc_info()
            if late_one:
                late.again(late_one)

    def end(self, iterator):
        """Ends what looks after the items, and the generator with what it has under way, which would wait for the collector."""
        self.over = True
        if not self.armed:
            self.armed = True
            self.begun.release()
        getattr(iterator, 'close', int)()

    def send(self):
        """Sends what there is, after whoever is at it."""
        self.line.send_item(self.pickled)

    def pickled(self):
        """Takes what there is out of the batch, as one item."""
        self.taken = 0
        some = self.batch[:]
        if not some:
            return None
        data = channels.encoded(self.line.machine, some)
        del self.batch[:len(some)]
        return data

    def look_after(self):
        """Runs in a thread of its own: sends what the other has not sent in time."""
        while True:
            self.begun.acquire()
            if self.over:
                return
            self.armed = False
            time.sleep(SECONDS)
            if self.batch and not self.over:
                try:
                    self.send()
                except EnvironmentError:
                    # Nobody reads, or the connection has ended; the other thread sees it.
                    return
                except Exception:
                    self.failed = sys.exc_info()
                    return
