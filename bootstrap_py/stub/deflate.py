# Payloads deflated and inflated, where the client wants that (FR-10).
wire = load('wire')
zlib = load('compat').zlib


def inflate(link, payload):
    """The content of a DEFLATED payload."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(payload, wire.MAX_PAYLOAD + 1)
        if len(content) <= wire.MAX_PAYLOAD and not getattr(inflater, 'eof', False):
            # Before 3.3 nothing tells that a stream is whole, but that this raises on what is missing.
            zlib.decompress(payload)
    except zlib.error:
        inflater = None
    if inflater is None or inflater.unused_data:
        link.fatal('malformed', 'a deflated frame is broken')
    if len(content) > wire.MAX_PAYLOAD:
        link.fatal('too-large', 'a frame of more than 1 MiB')
    return content


def deflate(flags, payload):
    """A payload with its flags, deflated if that makes it shorter."""
    shorter = zlib.compress(payload, 1)
    return (flags | wire.DEFLATED, shorter) if len(shorter) < len(payload) else (flags, payload)
