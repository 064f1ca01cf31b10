# Goes through what a function gives, for a client that takes the items as they come by a channel.
calls = load('calls')
batches = load('batches')
# A batch has items of about so many bytes, and those that came within so many seconds.
SIZE, SECONDS = 32768, 0.005


def pour(channel, name, args):
    """Calls a global by its dotted name, and sends the items of what it gives in lists. Ends when nobody reads them."""
    line = channel._line
    source = batches.Batches(calls.call(line.machine, name, args, {}), SIZE, SECONDS)
    number = 0
    more = True
    try:
        while more and not line.unread:
            number += 1
            batch, more = source.take(number)
            if batch:
                channel.send(batch)
    except EnvironmentError:
        if not line.unread:
            raise
    finally:
        # What it has under way ends here, and not when the collector comes by.
        getattr(source.iterator, 'close', int)()
