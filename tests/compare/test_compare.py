"""Compare runs: the best score, significance, and runs that must not be compared."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmtoolkit
from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml, write_yaml
from mmtoolkit.compare.comparison import Cell, compare, judged, short_names
from mmtoolkit.compare.table import Line, csv_text, document, lines, markdown
from outputs import golden_folders, unpack
from runs import mmt
from toys import EXAMPLES

SCHEMA = """\
name: tiny
data: {kind: fashion_mini, rows: {train: 40, valid: 10, test: 10}}
modalities:
  label: {kind: label}
  again: {kind: label, column: label}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 1, batch_size: 20}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(SCHEMA)
    mmtoolkit.run(mmtoolkit.read_schema(folder / "tiny.yaml"), folder / "run", figures=False)
    return folder / "run"


class Runs:
    """Writes runs that differ from a finished one as a test asks."""

    def __init__(self, finished: Path, folder: Path) -> None:
        self.finished, self.folder = finished, folder

    def __call__(self, name: str, *scores: dict[str, Any], **changes: Any) -> Path:
        """Keyword arguments replace keys of the schema (`model__latent_dim=3`), `files` the checksums of the data."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        results = json.loads((self.finished / "results.json").read_text())
        record = json.loads((self.finished / "run.json").read_text())
        schema = read_yaml((self.finished / "schema.yaml").read_text(), "schema").data
        record["data"] = changes.pop("files", record["data"])
        for path, value in changes.items():
            around = schema
            *outer, last = path.split("__")
            for key in outer:
                around = around[key]
            around[last] = value
        (folder / "results.json").write_text(json.dumps({**results, "scores": list(scores)}))
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "schema.yaml").write_text(write_yaml(schema))
        return folder


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Runs:
    return Runs(finished, tmp_path / "runs")


def score(*results: dict[str, Any], kind: str = "prediction", split: str = "test", **options: Any) -> dict[str, Any]:
    return {"kind": kind, "options": options, "split": split, "results": list(results), "notes": []}


def result(value: float | None, stderr: float | None, metric: str | None = "accuracy", **more: Any) -> dict[str, Any]:
    entry = {"target": ["label"], "given": ["again"], "metric": metric, "better": "high", "value": value}
    return {**entry, "stderr": stderr, "examples": 100, **more}


def standings(*paths: Path) -> list[list[str | None]]:
    return [[None if cell is None else cell.standing for cell in row.cells] for row in compare(paths).rows]


# Which is best, and what is significant.


def test_significance_computed_by_hand(runs: Runs) -> None:
    """With standard errors 0.03 and 0.04 the root of the sum of squares is 0.05, and 1.96 times that 0.098."""
    best = runs("best", score(result(0.9, 0.03)))
    level = runs("level", score(result(0.803, 0.04)))
    worse = runs("worse", score(result(0.801, 0.04)))
    untested = runs("untested", score(result(0.1, None)))
    assert standings(best, level, worse, untested) == [["best", "level", "worse", "untested"]]


@pytest.mark.parametrize("metric", ["errors", "mean_distance", "squared_error", "accuracy", None])
@pytest.mark.parametrize("better", ["high", "low"])
def test_the_runs_say_which_way_a_score_is_better(metric: str | None, better: str, runs: Runs) -> None:
    """Its name says nothing: a count of `errors` is low, and so is a `mean_distance`, where the run says so."""
    small = runs("small", score(result(0.1, 0.0, metric, better=better)))
    large = runs("large", score(result(0.2, 0.0, metric, better=better)))
    assert standings(small, large) == [["best", "worse"] if better == "low" else ["worse", "best"]]
    (row,) = compare([small, large]).rows
    assert row.better == better


def test_none_is_best_where_no_run_says_how(runs: Runs) -> None:
    """Of runs by 0.1.0, and of plugins that do not say it, every score is still listed."""
    old = result(0.1, 0.0, "squared_error")
    del old["better"]
    first = runs("first", score(old, result(0.5, 0.1), result(1.0, None, "length", better=None)))
    second = runs("second", score({**old, "value": 0.2}, result(0.6, 0.1), result(2.0, None, "length", better=None)))
    comparison = compare([first, second])
    assert standings(first, second) == [["unranked"] * 2, ["level", "best"], ["unranked"] * 2]
    texts = [line.texts for line in lines(comparison)][5:]
    assert texts == [("0.1000", "0.2000"), ("0.50 ± 0.10 ≈", "0.60 ± 0.10 *"), ("1.0000", "2.0000")]
    (note,) = comparison.notes
    assert_facts(note, "no run", "high or low", "(squared_error, length)", "`mmt evaluate`", "`better`")
    assert note[0].upper() + note[1:].replace("`", "\\`") in markdown(comparison)
    rows = [line.split(",") for line in csv_text(comparison).splitlines()]
    better, best = rows[0].index("better"), rows[0].index("best")
    assert [(row[better], row[best]) for row in rows[1:]] == [
        *[("", "")] * 2,
        ("high", "false"),
        ("high", "true"),
        *[("", "")] * 2,
    ]
    assert [row["better"] for row in document(comparison)["scores"]] == [None, "high", None]
    assert compare([first]).notes == ()  # nothing is compared


def test_a_run_that_says_it_speaks_for_those_that_do_not(runs: Runs) -> None:
    old = result(0.1, 0.0, "mean_distance")
    del old["better"]
    first = runs("first", score(old))
    second = runs("second", score(result(0.2, 0.0, "mean_distance", better="low")))
    comparison = compare([first, second])
    assert standings(first, second) == [["best", "worse"]]
    assert comparison.notes == ()


def test_runs_that_contradict_each_other_are_not_ranked(runs: Runs) -> None:
    first = runs("first", score(result(0.1, 0.0, "distance", better="high"), result(-3.0, 0.1, None, better="low")))
    second = runs("second", score(result(0.2, 0.0, "distance", better="low"), result(-4.0, 0.1, None, better="high")))
    assert standings(first, second) == [["unranked", "unranked"]] * 2
    (note,) = compare([first, second]).notes
    assert_facts(note, "high is better", "low", "(distance, prediction)", "score the runs again", "one version")


def test_a_run_of_0_1_differs_by_what_its_schema_says(tmp_path: Path) -> None:
    folder = next(folder for folder in golden_folders() if folder.name == "mvae_images")
    old, new = (unpack(folder, tmp_path / name) for name in ("old", "new"))
    text = mmtoolkit.read_schema(new / "schema.yaml").to_yaml()
    record = json.loads((new / "run.json").read_text())
    record["versions"]["mmtoolkit"] = version("mmtoolkit")
    (new / "run.json").write_text(json.dumps(record))

    (new / "schema.yaml").write_text(text)
    same = compare([old, new])
    assert not same.differences
    assert_facts(same.notes[0], "the runs are of 0.1 and 0.2")

    assert "      kind: dcgan\n" in text
    (new / "schema.yaml").write_text(text.replace("      kind: dcgan\n", "      kind: resnet\n"))
    differences = compare([old, new]).differences
    networks = [key for key, values in differences.items() if values == ("dcgan", "resnet")]
    assert networks == [key for key in differences if key.endswith(".network")]
    assert networks


def test_golden_runs_of_0_1_0_are_compared(tmp_path: Path) -> None:
    folder = next(folder for folder in golden_folders() if folder.name == "jmvae")
    first, second = (unpack(folder, tmp_path / name) for name in ("a", "b"))
    comparison = compare([first, second])
    assert {cell.standing for row in comparison.rows for cell in row.cells if cell} == {"unranked"}
    assert len(comparison.rows) > 1
    assert "elbo" in comparison.notes[-1]


CELLS = st.one_of(
    st.none(),
    st.builds(Cell, st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), st.one_of(st.none(), st.floats(0, 1e4))),
)


@EXAMPLES
@given(st.lists(CELLS, min_size=1, max_size=6), st.booleans())
def test_standings_are_as_defined(cells: list[Cell | None], low: bool) -> None:
    ranked = judged(cells, "low" if low else "high")
    scores = [cell for cell in cells if cell is not None]
    assert [cell is None for cell in ranked] == [cell is None for cell in cells]
    for before, after in zip(cells, ranked, strict=True):
        if before is None or after is None:
            continue
        assert (after.value, after.stderr) == (before.value, before.stderr)
        if len(scores) == 1:
            assert after.standing == "alone"
            continue
        value = (min if low else max)(cell.value for cell in scores)
        # The first of several equal best scores is the one that the others are compared with.
        best = next(cell for cell in scores if cell.value == value)
        if before.value == value:
            assert after.standing == "best"
        elif before.stderr is None or best.stderr is None:
            assert after.standing == "untested"
        else:
            variance = before.stderr**2 + best.stderr**2
            significant = abs(before.value - value) > 1.96 * math.sqrt(variance)
            assert after.standing == ("worse" if significant else "level")


# What is compared with what.


def test_numbers_of_other_options_splits_or_examples_are_not_held_against_each_other(runs: Runs) -> None:
    plain = score(result(0.5, 0.01), samples=None)
    first = runs("first", plain)
    second = runs("second", score(result(0.6, 0.01), samples=10))
    third = runs("third", score(result(0.7, 0.01), samples=None, split="valid"))
    fourth = runs("fourth", score(result(0.8, 0.01, examples=200), samples=None))
    comparison = compare([first, second, third, fourth])
    assert standings(first, second, third, fourth) == [
        ["alone", None, None, None],
        [None, None, None, "alone"],
        [None, "alone", None, None],
        [None, None, "alone", None],
    ]
    labels = [line.label for line in lines(comparison)]
    assert labels[4:] == [
        "prediction on test (samples: null)",
        "label from again: accuracy (100 rows)",
        "label from again: accuracy (200 rows)",
        "prediction on test (samples: 10)",
        "label from again: accuracy",
        "prediction on valid",
        "label from again: accuracy",
    ]
    (note,) = comparison.notes
    assert_facts(note, "options", "rows", "do not compare")
    assert standings(first, runs("fifth", plain)) == [["best", "best"]]


def test_which_scores_were_asked_for_does_not_matter(runs: Runs) -> None:
    first = runs("first", score(result(0.5, 0.1), entries=None, unsupported="error", details=False, memory=None))
    more: dict[str, Any] = {
        "entries": [{"target": ["label"]}],
        "unsupported": "leave_out",
        "details": True,
        "memory": 8,
        "baselines": ["forest"],
        "forest_rows": 100,
    }
    assert standings(first, runs("second", score(result(0.6, 0.1), **more))) == [["level", "best"]]


def test_proposals_and_metrics_tell_entries_apart(runs: Runs) -> None:
    def likelihood(value: float, proposal: list[str]) -> dict[str, Any]:
        entry = {"target": ["label"], "given": [], "proposal": proposal}
        return {**entry, "better": "high", "value": value, "stderr": 0.1, "examples": 100, "ess": 3.0}

    by = [likelihood(-9.0, ["label"]), likelihood(-8.0, ["label", "again"])]
    first = runs("first", score(*by, kind="log_likelihood"), score(result(0.5, 0.1)))
    second = runs("second", score(by[1], kind="log_likelihood"), score(result(0.5, 0.1, "exact_match")))
    assert standings(first, second) == [["alone", None], ["best", "best"], ["alone", None], [None, "alone"]]


def test_refined_proposals_have_lines_of_their_own_and_plain_ones_share_theirs(runs: Runs) -> None:
    def likelihoods(*steps: int) -> dict[str, Any]:
        entry = {"target": ["label"], "given": [], "proposal": ["label"], "better": "high", "examples": 100}
        by = [{**entry, "value": -9.0 + k, "stderr": 0.1, **({"refine": k} if k else {})} for k in steps]
        return score(*by, kind="log_likelihood", samples=5, refine=max(steps))

    paths = runs("plain", likelihoods(0)), runs("short", likelihoods(0, 1)), runs("long", likelihoods(0, 2))
    comparison = compare(paths)
    assert standings(*paths) == [["best"] * 3, [None, "alone", None], [None, None, "alone"]]
    assert [line.label for line in lines(comparison)][-3:] == [
        "log p(label), z from label",
        "log p(label), z from label, refined in 1 step",
        "log p(label), z from label, refined in 2 steps",
    ]


def test_values_that_are_not_there_are_blank(runs: Runs) -> None:
    first = runs("first", score(result(None, None), result(0.5, 0.1, "exact_match")))
    second = runs("second", score(result(0.25, 0.1)))
    comparison = compare([first, second])
    assert [line.texts for line in lines(comparison)][5:] == [("0.50 ± 0.10", ""), ("", "0.25 ± 0.10")]


def test_notes_name_differences_of_data_and_modalities(runs: Runs, finished: Path) -> None:
    one = score(result(0.5, 0.1))
    files = dict.fromkeys(json.loads((finished / "run.json").read_text())["data"], "another checksum")
    same = runs("same", one)
    rows = runs("rows", one, data__rows={"train": 20, "valid": 10, "test": 10}, files=files)
    seed = runs("seed", one, train__seed=4, modalities__label__weight=2.0)
    kind = runs("kind", one, modalities__label__kind="mine")
    (note,) = compare([same, rows]).notes
    assert_facts(note, "data", "(data.rows.train, the checksums of its files)", "compare")
    assert compare([same, seed]).notes == ()
    assert compare([same, seed]).differences == {"modalities.label.weight": (1.0, 2.0), "train.seed": (0, 4)}
    (note,) = compare([same, kind]).notes
    assert_facts(note, "modalities", "(modalities.label.kind)", "do not compare")
    assert standings(same, rows) == [["best", "best"]]


def test_where_the_data_lies_does_not_matter(finished: Path, runs: Runs) -> None:
    record = json.loads((finished / "run.json").read_text())
    source = mmtoolkit.read_schema(finished / "schema.yaml").data
    assert isinstance(source, mmtoolkit.FashionMini)
    root = str(source.root)
    moved = {path.replace(root, "/elsewhere"): digest for path, digest in record["data"].items()}
    there = runs("there", score(result(0.5, 0.1)), files=moved, data__root="/elsewhere")
    comparison = compare([runs("here", score(result(0.5, 0.1))), there])
    assert (comparison.notes, dict(comparison.differences)) == ((), {})


def test_names_are_what_tells_runs_apart() -> None:
    def short(*paths: str) -> list[str]:
        return short_names([Path(path) for path in paths])

    assert short("/runs/a", "/runs/b") == ["a", "b"]
    assert short("/runs/a/run", "/runs/b/run") == ["a", "b"]
    assert short("/runs/demo") == ["demo"]
    assert short("/runs/demo", "/runs/demo/evaluations/2.json") == ["demo", "demo/evaluations/2"]
    assert short("/x/1/a/run", "/x/2/a/run", "/x/2/b/run") == ["1/a", "2/a", "2/b"]


# Tables and files.


def two(runs: Runs) -> tuple[Path, Path]:
    first = score(result(0.875, 0.0333), result(0.2, None, "calibration_error", better="low"), samples=2)
    second = score(result(0.5, 0.05), result(0.1, None, "calibration_error", better="low"), samples=2)
    return runs("a|b", first), runs("[c]", second, model__latent_dim=3)


def test_the_table(runs: Runs, finished: Path) -> None:
    total = f"{json.loads((finished / 'results.json').read_text())['parameters']['total']:,}"
    plain = (False, False)
    table = list(lines(compare(two(runs))))
    assert table[0] == Line("parameters", (total, total), plain)
    assert table[2:] == [
        Line("epochs", ("1", "1"), plain),
        Line("epoch kept", ("1", "1"), plain),
        Line("model.latent_dim", ("2", "3"), plain),
        Line("prediction on test"),
        Line("label from again: accuracy", ("0.875 ± 0.033 *", "0.500 ± 0.050 ≠"), (True, False)),
        Line("label from again: calibration_error", ("0.2000 ?", "0.1000 *"), (False, True)),
    ]


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (-394.1532, 9.4844, "-394.2 ± 9.5"),
        (-12345.6, 123.4, "-12,346 ± 123"),
        (0.5, 1e-9, "0.500000 ± 0.000000"),
        (1.0, 0.0, "1.0000"),
        (3, None, "3.0000"),
    ],
)
def test_a_score_has_the_digits_of_its_error(value: float, stderr: float | None, text: str, runs: Runs) -> None:
    assert list(lines(compare([runs("one", score(result(value, stderr)))])))[-1].texts == (text,)


def test_only_so_many_differences_are_shown(runs: Runs) -> None:
    many = {f"train__{key}": 7 for key in ("epochs", "batch_size", "warmup_epochs", "early_stopping", "seed")}
    many |= {f"modalities__{name}__{key}": 7 for name in ("label", "again") for key in "abcd"}
    comparison = compare([runs("first", score(result(0.5, 0.1))), runs("second", score(result(0.5, 0.1)), **many)])
    assert len(comparison.differences) == 13
    assert [line.label for line in lines(comparison)][16] == "(keys not shown: 1)"


def test_markdown(runs: Runs) -> None:
    first, second = two(runs)
    text = markdown(compare([first, second]))
    assert text.splitlines()[:2] == ["|  | a\\|b | \\[c] |", "| --- | ---: | ---: |"]
    assert "\n| **prediction on test** |  |  |\n" in text
    assert "\n| label from again: accuracy | **0.875 ± 0.033 \\*** | 0.500 ± 0.050 ≠ |\n" in text
    assert text.endswith("? no standard error.\n")


def test_files_and_streams(runs: Runs, tmp_path: Path) -> None:
    first, second = two(runs)
    out = tmp_path / "new" / "c.csv"
    done = mmt("compare", first, second, "--out", out, "--json")
    assert done.status == 0, done.err
    accuracy = ["prediction", "label from again", "accuracy", "high", "test"]
    calibration = ["prediction", "label from again", "calibration_error", "low", "test"]
    samples = '{"samples": 2}'
    assert [[*row.values()] for row in csv.DictReader(out.open())] == [
        ["a|b", *accuracy, "0.875", "0.0333", "100", "true", "", samples],
        ["[c]", *accuracy, "0.5", "0.05", "100", "false", "true", samples],
        ["a|b", *calibration, "0.2", "", "100", "false", "", samples],
        ["[c]", *calibration, "0.1", "", "100", "true", "", samples],
    ]
    document = json.loads(done.out)
    assert document["differences"] == {"model.latent_dim": {"a|b": 2, "[c]": 3}}
    assert document["scores"][0]["runs"]["[c]"] == {"value": 0.5, "stderr": 0.05, "standing": "worse"}
    assert mmt("compare", first, second, "--out", tmp_path / "c.md").status == 0
    assert (tmp_path / "c.md").read_text() == markdown(compare([first, second]))


@pytest.mark.parametrize("many", [1, 2, 3, 6])
def test_the_terminal_shows_every_score_within_its_width(
    many: int, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = [runs(f"[run] {n}", score(result(0.5 + n / 10, 0.05), result(-390.0 - n, 9.5, "log"))) for n in range(many)]
    done = mmt("compare", *paths)
    assert done.status == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    for n in range(many):
        assert f"{0.5 + n / 10:.3f} ± 0.050" in done.out
        assert f"[run] {n}" in done.out
    assert done.out.count("epoch kept") == math.ceil(many / 3)
    assert ("* best" in done.out) == (many > 1)


def test_a_long_name_is_folded(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = [runs(name, score(result(0.5, 0.05))) for name in ("x" * 20 + "1", "x" * 20 + "2", "x" * 20 + "3")]
    out = mmt("compare", *paths).out
    heading = out[: out.index("parameters")]
    assert [heading.count(end) for end in ("x1", "x2", "x3")] == [1, 1, 1]
    assert heading.count("x") == 60


def test_real_runs_and_their_evaluations(finished: Path) -> None:
    assert mmt("evaluate", finished, "--set", "evaluate=[{kind: prediction, samples: 3}, {kind: elbo}]").status == 0
    done = mmt("compare", finished, finished / "evaluations" / "1.json", "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert [run["name"] for run in document["runs"]] == ["run", "run/evaluations/1"]
    elbo = [row for row in document["scores"] if row["kind"] == "elbo"]
    assert len(elbo) == 3
    assert {(row["kind"], row["metric"], row["better"]) for row in document["scores"] if "metric" in row} == {
        ("prediction", "accuracy", "high"),
        ("prediction", "calibration_error", "low"),
    }
    assert {row["better"] for row in elbo} == {"high"}
    assert all({cell["standing"] for cell in row["runs"].values()} == {"best"} for row in elbo)
    assert all(len(row["runs"]) == 1 for row in document["scores"] if row["kind"] == "prediction")


# Errors.


def test_errors_of_paths(runs: Runs, finished: Path, tmp_path: Path) -> None:
    one = runs("one", score(result(0.5, 0.1)))

    def refused(*arguments: str | Path) -> str:
        done = mmt("compare", *arguments)
        assert (done.status, done.out) == (2, "")
        return done.err.strip()

    assert_facts(refused(one, one.parent / "one"), f"{one}: ", "twice", "once")
    assert_facts(refused(one, "--out", tmp_path / "c.txt"), f"{tmp_path / 'c.txt'}: ", "ending", ".md or .csv")
    assert_facts(refused(one, tmp_path), f"{tmp_path}: ", "no run", "schema.yaml", "`mmt run`")
    missing = one / "evaluations" / "7.json"
    assert_facts(refused(missing), f"{missing}: ", "no such file", "`mmt evaluate`")
    missing.parent.mkdir()
    missing.write_text('{"scores": 3}')
    assert_facts(refused(missing), f"{missing}: ", "damaged", "scores: ", "array", "`mmt evaluate`")
    assert mmt("compare").status == 2
    with pytest.raises(UserError, match="twice"):
        compare([one, one])


def test_neither_pytorch_nor_a_plugin_is_loaded(runs: Runs) -> None:
    first, second = two(runs)
    code = (
        f"import sys; sys.argv = ['mmt', 'compare', {str(first)!r}, {str(second)!r}]\n"
        "from mmtoolkit.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name for name in ('torch', 'mmt_image', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_score_that_should_be_near_a_value_is_not_ranked_and_not_warned_of(runs: Runs) -> None:
    covered = [{**result(value, 0.01, "coverage_90", better=None), "nominal": 0.9} for value in (0.85, 0.93)]
    comparison = compare([runs(name, score(one)) for name, one in zip(("first", "second"), covered, strict=True)])
    assert {cell.standing for row in comparison.rows for cell in row.cells if cell} == {"unranked"}
    assert not [note for note in comparison.notes if "states whether" in note]
