"""Functions of the program, run as they are on servers of every version."""

from __future__ import annotations

import datetime
import functools
import json as j
import os
import textwrap
from os.path import join
from os.path import sep as separator

import pytest
from easycluster import RemoteException, define_common
from easycluster._shipping.annotations import without_annotations

define_common('''
def run_defined(value):
    return value + 1
''')  # fmt: skip

from easycluster.remote_code import run_defined  # noqa: E402  (just defined)


def annotated(
    number: int,
    when: 'datetime.date | None' = None,
    *rest: 'tuple[int, '
    'str]',
    name: str = 'x',
) -> dict[str, int]:  # fmt: skip
    total: int = number
    return {name: total + len(rest)}


def plainly_annotated(number: int, text: datetime.datetime = 'späť', *more: list[str]) -> datetime.date:
    doubled: int = number * 2
    if not text:
        raise ValueError('no text')
    return [doubled, text, list(more)]


def imported(*parts):
    return join(*parts), separator, j.loads('[1]')


def attribute_of_the_same_name(text):
    # Not the function of this name that the file imports.
    return text.join('ab')


def with_defaults(first=os.sep, second=separator):
    return first + second


def defined(value):
    return run_defined(value)


@functools.lru_cache(maxsize=None)
def decorated(number):
    return number * 2


def nesting(number):
    def inner(value):
        return value + 1

    return inner(number)


def counting(end):
    for number in range(end):
        yield number


def recursive(number):
    return 1 if number < 2 else number * recursive(number - 1)


class Holder:
    @staticmethod
    def held(number):
        return number + 100


def test_functions_run_on_every_version(there):
    assert there.run(plainly_annotated, 4) == [8, 'späť', []]
    assert there.run(plainly_annotated, 4, 'x', 1, 2) == [8, 'x', [1, 2]]
    assert there.run(imported, 'a', 'b') == ('a/b', '/', [1])
    assert there.run(attribute_of_the_same_name, '-') == 'a-b'
    assert there.run(with_defaults) == '//'
    assert there.run(defined, 1) == 2
    assert there.run(decorated, 3) == 6
    assert there.run(nesting, 3) == 4
    assert list(there.run(counting, 3)) == [0, 1, 2]
    assert there.run(recursive, 5) == 120
    assert there.run(Holder.held, 1) == 101

    def local(number: int) -> int:
        return number * 3

    assert there.run(local, 2) == 6


def test_a_version_that_lacks_the_syntax_says_so(there):
    if there.server_info['python'][0] > 2:
        assert there.run(annotated, 5, None, 1, name='y') == {'y': 6}
    else:
        with pytest.raises(SyntaxError):
            there.run(annotated, 5, origexc='quiet')


def test_lines_are_those_of_the_file(there):
    with pytest.raises(RemoteException) as raised:
        there.run(plainly_annotated, 1, '', origexc=False)
    line = plainly_annotated.__code__.co_firstlineno + 3
    assert any('test_run.py", line %d, in plainly_annotated' % line in text for text in raised.value.text)
    assert any("raise ValueError('no text')" in text for text in raised.value.text)


@pytest.mark.parametrize('source, bare', [
    ('def f(a: int, b: "x" = 1) -> None: pass', 'def f(a     , b      = 1)        : pass'),
    ('def f(a: (int)): pass', 'def f(a: (int)): pass'),
    ('def f():\n    a: int = 1\n    b: int\n', 'def f():\n    a      = 1\n    b: int\n'),
    ('def f(é: "ü", *, b: int): pass', 'def f(é      , *, b     ): pass'),
    ('def f(a: lambda b: 1 = 2): pass', 'def f(a              = 2): pass'),
    ('def f(a) -> (lambda: 1): pass', 'def f(a) -> (lambda: 1): pass'),
    ('def f(a): return "-> int"', 'def f(a): return "-> int"'),
    ('def f(a) -> dict[\n  int]: pass', 'def f(a) -> dict[\n  int]: pass'),
])  # fmt: skip
def test_annotations_become_blanks_where_that_is_certain(source, bare):
    assert without_annotations(textwrap.dedent(source)) == bare


def test_what_stands_at_the_margin_within_a_function_stays_there(client):
    # fmt: off
    def inner(end):
        text = '''first
second
    third''' + end
    # a comment at the margin
        return text, len(
'four'
        )
    # fmt: on

    class Holder:
        @staticmethod
        def method(number: int) -> int:
            """Several
            lines."""
            return number + 1

    assert client.run(inner, '!') == ('first\nsecond\n    third!', 4)
    assert client.run(Holder.method, 1) == 2


def test_an_inner_function_has_its_own_lines_in_tracebacks(client):
    def fails():
        value = 1
        raise ValueError(value)

    with pytest.raises(RemoteException) as raised:
        client.run(fails, origexc=False)
    line = fails.__code__.co_firstlineno + 2
    assert 'line %d, in fails' % line in ''.join(raised.value.text)


def test_a_file_that_has_changed_is_told(client, tmp_path, monkeypatch):
    path = tmp_path / 'edited_after_import.py'
    path.write_text('def first():\n    return 1\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    import edited_after_import

    for changed in ('def zeroth():\n    return 0\n\ndef first():\n    return 1\n', 'def first(:\n', ''):
        path.write_text(changed)
        with pytest.raises(TypeError, match='edited_after_import.py has changed|cannot be found'):
            client.run(edited_after_import.first)
    path.write_text('# now\ndef first():\n    return 1\n')
    with pytest.raises(TypeError, match='has changed since it was imported'):
        client.run(edited_after_import.first)
