"""The reference assembler of the remote command and the stub (bootstrap_py/README.md, spec/bootstrap.md)."""

import base64
import functools
import os
import random
import zlib

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bootstrap_py")
CANDIDATES = (
    'python3 python;for m in 15 14 13 12 11 10 9 8 7 6 5 4 3 2;do set -- "$@" python3.$m;done;'
    'set -- "$@" python2 python2.7 python2.6 /usr/libexec/platform-python'
)


def path(name):
    """Where a file of the stub lies, or one that both ends run."""
    found = [os.path.join(SOURCES, folder, name) for folder in ("stub", "shared")]
    return next((place for place in found if os.path.exists(place)), os.path.join(SOURCES, name))


def read(name):
    with open(path(name), encoding="ascii") as file:
        return file.read()


def string_end(source, at):
    """The index behind the string literal that begins at `at`."""
    quote = source[at]
    end = quote * 3 if source.startswith(quote * 3, at) else quote
    at += len(end)
    while not source.startswith(end, at):
        at += 2 if source[at] == "\\" else 1
    return at + len(end)


def is_name(char):
    return char.isalnum() or char in "_."


def block_goes_on(after, indent):
    """Whether the next line of code is indented at least this far."""
    for line in after.split("\n")[1:]:
        if line.strip() and not line.lstrip().startswith("#"):
            return len(line) - len(line.lstrip()) >= indent
    return False


# A run of tests needs the same few files thousands of times.
@functools.lru_cache(maxsize=None)
def strip(source):
    """Comments, docstrings, indentation width and needless blanks removed; every line keeps its number."""
    lines = []
    out = ""
    depth = indent = at = 0
    fresh = True
    while at < len(source):
        char = source[at]
        if char == "\n":
            lines.append(out.rstrip(" "))
            out = ""
            at += 1
            fresh = True
            indent = 0
            continue
        if char == " ":
            width = len(source) - at - len(source[at:].lstrip(" "))
            at += width
            if fresh:
                indent = width
                out += "" if depth else " " * (width // 4)
                continue
            if out and is_name(out[-1]) and is_name(source[at : at + 1] or "\n"):
                out += " "
        elif char == "#":
            end = source.find("\n", at)
            at = len(source) if end < 0 else end
        elif char in "'\"":
            end = string_end(source, at)
            rest = source[end:].lstrip(" ")
            if fresh and not depth and (not rest or rest[0] in "\n#"):
                out = out.rstrip(" ") if block_goes_on(source[end:], indent) else out + "0"
                for _ in range(source.count("\n", at, end)):
                    lines.append(out)
                    out = ""
            else:
                out += source[at:end]
            at = end
        else:
            depth += char in "([{"
            depth -= char in ")]}"
            out += char
            at += 1
        fresh = False
    return "\n".join(lines + [out])


def names():
    """The files of the stub, the first one first."""
    files = os.listdir(os.path.join(SOURCES, "stub")) + os.listdir(os.path.join(SOURCES, "shared"))
    found = [name for name in files if name.endswith(".py") and name[:11] != "first_stage" and name != "objects.py"]
    return sorted(found, key=lambda name: (name != "start.py", name))


def parts():
    """The parts of the stub by name, each the list of its files; the first is sent with the command."""
    return dict((line.split()[0], line.split()[1:]) for line in read("parts.txt").splitlines() if line[:1] != "#")


def together(files):
    """Names and texts in turn, with NUL between them all."""
    return "\0".join("%s\0%s" % (name, strip(read(name))) for name in files)


@functools.lru_cache(maxsize=None)
def deflate(text):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(text.encode("ascii")) + deflater.flush()


def stub_text(part="core"):
    """The first file's text, then the names and texts of the others of a part that is sent with the command."""
    first, *others = parts()[part]
    return strip(read(first)) + "\0" + together(others)


def part(name):
    """The payload of PART."""
    return deflate(together(parts()[name]))


def join(text, separator):
    return separator.join(line.rstrip() for line in text.split("\n") if line.strip() and not line.startswith("#"))


def first_stage(end, marker, length, rpython=None):
    """What `sh` runs to find an interpreter, and the loader in it."""
    loader = join(read("first_stage.py") + read(end), "@").replace('"', "~")
    script = join(read("first_stage.sh"), " ").replace("; ", ";")
    for name, value in (
        ("LOADER", loader),
        ("MARKER_A", marker[:8]),
        ("MARKER_B", marker[8:]),
        ("CANDIDATES", '"%s"' % rpython if rpython else CANDIDATES),
        ("ARGUMENTS", ""),
        ("LENGTH", str(length)),
    ):
        script = script.replace("%" + name + "%", value)
    return script


def new_marker():
    return "%016x" % random.getrandbits(64)


def assemble(rpython=None, marker=None):
    """The command for the login shell, the stub's bytes, and the marker."""
    marker = marker or new_marker()
    stub = deflate(stub_text())
    script = first_stage("first_stage_stub.py", marker, len(stub), rpython)
    return "exec /bin/sh -c '" + script + "'", stub, marker


def text_of_program(source, filename, argv, environment, folder):
    """How much of it is run first, and the text that a Python reads to run a program alone (BS-16)."""
    first, main = [
        "\n".join(line for line in strip(read("helpers/" + name)).split("\n") if line).encode() + b"\n"
        for name in ("run_alone.py", "run_main.py")
    ]
    others = base64.b64encode(deflate(together(["children.py", "helpers/run_main_seldom.py"])))
    given = repr((filename.encode(), [word.encode() for word in argv], environment, folder)).encode()
    sizes = b"%d %d %d\n" % (len(main), len(others), len(given))
    return len(first), first + sizes + main + others + given + source


def program(rpython, source, filename="x.py", argv=("x.py",), environment=None, folder=b"", has_input=False):
    """The command for the login shell, what it reads, and the marker, for a program that runs alone."""
    marker = new_marker()
    length, text = text_of_program(source, filename, argv, environment or {}, folder)
    script = first_stage("first_stage_program.py", marker, length, rpython)
    with open(os.path.join(SOURCES, "..", "src", "command", "wrapper.sh"), encoding="ascii") as file:
        wrapper = join(file.read(), " ")
    name = "ec_s" if len(text) > 65536 else "ec_w"
    copy = "dd bs=%d count=1 iflag=fullblock <&3 2>/dev/null || dd bs=1 count=%d <&3 2>/dev/null" % (
        len(text),
        len(text),
    )
    head = "%s=$(%s; echo x);%s=${%s%%x}\n" % (name, copy, name, name)
    tail = "%sec_z=INT;%sset --;ec_h=1\n" % ("export ec_w;" * (name == "ec_w"), "ec_i=1;" * has_input)
    unset = "unset ec_h ec_i ec_s ec_w ec_k ec_d ec_z;"
    command = "exec /bin/sh -c '%sx() { %s; };%s'" % (unset, script, wrapper)
    return command, head.encode() + text + tail.encode(), marker


if __name__ == "__main__":
    command, stub, _ = assemble()
    print("command %d + stub %d = %d bytes" % (len(command), len(stub), len(command) + len(stub)))
    for name in parts():
        print("part %s: %d bytes" % (name, len(part(name))))
