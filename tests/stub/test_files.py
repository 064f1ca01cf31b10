"""Files: the functions of helpers/files.py and helpers/files_arriving.py, under every interpreter."""

import os
import struct
import zlib

import pytest


def octets(value):
    """What Python 2 sends as text."""
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def named(*paths):
    """Paths, each behind its length."""
    return b"".join([struct.pack(">H", len(path)) + path for path in paths])


def row(data, place=0):
    """A row and where the next begins."""
    kind, mode, size, seconds, nanoseconds, name, target = struct.unpack_from(">cIQqIHH", data, place)
    place += 29
    return (kind, mode, size, seconds, data[place : place + name], data[place + name : place + name + target]), (
        place + name + target
    )


class Copying:
    """One transfer with a stub."""

    def __init__(self, stub, number=1):
        self.stub, self.number = stub, number
        stub.helper("helpers/files")
        stub.helper("helpers/files_arriving")

    def step(self, name, data=b""):
        module = "files_arriving" if name in ("look", "write") else "files"
        return octets(self.stub.call("helpers/%s.%s" % (module, name), self.number, data, thread=7))

    def walk(self, flags, *paths):
        data, found = self.step("walk", flags + named(*paths)), []
        while data:
            place = 0
            while place < len(data):
                one, place = row(data, place + 4)
                found.append(one)
            data = self.step("more")
        return found

    def end(self):
        self.stub.call("helpers/files.end", self.number, thread=7)


def small(index, path, content, mode=0o640, crc=None):
    crc = zlib.crc32(content) if crc is None else crc
    return (
        b"F"
        + struct.pack(">IHIqIII", index, len(path), mode, 1234567890, 500000000, len(content), crc)
        + path
        + content
    )


def piece(index, offset, content):
    return b"W" + struct.pack(">IQII", index, offset, len(content), zlib.crc32(content)) + content


def failed(failures):
    """Indices and reasons of what failed."""
    found = []
    while failures:
        index, length = struct.unpack_from(">IH", failures)
        found.append((index, failures[6 : 6 + length]))
        failures = failures[6 + length :]
    return found


def run_files(stub, top):
    """Each function, once and more, in a folder of the test's."""
    top = os.fsencode(str(top))
    copying = Copying(stub)
    rows = copying.step("begin", b"\x04" + named(top + b"/new/there", b"a"))
    assert [row(rows)[0][0], row(rows, 29)[0][0]] == [b"-", b"-"]
    large = bytes(range(256)) * 400
    binary = b"\xff\x00\xc3\x28" * 100
    ending = b"12345678"
    blocks = [
        b"D" + struct.pack(">IHIqI", 9, 0, 0o755, 0, 0xFFFFFFFF),
        b"D" + struct.pack(">IHIqI", 0, 1, 0o700, 0, 0xFFFFFFFF) + b"d",
        small(1, b"d/a\xff", binary),
        small(2, b"no/b", b"x"),
        small(3, b"bad", b"x", crc=7),
        b"B" + struct.pack(">IHQQ8s", 4, 1, len(large) + 100000, 0, ending) + b"L" + piece(4, 0, large),
        b"L" + struct.pack(">IHHqI", 5, 4, 3, 1234567890, 0) + b"link" + b"d/a",
        b"E" + struct.pack(">IIqI", 4, 0o600, 1234567890, 0),
        b"T" + struct.pack(">IHIqI", 0, 1, 0o711, 1234567890, 0) + b"d",
    ]
    failures = copying.step("write", b"".join(blocks))
    found = failed(failures)
    assert [index for index, _ in found] == [2, 3], found
    assert b"damaged" in found[1][1]
    there = os.path.join(top, b"new", b"there")
    assert sorted(os.listdir(there)) == [b"L", b"d", b"link"]
    with open(os.path.join(there, b"L"), "rb") as file:
        assert file.read() == large + bytes(100000)
    status = os.stat(os.path.join(there, b"d", b"a\xff"))
    assert (status.st_mode & 0o7777, status.st_mtime, status.st_size) == (0o640, 1234567890.5, 400)
    assert os.stat(os.path.join(there, b"d")).st_mode & 0o777 == 0o711
    # What is there.
    data = copying.step("look", b"\0" * 8 + named(b"d/a\xff") + b"\0" * 8 + named(b"no") + ending + named(b"L"))
    one, place = row(data)
    assert one[:4] == (b"f", 0o100640, 400, 1234567890)
    assert row(data, place + 8)[0][0] == b"-"
    rows = copying.walk(b"\0", b"")
    assert [(it[0], it[4], it[5]) for it in rows] == [
        (b"d", b"", b""), (b"f", b"L", b""), (b"d", b"d", b""), (b"l", b"link", b"d/a"), (b"f", b"d/a\xff", b""),
    ]  # fmt: skip
    copying.end()
    # Contents: of a file with a hole, of one with bytes that are no text, of one that is not there, and of one that is shorter.
    copying = Copying(stub, 2)
    asked = [(b"/L", 0, len(large) + 100000), (b"/d/a\xff", 2, 398), (b"/no", 0, 1), (b"/d/a\xff", 0, 401)]
    asked = b"".join([struct.pack(">BHQI", 0, len(there + path), at, size) + there + path for path, at, size in asked])
    data = copying.step("read", asked)
    assert struct.unpack_from(">BII", data)[:2] == (0, zlib.crc32(large + bytes(100000)))
    skipped, length = struct.unpack_from(">II", data, 9)
    assert (skipped, data[17 : 17 + length][: len(large)]) == (0, large) and length < len(large) + 65536
    assert binary[2:] in data and b"No such file" in data and b"shorter" in data
    digest = copying.step("digest", struct.pack(">Q", len(large)) + b"\0" * 8 + there + b"/L")
    assert digest == __import__("hashlib").sha256(large).digest()
    assert copying.step("digest", struct.pack(">Q", 1 << 40) + b"\0" * 8 + there + b"/L") == b""
    copying.end()


