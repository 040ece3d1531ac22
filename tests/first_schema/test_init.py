"""`mmt init`: the kind that reads a column, the schema that it writes, and its errors."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components import ColumnSummary
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.first_schema import FirstSchema, first_schema, name_of
from mmtoolkit.runs.checking import check
from mmtoolkit.schema.schema import parse_schema, read_schema
from mmtoolkit.tables import Reading
from own_tables import holed, shop, sklearn_table
from runs import mmt

PLUGINS = load_plugins()


def proposed(path: Path, reading: Reading | None = None, **more: Any) -> FirstSchema:
    return first_schema(path, path.with_suffix(".yaml"), reading or Reading(), more.pop("plugins", PLUGINS), **more)


def written(folder: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    return holed(folder / "t.csv", {name: list(map(str, cells)) for name, cells in columns.items()}, 0.0).path


def check_notes(path: Path) -> list[str]:
    """The notes of `mmt check`; it must end well."""
    findings, fault = check(read_schema(path), lambda line: None)
    assert fault is None
    return list(findings["notes"])


# The kind that reads a column.

DRAW = random.Random(0)
NORMAL = [f"{DRAW.gauss(170, 10):.1f}" for _ in range(60)]
KINDS: dict[str, tuple[list[Any], str, tuple[str, ...]]] = {
    "0 and 1": ([0, 1, 1] * 20, "binary", ("67% 1",)),
    "-1 and 1": ([-1, 1] * 30, "binary", ("50% 1",)),
    "words of yes and no": (["Yes", "no", "NO", "yes"] * 15, "binary", ("50%",)),
    "t and f": (["t", "f"] * 30, "binary", ("50% t",)),
    "two other words": (["m", "f"] * 30, "label", ("2 classes", "f (30), m (30)")),
    "few words": (["red", "green", "blue"] * 20, "label", ("3 classes", "red (20)")),
    "names that read as numbers": (["Nan", "Inf", "Bob"] * 20, "label", ("3 classes", "Nan (20)")),
    "three codes": ([1, 2, 3] * 20, "label", ("3 classes",)),
    "ten digits, even": (list(range(10)) * 6, "label", ("10 classes",)),
    "few counts": ([0] * 30 + [1] * 15 + [2] * 7 + [3] * 4 + [4, 5, 6, 8], "label", ("8 classes", "0 (30)")),
    "counts, uneven": ([0] * 30 + [1] * 14 + [*range(2, 34, 2)], "count", ("0, 1, 2, 4", "50% are 0")),
    "forty whole numbers": ([n % 40 for n in range(60)], "numeric", ("0, 1, 2, 3",)),
    "dates": ([f"2024-01-{n % 28 + 1:02d}" for n in range(60)], "date", ("dates", "2024-01-01")),
    "dates in words": ([f"{n % 28 + 1:02d} Feb 2024" for n in range(60)], "date", ("dates", "01 Feb 2024")),
    "dates in American": ([f"March {n % 28 + 1}, 2024" for n in range(60)], "date", ("dates", "March 1, 2024")),
    "times of day": ([f"2024-01-01T{n % 24:02d}:15:00Z" for n in range(60)], "date", ("dates", "T00:15:00Z")),
    "dates as numbers": (
        [f"2024{n % 12 + 1:02d}{n % 28 + 1:02d}" for n in range(60)],
        "date",
        ("dates", "20240101"),
    ),
    "times": ([f"{n % 24:02d}:15" for n in range(60)], "time", ("times of day", "00:15")),
    "grades in words": (["low", "high", "medium"] * 20, "ordinal", ("low (20), medium (20), high (20)",)),
    "years": ([1990 + n % 30 for n in range(60)], "numeric", ("1990",)),
    "real numbers": (NORMAL, "numeric", (NORMAL[0],)),
    "numbers of four digits": ([f"{1000 + 97 * n}.25" for n in range(60)], "numeric", ("1000.25",)),
    "decimal comma": ([f"{n},5" for n in range(60)], "numeric", ("0,5", "',' is the decimal mark")),
    "few numbers with a decimal comma": ([f"{n % 3},5" for n in range(60)], "label", ("3 classes", "0,5 (20)")),
    "numbers with a decimal comma": ([f"{n % 30},5" for n in range(60)], "numeric", ("0,5", "',' is the decimal")),
    "seconds since 1970": ([1_750_464_000 + 86_400 * n for n in range(60)][::-1], "numeric", ("1755561600",)),
    "numbers far out": (
        [f"{n / 10:.1f}" for n in range(57)] + ["900", "1200", "1"],
        "numeric",
        ("some lie far out, such as 1200",),
    ),
    "numbers and a word": (
        [*NORMAL[:55], *["varies"] * 5],
        "numeric",
        ("5 cells", "'varies'", "no numbers", "missing"),
    ),
    "phrases": ([f"a {a} {b} hat" for a in ("big", "old") for b in ("red", "blue")] * 15, "label", ("4 classes",)),
    "captions": (
        [f"a {DRAW.choice('abcde') * 3} {DRAW.choice('fghij') * 3} {DRAW.choice('klmno') * 3} hat" for _ in range(60)],
        "text",
        ("texts", "a "),
    ),
    "words and many numbers": (
        [*(f"{n}.5" for n in range(30)), *(["low", "high", "mid"] * 10)],
        "text",
        ("texts", "0.5"),
    ),
    "codes that come back": ([f"{n % 30:03d}x" for n in range(60)], "text", ("texts", "000x")),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_column_is_read_as_the_kind_that_fits(tmp_path: Path, case: str) -> None:
    cells, kind, facts = KINDS[case]
    (choice,) = proposed(written(tmp_path, {"seen": cells})).choices
    assert (choice.kind, choice.used) == (kind, True)
    assert_facts(choice.about, *facts)
    schema_path = tmp_path / "t.yaml"
    schema_path.write_text(proposed(tmp_path / "t.csv").text, encoding="utf-8")
    assert check_notes(schema_path) == [] or case == "numbers and a word"


LEFT_OUT: dict[str, tuple[list[Any], str | None, tuple[str, ...]]] = {
    "constant": (["EUR"] * 60, None, ("one value", "EUR")),
    "all missing": (["NA", ""] * 30, None, ("all", "missing")),
    "row numbers": (list(range(1, 61)), "numeric", ("counts", "rows")),
    "row numbers, shuffled": (DRAW.sample(range(60), 60), "numeric", ("counts", "rows")),
    "ids": ([f"T{n:x}" for n in range(1000, 1060)], "text", ("different", "T3e8, T3e9, T3ea")),
    "dates in German": ([f"{n % 28 + 1}. März 2024" for n in range(60)], "text", ("dates", "1. März 2024")),
    "weeks": ([f"2024-W{n % 50 + 1:02d}" for n in range(60)], "text", ("dates", "2024-W01")),
    "addresses": ([f"https://x.org/{n}.png" for n in range(60)], "text", ("addresses", "https://x.org/0.png")),
    "mail": ([f"a{n}@b.org" for n in range(60)], "text", ("addresses", "a0@b.org")),
    "units": ([f"{n}.5 kg" for n in range(60)], "numeric", ("1200", "3.5")),
    "a mark that stays open": (
        [f"1,{n:03d}" for n in range(60)],
        "numeric",
        ("1,000", "two meanings", "decimal: ','", "is 1,", "thousands: ','", "is 1000"),
    ),
    "ids of many digits": (
        [7_000_000_000_000_000_000 + n for n in range(60)],
        "label",
        ("15 digits", "7000000", "lose"),
    ),
    "codes with zeros": ([f"00{n}.1" for n in range(60)], "label", ("zeros", "000.1", "lose")),
    "row numbers, some missing": ([None if n % 3 == 0 else n for n in range(60)], "numeric", ("counts", "rows")),
    "words that do not come back": (
        [f"a{n} b{n} c{n}" for n in range(60)],
        "text",
        ("few", "words", "a0 b0 c0, a1 b1 c1, …"),
    ),
    "long": ([f"{n} " + "word " * 90 for n in range(60)], "text", ("long texts", "453 characters")),
    "pictures that are not there": ([f"{n % 5}.png" for n in range(60)], "image", ("no such file",)),
}


VARIANTS: dict[str, tuple[list[Any], str, dict[str, Any], tuple[str, ...]]] = {
    "case and space": (
        ["no"] * 20 + ["yes"] * 20 + ["maybe"] * 20 + ["No"] * 3 + ["YES "],
        "label",
        {"classes": ["maybe", "no", "yes"]},
        ("3 classes", "no (23), yes (21)", "'No' (3) and 'YES ' (1) count as no and yes"),
    ),
    "Unicode": (
        ["Mu\u0308ll"] * 9 + ["M\u00fcll"] * 30 + ["Gras"] * 20,
        "label",
        {"classes": ["Gras", "M\u00fcll"]},
        ("2 classes", "(9) counts as M\u00fcll"),
    ),
    "genotypes": (
        ["AA", "Aa", "aa"] * 20,
        "label",
        {"classes": ["AA", "Aa", "aa"]},
        ("AA, Aa and aa are kept apart: list one of them in classes to join them",),
    ),
    "whole numbers": (
        ["1", "2", "3.0", "3"] * 20,
        "label",
        {"classes": ["1", "2", "3"]},
        ("'3.0' (20) counts as 3",),
    ),
    "numbers with holes": ([1.0, 2.0, 3.0] * 20, "label", {"classes": ["1", "2", "3"]}, ("3 classes: 1 (20)",)),
    "yes and no": (
        ["yes", "no"] * 30 + ["No"] * 3 + ["YES "] * 2,
        "binary",
        {"values": ["no", "yes"]},
        ("49% yes", "'No' (3) and 'YES ' (2) count as no and yes"),
    ),
}


@pytest.mark.parametrize("case", VARIANTS)
def test_spellings_of_one_class_are_joined_or_kept_apart_with_a_note(tmp_path: Path, case: str) -> None:
    cells, kind, options, facts = VARIANTS[case]
    first = proposed(written(tmp_path, {"seen": cells}))
    (choice,) = first.choices
    assert (choice.kind, choice.proposal.options) == (kind, options)
    assert_facts(choice.proposal.about, *facts)
    (tmp_path / "t.yaml").write_text(first.text, encoding="utf-8")
    assert_facts(first.text, facts[-1])
    assert check_notes(tmp_path / "t.yaml") == []


def test_the_odd_cell_is_named(tmp_path: Path) -> None:
    cells = ["rye", ["rye"], True, "oats"] * 5
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"crop": cell, "x": n % 3}) + "\n" for n, cell in enumerate(cells)))
    choice = proposed(path).choices[0]
    assert not choice.used
    assert_facts(choice.proposal.about, "but row 2 has the list ['rye']")


def test_words_of_texts_that_come_back_whole_are_known(tmp_path: Path) -> None:
    notes = [f"a{n} pain here, b{n} low" for n in range(16)]
    first = proposed(written(tmp_path, {"note": notes * 5, "other": ["a", "b"] * 40}))
    choice = first.choices[0]
    assert (choice.kind, choice.used) == ("text", True)
    assert choice.proposal.options["vocabulary_size"] == 2 * 16 + 3


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_column_that_says_nothing_is_left_out_with_the_reason(tmp_path: Path, case: str) -> None:
    cells, kind, facts = LEFT_OUT[case]
    first = proposed(written(tmp_path, {"seen": cells, "other": ["a", "b"] * 30}))
    choice = first.choices[0]
    assert (choice.kind, choice.used) == (kind, False)
    assert_facts(choice.proposal.about, *facts)
    assert list(first.schema.modalities) == ["other"]
    comment = next(line for line in first.text.splitlines() if line.startswith("  # column seen: "))
    assert_facts(comment, *facts)
    text = first.text.replace("  #seen: ", "  seen: ")
    assert (text == first.text) == (kind is None)
    if kind is not None:  # without its # the modality is there
        assert list(parse_schema(read_yaml(text, "t").data, folder=tmp_path).modalities) == ["other", "seen"]


def test_a_line_without_its_number_sign_is_checked(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "id": [f"T{n:x}" for n in range(1000, 1060)],
        "record": list(range(1, 61)),
        "same": ["EUR"] * 60,
    }
    text = proposed(written(tmp_path, {**columns, "x": NORMAL, "y": ["a", "b", "c"] * 20})).text
    lines = [line for line in text.splitlines() if re.match(r"  #\S", line)]
    assert [line.partition(":")[0].strip() for line in lines] == ["#id", "#record"]  # a constant cannot be used
    assert_facts(
        text, "left out", "cannot be used", "# column id: 0%", "# column same: 0% missing; has only one value, EUR"
    )
    (tmp_path / "t.yaml").write_text(re.sub(r"^  #(?=\S)", "  ", text, flags=re.MULTILINE), encoding="utf-8")
    check_notes(tmp_path / "t.yaml")
    assert set(read_schema(tmp_path / "t.yaml").modalities) == {"id", "record", "x", "y"}


def test_a_text_that_is_far_longer_than_the_others_sets_no_length(tmp_path: Path) -> None:
    texts = [f"one {DRAW.choice('abcdefgh')} {DRAW.choice('ijklmnop')}" for _ in range(99)]
    first = proposed(written(tmp_path, {"seen": [*texts, "one " * 20]}))
    assert first.choices[0].proposal.options == {"length": 3, "tokens": "words", "vocabulary_size": 17}
    (tmp_path / "t.yaml").write_text(first.text, encoding="utf-8")
    (note,) = check_notes(tmp_path / "t.yaml")
    assert_facts(note, "20 words", "length", "3")


def test_id_numbers_are_recognised_by_their_name(tmp_path: Path) -> None:
    numbers = DRAW.sample(range(10_000, 99_999), 60)
    first = proposed(written(tmp_path, {"customer_id": numbers, "height": numbers[::-1]}))
    assert [choice.used for choice in first.choices] == [False, True]
    assert_facts(first.choices[0].proposal.about, "all different", "rows")


def test_codes_that_begin_with_zero_are_no_numbers(tmp_path: Path) -> None:
    (choice,) = proposed(written(tmp_path, {"zip": [f"0{n % 20}134" for n in range(60)]})).choices
    assert (choice.kind, choice.used) == ("label", True)


def test_a_copy_of_a_column_is_left_out(tmp_path: Path) -> None:
    cells = [DRAW.choice("xyz") for _ in range(60)]
    other = [DRAW.choice("xyz") for _ in range(60)]
    first = proposed(written(tmp_path, {"a": cells, "b": cells, "c": other, "d": cells}))
    assert [choice.used for choice in first.choices] == [True, False, True, False]
    for place in (1, 3):
        assert_facts(first.choices[place].proposal.about, "column a", "every row")


def test_columns_of_the_same_cells_in_another_order_are_no_copies(tmp_path: Path) -> None:
    first = proposed(written(tmp_path, {"a": ["x", "y", "x", "y"] * 15, "b": ["x", "y", "y", "x"] * 15}))
    assert all(choice.used for choice in first.choices)


def test_a_column_of_splits_splits(tmp_path: Path) -> None:
    path = written(tmp_path, {"part": ["train", "train", "val", "test"] * 15, "word": ["a", "b", "a"] * 20})
    first = proposed(path)
    assert first.schema.data.model_dump()["split"] == "part"
    assert set(first.schema.data.splits()) == {"train", "valid", "test"}
    assert list(first.schema.modalities) == ["word"]


def test_a_column_of_splits_with_holes_does_not(tmp_path: Path) -> None:
    path = written(tmp_path, {"part": ["train", "train", "val", ""] * 15, "word": ["a", "b", "a"] * 20})
    assert list(proposed(path).schema.modalities) == ["part", "word"]


def test_there_is_an_end_to_modalities(tmp_path: Path) -> None:
    draw = random.Random(0)
    notes = {f"n{n}": [" ".join(draw.choices("abcdef", k=4)) for _ in range(60)] for n in range(34)}
    classes = {f"w{n}": [draw.choice("abc") for _ in range(60)] for n in range(40)}
    first = proposed(written(tmp_path, {**notes, **classes}))
    assert list(first.schema.modalities) == [*(f"n{n}" for n in range(32)), *classes]  # a record has no such end
    about = first.choices[33].proposal.about
    assert_facts(about, "34", "first 32", "texts")
    assert list(first.schema.units) == [*(f"n{n}" for n in range(32)), "record"]


def test_all_numbers_and_classes_are_columns_of_one_record(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    numbers = {f"x{n}": [f"{value:.2f}" for value in draw.normal(size=50)] for n in range(20)}
    path = holed(tmp_path / "t.csv", {**numbers, "class": [str(n % 3) for n in range(50)]}, 0.3).path
    first = proposed(path)
    assert [choice.kind for choice in first.choices] == ["numeric"] * 20 + ["label"]
    assert [choice.gathered_by for choice in first.choices] == ["record"] * 21
    (record,) = first.schema.units.values()
    assert list(record.members("record")) == list(first.schema.modalities) == [*numbers, "class"]
    assert all(m.source_columns(name) == (name,) for name, m in first.schema.modalities.items())


def test_a_record_joins_two_columns_or_more(tmp_path: Path) -> None:
    notes = [f"one {DRAW.choice('abcdefgh')} {DRAW.choice('ijklmnop')}" for _ in range(60)]
    first = proposed(written(tmp_path, {"height": NORMAL, "note": notes}))
    assert [choice.gathered for choice in first.choices] == [False, False]
    assert {name: unit.kind for name, unit in first.schema.units.items()} == {"height": "numeric", "note": "text"}


def test_a_record_has_a_name_that_no_column_has(tmp_path: Path) -> None:
    columns = {"record": NORMAL, "record_": NORMAL[::-1], "word": ["a", "b", "c"] * 20}
    first = proposed(written(tmp_path, columns))
    assert list(first.schema.units) == ["record__"]
    assert list(first.schema.modalities) == list(columns)
    notes = [f"one {DRAW.choice('abcdefgh')} {DRAW.choice('ijklmnop')}" for _ in range(60)]
    first = proposed(written(tmp_path, {"height": NORMAL, "record": notes, "word": ["a", "b", "c"] * 20}))
    assert {name: unit.kind for name, unit in first.schema.units.items()} == {"record_": "record", "record": "text"}


def test_a_record_may_have_the_name_of_a_column_that_is_left_out(tmp_path: Path) -> None:
    first = proposed(written(tmp_path, {"record": ["EUR"] * 60, "height": NORMAL, "word": ["a", "b", "c"] * 20}))
    assert list(first.schema.units) == ["record"]
    assert list(first.schema.modalities) == ["height", "word"]


# Missing markers.


def test_signs_and_words_that_stand_for_missing_cells(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "width": [*NORMAL[:50], *["unknown"] * 5, *["?"] * 5],
            "colour": [*["red", "blue"] * 20, *["?"] * 10, *["-"] * 10],
            "strand": ["+", "-"] * 30,
            "state": ["known", "unclear", "none"] * 20,
        },
    )
    first = proposed(path)
    assert first.schema.data.model_dump()["missing"][-2:] == ("unknown", "?")  # "-" is a strand, "none" a state
    assert [choice.column.missing for choice in first.choices] == [10, 20, 0, 0]
    assert [modality.missing for modality in first.schema.modalities.values()] == [None, ("-",), None, None]
    assert first.choices[2].proposal.options["classes"] == ["+", "-"]
    assert first.choices[3].proposal.options["classes"] == ["known", "none", "unclear"]


def test_a_word_that_is_a_class_elsewhere_marks_the_column_of_numbers_alone(tmp_path: Path) -> None:
    path = written(tmp_path, {"n": [*NORMAL[:50], *["none"] * 10], "pets": ["none", "cat", "dog"] * 20})
    first = proposed(path)
    assert "missing" not in read_yaml(first.text, "t").data["data"]
    assert [modality.missing for modality in first.schema.modalities.values()] == [("none",), None]
    assert first.choices[0].column.missing == 10
    assert first.choices[1].proposal.options["classes"] == ["cat", "dog", "none"]
    (note,) = first.notes
    assert_facts(note, "count as missing cells: 'none' in n (10). ", "data.missing", "missing of the modalities")


def test_a_sign_of_many_columns_is_told_once(tmp_path: Path) -> None:
    columns = {f"c{n}": [*[f"{n}a", f"{n}b"] * 20, *["n/a"] * n] for n in range(1, 14)}
    longest = max(map(len, columns.values()))
    columns = {name: [*cells, *["?"] * (longest - len(cells))] for name, cells in columns.items()}
    (note,) = proposed(written(tmp_path, columns)).notes
    assert_facts(note, "'n/a' in c1 (1), c2 (2), ", "c12 (12) and 1 more; '?' in c1 (12), c2 (11), ", ". If one")
    assert note.count("data.missing") == 1


def test_each_column_of_a_record_has_its_own_signs(tmp_path: Path) -> None:
    columns = {f"n{k}": [f"{value}{k}" for value in NORMAL[:60]] for k in range(17)}
    columns["n3"][:2], columns["n4"][:3] = ["none"] * 2, ["nil"] * 3
    first = proposed(written(tmp_path, columns | {"pets": ["none", "nil", "dog"] * 20}))
    signs = {name: modality.missing for name, modality in first.schema.modalities.items() if modality.missing}
    assert signs == {"n3": ("none",), "n4": ("nil",)}
    assert [choice.column.missing for choice in first.choices] == [0, 0, 0, 2, 3, *[0] * 13]
    assert first.choices[17].proposal.options["classes"] == ["dog", "nil", "none"]


ARTEFACTS = ["<NA>", "NaT", "None", "(null)", "nan"]


@pytest.mark.parametrize(
    ("others", "is_class"),
    [
        (NORMAL[:50], False),
        (["2024-05-01", "2024-06-02"] * 25, False),
        (["oats", "rye"] * 25, False),
        (["Some", "Many"] * 25, True),
    ],
    ids=["numbers", "dates", "words", "capitals"],
)
def test_what_other_programs_write_for_a_missing_cell(tmp_path: Path, others: list[str], is_class: bool) -> None:
    first = proposed(written(tmp_path, {"x": [*others, *ARTEFACTS * 2], "y": NORMAL[:60]}))
    column = first.choices[0].column
    assert set(ARTEFACTS) - set(column.signs) == ({"None"} if is_class else set())
    assert all(count == 2 for count in column.signs.values())
    assert ("None" in column.cells) == is_class
    assert set(first.schema.data.model_dump()["missing"]) >= set(column.signs)
    counts, *kept = first.notes
    assert_facts(counts, "missing", " in x (2)")
    assert len(kept) == is_class
    if is_class:
        assert_facts(kept[0], "look like missing", "values", "'None' in x (2). ", "missing of the modality")


def test_empty_texts_that_count_as_missing_among_numbers_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    cells = ["12", "7", ""] * 20
    path.write_text("".join(json.dumps({"x": cell}) + "\n" for cell in cells))
    (note,) = proposed(path).notes
    assert_facts(note, f"{path}: ", "count as missing", "'' in x (20). ")


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_texts_that_look_missing_are_kept_where_the_format_has_a_null(tmp_path: Path, ending: str) -> None:
    cells = ["oats", "rye", *ARTEFACTS, ""] * 10
    path = tmp_path / f"t.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps({"x": cell}) + "\n" for cell in cells))
    else:
        pa.parquet.write_table(pa.table({"x": cells}), path)
    first = proposed(path)
    assert first.choices[0].column.missing == 0
    (note,) = first.notes
    assert_facts(note, f"{path}: ", "look like missing", "values", *(f"{t!r} in x (10)" for t in [*ARTEFACTS, ""]))


def test_check_counts_the_cells_that_each_sign_took(tmp_path: Path) -> None:
    allergy = ["severe", "none", "mild"] * 20
    columns = {"allergy": allergy, "dose": [*NORMAL[:50], *["none"] * 10], "height": [*["-99"] * 5, *NORMAL[:55]]}
    first = proposed(written(tmp_path, columns))
    (tmp_path / "t.yaml").write_text(first.text)
    own = ("--set", "modalities.record.columns.height.missing=[-99]")
    done = mmt("check", tmp_path / "t.yaml", *own)
    assert done.status == 0
    assert_facts(done.err, "column dose: ", "'none' (10)", "column height: ", "'-99' (5)")
    report = json.loads(mmt("check", tmp_path / "t.yaml", "--json", *own).out)
    assert report["signs"] == {"dose": {"none": 10}, "height": {"-99": 5}}


def test_an_abbreviation_among_numbers_marks_every_column(tmp_path: Path) -> None:
    years, places = [*NORMAL[:50], *["k.A."] * 10], ["town", "land", "k.A."] * 20
    first = proposed(written(tmp_path, {"year": years, "place": places}))
    assert first.schema.data.model_dump()["missing"][-1] == "k.A."
    assert first.choices[1].proposal.options["classes"] == ["land", "town"]
    first = proposed(written(tmp_path, {"year": NORMAL[:60], "place": places}))
    assert "k.A." in first.choices[1].proposal.options["classes"]


# Pictures.


def pictures(folder: Path, sizes: Sequence[tuple[int, int]], mode: str = "RGB") -> list[str]:
    (folder / "p").mkdir(exist_ok=True)
    for place, size in enumerate(sizes):
        colour = (place % 250, 40, 90) if mode == "RGB" else place % 250
        PILImage.new(mode, size, colour).save(folder / f"p/{place}.png")
    return [f"p/{place}.png" for place in range(len(sizes))]


@pytest.mark.parametrize(
    ("sizes", "mode", "shape", "network", "facts"),
    [
        ([(28, 28)] * 12, "L", [1, 28, 28], "mlp", ("grey", "28x28 pixels")),
        ([(28, 28)] * 12, "RGB", [3, 28, 28], "dcgan", ("colour", "28x28 pixels")),
        ([(8, 16)] * 12, "L", [1, 16, 8], "mlp", ("grey", "16x8 pixels")),
        ([(60, 40), (80, 50)] * 6, "RGB", [3, 32, 32], "dcgan", ("colour", "40-50x60-80 pixels")),
        ([(20, 28), (28, 20)] * 6, "L", [1, 28, 28], "mlp", ("grey", "20-28x20-28 pixels")),
        ([(2, 2)] * 12, "L", [1, 28, 28], "mlp", ("grey", "2x2 pixels")),
    ],
)
def test_pictures_get_a_shape(
    tmp_path: Path, sizes: list[tuple[int, int]], mode: str, shape: list[int], network: str, facts: tuple[str, ...]
) -> None:
    path = written(tmp_path, {"photo": pictures(tmp_path, sizes, mode)})
    (choice,) = proposed(path).choices
    assert choice.proposal.options == {"shape": shape, "network": network}
    assert_facts(choice.proposal.about, *facts)
    out = tmp_path / "t.yaml"
    out.write_text(proposed(path).text, encoding="utf-8")
    assert check_notes(out) == []


def test_one_picture_with_colours_makes_them_colour_pictures(tmp_path: Path) -> None:
    names = pictures(tmp_path, [(8, 8)] * 12, "L")
    PILImage.new("RGB", (8, 8), (9, 99, 200)).save(tmp_path / names[7])
    (choice,) = proposed(written(tmp_path, {"photo": names})).choices
    assert choice.proposal.options["shape"] == [3, 8, 8]


@pytest.mark.parametrize(("largest", "white"), [(200, 255), (1000, 1023), (4095, 4095), (9000, 16383), (40_000, None)])
def test_white_of_pictures_with_few_of_their_16_bits(tmp_path: Path, largest: int, white: int | None) -> None:
    names = pictures(tmp_path, [(8, 8)] * 12, "L")  # of 8 bits
    for place, name in enumerate(names[:6]):
        PILImage.fromarray(np.full((8, 8), largest - place, dtype=np.uint16)).save(tmp_path / name)
    (choice,) = proposed(written(tmp_path, {"photo": names})).choices
    assert choice.proposal.options.get("white") == white
    assert choice.proposal.options["shape"] == [1, 8, 8]
    if white is not None:
        assert_facts(choice.proposal.about, "16 bits", f"above {largest}", str(white), "65535")


def test_pictures_outside_the_folder_are_left_out(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    names = [f"../{name}" for name in pictures(tmp_path, [(8, 8)] * 12)]
    choice = proposed(written(inner, {"photo": names, "word": ["a", "b"] * 6})).choices[0]
    assert not choice.used
    assert_facts(choice.proposal.about, "folder", "data.files_outside", "true")


def test_some_pictures_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    names = pictures(tmp_path, [(8, 8)] * 12)
    (tmp_path / names[3]).write_bytes(b"\x89PNG half")
    (tmp_path / names[5]).unlink()
    (choice,) = proposed(written(tmp_path, {"photo": names})).choices
    assert choice.used
    assert_facts(choice.proposal.about, "colour", "8x8 pixels", "2 of the first 12", "cannot be read")


def test_bytes_of_pictures(tmp_path: Path) -> None:
    names = pictures(tmp_path, [(8, 8)] * 12)
    cells = [(tmp_path / name).read_bytes() for name in names]
    pa.parquet.write_table(pa.table({"photo": cells, "word": ["a", "b"] * 6}), tmp_path / "t.parquet")
    choice = proposed(tmp_path / "t.parquet").choices[0]
    assert (choice.kind, choice.proposal.options["shape"]) == ("image", [3, 8, 8])


# Formats.

TYPED = {
    "flag": [True, False, None] * 20,
    "size": [1.5 * n for n in range(59)] + [float("nan")],
    "word": ["a", "b", None] * 20,
    "day": [date(2024, 1, n % 28 + 1) for n in range(60)],
    "load": [[n, n + 1] for n in range(60)],
    "list": [[f"a{n}", "b"] for n in range(60)],
}


@pytest.mark.parametrize("ending", ["parquet", "feather", "jsonl"])
def test_typed_tables(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "jsonl":
        rows = [dict(zip(TYPED, values, strict=True)) for values in zip(*TYPED.values(), strict=True)]
        lines = [json.dumps({k: v for k, v in row.items() if v == v}, default=str) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        table = pa.table(TYPED).set_column(2, "word", pa.array(TYPED["word"]).dictionary_encode())
        pa.parquet.write_table(table, path) if ending == "parquet" else pa.feather.write_feather(table, path)
    first = proposed(path)
    kinds = [choice.kind if choice.used else None for choice in first.choices]
    assert kinds == ["binary", "numeric", "label", "date", "series", None]
    assert [choice.column.missing for choice in first.choices] == [20, 1, 20, 0, 0, 0]
    assert_facts(first.choices[3].proposal.about, "dates", "2024-01-01, 2024-01-02")
    assert_facts(first.choices[4].proposal.about, "lists of 2 numbers")
    assert_facts(first.choices[5].proposal.about, "no modality", "list", "['a0', 'b'], ['a1', 'b'], …")
    out = tmp_path / "t.yaml"
    out.write_text(first.text, encoding="utf-8")
    assert check_notes(out) == []


COUNTRIES = {
    "country": ["NA", "DE", "FR", "?"] * 15,
    "area": ["825", "NA", "357", "644", "null", "N/A"] * 10,
    "name": ["", "a", "b"] * 20,
}


@pytest.mark.parametrize("ending", ["parquet", "feather", "jsonl"])
def test_only_texts_among_numbers_are_missing_where_the_format_has_a_null(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "jsonl":
        rows = [dict(zip(COUNTRIES, cells, strict=True)) for cells in zip(*COUNTRIES.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        write = pa.parquet.write_table if ending == "parquet" else pa.feather.write_feather
        write(pa.table(COUNTRIES), path)
    first = proposed(path)
    assert first.choices[0].proposal.options["classes"] == ["?", "DE", "FR", "NA"]
    assert [choice.column.missing for choice in first.choices] == [0, 30, 0]
    assert read_yaml(first.text, "t").data["data"]["missing"] == ["null", "N/A"]
    assert first.schema.modalities["area"].missing == ("NA",)
    counting, values = first.notes
    assert_facts(counting, f"{path}: ", "missing", "'null' in area (10); 'N/A' in area (10)", ". ", "data.missing")
    assert_facts(values, f"{path}: ", "look like missing", "kept", "'NA' in country (15); '' in name (20)", "modality")


def test_only_numbers_lack_na_where_the_format_has_a_null(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"area": [*COUNTRIES["area"], *map(str, range(60))]}), tmp_path / "t.parquet")
    first = proposed(tmp_path / "t.parquet")
    assert read_yaml(first.text, "t").data["data"]["missing"] == ["NA", "null", "N/A"]
    assert first.choices[0].kind == "numeric"


def test_texts_that_count_as_missing_are_counted(tmp_path: Path) -> None:
    first = proposed(written(tmp_path, COUNTRIES))
    (note,) = first.notes
    signs = "'NA' in country (15), area (10); '?' in country (15); 'null' in area (10); 'N/A' in area (10). "
    assert_facts(note, "t.csv: ", "missing", signs, "data.missing")
    done = mmt("init", tmp_path / "t.csv", "--out", tmp_path / "u.yaml")
    assert done.err.splitlines() == list(first.notes)


def test_delimiter_and_encoding_are_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("größe|farbe\n".encode("cp1252") + "1.5|blau\n2.5|grün\n".encode("cp1252") * 30)
    first = proposed(path, Reading(delimiter="|", encoding="cp1252"))
    assert list(first.schema.modalities) == ["größe", "farbe"]
    assert first.choices[1].proposal.options["classes"] == ["blau", "grün"]
    data = read_yaml(first.text, "t").data["data"]
    assert (data["delimiter"], data["encoding"], data["path"]) == ("|", "cp1252", "t.csv")
    out = tmp_path / "t.yaml"
    out.write_text(first.text, encoding="utf-8")
    assert check_notes(out) == []


# The whole.


def test_a_table_with_everything(tmp_path: Path) -> None:
    own = shop(tmp_path, rows=120, missing=0.3)
    first = proposed(own.path)
    kinds = {choice.name: choice.kind if choice.used else None for choice in first.choices}
    assert kinds == {
        "id": None,
        "photo": "image",
        "caption": "text",
        "kind": "label",
        "colour": "label",
        "weight": "numeric",
        "price": "numeric",
        "stars": "label",
        "fragile": "binary",
        "added": "date",
        "currency": None,
    }
    for choice in first.choices:
        assert choice.column.missing == sum(cell is None for cell in own.columns[choice.name])
    assert first.schema.modalities["caption"].model_dump()["tokens"] == "words"
    document = read_yaml(first.text, "shop").data
    assert document["data"]["on_bad_cell"] == "missing"
    assert {name: unit.kind for name, unit in first.schema.units.items()} == {
        "photo": "image",
        "caption": "text",
        "record": "record",
    }
    assert list(document["modalities"]["record"]["columns"]) == [
        "kind",
        "colour",
        "weight",
        "price",
        "stars",
        "fragile",
        "added",
    ]
    assert document["model"]["subsets"] == {"k": 1}  # of a picture, a text and a record
    assert document["train"]["hide"]["whole"] == 0.2
    assert (document["train"]["select"], document["train"]["early_stopping"]) == ("imputation", 10)
    (tmp_path / "shop.yaml").write_text(first.text, encoding="utf-8")
    assert check_notes(tmp_path / "shop.yaml") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("iris", ["numeric"] * 4 + ["label"]),
        ("wine", ["numeric"] * 13 + ["label"]),
        ("breast_cancer", ["label", "numeric"]),
        ("digits", ["binary", "count", "label", "numeric"]),
    ],
)
def test_tables_that_many_know(tmp_path: Path, name: str, kinds: list[str]) -> None:
    pytest.importorskip("sklearn")
    first = proposed(sklearn_table(tmp_path, name).path)
    found = [modality.kind for modality in first.schema.modalities.values()]
    assert (sorted({*found}) if len(found) > 20 else found) == kinds


@pytest.mark.slow
def test_from_a_table_with_holes_to_filled_cells(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    kind = draw.choice(3, 200, p=[0.5, 0.3, 0.2])
    truth = {
        "kind": [("oak", "elm", "fir")[k] for k in kind],
        "height": [f"{value:.1f}" for value in 10 + 8 * kind + draw.normal(0, 1, 200)],
        "girth": [f"{value:.2f}" for value in 2 - 0.7 * kind + draw.normal(0, 0.1, 200)],
        "needles": ["yes" if k == 2 else "no" for k in kind],
    }
    own = holed(tmp_path / "trees.csv", truth, 0.35, seed=9, markers=("", "NA", "?"))
    schema, run, filled = tmp_path / "trees.yaml", tmp_path / "run", tmp_path / "filled.csv"
    shorter = ["--set", "train.epochs=2", "--set", "evaluate=[{kind: imputation}]"]
    commands: list[list[str | Path]] = [
        ["init", own.path],
        ["check", schema],
        ["run", schema, "--out", run, *shorter],
        ["impute", run, own.path, "--out", filled],
        ["embed", run, own.path, "--out", tmp_path / "z.csv"],
        ["sample", run, "--given", "kind=fir", "-n", "3", "--out", tmp_path / "firs.csv"],
    ]
    for words in commands:
        done = mmt(*words)
        assert done.status == 0, (words, done.err)
    with filled.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    right = {name: [row[name] == cell for row, cell in zip(rows, truth[name], strict=True)] for name in truth}
    for name, cells in own.columns.items():
        assert all(row[name] == cell for row, cell in zip(rows, cells, strict=True) if cell is not None)
        assert all(row[name] not in ("", "NA", "?") for row in rows)
    holes = [place for place, cell in enumerate(own.columns["kind"]) if cell is None]
    assert len(holes) > 50
    mode = np.mean([truth["kind"][place] == own.mode("kind") for place in holes])
    assert np.mean([right["kind"][place] for place in holes]) > mode + 0.2


def test_the_page_on_a_table_of_your_own_shows_the_schema(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs"
    shutil.copy(docs / "examples" / "teas.csv", tmp_path)
    page = (docs / "own-table.md").read_text(encoding="utf-8")
    block = re.search(r"^```yaml[^\n]*\n(# A first schema.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    first = first_schema(tmp_path / "teas.csv", tmp_path / "teas.yaml", Reading(), PLUGINS)
    assert first.text.replace(str(tmp_path / "teas.csv"), "teas.csv") == block[1]


def test_a_class_that_is_in_the_validation_rows_alone_is_a_class(tmp_path: Path) -> None:
    cells = ["a", "b"] * 50
    path = written(tmp_path, {"word": cells})
    place = parse_schema(read_yaml(proposed(path).text, "t").data, folder=tmp_path).data.place("valid", 0)
    cells[int(place.rpartition(" ")[2]) - 1] = "rare"
    (tmp_path / "t.yaml").write_text(proposed(written(tmp_path, {"word": cells})).text, encoding="utf-8")
    assert check_notes(tmp_path / "t.yaml") == []
    unnamed = {"modalities": {"word": {"kind": "label"}}}
    data = read_yaml((tmp_path / "t.yaml").read_text(encoding="utf-8"), "t").data
    findings, _ = check(parse_schema({**data, **unnamed}, folder=tmp_path), lambda line: None)
    assert_facts(findings["notes"][0], "'rare'", "2 classes")  # as if the schema did not name it


def test_values_that_are_in_no_training_row_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, {"word": ["a", "b"] * 50, "few": [""] * 100})
    source = parse_schema(read_yaml(proposed(path).text, "t").data, folder=tmp_path).data
    few = [""] * 100
    for row, cell in enumerate(("1.5", "2.5")):
        few[int(source.place("valid", row).rpartition(" ")[2]) - 1] = cell
    first = proposed(written(tmp_path, {"word": ["a", "b"] * 50, "few": few}))
    assert list(first.schema.modalities) == ["word"]
    assert_facts(first.choices[1].proposal.about, "values", "training rows")


@pytest.mark.parametrize(("rows", "split"), [(1, {"train": 1}), (19, {"train": 1}), (20, {"train": 0.9, "valid": 0.1})])
def test_a_table_of_a_few_rows_is_all_trained_on(tmp_path: Path, rows: int, split: dict[str, float]) -> None:
    path = written(tmp_path, {"a": [f"{n}.5" for n in range(rows)], "b": [f"{n}.25" for n in range(rows)]})
    if rows == 1:
        with pytest.raises(UserError) as raised:
            proposed(path)
        assert_facts(str(raised.value), str(path), "no column can be used", "column a", "one value", "0.5")
        return
    first = proposed(path)
    assert read_yaml(first.text, "t").data["data"]["split"] == split
    (tmp_path / "t.yaml").write_text(first.text, encoding="utf-8")
    assert check_notes(tmp_path / "t.yaml") == []


CELLS = st.one_of(
    st.sampled_from(["", "NA", "?", "-", "unknown", " ", "yes", "no", "0", "1", "red", "1.5", "-2", "2024-01-02"]),
    st.sampled_from(["a b c d", "d c b a", "x.png", "../x.png", "https://a.b/c", "1,5", "3 kg", "007", "1e60", "inf"]),
    st.integers(-5, 40).map(str),
    st.floats().map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12),
)
COLUMN = st.one_of(
    st.lists(CELLS, min_size=2, max_size=24),
    st.lists(st.sampled_from(["yes", "no", ""]), min_size=2, max_size=24),
    st.lists(st.sampled_from(["1", "2", "3", "NA"]), min_size=2, max_size=24),
    st.lists(st.floats(-1e3, 1e3).map(str), min_size=2, max_size=24),
)
NAMES = st.one_of(
    st.sampled_from(["type", "kind", "a.b", "a/b", "ü", "", "null", "true", "1", "- x", "{a}", "# b", "each", "="]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8),
    st.just("long " * 60),
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(columns=st.dictionaries(NAMES, COLUMN, min_size=1, max_size=4))
def test_whatever_the_table_the_schema_checks(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = min(map(len, columns.values()))
    truth = {name: cells[:rows] for name, cells in columns.items()}
    if list(truth) == [""]:  # a first line that is empty is no head
        truth = {"x": truth[""]}
    path = holed(folder / "t.csv", truth, 0.0).path
    try:
        first = proposed(path)
    except UserError as error:
        faults = error.faults
    else:
        faults = []
    if faults:
        reasons = "no column can be used" in faults[0]
        assert (len(faults) == 1 + len(truth)) if reasons else re.search(r"the head|row", faults[0])
        return
    out = folder / "t.yaml"
    out.write_text(first.text, encoding="utf-8")
    assert read_schema(out) == first.schema
    check_notes(out)


# Plugins.

PLUGIN = """
import torch
from torch import nn
from typing import Literal
from mmtoolkit import Modality, Proposal, hookimpl

