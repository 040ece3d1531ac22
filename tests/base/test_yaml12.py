"""YAML 1.2 as plain data: what a word is, what is refused and how it is said, and the way there and back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
    found = read_yaml(f"a: {text}", "f").data["a"]
    assert found == value
    assert type(found) is type(value)


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


MEND = "; mend the line (indentation, quotes, brackets, colons)"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "f: is empty; write a schema there (see `mmt list schemas` for some)"),
        ("# a comment\n", "f: is empty; write a schema there (see `mmt list schemas` for some)"),
        ("a: 1\n---\nb: 2\n", "f:2: a second document begins here; keep one to a file"),
        ("a: 1\n...\nmore\n", "f:3: a second document begins here; keep one to a file"),
        ("a: 1\nb: 2\na: 3\n", "f:3: a: stands twice, first in line 1; remove one"),
        ("x: [{a: 1, a: 1}]", "f:1: a: stands twice, first in line 1; remove one"),
        ("a: &x 1\nb: *x\n", "f:2: *x is an alias, which is not read; write the value out"),
        ("b: *nowhere\n", "f:1: *nowhere is an alias, which is not read; write the value out"),
        ("a: !thing 1", "f:1: !thing is a tag, which is not read; a schema is plain data, so remove it"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "f:1: tag:yaml.org,2002:python/object/apply:os.system is a tag, which is not read; "
            "a schema is plain data, so remove it",
        ),
        ("!thing a: 1", "f:1: !thing is a tag, which is not read; a schema is plain data, so remove it"),
        ("[a, b]: 1", "f:1: a key must be a word; quote it if it has brackets or braces"),
        ("a:\n\tb: 1", "f:2: is not YAML: found character '\\t' that cannot start any token" + MEND),
        ("a: 1\n  b: 2\n", "f:2: is not YAML: mapping values are not allowed here" + MEND),
        ("a: [1, 2", "f:1: is not YAML: expected ',' or ']', but got '<stream end>'" + MEND),
        ("a: 'x", "f:1: is not YAML: found unexpected end of stream" + MEND),
        ("a: @x", "f:1: is not YAML: found character '@' that cannot start any token" + MEND),
        (
            "a: 1\nb: \x00",
            "f:2: holds the character U+0000, which YAML does not allow; remove it, or write it as an escape in "
            "double quotes",
        ),
        (
            "a: \ud800",
            "f:1: holds the character U+D800, which YAML does not allow; remove it, or write it as an escape in "
            "double quotes",
        ),
        ('a: "\\ud800"', "f:1: a \\u escape stands for half a character; write the character itself"),
        (
            'a: "\\U00110000"',
            "f:1: is not YAML: chr() arg not in range(0x110000); mend the line (escapes in quotes, directives)",
        ),
        ("[" * 1000, "f:1: more than 50 levels deep; a schema has a few"),
        ("- " * 1000, "f:1: more than 50 levels deep; a schema has a few"),
    ],
)
def test_what_is_refused(text: str, fault: str) -> None:
    with pytest.raises(UserError) as raised:
        read_yaml(text, "f")
    assert raised.value.faults == [fault]


def test_a_huge_file_is_not_even_begun() -> None:
    with pytest.raises(UserError, match=r"^f: is longer than 10,000,000 characters; is it a schema\?$"):
        read_yaml("[" * 10_000_001, "f")


@pytest.mark.parametrize("text", ["{" * 3000, "? " * 3000, "[{" * 3000, "{? [" * 3000])
def test_keys_within_keys_end(text: str) -> None:
    with pytest.raises(UserError) as raised:
        read_yaml(text, "f")
    assert raised.value.faults[-1] == "f:1: more than 50 levels deep; a schema has a few"


def test_a_bomb_of_aliases_goes_off_nowhere() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))
    with pytest.raises(UserError) as raised:
        read_yaml(bomb, "f")
    assert len(raised.value.faults) == 80
    assert raised.value.faults[0] == "f:2: *a0 is an alias, which is not read; write the value out"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError) as raised:
        read_yaml("a: !t 1\na: *x\nb: [1\n", "f")
    assert [fault.split("; ")[0] for fault in raised.value.faults] == [
        "f:1: !t is a tag, which is not read",
        "f:2: a: stands twice, first in line 1",
        "f:2: *x is an alias, which is not read",
        "f:4: is not YAML: expected ',' or ']', but got '<stream end>'",
    ]


NASTY = ["no", "0", "1e3", "~", "", " a", "a: b", "ü", "- x", "one\ntwo\n", "\x07\x00", "null", "a #b", "*a", "? a"]
NASTY += ["[a", "'", '"', "%a", "@a", "|", "---", "... a", "\t", "\r\n", "\x85", "\u2028", "\ufeff", "\U0001f600"]
NASTY += ["word " * 60, "x" * 300, "0x1F", ".nan", "+1", "<<", "=", "a:", "2024-01-01", "trailing "]

texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
documents = st.recursive(
    leaves, lambda part: st.lists(part, max_size=4) | st.dictionaries(texts, part, max_size=4), max_leaves=10
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(documents)
@example(NASTY)
@example({text: {text: text} for text in NASTY})
@example([[[]], {}, {"a": []}])
def test_what_is_written_is_read_back(data: Any) -> None:
    found = read_yaml(write_yaml(data), "f").data
    assert found == data
    assert repr(found) == repr(data)  # 1 is not 1.0, nor True


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(min_size=0, max_size=20), documents, st.integers(0, 2))
@example("k" * 300, {"k" * 300: NASTY}, 0)
def test_an_entry_is_read_back_among_comments(key: str, data: Any, block: int) -> None:
    if any("\ud800" <= character <= "\udfff" for character in key):
        return
    lines = [f"  {line}" for line in ["# before", *write_entry(key, data, block), "# after"]]
    found = read_yaml("\n".join(lines), "f").data
    assert repr(found) == repr({key: data})


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
