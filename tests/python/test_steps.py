"""Steps between the login and the interpreter: the keywords, what a client does behind them, that passwords are shown nowhere."""

import easycluster
import pytest
from support.interpreters import interpreters
from support.machine import Machine

SESAME = "open-Sesame-1"
SETUP = """
for user in alice nopass bob wtty; do useradd -m -s /bin/bash $user; echo $user:open-Sesame-1; done | chpasswd
printf '%s\\n' 'root ALL=(ALL) ALL' 'alice ALL=(ALL) ALL' 'nopass ALL=(ALL) NOPASSWD: ALL' 'wtty ALL=(ALL) ALL' 'Defaults:wtty requiretty' >/etc/sudoers
echo 'permit alice' >/etc/doas.conf; chmod 400 /etc/doas.conf; chmod 440 /etc/sudoers
"""
NAME = "__import__('pwd').getpwuid(__import__('os').getuid()).pw_name"


@pytest.fixture(scope="module")
def machine():
    with Machine(SETUP) as machine:
        yield machine


def who(machine, user, **options):
    with easycluster.Client.from_spec(machine.spec(user), output=None, **options) as client:
        return client.eval(NAME)


def test_the_keywords(machine):
    assert who(machine, "nopass", become="bob") == "bob"
    assert who(machine, "nopass", then="sudo,sudo/alice") == "alice"
    assert who(machine, "nopass", then=["sudo"]) == "root"
    assert who(machine, "alice", then=[easycluster.Sudo(password=SESAME)]) == "root"
    assert who(machine, "alice", then=easycluster.Sudo("bob", password=SESAME)) == "bob"
    assert who(machine, "nopass", then=[easycluster.Sudo(), easycluster.Run(["nice", "-n", "1"]), "sudo/bob"]) == "bob"
    machine.wait_until_idle()


def test_a_terminal_for_a_step_that_wants_one(machine):
    assert who(machine, "alice", then=[easycluster.Tty(), easycluster.Doas(password=SESAME)]) == "root"
    assert who(machine, "wtty", then=[easycluster.Tty(), easycluster.Sudo("bob", password=SESAME)]) == "bob"
    machine.wait_until_idle()


def test_what_is_no_step_is_refused():
    with pytest.raises(ValueError, match="unknown step"):
        easycluster.Client.from_spec(":local", then=["root"])
    with pytest.raises(TypeError, match="expected text such as"):
        easycluster.Client.from_spec(":local", then=[7])
    with pytest.raises(TypeError, match="a step's password is text"):
        easycluster.Client.from_spec(":local", then=[easycluster.Sudo(password=7)])


def test_an_error_has_the_stage_a_hint_and_no_password(machine):
    with pytest.raises(easycluster.ConnectError) as caught:
        who(machine, "alice", then=[easycluster.Sudo(password="wrong-" + SESAME)])
    text = "%s %r %s" % (caught.value, caught.value, getattr(caught.value, "__notes__", ""))
    assert "escalation: sudo/root refused the password" in text
    assert SESAME not in text
    with pytest.raises(easycluster.ConnectError, match=r"\(sudo/root\): escalation: sudo wants a password"):
        who(machine, "alice", become="root")


def test_a_step_shows_no_password():
    step = easycluster.Sudo("bob", password=SESAME)
    assert str(step) == "sudo/bob"
    assert repr(step) == "<Sudo sudo/bob>"


def test_steps_are_written_as_specs_write_them():
    for step, text in (
        (easycluster.Su("bob", login=True), "su/bob/login"),
        (easycluster.Doas(), "doas/root"),
        (easycluster.Doas("bob", password="x"), "doas/bob"),
        (easycluster.Tty(), "tty"),
        (easycluster.Docker("app", "www"), "docker/app/www"),
        (easycluster.Podman("app"), "podman/app"),
        (easycluster.Kubectl("pod"), "kubectl/pod"),
        (easycluster.Kubectl("pod", container="c"), "kubectl/default/pod/c"),
        (easycluster.Nsenter(7, "mn"), "nsenter/7/mn"),
        (easycluster.Chroot("/srv/jail"), "chroot/srv/jail"),
        (easycluster.Lxc("a"), "lxc/a"),
        (easycluster.Incus("a"), "incus/a"),
        (easycluster.Machinectl("m", "bob"), "machinectl/m/bob"),
        (easycluster.Ssh("me@box:22"), "ssh/me@box:22"),
        (easycluster.Run(["a b", "c"]), "run/'a b' c"),
    ):
        assert str(step) == text
        easycluster._native.Spec.for_host("h").with_option("then", [step])


def test_files_behind_sudo_are_roots(machine, tmp_path):
    here = tmp_path / "here"
    here.write_text("secret", "utf-8")
    with easycluster.Client.from_spec(machine.spec("alice"), then=[easycluster.Sudo(password=SESAME)]) as client:
        assert client.put(here, "/root/copied/").files == 1
        assert client.eval("__import__('os').stat('/root/copied/here').st_uid") == 0
        assert client.compare(here, "/root/copied/") == []
        client.get("/root/copied/here", tmp_path / "back")
    assert (tmp_path / "back").read_text("utf-8") == "secret"


def test_a_client_behind_sudo_does_what_one_without_does(machine):
    for interpreter in (interpreters()[0], interpreters()[-1]):
        printed = []
        with easycluster.Client.from_spec(
            machine.spec("alice"),
            then=[easycluster.Sudo(password=SESAME)],
            rpython=interpreter.path,
            output=lambda stream, text: printed.append((stream, text)),
        ) as client:
            client.eval("__import__('sys').stdout.write('out\\n')")
            client.eval("__import__('sys').stderr.write('err\\n')")
            data = bytes(bytearray(range(256))) * 4096
            assert client.call("len", data) == len(data)
            with pytest.raises(ZeroDivisionError):
                client.eval("1 // 0")
            assert "alice" in client.eval("open('/etc/sudoers').read()")
        assert ("stdout", "out\n") in printed
        assert ("stderr", "err\n") in printed
    machine.wait_until_idle()


def test_clients_of_different_steps_share_a_connection_and_no_interpreter(machine):
    spec = machine.spec("nopass", "ahead=1")
    before = machine.log().count("Accepted publickey for nopass")
    clients = [
        easycluster.Client.from_spec(spec, output=None, **options)
        for options in ({}, {"become": "bob"}, {"become": "root"}) * 2
    ]
    try:
        names = [client.eval(NAME) for client in clients]
        assert names == ["nopass", "bob", "root"] * 2
        assert len(set(client.os.getpid() for client in clients)) == 6
        assert machine.log().count("Accepted publickey for nopass") == before + 1
    finally:
        for client in clients:
            client.close()
    machine.wait_until_idle()
