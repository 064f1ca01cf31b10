"""Shell commands: the functions of helpers/commands.py, under every interpreter. Their shell is a plain one here, without the wrapper."""

import pytest
from stub_process import is_running, wait_until


def octets(value):
    """What Python 2 sends as text where it is text."""
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def run_commands(stub):
    """Each function, once."""
    stub.helper("helpers/commands")
    # The plain shell's input has to end by itself.
    stub.call("helpers/commands.start", 1, "read x; echo $x; echo err >&2; exit 3", thread=5)
    read = stub.start_call("helpers/commands.read", 1, thread=5)
    stub.call("helpers/commands.write", 1, b"in\n", thread=6)
    told = {"out": b"", "err": b"", "status": None}
    while told["status"] is None:
        out, err, told["status"] = stub.wait(read)
        told["out"] += octets(out)
        told["err"] += octets(err)
        read = stub.start_call("helpers/commands.read", 1, thread=5)
    assert told == {"out": b"in\n", "err": b"err\n", "status": 3}
    stub.call("helpers/commands.end", 1)
    assert stub.wait(read) in (None, [b"", b"", 3], ["", "", 3])
    out, err, status = stub.call("helpers/commands.run", "head -c 300000; echo err >&2; exit 3", b"x" * 300000)
    assert (len(octets(out)), octets(err), status) == (300000, b"err\n", 3)
    assert stub.call("helpers/commands.run", "kill -9 $$", b"")[2] == -9


def test_every_function(stub):
    run_commands(stub)


def test_a_command_ends_with_its_input_and_with_the_stub(stub):
    stub.helper("helpers/commands")
    pids = []
    for number in range(2):
        stub.call("helpers/commands.start", number, "echo $$; cat >/dev/null", thread=5)
        pids.append(int(octets(stub.call("helpers/commands.read", number, thread=5)[0])))
    stub.call("helpers/commands.end", 0)
    wait_until(lambda: not is_running(pids[0]))
    assert stub.call("helpers/commands.read", 0, thread=5) is None
    assert is_running(pids[1])
    stub.process.kill()
    wait_until(lambda: not is_running(pids[1]))


@pytest.mark.parametrize("name", ["read", "end"])
def test_numbers_that_are_none_are_no_error(stub, name):
    stub.helper("helpers/commands")
    assert stub.call("helpers/commands." + name, 7) is None


def test_one_that_is_given_up_before_it_begins_does_not_go_on(stub):
    stub.helper("helpers/commands")
    stub.call("helpers/commands.end", 3)
    stub.call("helpers/commands.start", 3, "cat", b"control", thread=5)
    assert stub.call("helpers/commands.read", 3, thread=5) is None
