"""Decoding asks the server for nothing, whatever a pickle makes of a proxy."""

from __future__ import annotations

import pickle

import numpy
from easycluster import Refused
from easycluster._pickling import policy, unpickler
from easycluster._shared import objects


def unpickle(data, references):
    return unpickler.unpickle_scanned(data, policy.Policy(), references)


class Asked(Exception):
    pass


class Counting:
    peername = 'hostile'
    requests = 0

    def send_request(self, *args, **options):
        self.requests += 1
        raise Asked

    def report_exception(self, error):
        pass


def test_decoding_makes_no_request():
    kind = objects.make_proxy_class(
        'Thing', ('__iter__', '__getitem__', '__len__', '__hash__', '__eq__', '__next__', '__bool__', '__index__', '__float__',
                  '__str__', '__fspath__', '__call__', '__getattr__', 'keys'), ('@auto',), (), 'easycluster')  # fmt: skip
    connection = Counting()
    proxy = kind(connection, 5)
    names = [
        b'cbuiltins\n%s\n' % name
        for name in (b'list', b'tuple', b'set', b'frozenset', b'dict', b'bytes', b'bytearray', b'str', b'int', b'float', b'bool',
                     b'complex', b'range', b'slice', b'iter', b'enumerate', b'zip', b'reversed', b'ValueError', b'OSError',
                     b'KeyError', b'SystemExit')
    ]  # fmt: skip
    names += [
        b'ccollections\n%s\n' % name
        for name in (b'deque', b'Counter', b'OrderedDict', b'defaultdict', b'ChainMap', b'UserDict')
    ]
    names += [
        b'cdecimal\nDecimal\n',
        b'cfractions\nFraction\n',
        b'cpathlib\nPurePosixPath\n',
        b'cipaddress\nIPv4Address\n',
    ]
    names += [
        b'cdatetime\ndate\n',
        b'cnumpy\ndtype\n',
        b'curllib.error\nHTTPError\n',
        b'csubprocess\nCalledProcessError\n',
    ]
    names += [b'carray\narray\nX\x01\x00\x00\x00d', b'cjson.decoder\nJSONDecodeError\n']
    reference = b'X\x01\x00\x00\x00pQ'
    pickles = [b'\x80\x04' + name + reference + b'\x85R.' for name in names]
    # What is made of it, iterated over.
    pickles += [b'\x80\x04cbuiltins\nlist\n' + name + reference + b'\x85R\x85R.' for name in names]
    pickles += [b'\x80\x04}' + reference + b'Ns.', b'\x80\x04\x8f(' + reference + reference + b'\x90.']
    pickles += [b'\x80\x04}' + reference + b'\x85Ns.', b'\x80\x04(' + reference + b'\x91.']
    pickles += [b'\x80\x04' + reference + change for change in (b')R.', b')\x81.', b'}b.', b'K\x01a.', b'K\x01K\x02s.')]
    objects_of = pickle.dumps(numpy.array([None, 5], object), 4)
    assert objects_of.count(b'NK\x05') == 1
    pickles.append(objects_of.replace(b'NK\x05', reference + b'K\x05').replace(objects_of[2:11], b'', 1))
    arrived = 0
    for data in pickles:
        try:
            unpickle(data, references=lambda pid: proxy)
            arrived += 1
        except (Refused, ValueError):
            pass
        assert connection.requests == 0, data
    # Some pass, such as an exception or a list that holds it.
    assert arrived > 5
