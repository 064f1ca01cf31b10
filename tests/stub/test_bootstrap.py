"""How the stub gets to run: interpreters found or not, shells, noise, stray files, missing folders, size, old syntax."""

import os
import re
import shutil
import subprocess
import sys

import assemble
import pytest
from stub_process import Failed, Stub
from support import parts
from support.interpreters import interpreters

NEWEST = interpreters()[-1].path


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def run_bare(command, env, stdin=b""):
    """What a command line says until it ends."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=30
    )
    return done.stdout.decode(), done.stderr.decode(), done.returncode


def fake(version):
    """An interpreter that says it is another version, and otherwise is the newest here."""
    return '#!/bin/sh\ncode=$2\nshift 2\nexec %s -c "import sys;sys.version_info=%r;$code" "$@"\n' % (NEWEST, version)


def test_the_command_passes_every_shell():
    command, stub, marker = assemble.assemble()
    inner = command[len("exec /bin/sh -c '") : -1]
    assert not re.search(r"['\\!\n]", inner)
    assert marker not in command and marker[:8] in command and marker[8:] in command


# .ci/prepare installs these; others are tried where they happen to be.
SHELLS = ["sh", "bash", "dash", "ksh", "zsh", "csh", "tcsh", "fish"]


@pytest.mark.parametrize("shell", SHELLS + [name for name in ("mksh", "busybox") if shutil.which(name)])
def test_login_shells(shell):
    path = shutil.which(shell)
    assert path, "no %s on this machine; `make prepare` installs it" % shell
    start = [path, "sh", "-c"] if shell == "busybox" else [path, "-c"]
    with Stub(NEWEST, command=lambda line: start + [line]) as stub:
        assert stub.call("abs", -2) == 2


def test_noise_before_the_stub(interpreter):
    noise = "echo welcome; echo '%s'; printf 'no line end'; " % ("x" * 20000)
    with Stub(interpreter, command=lambda line: ["/bin/sh", "-c", noise + line]) as stub:
        assert stub.call("abs", -2) == 2
        assert stub.noise.startswith(b"welcome\n") and stub.noise.endswith(stub.marker.encode() + b"l\n")


def test_no_home_and_an_unreadable_folder(interpreter, tmp_path):
    gone = tmp_path / "gone"
    command = lambda line: ["/bin/sh", "-c", "mkdir %s; cd %s; rmdir ../gone; unset HOME; %s" % (gone, gone, line)]  # noqa: E731
    with Stub(interpreter, command=command, env={"PATH": os.environ["PATH"]}) as stub:
        assert stub.call("abs", -2) == 2
        with pytest.raises(Failed):
            stub.call("os.getcwd")


def test_stray_modules_are_not_picked_up(interpreter, tmp_path):
    for name in (
        "socket",
        "pickle",
        "struct",
        "zlib",
        "threading",
        "select",
        "io",
        "traceback",
        "linecache",
        "ctypes",
        "sys",
    ):
        (tmp_path / (name + ".py")).write_text("raise RuntimeError('stray')\n")
    (tmp_path / "easycluster").mkdir()
    (tmp_path / "easycluster" / "__init__.py").write_text("raise RuntimeError('stray')\n")
    for extra in ({}, {"PYTHONPATH": os.pathsep + str(tmp_path)}, {"PYTHONPATH": "."}):
        env = dict(os.environ, HOME=str(tmp_path))
        # Where an interpreter's own start fails over them, there is nothing to be done.
        if (
            extra
            and subprocess.run(
                [interpreter, "-c", "pass"],
                cwd=str(tmp_path),
                env=dict(env, PYTHONSAFEPATH="1", **extra),
                stderr=subprocess.DEVNULL,
            ).returncode
        ):
            continue
        with Stub(interpreter, cwd=str(tmp_path), env=dict(env, **extra)) as stub:
            assert stub.eval("__import__('socket').AF_INET") == 2
            stub.define("from easycluster import *\nimport pickle, struct\nclass A(ServerObject): pass\n")
            stub.call("A")
            with pytest.raises(Failed):
                stub.eval("1 / 0")


def test_standard_input_and_its_rest_are_the_null_device(fresh_stub):
    assert fresh_stub.eval("__import__('os').read(0, 10)") == (b"" if fresh_stub.hello["python"][0] > 2 else "")
    assert fresh_stub.exec("import subprocess\nexec_return(subprocess.call(['cat']))") == 0


CALLERS = """
import sys
def callers():
    frame, found = sys._getframe(1), []
    while frame:
        found.append(frame.f_code.co_filename)
        frame = frame.f_back
    return found
