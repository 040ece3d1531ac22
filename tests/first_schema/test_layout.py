"""What `mmt init` says of the layout of a text: delimiter, head, titles, totals; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit import load_plugins, read_schema
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.first_schema import FirstSchema, first_schema
from mmtoolkit.tables import Reading
from runs import assert_refused, mmt

PLUGINS = load_plugins()
CROPS = [("oats", 7.37), ("rye", 1.27), ("barley", 3.26)] * 7
ROWS = "".join(f"{crop},{height + n / 100},{2 * height + n}\n" for n, (crop, height) in enumerate(CROPS))
HEAD = "crop,height,width\n"


def proposed(folder: Path, text: str, name: str = "t.csv", **reading: object) -> FirstSchema:
    (folder / name).write_text(text, encoding="utf-8")
    return first_schema(folder / name, folder / "t.yaml", Reading.model_validate(reading), PLUGINS)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (ROWS, ("7.37, 14.74", "numbers", "oats")),
        ("oats,red\nrye,blue\noats,blue\nrye,red\n" * 9, ("it has oats, red", "rows")),
        ("1.5,2.5\n1.25,3.5\n9.5,4.0\n" * 9, ("1.5, 2.5", "numbers")),
        ("rye,1,2\n" + ROWS, ("1, 2", "numbers", "rye")),
        ("NA,7.4,14.8\n" + ROWS, ("7.4, 14.8", "numbers")),
        (ROWS.replace("7.37,", "?,"), ("14.74", "numbers", "oats")),
        ("7,5;a\n3,1;b\n2,5;c\n" * 9, ("7,5", "numbers")),
    ],
)
def test_a_row_is_no_head(tmp_path: Path, text: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        proposed(tmp_path, text)
    assert_facts(str(caught.value), f"{tmp_path / 't.csv'}:1: looks like a row", *facts, "--head 0", "--head 1")


@pytest.mark.parametrize(
    "head",
    [
        "crop,height,width",
        "crop,1990,1991",
        "crop,0,1",
        "crop,1,2",
        "Crop,oats,rye",
        ",height,width",
        "crop,7.37,width",
        "a,,",
    ],
)
def test_names_are_a_head(tmp_path: Path, head: str) -> None:
    assert proposed(tmp_path, f"{head}\n{ROWS}").choices


def test_a_table_without_a_head_is_read_with_the_option(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    assert_refused(mmt("init", path), ("t.csv:1: looks like a row", "--head 0", "--head 1"))
    done = mmt("init", path, "--head", "0")
    assert done.status == 0, done.err
    schema = read_schema(tmp_path / "t.yaml")
    assert [*schema.modalities] == ["column_1", "column_2", "column_3"]
    assert read_yaml((tmp_path / "t.yaml").read_text(), "t").data["data"]["head"] == 0
    assert len(schema.data.load("train")) == round(0.9 * len(CROPS))
    done = mmt("init", path, "--head", "1", "--overwrite")
    assert next(iter(read_schema(tmp_path / "t.yaml").modalities)) == "oats"


def test_what_is_judged_is_said_and_not_written(tmp_path: Path) -> None:
    title = "Harvest 2025;;\nprinted today;;\n;;\n"
    text = title + (HEAD + ROWS).replace(",", ";")
    first = proposed(tmp_path, text)
    assert first.notes == [
        f"{tmp_path / 't.csv'}: its cells are separated by ';'; the head is line 4; lines 1 to 3 are skipped"
    ]
    assert not {"delimiter", "quote", "head"} & {*read_yaml(first.text, "t").data["data"]}
    first = proposed(tmp_path, text, delimiter=";", quote='"', head=4)
    data = read_yaml(first.text, "t").data["data"]
    assert (data["delimiter"], data["quote"], data["head"]) == (";", '"', 4)
    assert proposed(tmp_path, HEAD + ROWS).notes == []
    assert proposed(tmp_path, (HEAD + ROWS).replace(",", "\t"), "t.tsv").notes == []
    assert_facts(proposed(tmp_path, (HEAD + ROWS).replace(",", "\t")).notes[0], "separated by '\\t'")
    assert_facts(proposed(tmp_path, HEAD + ROWS.replace("rye", "süß"), encoding="cp1252").notes[0], "utf-8", "cp1252")


def test_a_row_of_totals_is_remarked(tmp_path: Path) -> None:
    for total in ("Total", "sum:", "AVERAGE"):
        (note,) = proposed(tmp_path, f"{HEAD}{ROWS}{total},100,200\n").notes
        assert_facts(note, f"{tmp_path / 't.csv'}: the last row begins with {total!r}; ", "remove it")
    assert proposed(tmp_path, f"{HEAD}Total,100,200\n{ROWS}").notes == []