def test_every_function(stub, tmp_path):
    run_files(stub, tmp_path)


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_was_cut_off_stays_only_where_that_is_wanted(stub, tmp_path, keep):
    top = os.fsencode(str(tmp_path))
    copying = Copying(stub)
    copying.step("begin", (b"\x04" if keep else b"\0") + named(top, b"a"))
    begin = b"B" + struct.pack(">IHQQ8s", 0, 1, 10, 0, b"12345678") + b"a"
    assert copying.step("write", begin + piece(0, 0, b"hello")) == b""
    copying.end()
    assert os.listdir(tmp_path) == ([".a.easycluster-12345678"] if keep else [])
    if not keep:
        return
    copying = Copying(stub, 2)
    copying.step("begin", b"\x04" + named(top, b"a"))
    data = copying.step("look", b"12345678" + named(b"a"))
    assert struct.unpack(">Q", data[-8:]) == (5,)
    rest = begin[:7] + struct.pack(">QQ8s", 10, 5, b"12345678") + b"a" + piece(0, 5, b"world")
    assert copying.step("write", rest + b"E" + struct.pack(">IIqI", 0, 0o644, 0, 0)) == b""
    assert (tmp_path / "a").read_text("utf-8") == "helloworld"
    copying.end()


def test_two_that_write_the_same_file_do_not_disturb_each_other(stub, tmp_path):
    top = os.fsencode(str(tmp_path))
    both = [Copying(stub, number) for number in (1, 2)]
    for copying in both:
        copying.step("begin", b"\x04" + named(top, b"a"))
        copying.step("write", b"B" + struct.pack(">IHQQ8s", 0, 1, 5, 0, b"12345678") + b"a")
    assert len(os.listdir(tmp_path)) == 2
    for copying in both:
        done = piece(0, 0, b"hello") + b"E" + struct.pack(">IIqI", 0, 0o644, 0, 0)
        assert copying.step("write", done) == b""
        copying.end()
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_text("utf-8") == "hello"


