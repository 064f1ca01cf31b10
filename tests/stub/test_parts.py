"""The parts of the stub that arrive when they are needed: what does without, what waits, what is refused."""

import pytest
from stub_process import CALL, CANCEL, CLOSE, CREDIT, EXEC, PART, PING, Failed


def test_a_call_waits_for_the_part_that_it_needs(start):
    stub = start(parts=())
    numbers = [stub.start_call("os.getpid"), stub.start_call("sorted", "ba"), stub.start_call("int", "no number")]
    stub.until(lambda: stub.hello)
    # The reading goes on meanwhile.
    stub.frame(PING, 0, 0, b"there?")
    stub.until(lambda: stub.pongs == [b"there?"])
    assert not stub.answers
    for name in ("requests", "calls"):
        stub.part(name)
    assert stub.wait(numbers[0]) == stub.hello["pid"] and stub.wait(numbers[1]) == ["a", "b"]
    with pytest.raises(Failed) as caught:
        stub.wait(numbers[2])
    assert caught.value.fields["type"] == "ValueError" and "int(" not in "".join(caught.value.fields["traceback"][:-1])


def test_what_is_printed_waits_for_its_part(start):
    stub = start(parts=("requests",), credit=False)
    number = stub.request(EXEC, ("import sys\nsys.stdout.write('said\\n')", None))
    stub.frame(PING, 0, 0, b"there?")
    stub.until(lambda: stub.pongs == [b"there?"])
    assert number not in stub.answers
    stub.part("calls")
    stub.wait(number)
    assert stub.output == b"said\n"


def test_plain_calls_and_the_end_need_no_part(start):
    stub = start(parts=())
    assert stub.call("abs", -1) == 1
    assert stub.call("dict", [("a", [1, None]), ("b", ("x", 2.5))]) == {"a": [1, None], "b": ("x", 2.5)}
    stub.frame(CLOSE, 0, 0, b"")
    stub.end()
    assert stub.fatal is None


def test_a_broken_part_ends_the_connection(start):
    stub = start(parts=())
    stub.frame(PART, 0, 0, b"\xff\xff")
    stub.start_call("os.getpid")
    stub.end()
    assert stub.fatal.startswith("malformed:")


@pytest.mark.parametrize("kind,payload,thread", [(CANCEL, b"", 0), (CREDIT, b"1234", 0), (CALL, b"", 1)])
def test_a_frame_that_comes_before_its_part_ends_the_connection(start, kind, payload, thread):
    stub = start(parts=())
    stub.frame(kind, 1 if kind == CALL else 0, thread, payload)
    stub.end()
    assert stub.fatal.startswith("malformed:")


MAIN = "[thread.ident for thread in __import__('threading').enumerate() if 'MainThread' in type(thread).__name__]"
IDENT = "__import__('_thread' if str is type(u'') else 'thread').get_ident()"


@pytest.mark.parametrize("busy", [False, True])
def test_the_main_thread_is_the_main_thread_whichever_is_first_to_ask(fresh_stub, busy):
    ident = fresh_stub.eval(IDENT)
    fresh_stub.define("done = []\ndef spin():\n    while not done: pass\n")
    number = fresh_stub.start_call("spin") if busy else None
    assert fresh_stub.eval(MAIN, thread=1) == [ident]
    assert fresh_stub.eval(IDENT, thread=1) != ident
    if busy:
        assert number not in fresh_stub.answers
        fresh_stub.call("done.append", 1, thread=1)
        fresh_stub.wait(number)
    assert fresh_stub.eval(MAIN) == [ident]


def test_the_main_thread_is_found_beside_the_first_call(start):
    """The first call of all takes long in C code, and nothing has imported threading."""
    stub = start()
    number = stub.start_call("time.sleep", 2)
    main = stub.eval(MAIN, thread=1)
    assert number not in stub.answers
    stub.wait(number)
    assert main == [stub.eval(IDENT)]