class Grade(Modality):
    kind: Literal["grade"] = "grade"
    top: int = 6

    @classmethod
    def propose(cls, column):
        {body}

    def event_shape(self):
        return ()

    def parse(self, cell):
        return torch.tensor(float(cell))

    def encoder(self, width, extra=0):
        return nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, width))

    def decoder(self, size):
        return Head(size)

class Head(nn.Linear):
    def __init__(self, size):
        super().__init__(size, 1)

    def forward(self, z):
        return torch.distributions.Normal(super().forward(z).squeeze(1), 1.0, validate_args=False)

@hookimpl
def mmt_components():
    return [Grade]
"""


def test_a_plugin_takes_part(tmp_path: Path) -> None:
    plugin = tmp_path / "grade.py"
    body = 'return Proposal(0.9, {"top": 5}, "grades of school") if column.name == "maths" else None'
    plugin.write_text(PLUGIN.format(body=body), encoding="utf-8")
    path = written(tmp_path, {"maths": [n % 5 + 1 for n in range(60)], "art": [n % 4 + 1 for n in range(60)]})
    assert mmt("init", path, "--plugin", plugin).status == 0
    text = path.with_suffix(".yaml").read_text(encoding="utf-8")
    assert "  # 0% missing; grades of school\n  maths: {kind: grade, top: 5}\n" in text
    assert "  art: {kind: label, " in text
    assert mmt("check", path.with_suffix(".yaml"), "--plugin", plugin).status == 0


HEIRS = """
from typing import Literal
from mmt_attributes import Label, Numeric
from mmtoolkit import hookimpl

