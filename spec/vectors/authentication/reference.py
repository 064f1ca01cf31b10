"""Writes the vectors of this folder by an implementation of its own, from the pages of the RFCs.

python3 reference.py         check the files against this implementation (exit 1 on a difference)
python3 reference.py write   write them again

It shares nothing with the Rust code: X25519 is RFC 7748's ladder, ChaCha20-Poly1305 is RFC 8439,
HKDF is RFC 5869 on the standard library's hmac.
"""
import hashlib
import hmac
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
P = 2 ** 255 - 19


def x25519(scalar, u):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, 'little')
    x1 = int.from_bytes(u, 'little') & (2 ** 255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = (k >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = (x2 + z2) % P, (x2 - z2) % P
        c, d = (x3 + z3) % P, (x3 - z3) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, 'little')


def chacha_block(key, counter, nonce):
    state = list(struct.unpack('<16I', b'expand 32-byte k' + key + struct.pack('<I', counter) + nonce))
    work = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            work[x] = (work[x] + work[y]) & 0xffffffff
            v = work[z] ^ work[x]
            work[z] = ((v << turn) | (v >> (32 - turn))) & 0xffffffff

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack('<16I', *[(a + b) & 0xffffffff for a, b in zip(state, work)])


def seal(key, number, associated, plain):
    nonce = struct.pack('>IQ', 0, number)
    stream = b''.join(chacha_block(key, 1 + i, nonce) for i in range((len(plain) + 63) // 64))
    cipher = bytes(a ^ b for a, b in zip(plain, stream))
    one_time = chacha_block(key, 0, nonce)
    r = int.from_bytes(one_time[:16], 'little') & 0x0ffffffc0ffffffc0ffffffc0fffffff
    s = int.from_bytes(one_time[16:32], 'little')
    pad = lambda text: text + bytes(-len(text) % 16)
    text = pad(associated) + pad(cipher) + struct.pack('<QQ', len(associated), len(cipher))
    total = 0
    for i in range(0, len(text), 16):
        total = (total + int.from_bytes(text[i:i + 16] + b'\1', 'little')) * r % (2 ** 130 - 5)
    return cipher + ((total + s) % 2 ** 128).to_bytes(16, 'little')


def sha(key, *parts):
    return hmac.new(key, b''.join(parts), hashlib.sha256).digest()


def hello(role, nonce, secret, version=1, capabilities=0):
    nine = bytes([9]) + bytes(31)
    return b'ECTH' + struct.pack('>B1sH', version, role, capabilities) + nonce + x25519(secret, nine)


def session(key, client, server):
    c, s = hello(b'C', *client), hello(b'S', *server)
    shared = x25519(client[1], s[40:])
    extracted = sha(client[0] + server[0], struct.pack('>I', len(key)), key, shared)
    expand = lambda purpose: sha(extracted, b'easycluster tcp 1 ' + purpose, c, s, b'\1')
    c_proof = b'ECTP' + sha(expand(b'client proof'), c, s)
    s_proof = b'ECTP' + sha(expand(b'server proof'), c, s, c_proof)
    return c, s, c_proof, s_proof, expand(b'client to server'), expand(b'server to client')


def frame(key, number, way, content):
    length = struct.pack('>I', len(content))
    return length + seal(key, number, way + length, content)


def field(kind, value):
    return struct.pack('>BI', kind, len(value)) + value


def cases():
    """Yields (name, headers, lines): each line is `sender hex` of one message, in order."""
    client = (bytes(range(32)), bytes(range(32, 64)))
    server = (bytes(range(64, 96)), bytes(range(96, 128)))
    fresh = [('client-nonce', client[0]), ('client-secret', client[1]),
             ('server-nonce', server[0]), ('server-secret', server[1])]
    contents = [
        (b'C', b'\x01' + field(1, b"exec /bin/sh -c 'true'") + field(2, b'1.0.0')),
        (b'C', b'\x03stdin'), (b'C', b'\x05'), (b'C', b'\x0b'),
        (b'S', b'\x02' + field(2, b'1.0.0') + field(3, struct.pack('>I', 4711))),
        (b'S', b'\x03' + bytes(range(256)) * 3), (b'S', b'\x04stderr'), (b'S', b'\x05'),
        (b'S', b'\x07' + struct.pack('>I', 5)), (b'S', b'\x08'), (b'S', b'\x09'),
        (b'S', b'\x06\0' + struct.pack('>i', 3)), (b'S', b'\x0b'),
    ]

    def lines(key, contents):
        c, s, c_proof, s_proof, up, down = session(key, client, server)
        out = [(b'C', c), (b'S', s), (b'C', c_proof), (b'S', s_proof)]
        numbers = {b'C': 0, b'S': 0}
        for way, content in contents:
            out.append((way, frame(up if way == b'C' else down, numbers[way], way, content)))
            numbers[way] += 1
        return out

    def case(name, rule, expect, key, messages):
        return name, [('rule', rule), ('expect', expect), ('key', key.hex())] + \
            [(k, v.hex()) for k, v in fresh], messages

    key = b'0123456789abcdef0123456789abcdef'
    good = lines(key, contents)
    yield case('session', 'AU-1 AU-2 AU-3 AU-6 AU-7 AU-8 AU-9 AU-10 AU-14 AU-15', 'accepted', key, good)
    yield case('blank-key', 'AU-6 AU-16', 'accepted', b'', lines(b'', contents[:2]))
    yield case('signal', 'AU-14', 'accepted', key, lines(key, [(b'S', b'\x06\1KILL'), (b'S', b'\x0asentence')]))

    def flip(message, place):
        return message[:place] + bytes([message[place] ^ 1]) + message[place + 1:]

    def change(index, message):
        return good[:index] + [(good[index][0], message)]

    yield case('other-version', 'AU-4 AU-13', 'version', key, change(0, flip(good[0][1], 4)))
    yield case('capabilities-changed', 'AU-4', 'proof', key, change(0, flip(good[0][1], 7)) + good[1:3])
    yield case('reflected', 'AU-5', 'reflected', key, [good[0], (b'S', good[0][1])])
    yield case('other-tag', 'AU-2', 'not-ours', key, change(0, flip(good[0][1], 0)))
    yield case('weak-public', 'AU-6', 'weak-public', key, change(0, good[0][1][:40] + bytes(32)))
    yield case('client-proof-changed', 'AU-7 AU-8', 'proof', key, change(2, flip(good[2][1], 35)))
    yield case('server-proof-changed', 'AU-7', 'proof', key, change(3, flip(good[3][1], 4)))
    yield case('frame-changed', 'AU-11 AU-17', 'tampered', key, change(4, flip(good[4][1], 10)))
    yield case('frame-repeated', 'AU-11', 'tampered', key, good[:5] + [good[4]])
    yield case('frame-left-out', 'AU-11 AU-12', 'tampered', key, good[:4] + [good[5]])
    yield case('frame-reflected', 'AU-11', 'tampered', key, good[:4] + [(b'S', good[4][1])])
    yield case('frame-too-large', 'AU-10', 'too-large', key, good[:4] + [(b'C', struct.pack('>I', 262145) + bytes(64))])
    yield case('frame-empty', 'AU-10', 'malformed', key, good[:4] + [(b'C', struct.pack('>I', 0) + bytes(64))])
    for name, way, content in (('unknown-kind', b'C', b'\x7f'), ('ping-with-body', b'C', b'\x08x'),
                               ('field-cut-off', b'C', b'\x01' + field(1, b'true')[:-1]),
                               ('no-command', b'C', b'\x01' + field(2, b'1')),
                               ('short-credit', b'C', b'\x07\0')):
        yield case(name, 'AU-14', 'malformed', key, lines(key, [(way, content)]))


def main():
    wrong = 0
    for name, headers, messages in cases():
        text = ''.join('%s: %s\n' % header for header in headers) + '\n' + \
            ''.join('%s %s\n' % (way.decode(), message.hex()) for way, message in messages)
        path = os.path.join(HERE, name + '.txt')
        if sys.argv[1:] == ['write']:
            with open(path, 'w') as file:
                file.write(text)
        elif not os.path.exists(path) or open(path).read() != text:
            print('%s differs' % path)
            wrong += 1
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
