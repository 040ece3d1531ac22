"""Tables of JSON: arrays of objects, and keys that occur twice."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import Reading, TableFile, open_table
from mmtoolkit.tables.json_array import LinesInJson
from mmtoolkit.tables.json_object import doubled_key
from mmtoolkit.tables.writing import fields_of, new_table
from toys import EXAMPLES

PRETTY = """
 [
  {
    "crop": "rye",  "height": 1.20,
    "site": {"name": "a ]}, {", "plots": [1, 2]}
  } ,

  {"height": null, "crop": "o\\u00e4ts"},
  {}
 ]
"""


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def fault(path: Path, **reading: Any) -> str:
    with pytest.raises(UserError) as raised:
        len(open_table(path, Reading(**reading)))
    return str(raised.value).replace(str(path), "FILE")


def contents(table: TableFile, size: int = 2) -> dict[str, list[Any]]:
    return {name: [c for rows in table.rows(size) for c in rows.cells(name)] for name in table.names}


def changed(table: TableFile, out: Path, column: str, cells: dict[int, Any]) -> str:
    """The text of the table with some cells of a column changed."""
    with new_table(out, fields_of(table), table) as writer:
        start = 0
        for rows in table.rows(2):
            places = [place - start for place in cells if start <= place < start + len(rows)]
            raw = dict(rows.raw)
            raw[column] = [cells.get(start + place, cell) for place, cell in enumerate(rows.raw[column])]
            writer.write(raw, rows.lines, {column: places})
            start += len(rows)
    return out.read_bytes().decode(table.reading.encoding)


def test_an_array_is_a_table(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "t.json", PRETTY))
    assert contents(table) == {
        "crop": ["rye", "oäts", None],
        "height": [1.2, None, None],
        "site": [{"name": "a ]}, {", "plots": [1, 2]}, None, None],
    }
    assert table.place(1) == f"{tmp_path / 't.json'}, row 2"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize(
    "text", [PRETTY, PRETTY.replace("\n", "\r\n"), '[{"crop":"ü"}]', '[{"crop":"ü"}]\n\n', '[{}, {"crop":1}]']
)
def test_an_array_comes_back_as_it_was(tmp_path: Path, text: str, encoding: str) -> None:
    path = written(tmp_path / "t.json", text, encoding)
    table = open_table(path, Reading(encoding="utf-8" if encoding == "utf-8-sig" else encoding))
    changed(table, tmp_path / "u.json", "crop", {})
    assert (tmp_path / "u.json").read_bytes() == path.read_bytes()


def test_only_the_changed_values_of_an_array_change(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "t.json", PRETTY))
    text = changed(table, tmp_path / "u.json", "height", {1: 3.5, 2: 4})
    assert text == PRETTY.replace("null", "3.5").replace("{}", '{"height": 4}')


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}', '\n {"a": 1}\r\n\n{"a": 2}\n', '{"a": 1}'])
def test_json_lines_in_a_file_of_json(tmp_path: Path, text: str) -> None:
    table = open_table(written(tmp_path / "t.json", text))
    assert isinstance(table, LinesInJson)
    assert table.column("a") == [1, 2][: len(table)]
    assert changed(table, tmp_path / "u.json", "a", {}) == text
    assert changed(table, tmp_path / "u.json", "a", {0: 7}) == text.replace("1", "7")


def test_a_new_file_of_json_is_an_array_with_an_object_a_line(tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    with new_table(out, pa.schema([("a", pa.int64()), ("b", pa.string())])) as writer:
        writer.write({"a": pa.array([1, None]), "b": pa.array(["x", "ü"])})
        writer.write({"a": pa.array([2]), "b": pa.array([None], pa.string())})
    assert out.read_text() == '[\n{"a": 1, "b": "x"},\n{"a": null, "b": "ü"},\n{"a": 2, "b": null}\n]\n'
    with new_table(out, pa.schema([("a", pa.int64())])):
        pass
    assert json.loads(out.read_text()) == []


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ("FILE: ", "no row", "object a line")),
        ("[]", ("FILE: ", "no row", "array of objects")),
        ("[{}, {}]", ("FILE: ", "no row")),
        ("[1, 2]", ("FILE:1: ", "a number, not an object", '[{"price": 3}]')),
        ('[\n{"a": 1},\n[1], null, "x", true\n]', ("FILE:3: ", "an array", "FILE:3: ", "null", "a text", "yes or no")),
        ('{"a": [1, 2], "b": ["x", "y"]}', ("FILE: ", "an object with the keys a, b, not rows", '[{"price": 3}]')),
        ('{"a": {"0": 1}}', ("FILE: ", "an object with the keys a", "array of objects")),
        ('{\n  "a": 1,\n  "b": 2\n}', ("FILE: ", "an object with the keys a, b", "array of objects")),
        ("3\n", ("FILE: ", "a number", "array of objects")),
        ('"x"', ("FILE: ", "a text", "array of objects")),
        ('[{"a": 1},\n{"a": 2}', ("FILE:2: ", "ends within the array", "; ", "cut off")),
        ('[{"a": 1},\n', ("FILE:2: ", "ends within the array")),
        ('[{"a": 1}\n{"a": 2}]', ("FILE:2: ", "expecting ','", "column 1", "; ", "mend")),
        ('[{"a": 1}]\n[2]', ("FILE:2: ", "follows the array", "; ")),
        ('[{"a": 1},\n {"a": }]', ("FILE:2: ", "JSON", "; ", "mend")),
        ('[{"a": "\\ud800"}]', ("FILE:1: ", "JSON", "; ", "mend")),
        ("[" * 100_000, ("FILE:1: ", "JSON", "; ")),
        ('{"a": 1}\n{"a": }\n', ("FILE:2: ", "JSON", "; ", "object a line")),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, facts: tuple[str, ...]) -> None:
    assert_facts(fault(written(tmp_path / "t.json", text)), *facts)


def test_only_the_first_faults_of_an_array_are_reported(tmp_path: Path) -> None:
    lines = fault(written(tmp_path / "t.json", "[\n" + "1,\n" * 50 + "2]")).split("\n")
    assert len(lines) == 6
    assert_facts(lines[5], "FILE: ", "more objects")


def test_a_fault_that_comes_back_in_a_line_is_reported_once(tmp_path: Path) -> None:
    message = fault(written(tmp_path / "t.json", "[[1, 2], [3, 4]]"))
    assert_facts(message, "FILE:1: ", "an array, not an object", "; ")
    assert "\n" not in message


def test_an_array_of_another_encoding(tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", '[\n{"a": "ü"}]', "latin-1")
    assert_facts(fault(path), "FILE:2: ", "utf-8", "; ", "encoding")


def test_an_array_in_a_file_of_lines(tmp_path: Path) -> None:
    text = fault(written(tmp_path / "t.jsonl", '[{"a": 1}]'))
    assert_facts(text, "FILE:1: ", "array", "; ", "object a line", "format json")
    assert open_table(tmp_path / "t.jsonl", Reading(format="json")).column("a") == [1]


# Keys that occur twice.


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "a"),
        ('{"a": {"b": 1, "b": 1}}', "b"),
        ('{"x": [{"é": 1, "\\u00e9": 2}]}', "é"),
        ('{"a": "12:30", "a": 1}', "a"),
        ('{"a": "1:2", "b": {"a": 1}}', None),
        ('{"a": 1, "b": ":"}', None),
        ("{}", None),
    ],
)
def test_a_key_that_occurs_twice_is_refused(tmp_path: Path, text: str, key: str | None) -> None:
    assert doubled_key(json.loads(text), text) == key
    if key is not None:
        for name, whole in (("t.jsonl", f'{{"c": 1}}\n{text}\n'), ("t.json", f'[{{"c": 1}},\n {text}]')):
            assert_facts(
                fault(written(tmp_path / name, whole)), "FILE:2: ", "two values", f"the key {key!r}", "; ", "rename"
            )


@EXAMPLES
@given(keys=st.lists(st.sampled_from("abc:"), max_size=4), inner=st.booleans())
def test_every_doubled_key_is_noticed(keys: list[str], inner: bool) -> None:
    text = "{" + ", ".join(f'"{key}": 1' for key in keys) + "}"
    text = f'{{"x": [{text}]}}' if inner else text
    assert (doubled_key(json.loads(text), text) is not None) == (len(set(keys)) < len(keys))


# Damage.


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_damaged_json_is_read_or_refused_in_lines(tmp_path: Path, name: str) -> None:
    draw, outcomes = random.Random(0), {"read": 0, "refused": 0}
    whole = PRETTY if name == "t.json" else '{"crop": "rye", "height": [1.0, {"a": "b"}]}\n\n{"crop": null}\n'
    for _ in range(300):
        text = whole
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(text) + 1)
            text = (
                text[:at]
                + draw.choice(["", "[", "}", ",", ":", '"', "\\", "\n", "nul", "-", "é", '{"a": 1}'])
                + text[at + draw.choice([0, 1, 9]) :]
            )
        path = written(tmp_path / name, text)
        try:
            table = open_table(path)
            assert changed(table, tmp_path / f"u.{name}", table.names[0], {}) == text
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            for line in error.faults:
                assert line.startswith(str(path)), line
                assert line.isprintable(), line
    assert min(outcomes.values()) > 10
