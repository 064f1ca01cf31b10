# What remote code logs and how far it is, for a client that asked for it: by a channel, and never waited for.
import logging
import os
import sys
import traceback

compat = load('compat')
channels = load('channels')
wire = load('wire')
# The longest text of a message, and of a traceback.
MOST = 16384
# The channel that progress goes to.
listening = []


def tell(channel, item):
    """Sends an item if there is room for it; whether that was so."""
    machine = channel._line.machine
    if os.getpid() != machine.pid:
        return False
    return machine.whole(put, channel, item)


def put(channel, item):
    """The same, without being interrupted."""
    line = channel._line
    data = channels.encoded(line.machine, item)
    line.turn(line.sending)
    try:
        needed = len(data) + wire.HEADER_SIZE * (len(data) // line.chunk + 1)
        if line.unread or line.done or line.granted - line.sent < needed:
            return False
        line.send(data)
        return True
    except EnvironmentError:
        return False
    finally:
        line.over(line.sending)


class Handler(logging.Handler):
    """Sends records to the client. Those for which there is no room are counted."""

    def __init__(self, channel, level):
        logging.Handler.__init__(self, level)
        self.channel = channel
        self.dropped = 0

    def emit(self, record):
        """Sends one record."""
        if self.channel._line.unread:
            logging.getLogger().removeHandler(self)
            return
        try:
            text = record.getMessage()
        except Exception:
            text = 'a message that cannot be formatted: %r %% %r' % (record.msg, record.args)
        raised = record.exc_info and record.exc_info[0] and ''.join(traceback.format_exception(*record.exc_info)) or ''
        where = record.pathname, record.lineno, record.funcName or ''
        item = ('log', shown(record.name), int(record.levelno), shown(text), shown(raised), float(record.created), shown(where[0]),
                int(where[1] or 0), shown(where[2]), shown(record.threadName), int(record.process or 0), self.dropped)
        if tell(self.channel, item):
            self.dropped = 0
        else:
            self.dropped += 1


def shown(value):
    """Text of any kind as text that both ends have."""
    if isinstance(value, bytes):
        value = value.decode('utf-8', 'replace')
    return compat.text(value)[:MOST]


def log(channel, level):
    """Sends what is logged from now on, from that level on."""
    channel.keep()
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, Handler):
            handler.channel.close()
            root.removeHandler(handler)
    # Where nobody else has said what is logged, this does.
    if not root.handlers and root.level > level:
        root.setLevel(level)
    root.addHandler(Handler(channel, level))


def listen(channel):
    """Sends how far remote code is that uses `easycluster.progress`."""
    channel.keep()
    for old in listening[:]:
        old.close()
    listening[:] = [channel]


def report(progress, last=False):
    """Tells of one progress, if there is room."""
    if not listening:
        return
    done, total = [value if type(value) in (int, type(None)) else float(value) for value in (progress.done, progress.total)]
    tell(listening[0], ('progress', progress.number, shown(progress.desc), done, total, last))
