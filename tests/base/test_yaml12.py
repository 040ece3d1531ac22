"""YAML 1.2 as plain data: the value of a word, the errors, and writing and reading back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import plain, read_yaml, write_entry, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-12", -12),
        ("+1", 1),
        ("017", 17),
        ("0o17", 15),
        ("0xFF", 255),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("tRUE", "tRUE"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("-0xF", "-0xF"),
        ("٣", "٣"),
        (".", "."),
        ("e5", "e5"),
    ],
)
def test_core_schema(text: str, value: Any) -> None:
    data = read_yaml(f"a: {text}", "f").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(plain(".nan"))


def test_quotes_make_text() -> None:
    assert read_yaml("{a: '1', b: \"null\", c: 'no'}", "f").data == {"a": "1", "b": "null", "c": "no"}


def test_keys_are_text() -> None:
    assert read_yaml("{1: a, true: b, ~: c, no: d, 1e3: e}", "f").data == {
        "1": "a",
        "true": "b",
        "~": "c",
        "no": "d",
        "1e3": "e",
    }


def test_a_number_of_any_length_is_read() -> None:
    assert read_yaml("a: " + "9" * 400, "f").data["a"] == 10**400 - 1
    assert read_yaml("a: " + "9" * 5000, "f").data["a"] == math.inf


def test_every_key_has_its_line() -> None:
    lines = read_yaml("# first\na: 1\nb:\n  c: [x,\n      y]\n  d: {e: 2}\n", "f").lines
    assert lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
        ("b", "d"): 6,
        ("b", "d", "e"): 6,
    }


@pytest.mark.parametrize("text", ["a: 1\r\nb: 2\r\n", "\ufeffa: 1\nb: 2", "%YAML 1.2\n---\na: 1\nb: 2\n...\n"])
def test_spellings_of_one_document(text: str) -> None:
    assert read_yaml(text, "f").data == {"a": 1, "b": 2}


ALIAS = ("alias", "; ", "write the value out")
TAG = ("tag", "; ", "remove")
SYNTAX = ("; ", "mend the line", "indentation, quotes, brackets, colons")
CHARACTER = ("YAML", "; ", "remove", "escape")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ("f: ", "empty", "; ", "schema", "mmt list schemas")),
        ("# a comment\n", ("f: ", "empty", "; ", "schema", "mmt list schemas")),
        ("a: 1\n---\nb: 2\n", ("f:2: ", "second document", "; ", "one to a file")),
        ("a: 1\n...\nmore\n", ("f:3: ", "second document", "; ", "one to a file")),
        ("a: 1\nb: 2\na: 3\n", ("f:3: a: ", "twice", "line 1", "; ", "remove")),
        ("x: [{a: 1, a: 1}]", ("f:1: a: ", "twice", "line 1", "; ", "remove")),
        ("a: &x 1\nb: *x\n", ("f:2: *x ", *ALIAS)),
        ("b: *nowhere\n", ("f:1: *nowhere ", *ALIAS)),
        ("a: !thing 1", ("f:1: !thing ", *TAG)),
        ("a: !!python/object/apply:os.system [ls]", ("f:1: tag:yaml.org,2002:python/object/apply:os.system ", *TAG)),
        ("!thing a: 1", ("f:1: !thing ", *TAG)),
        ("[a, b]: 1", ("f:1: ", "key", "; ", "quote", "brackets", "braces")),
        ("a:\n\tb: 1", ("f:2: ", "YAML", "character '\\t'", *SYNTAX)),
        ("a: 1\n  b: 2\n", ("f:2: ", "YAML", "mapping values are not allowed here", *SYNTAX)),
        ("a: [1, 2", ("f:1: ", "YAML", "expected ',' or ']'", *SYNTAX)),
        ("a: 'x", ("f:1: ", "YAML", "unexpected end of stream", *SYNTAX)),
        ("a: @x", ("f:1: ", "YAML", "character '@'", *SYNTAX)),
        ("a: 1\nb: \x00", ("f:2: ", "U+0000", *CHARACTER)),
        ("a: \ud800", ("f:1: ", "U+D800", *CHARACTER)),
        ('a: "\\ud800"', ("f:1: ", "\\u escape", "half a character", "; ", "write the character itself")),
        ('a: "\\U00110000"', ("f:1: ", "YAML", "range(0x110000)", "; ", "mend the line", "escapes")),
        ("[" * 1000, ("f:1: ", "50 levels", "; ", "a few")),
        ("- " * 1000, ("f:1: ", "50 levels", "; ", "a few")),
    ],
)
def test_refused_yaml_is_one_line_with_its_place(text: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as raised:
        read_yaml(text, "f")
    (line,) = raised.value.faults
    assert line.startswith("f:")
    assert_facts(line, *facts)


def test_a_huge_file_is_not_even_begun() -> None:
    with pytest.raises(UserError, match=r"^f: .*10,000,000 characters; .*schema"):
        read_yaml("[" * 10_000_001, "f")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{" * 3000, "? " * 3000, "[{" * 3000, "{? [" * 3000])
def test_keys_within_keys_end(text: str) -> None:
    with pytest.raises(UserError) as raised:
        read_yaml(text, "f")
    assert_facts(raised.value.faults[-1], "f:1: ", "50 levels", "; ", "a few")


def test_a_bomb_of_aliases_goes_off_nowhere() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))
    with pytest.raises(UserError) as raised:
        read_yaml(bomb, "f")
    assert len(raised.value.faults) == 80
    assert_facts(raised.value.faults[0], "f:2: *a0 ", *ALIAS)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(UserError) as raised:
        read_yaml("a: !t 1\na: *x\nb: [1\n", "f")
    tag, twice, alias, syntax = raised.value.faults
    assert_facts(tag, "f:1: !t ", *TAG)
    assert_facts(twice, "f:2: a: ", "twice", "line 1")
    assert_facts(alias, "f:2: *x ", *ALIAS)
    assert_facts(syntax, "f:4: ", "YAML", *SYNTAX)


NASTY = ["no", "0", "1e3", "~", "", " a", "a: b", "ü", "- x", "one\ntwo\n", "\x07\x00", "null", "a #b", "*a", "? a"]
NASTY += ["[a", "'", '"', "%a", "@a", "|", "---", "... a", "\t", "\r\n", "\x85", "\u2028", "\ufeff", "\U0001f600"]
NASTY += ["word " * 60, "x" * 300, "0x1F", ".nan", "+1", "<<", "=", "a:", "2024-01-01", "trailing "]

texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
documents = st.recursive(
    leaves, lambda part: st.lists(part, max_size=4) | st.dictionaries(texts, part, max_size=4), max_leaves=10
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(documents)
@example(NASTY)
@example({text: {text: text} for text in NASTY})
@example([[[]], {}, {"a": []}])
def test_written_data_is_read_back(data: Any) -> None:
    again = read_yaml(write_yaml(data), "f").data
    assert again == data
    assert repr(again) == repr(data)  # 1 is not 1.0, nor True


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(min_size=0, max_size=20), documents, st.integers(0, 2))
@example("k" * 300, {"k" * 300: NASTY}, 0)
def test_an_entry_is_read_back_among_comments(key: str, data: Any, block: int) -> None:
    if any("\ud800" <= character <= "\udfff" for character in key):
        return
    lines = [f"  {line}" for line in ["# before", *write_entry(key, data, block), "# after"]]
    again = read_yaml("\n".join(lines), "f").data
    assert repr(again) == repr({key: data})


def test_an_entry_has_a_line_for_each_key_down_to_a_level() -> None:
    data = {"a": {"b": [1, {"c": 2, "e": 3}]}, "d": []}
    assert write_entry("k", data) == ["k: {a: {b: [1, {c: 2, e: 3}]}, d: []}"]
    assert write_entry("k", data, 1) == ["k:", "  a: {b: [1, {c: 2, e: 3}]}", "  d: []"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text("{}[]:,-?|>'\"#&*!%@`~\n\t \\ua0159x.", max_size=40) | st.text(max_size=40))
@example('"\\x')
@example("%YAML 9" + "9" * 20 + "\n---\na")
def test_any_text_is_read_or_refused_in_lines(text: str) -> None:
    try:
        read_yaml(text, "f")
    except UserError as error:
        for fault in error.faults:
            assert fault.startswith("f:")
            assert "; " in fault
            assert fault.isprintable()