class Heir(Numeric):
    kind: Literal["heir"] = "heir"

class Keen(Label):
    kind: Literal["keen"] = "keen"

    @classmethod
    def propose(cls, column):
        return super().propose(column)

@hookimpl
def mmt_components():
    return [Heir, Keen]
"""


def test_a_subclass_takes_part_only_by_a_propose_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "heirs.py"
    file.write_text(HEIRS, encoding="utf-8")
    plugins = load_plugins([file])
    heirs_first = Plugins(dict(reversed(plugins.components.items())), plugins.origins)
    path = written(tmp_path, {"height": NORMAL, "word": ["a", "b", "c"] * 20})
    for order, label in ((plugins, "label"), (heirs_first, "keen")):
        assert [choice.kind for choice in proposed(path, plugins=order).choices] == ["numeric", label]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ('return Proposal(0.99, {"bottom": 1}, "")', "Extra inputs are not permitted"),
    ],
)
def test_a_broken_plugin_does_not_stop_the_others(tmp_path: Path, body: str, fault: str) -> None:
    plugin = tmp_path / "grade.py"
    plugin.write_text(PLUGIN.format(body=body), encoding="utf-8")
    warnings: list[str] = []
    first = proposed(written(tmp_path, {"a": [1, 2, 3] * 20}), plugins=load_plugins([plugin]), report=warnings.append)
    assert first.choices[0].kind == "label"
    (warning,) = warnings
    assert_facts(warning, "modality grade", "column a", fault, "plugin")


def test_a_summary_counts_cells() -> None:
    column = ColumnSummary("a", 10, 3, ("x", "y\ty", "?"), (4, 2, 1))
    assert (column.counted, column.repeats, column.texts) == (7, 7 / 3, ("x", "y\ty", "?"))
    assert column.share([True, False, True]) == 5 / 7
    assert column.examples(2) == "x, y y, …"
    without = column.without(["?"])
    assert (without.missing, without.cells, without.counts) == (4, ("x", "y\ty"), (4, 2))
    assert without.signs == {"?": 1}
    assert column.files(3) == ([], [])


# The command and its errors.


def table_of(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


SOUND = "size,word\n" + "1.5,a\n2.5,b\n3.5,a\n" * 20


def test_the_command_names_its_file_and_the_next_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    table_of(tmp_path / "in", SOUND)
    done = mmt("init", "in/t.csv")
    assert (done.status, done.err) == (0, "")
    assert "in/t.yaml" in done.out
    assert done.out.endswith("  mmt check in/t.yaml\n  mmt run in/t.yaml\n")
    assert re.search(r"^ size +label +0% +3 classes: 1.5", done.out, re.MULTILINE)
    done = mmt("init", "in/t.csv", "--out", "new folder/s.yaml")
    assert done.out.endswith("  mmt run 'new folder/s.yaml'\n")
    assert read_yaml((tmp_path / "new folder/s.yaml").read_text(), "s").data["data"]["path"] == "../in/t.csv"
    assert check_notes(tmp_path / "new folder/s.yaml") == []


def test_init_does_not_replace_a_schema(tmp_path: Path) -> None:
    path = table_of(tmp_path, SOUND)
    out = table_of(tmp_path, "mine", "t.yaml")
    done = mmt("init", path)
    assert done.status == 2
    assert_facts(done.err, f"{out}: ", "--out", "--overwrite")
    assert out.read_text() == "mine"
    assert mmt("init", path, "--overwrite").status == 0
    assert check_notes(out) == []


def test_the_tab_is_written_as_a_shell_can(tmp_path: Path) -> None:
    path = table_of(tmp_path, SOUND.replace(",", "\t"), "t.txt")
    done = mmt("init", path)
    assert_facts(done.err, "t.txt", "ending", "format")
    path = path.rename(tmp_path / "t.csv")
    assert mmt("init", path, "--delimiter", "\\t", "--format", "csv").status == 0
    assert read_yaml(path.with_suffix(".yaml").read_text(), "t").data["data"]["delimiter"] == "\t"


@pytest.mark.parametrize(
    ("text", "options", "facts"),
    [
        ("", (), ("t.csv", "empty", "head")),
        ("a,b\n", (), ("t.csv", "head", "no rows", "add rows")),
        ("a,b\n1,2\n1,2,3\n", (), ("t.csv:3: ", "row 2", "3 cells", "2")),
        ("a,a\n1,2\n", (), ("t.csv", "two columns", "'a'", "rename")),
        (b"a,b\n\xff\xfe,1\n", (), ("t.csv:2: ", "utf-8")),
        (SOUND, ("--delimiter", ";;"), ("--delimiter ';;': ", "1 character")),
        (SOUND, ("--format", "xls"), ("--format 'xls': ", "'csv', 'parquet', 'arrow', 'json', 'jsonl' or 'xlsx'")),
        (SOUND, ("--encoding", "x"), ("--encoding 'x': ", "encoding", "utf-8")),
        (SOUND, ("--out", "{folder}/t.csv/s.yaml"), ("t.csv: ", "cannot be written")),
    ],
)
def test_errors_of_a_table_and_its_options(
    tmp_path: Path, text: str | bytes, options: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    path = table_of(tmp_path, text)
    done = mmt("init", path, *(option.format(folder=tmp_path) for option in options))
    assert done.status == 2
    assert_facts(done.err.splitlines()[0], *facts)
    assert "Traceback" not in done.err
    assert not (tmp_path / "t.yaml").exists()


@pytest.mark.parametrize("name", ["no.csv", ".", "..", "loop.csv", "x" * 300 + ".csv"])
def test_a_table_that_is_no_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    done = mmt("init", name)
    assert done.status == 2
    assert_facts(done.err, f"{name}: ", "is a folder" if name.strip(".") == "" else "no such file", "table")


def test_the_table_is_never_written_over(tmp_path: Path) -> None:
    path = table_of(tmp_path, SOUND)
    done = mmt("init", path, "--out", path, "--overwrite")
    assert done.status == 2
    assert_facts(done.err, f"{path}: ", "is the table", "--out")
    assert path.read_text() == SOUND


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("my.data.csv", "my.data"),
        ("a.csv.gz", "a"),
        (".csv", "csv"),
        ("a\nb.tsv", "a_b"),
        ("ü" * 90 + ".csv", "ü" * 50),
        ("....parquet", "table"),
    ],
)
def test_a_schema_is_named_after_its_table(table: str, name: str) -> None:
    assert name_of(Path("some") / table) == name


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_text(SOUND)
    with pytest.raises(UserError) as raised:
        proposed(path)
    assert_facts(str(raised.value), "caf", "UTF-8", "rename")


def test_a_table_far_away_is_named_by_its_whole_path(tmp_path: Path) -> None:
    path = table_of(tmp_path, SOUND)
    out = tmp_path / "a" / "b" / "c" / "s.yaml"
    data = read_yaml(first_schema(path, out, Reading(), PLUGINS).text, "s").data["data"]
    assert data["path"] == str(path)


def test_where_no_column_can_be_used_each_says_why(tmp_path: Path) -> None:
    path = table_of(tmp_path, "id,word,nothing\n" + "".join(f"{n},x,\n" for n in range(30)))
    done = mmt("init", path)
    assert done.status == 2
    lines = done.err.splitlines()
    facts = [
        (f"{path}: ", "no column can be used"),
        (f"{path}, column id: ", "counts", "rows"),
        (f"{path}, column word: ", "one value", "x"),
        (f"{path}, column nothing: ", "all", "missing"),
    ]
    for line, words in zip(lines, facts, strict=True):
        assert_facts(line, *words)
