"""Names, numbers and errors in one line."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.base.words import (
    decimals,
    did_you_mean,
    error_text,
    error_with_class,
    first_lines,
    listing,
    number,
    one_line,
    printable,
    short_listing,
    shorten,
)
from toys import EXAMPLES


@pytest.mark.parametrize(
    ("word", "hint"), [("lable", "; did you mean 'label'?"), ("label", "; did you mean 'label'?"), ("xyz", "")]
)
def test_a_close_word_is_offered(word: str, hint: str) -> None:
    assert did_you_mean(word, ("image", "label")) == hint


def test_a_text_on_one_line_has_single_spaces() -> None:
    assert one_line(" a\n  b\t\tc ") == "a b c"


@pytest.mark.slow
@EXAMPLES
@given(st.text(), st.integers(1, 20))
def test_a_shortened_text_has_no_more_characters_and_shows_its_cut(text: str, most: int) -> None:
    short = shorten(text, most)
    assert len(short) <= most
    assert short == text or (short[-1] == "…" and text.startswith(short[:-1]) and len(text) > most)


@EXAMPLES
@given(st.text())
def test_a_printable_text_stays_and_every_other_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text


def test_a_line_break_is_escaped() -> None:
    assert printable("a\nb\x1b") == "a\\nb\\x1b"


@pytest.mark.parametrize(
    ("error", "text", "with_class"),
    [
        (ValueError("a\n  b"), "a b", "ValueError: a b"),
        (RuntimeError(), "RuntimeError", "RuntimeError: "),
        (OSError("x" * 400), f"{'x' * 299}…", f"OSError: {'x' * 290}…"),
    ],
    ids=["two lines", "no text", "long"],
)
def test_an_error_is_one_line_that_is_not_long(error: Exception, text: str, with_class: str) -> None:
    assert (error_text(error), error_with_class(error)) == (text, with_class)


@pytest.mark.parametrize(
    ("names", "long", "short"),
    [
        ([], "", ""),
        (["a"], "a", "a"),
        (["a", "b", "c"], "a, b, c", "a, b, c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more", "a, b, … (5)"),
    ],
)
def test_a_list_of_many_names_has_the_first_and_a_count(names: list[str], long: str, short: str) -> None:
    assert (listing(names, 3), short_listing(names, 3)) == (long, short)


def test_the_first_of_many_lines_end_with_a_line_for_the_rest() -> None:
    assert first_lines(["a", "b"], 2, "and more") == ["a", "b"]
    assert first_lines(["a", "b", "c"], 2, "and more") == ["a", "b", "and more"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.12345, "0.1235"),
        (-9.5, "-9.5000"),
        (-1234.567, "-1,234.57"),
        (1234567, "1,234,567"),
        (float("nan"), "nan"),
        ("prior", "prior"),
    ],
)
def test_a_number_has_the_decimals_of_its_size(value: Any, text: str) -> None:
    assert number(value) == text


def test_a_number_may_have_the_decimals_of_another() -> None:
    assert (decimals(0.5, -120.0), decimals(0.5, 1.0)) == ("0.50", "0.5000")


def test_words_load_no_torch() -> None:
    code = "import sys, mmtoolkit.base.words, mmtoolkit.base.meter; print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"
