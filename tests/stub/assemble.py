"""The reference assembler of the remote command and the stub (bootstrap_py/README.md, spec/bootstrap.md)."""

import os
import random
import zlib

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bootstrap_py")
CANDIDATES = " ".join(
    ["python3", "python"]
    + ["python3.%d" % minor for minor in range(14, 1, -1)]
    + ["python2", "python2.7", "python2.6", "/usr/libexec/platform-python"]
)


def read(name):
    with open(os.path.join(SOURCES, name), encoding="ascii") as file:
        return file.read()


def string_end(source, at):
    """The index behind the string literal that begins at `at`."""
    quote = source[at]
    end = quote * 3 if source.startswith(quote * 3, at) else quote
    at += len(end)
    while not source.startswith(end, at):
        at += 2 if source[at] == "\\" else 1
    return at + len(end)


def strip(source):
    """Comments, docstrings and indentation width removed; every line keeps its number."""
    out = []
    depth = 0
    fresh = True
    at = 0
    while at < len(source):
        char = source[at]
        if fresh and char == " ":
            width = 0
            while source[at : at + 1] == " ":
                width += 1
                at += 1
            if not depth:
                out.append(" " * (width // 4))
            continue
        if char == "\n":
            text = "".join(out).rstrip(" ")
            out = [text, "\n"]
            at += 1
            fresh = True
            continue
        if char == "#":
            at = source.find("\n", at)
            if at < 0:
                at = len(source)
        elif char in "'\"":
            end = string_end(source, at)
            rest = source[end:].lstrip(" ")
            if fresh and not depth and (not rest or rest[0] in "\n#"):
                out.append("\n" * source.count("\n", at, end))
            else:
                out.append(source[at:end])
            at = end
        else:
            depth += char in "([{"
            depth -= char in ")]}"
            out.append(char)
            at += 1
        fresh = False
    return "".join(out)


def names():
    found = [name for name in os.listdir(SOURCES) if name.endswith(".py") and name != "first_stage.py"]
    return sorted(found, key=lambda name: (name != "main.py", name))


def stub_text():
    """A line of names and sizes, then the files."""
    stripped = [(name, strip(read(name))) for name in names()]
    index = " ".join("%s %d" % (name, len(text)) for name, text in stripped)
    return index + "\n" + "".join(text for name, text in stripped)


def join(text, separator):
    return separator.join(line for line in text.split("\n") if line)


def assemble(rpython=None, marker=None):
    """The command for the login shell, the stub's bytes, and the marker."""
    marker = marker or "%016x" % random.getrandbits(64)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    stub = deflater.compress(stub_text().encode("ascii")) + deflater.flush()
    loader = join(strip(read("first_stage.py")), "@").replace('"', "~")
    script = join(strip(read("first_stage.sh")), " ")
    for name, value in (
        ("LOADER", loader),
        ("MARKER_A", marker[:8]),
        ("MARKER_B", marker[8:]),
        ("CANDIDATES", '"%s"' % rpython if rpython else CANDIDATES),
        ("LENGTH", str(len(stub))),
    ):
        script = script.replace("%" + name + "%", value)
    return "exec /bin/sh -c '" + script + "'", stub, marker


if __name__ == "__main__":
    command, stub, _ = assemble()
    print("command %d + stub %d = %d bytes" % (len(command), len(stub), len(command) + len(stub)))