def test_nothing_that_somebody_put_there_is_written_through(stub, tmp_path):
    top = os.fsencode(str(tmp_path))
    mine = tmp_path / "mine"
    mine.write_text("mine", "utf-8")
    (tmp_path / ".a.easycluster-12345678").symlink_to(mine)
    (tmp_path / "a").symlink_to(mine)
    copying = Copying(stub)
    copying.step("begin", b"\x04" + named(top, b"a"))
    data = copying.step("look", b"12345678" + named(b"a"))
    assert struct.unpack(">Q", data[-8:]) == (0,)
    begin = b"B" + struct.pack(">IHQQ8s", 0, 1, 3, 0, b"12345678") + b"a" + piece(0, 0, b"new")
    assert copying.step("write", begin + b"E" + struct.pack(">IIqI", 0, 0o644, 0, 0)) == b""
    assert mine.read_text("utf-8") == "mine"
    assert not (tmp_path / "a").is_symlink() and (tmp_path / "a").read_text("utf-8") == "new"
    copying.end()


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_written_through_a_link_that_takes_the_place_of_a_folder_meanwhile(stub, tmp_path, known):
    outside, top = tmp_path / "outside", tmp_path / "top"
    (outside / "e").mkdir(parents=True)
    (outside / "gone").write_text("mine", "utf-8")
    outside.chmod(0o700)
    copying = Copying(stub)
    copying.step("begin", b"\x04" + named(os.fsencode(str(top)), b""))
    folders = b"".join(
        b"D" + struct.pack(">IHIqI", index, len(path), 0o755, 0, 0xFFFFFFFF) + path
        for index, path in enumerate([b"", b"d", b"d/e"])
    )
    begin = b"B" + struct.pack(">IHQQ8s", 3, 5, 3, 0, b"12345678") + b"d/big"
    assert copying.step("write", folders + (begin + small(4, b"d/first", b"x") if known else b"")) == b""
    (top / "d").rename(top / "away")
    (top / "d").symlink_to(outside)
    if not known:
        copying.end()
        copying = Copying(stub, 2)
        copying.step("begin", b"\x04" + named(os.fsencode(str(top)), b""))
        assert copying.step("write", begin) != b""
    blocks = [
        piece(3, 0, b"new"),
        b"E" + struct.pack(">IIqI", 3, 0o644, 0, 0),
        small(5, b"d/small", b"new"),
        small(6, b"d/e/small", b"new"),
        b"L" + struct.pack(">IHHqI", 7, 6, 3, 1234567890, 0) + b"d/link" + b"big",
        b"D" + struct.pack(">IHIqI", 8, 5, 0o755, 0, 0xFFFFFFFF) + b"d/new",
        b"R" + struct.pack(">IH", 9, 6) + b"d/gone",
        b"T" + struct.pack(">IHIqI", 10, 1, 0o777, 1234567890, 0) + b"d",
        b"T" + struct.pack(">IHIqI", 11, 6, 0o777, 1234567890, 0) + b"d/gone",
    ]
    failures = copying.step("write", b"".join(blocks))
    copying.end()
    assert sorted(os.listdir(outside)) == ["e", "gone"] and os.listdir(outside / "e") == []
    assert outside.stat().st_mode & 0o777 == 0o700 and outside.stat().st_mtime != 1234567890
    # It arrives in the folder that was there, or is told.
    assert {index for index, _ in failed(failures)} == ({10, 11} if known else {5, 6, 7, 8, 9, 10, 11})
    assert sorted(os.listdir(top / "away")) == (["big", "e", "first", "link", "new", "small"] if known else ["e"])


def test_a_file_that_changes_while_it_is_read_is_not_put_together_from_both(stub, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1" * 10)
    name = os.fsencode(str(path))
    copying = Copying(stub)

    def read(at):
        return copying.step("read", struct.pack(">BHQI", 0, len(name), at, 5) + name)

    def written(content, time):
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(content)
        os.utime(path, (time, time))

    assert read(0)[:1] == b"\0"
    # A log grows.
    written(b"1" * 11, 1000000000)
    assert read(5)[:1] == b"\0"
    written(b"2" * 10, 1100000000)
    said = read(0)
    assert said[:1] == b"\1" and b"changed" in said
    copying.end()


def test_what_cannot_be_written_to_its_end_does_not_stay(stub, tmp_path):
    copying = Copying(stub)
    copying.step("begin", b"\x04" + named(os.fsencode(str(tmp_path)), b"a", b"b"))
    for index, name in enumerate([b"a", b"b"]):
        begin = b"B" + struct.pack(">IHQQ8s", index, 1, 10, 0, b"12345678") + name
        assert copying.step("write", begin + piece(index, 0, b"hello")) == b""
    # One that arrives damaged, and one that cannot be read here.
    assert b"damaged" in copying.step("write", b"W" + struct.pack(">IQII", 0, 5, 5, 7) + b"world")
    assert copying.step("write", b"X" + struct.pack(">I", 1)) == b""
    assert os.listdir(tmp_path) == []
    copying.end()
