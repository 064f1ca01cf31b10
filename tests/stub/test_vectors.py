"""The vectors of spec/vectors, run against the stub under every interpreter."""

import ast
import binascii
import glob
import json
import os
import re
import subprocess

import assemble
import pytest
import stub_process
from stub_process import ERROR, FATAL, HEADER, PONG, RESULT, Stub

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "spec", "vectors")


def read(path):
    """A vector's head as a dict, and its body as bytes."""
    with open(path) as file:
        head, _, body = file.read().partition("\n\n")
    fields = dict((part.strip() for part in line.split(":", 1)) for line in head.splitlines())
    data = b""
    for line in body.splitlines():
        for token in line.split("#")[0].split():
            digits, _, times = token.partition("*")
            data += binascii.unhexlify(digits) * int(times or 1)
    return fields, data


def constants(page):
    """The numbers of a page's tables, by name."""
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    return dict((row[1].strip(), int(row[2], 0)) for row in rows if re.match(r" *(0x)?[0-9a-f]+ *$", row[2]))


def test_the_numbers_of_the_pages_are_those_of_the_stub():
    spec = os.path.join(VECTORS, "..")
    numbers = {}
    for name in ("framing.md", "messages.md", "errors.md"):
        with open(os.path.join(spec, name)) as file:
            numbers.update(constants(file.read()))
    source = "\n".join(assemble.read(name) for name in assemble.names())
    own = dict(re.findall(r"^([A-Z_]+) = (\d+)$", source, re.M))
    held = sorted(set(own) & set(numbers))
    assert held == ["CHUNK", "COMPRESS_MIN", "MAX_PAYLOAD", "MAX_REASON", "THREAD_WINDOW"]
    assert [int(own[name]) for name in held] == [numbers[name] for name in held]
    assert int(own["HEADER_SIZE"]) == numbers["HEADER"]
    # Where they are written out.
    for text, name in (
        ("count > %d", "MAX_BUFFERS"),
        ("len(buffers) == %d", "MAX_BUFFERS"),
        ("length > %d", "MAX_PING"),
        ("length %% %d", "RELEASE_ENTRY"),
        ("magic != 0x%04x", "MAGIC"),
    ):
        assert text % numbers[name] in source, name
    assert "self.total > 1 << 40" in source and 1 << 40 == numbers["MAX_MESSAGE"]


def test_the_kinds_of_the_page_are_those_of_the_stub():
    """Each number stands once in the stub, in wire.py or lines.py, under the name that the page gives it."""
    with open(os.path.join(VECTORS, "..", "messages.md")) as file:
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in file if line.startswith("| 0x")]
    page = {}
    for number, name, sides, _ in rows:
        # The stub's HELLO has a name of its own, as the client's has that one.
        page["HELLO_S" if name == "HELLO" and sides == "S" else name] = int(number, 16)
    source = assemble.read("wire.py") + assemble.read("lines.py")
    own = {}
    for line in re.findall(r"^[A-Z_, ]+ = range\(.*\)$", source, re.M):
        names, numbers = line.split(" = ")
        own.update(zip(names.split(", "), eval(numbers)))
    assert own == page
    tests = dict((name, getattr(stub_process, name)) for name in page if hasattr(stub_process, name))
    assert tests.items() <= page.items()
    for name in assemble.names():
        assert name == "wire.py" or not re.search(r"\bkind (==|!=|in) \(?(0x|[0-9])", assemble.read(name)), name


def vectors(area):
    found = []
    for path in sorted(glob.glob(os.path.join(VECTORS, area, "*.txt"))):
        fields, data = read(path)
        if fields["direction"] == "client":
            found.append((os.path.basename(path), fields, data))
    assert found
    return found