"""


def test_code_of_the_stub_bears_the_names_of_its_files(fresh_stub):
    fresh_stub.exec(CALLERS)
    # The first stage is the program of `-c`, which has no file; before 3.3 it runs start.py as its own.
    ours = [name for name in fresh_stub.call("callers") if name != "<string>"]
    last = "start" if tuple(fresh_stub.hello["python"][:2]) >= (3, 3) else "main"
    assert ours[-1] == "<easycluster>/%s.py" % last
    assert "<easycluster>/worker.py" in ours
    assert all(name.startswith("<easycluster>/") for name in ours)
    # Of a part, compiled in a running stub.
    assert "<easycluster>/requests.py" in fresh_stub.eval("callers()")


def test_descriptors_are_not_inherited(fresh_stub):
    listed = fresh_stub.exec(
        "import subprocess\np = subprocess.Popen(['ls', '/proc/self/fd'], stdout=subprocess.PIPE, "
        "close_fds=False)\nexec_return(p.communicate()[0].decode().split())"
    )
    assert sorted(listed) == ["0", "1", "2", "3"]


def test_no_interpreter(tmp_path):
    os.symlink("/bin/sh", str(tmp_path / "sh"))
    command, _, marker = assemble.assemble()
    out, err, code = run_bare(
        command.replace("/usr/libexec/platform-python", "/nonexistent/python"), {"PATH": str(tmp_path)}
    )
    assert code == 127 and out.startswith(marker + "n") and out.endswith("\n")
    assert "python3 python " in out and "python2.6" in out
    command, _, marker = assemble.assemble("/nonexistent/my python")
    out, err, code = run_bare(command, {"PATH": str(tmp_path)})
    assert out == marker + "n/nonexistent/my python\n"


def test_versions_that_do_not_serve_hand_over(tmp_path):
    """python3 is 3.1, python is 2.5, python3.9 is missing, python2 serves."""
    for name, version in (("python3", (3, 1, 4)), ("python", (2, 5, 2))):
        script(tmp_path / name, fake(version))
    (tmp_path / "python2").symlink_to(NEWEST)
    env = {"PATH": str(tmp_path)}
    with Stub(NEWEST, rpython=None, env=env) as stub:
        assert stub.call("abs", -2) == 2
    (tmp_path / "python2").unlink()
    command, _, marker = assemble.assemble()
    out, err, code = run_bare(command.replace("/usr/libexec/platform-python", "/nonexistent/python"), env)
    assert code == 127, err
    assert out.startswith(marker + "v") and "is 3.1.4" in out and "is 2.5.2" in out


def test_the_first_that_serves_is_taken(tmp_path):
    (tmp_path / "python3").symlink_to(interpreters()[-1].path)
    (tmp_path / "python").symlink_to(interpreters()[0].path)
    with Stub(NEWEST, rpython=None, env={"PATH": str(tmp_path)}) as stub:
        stub.until(lambda: stub.hello)
        assert stub.hello["python"][:2] == interpreters()[-1].version


def test_variables_that_the_account_exports_come_as_they_are(start):
    """The shell that finds the interpreter has variables of its own."""
    names = "abcdefghijklmnopqrstuvwxyz"
    stub = start(env=dict(os.environ, **dict((name, name + "!") for name in names)))
    assert stub.eval("[__import__('os').environ[name] for name in '%s']" % names) == [name + "!" for name in names]


def test_line_numbers_are_kept():
    for name in assemble.names() + ["objects.py"]:
        source = assemble.read(name)
        stripped = assemble.strip(source)
        assert stripped.count("\n") == source.count("\n"), name
        compile(stripped, name, "exec")
        assert "#" not in re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "", stripped), name


def test_every_interpreter_parses_every_file(interpreter, tmp_path):
    names = assemble.names() + ["objects.py"]
    for name in names:
        (tmp_path / name).write_text(assemble.read(name))
    # What it says of a file that it does not parse names that file.
    program = "import sys\nfor name in sys.argv[1:]: compile(open(name).read(), name, 'exec')"
    done = subprocess.run([interpreter, "-c", program, *names], cwd=str(tmp_path), capture_output=True)
    assert done.returncode == 0, (interpreter, done.stderr.decode())


def test_vermin_finds_nothing_too_new():
    files = [assemble.path(name) for name in assemble.names() if name not in ("compat.py", "compat_late.py")]
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "-t=2.6-", "-t=3.2-", "--violations", "--no-tips"]
        + files,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout.decode()


def test_version_branches_live_in_two_files():
    for name in assemble.names():
        source = assemble.read(name)
        if name not in ("compat.py", "compat_late.py"):
            assert not re.search(r"sys\.version|hexversion|VERSION\s*[<>=]|platform\.python", source), name
        first = source.split("\n")[0]
        assert first.startswith("# ") and first.endswith("."), name


def test_every_file_is_in_one_part():
    listed = [name for files in assemble.parts().values() for name in files]
    assert sorted(listed) == sorted(assemble.names()) and listed[0] == "start.py"


def test_a_machine_without_devices(interpreter):
    """As in a bare chroot: the search for an interpreter and the stub need no null device."""
    inside = "mount -t tmpfs none /dev && exec sh -c \"$1\""
    tried = subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL) if shutil.which("unshare") else None
    parts.need("namespaces", tried and tried.returncode == 0)
    with Stub(interpreter, command=lambda line: ["unshare", "-rm", "sh", "-c", inside, "sh", line]) as stub:
        assert stub.call("abs", -1) == 1
        assert "null" not in stub.call("os.listdir", "/dev")
        assert stub.call("sys.stdin.read") == ""
        assert stub.call("os.system", "echo child; ! read x") == 0
        stub.until(lambda: b"child\n" in stub.output)