def test_framing(interpreter, tmp_path):
    """All of them in one process: the stub's own reading, with the requests collected in place of run."""
    cases = vectors("framing")
    for number, (name, fields, data) in enumerate(cases):
        (tmp_path / ("%d.bin" % number)).write_bytes(data)
    plan = [
        [number, fields.get("compress") == "yes", fields["expect"] == "incomplete"]
        for number, (name, fields, data) in enumerate(cases)
    ]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    stripped = dict((name[:-3], assemble.read(name)) for name in assemble.names())
    (tmp_path / "sources.json").write_text(json.dumps(stripped))
    runner = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_framing.py")
    done = subprocess.run([interpreter, runner, str(tmp_path)], stdout=subprocess.PIPE, timeout=120)
    assert done.returncode == 0
    results = json.loads(done.stdout.decode())
    wrong = []
    for (name, fields, data), (verdict, messages) in zip(cases, results):
        expected = fields["expect"]
        if "limit" in fields and expected == "too-large":
            # A limit that a receiver of one language sets itself.
            continue
        wanted = [part.strip() for part in fields.get("messages", "").split(";") if part.strip()]
        wanted = [(dict(item.split("=") for item in part.split()[1:]) | {"name": part.split()[0]}) for part in wanted]
        wanted = [[w["name"], int(w["flags"], 16), int(w["request"]), int(w["length"]), w["crc"]] for w in wanted]
        if verdict != expected or messages != wanted:
            wrong.append((name, verdict, expected, messages, wanted))
    assert not wrong, "\n".join(str(item) for item in wrong)


def hello(data):
    """The HELLO that a vector begins with."""
    return data[: HEADER.size + HEADER.unpack_from(data)[3]]


def grouped():
    """The vectors of messages in lists, each list for one process: of those that begin alike, end nothing and leave nothing for
    the next, which uses the same numbers, what follows HELLO can be sent one after the other."""
    together, lists = [], []
    for vector in vectors("messages"):
        _, fields, data = vector
        joins = fields["expect"] == "accepted" and not re.search("CHANNEL|CANCEL", fields["frames"])
        if joins and (not together or hello(data) == hello(together[0][2])):
            together.append(vector)
        else:
            lists.append([vector])
    assert len(together) > 10
    return [together] + lists


@pytest.mark.parametrize("cases", grouped(), ids=["accepted" if len(one) > 1 else one[0][0][:-4] for one in grouped()])
def test_messages(interpreter, cases):
    with Stub(interpreter, peer="rust", hello=False) as stub:
        stub.write(hello(cases[0][2]))
        wanted = 0
        for name, fields, data in cases:
            stub.write(data[len(hello(data)) :])
            wanted += answered_as_wanted(stub, name, fields)
        stub.process.stdin.close()
        stub.until(lambda: stub.ended)
        answered = sum(entry[0] in (RESULT, ERROR, PONG, FATAL) for entry in stub.log)
        assert answered == wanted, stub.log
        if fields["expect"] == "accepted":
            assert stub.fatal is None
        else:
            assert stub.fatal.startswith(fields["expect"] + ":")


def answered_as_wanted(stub, case, fields):
    """Waits for the answers of a vector, and says how many those are."""
    wanted = [part.strip() for part in fields.get("answers", "").split(";") if part.strip()]
    for answer in wanted:
        kind, _, rest = answer.partition(" ")
        if kind == "FATAL":
            stub.until(lambda: stub.ended)
            assert stub.fatal.startswith(rest + ":"), (case, stub.fatal)
        elif kind == "PONG":
            stub.until(lambda: stub.pongs)
            assert stub.pongs.pop(0) == binascii.unhexlify(rest), case
        else:
            number, _, value = rest.partition(" ")
            number = int(number)
            stub.until(lambda: number in stub.answers or stub.ended)
            assert number in stub.answers, (case, stub.fatal)
            got, content = stub.answers.pop(number)
            if kind == "RESULT":
                assert got == RESULT and content == ast.literal_eval(value), (case, content)
            else:
                assert got == ERROR and content["kind"] == value, (case, content)
    return len(wanted)
