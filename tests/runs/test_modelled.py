"""A modality with `modelled: false` is read and scored against, and the model never sees it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit import UserError
from mmtoolkit.components.evaluator import seen_by_model
from runs import mmt, sets

CLASSIFIER = {"kind": "classifier", "entries": [{"target": ["digit"], "given": ["label"]}], "steps": 20}
EVALUATE: list[dict[str, Any]] = [
    {"kind": "elbo"},
    {"kind": "prediction"},
    {"kind": "log_likelihood", "samples": 5, "prior_samples": 5},
    {"kind": "imputation", "rows": 40},
    CLASSIFIER,
]


def table(path: Path, rows: int = 120) -> Path:
    """Labels, a copy of them that is often missing, and digits that are all that some rows have."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "again", "digit"])
        for row in range(rows):
            only_digit = row % 10 == 0
            name = "abc"[row % 3]
            writer.writerow(["" if only_digit else name, "" if only_digit or row % 4 == 0 else name, str(row % 2)])
    return path


def document(path: Path, **digit: Any) -> dict[str, Any]:
    modalities: dict[str, Any] = {"digit": {"kind": "label", **digit}} if digit else {}
    modalities |= {"label": {"kind": "label"}, "again": {"kind": "label"}}
    return {
        "name": "some",
        "data": {
            "kind": "table",
            "path": str(path),
            "split": {"train": 0.6, "valid": 0.2, "test": 0.2},
            "supervision": {"keep": 0.8},
        },
        "modalities": modalities,
        "model": {"kind": "mvae", "latent_dim": 2},
        "train": {"epochs": 2, "batch_size": 20, "sampling": {"complete": 0.5}},
        "evaluate": EVALUATE if digit else EVALUATE[:4],
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[mmtoolkit.TrainedRun, mmtoolkit.TrainedRun]:
    """The same run with a digit that is not modelled, and without it."""
    folder = tmp_path_factory.mktemp("modelled")
    path = table(folder / "some.csv")
    made = [
        mmtoolkit.run(mmtoolkit.parse_schema(document(path, **digit)), folder / name)
        for name, digit in (("with", {"modelled": False}), ("without", {}))
    ]
    return made[0], made[1]


Runs = tuple[mmtoolkit.TrainedRun, mmtoolkit.TrainedRun]


@pytest.mark.slow
def test_it_changes_nothing_of_the_model(runs: Runs) -> None:
    ours, theirs = (load_file(run.folder / "weights.safetensors") for run in runs)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
    run, plain = runs
    assert list(run.modalities) == ["digit", "label", "again"]
    assert list(run.model.modalities) == ["label", "again"] == list(plain.modalities)
    scores, expected = run.results["scores"], plain.results["scores"]
    for ours_, theirs_ in zip(scores[:4], expected, strict=False):
        assert ours_["results"] == theirs_["results"], ours_["kind"]


@pytest.mark.slow
def test_evaluators_leave_it_out_by_name(runs: Runs) -> None:
    for score in runs[0].results["scores"][:4]:
        assert any("left out" in note and "digit" in note and "modelled" in note for note in score["notes"]), score
        assert sum("digit" in note for note in score["notes"]) == 1
    for score in runs[1].results["scores"]:
        assert not any("modelled" in note for note in score["notes"])


@pytest.mark.slow
def test_all_others_in_the_report_are_those_that_the_model_sees(runs: Runs) -> None:
    for run in runs:
        assert "from all others" in (run.folder / "report.html").read_text()


@pytest.mark.slow
def test_the_classifier_may_predict_it(runs: Runs) -> None:
    (score,) = runs[0].results["scores"][4:]
    accuracy = score["results"][0]
    assert (accuracy["target"], accuracy["given"], accuracy["metric"]) == (["digit"], ["label"], "accuracy")
    assert accuracy["value"] is not None
    assert accuracy["rows"] == int(runs[0].present["train"][:, [0, 1]].all(1).sum())


def test_supervision_hides_none_of_it(runs: Runs) -> None:
    assert runs[0].present["train"][:, 0].all()
    assert torch.equal(seen_by_model(runs[0], "train"), runs[1].present["train"])


def test_rows_that_have_nothing_else_are_not_used(runs: Runs) -> None:
    assert not runs[0].model.usable(seen_by_model(runs[0], "train")).all()
    answer, _ = mmtoolkit_check(runs[0].schema)
    assert any("training rows are not used" in note for note in answer["notes"])
    latent = json.loads((runs[0].folder / "latent.json").read_text())
    plain = json.loads((runs[1].folder / "latent.json").read_text())
    assert (latent["rows"], latent["means"]) == (plain["rows"], plain["means"])
    assert set(latent["shades"]) == {"digit", "label", "again"}


def mmtoolkit_check(schema: mmtoolkit.Schema) -> tuple[dict[str, Any], UserError | None]:
    from mmtoolkit.runs.checking import check

    return check(schema, lambda line: None)


def test_a_batch_has_it_beside_the_model_s(runs: Runs) -> None:
    run = runs[0]
    (batch,) = run.batches("test")
    assert batch.names == ("label", "again")
    assert len(batch.value("digit")) == len(batch.rows("digit")) == batch.size
    assert batch.present.shape == (batch.size, 2)
    for part in (batch.to("cpu"), batch.take(torch.tensor([1, 3])), next(batch.split(2)), batch.where(batch.present)):
        assert part.names == batch.names
        assert len(part.value("digit")) == part.size
        assert part.present.shape == (part.size, 2)
    hidden = batch.where(torch.zeros_like(batch.present))
    assert not hidden.present.any()
    assert len(hidden.rows("digit")) == batch.size
    assert len(batch.only({"label"}).value("digit")) == 0


def test_a_loaded_run_is_never_given_it(runs: Runs, tmp_path: Path) -> None:
    run = mmtoolkit.load(runs[0].folder)
    for call in (lambda: run.infer([{"digit": "1"}]), lambda: run.sample(2, {"digit": "1"})):
        with pytest.raises(UserError) as error:
            call()
        assert_facts(str(error.value), "digit", "not modelled", "leave it out")
    assert set(run.sample(3)) == {"label", "again"}
    refused = mmt("sample", run.folder, "--given", "digit=1", "--out", tmp_path / "a.png")
    assert refused.status == 2
    assert_facts(refused.err, "digit", "not modelled")
    refused = mmt("sample", run.folder, "--given", "digit", "--out", tmp_path / "a.png")
    assert refused.status == 2
    assert_facts(refused.err, "digit")


def test_impute_never_fills_it(runs: Runs) -> None:
    run = mmtoolkit.load(runs[0].folder)
    columns = {"label": ["a", None], "again": [None, "b"], "digit": [None, "nonsense"]}
    filled = run.impute(columns)
    assert list(filled["digit"]) == [None, "nonsense"]
    assert None not in (*filled["label"], *filled["again"])
    plain = mmtoolkit.load(runs[1].folder).impute(columns)
    assert _lists(filled) == _lists(plain)
    with pytest.raises(UserError, match="label"):
        run.impute({"digit": [None]})
    embedded = run.embed(columns)
    assert _lists(embedded) == _lists(mmtoolkit.load(runs[1].folder).embed(columns))


def _lists(columns: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    return {name: list(cells) for name, cells in columns.items()}


@pytest.mark.filterwarnings("ignore::mmtoolkit.base.errors.DataWarning")
def test_a_user_s_table_is_scored_against_it(runs: Runs, tmp_path: Path) -> None:
    evaluators: list[mmtoolkit.Evaluator] = [mmtoolkit.Elbo(), mmtoolkit.Classifier.model_validate(CLASSIFIER)]
    path = table(tmp_path / "other.csv", 30)
    for data in (path, {"label": ["a", "b"], "digit": ["0", "1"]}):
        elbo, classifier = runs[0].evaluate_on(data, evaluators)
        assert elbo["results"]
        assert classifier["results"][0]["examples"] > 0


def test_check_shows_it(runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(json.dumps(document(table(tmp_path / "some.csv"), modelled=False)))
    shown = mmt("check", path)
    assert shown.status == 0, shown.err
    assert "not modelled" in shown.out
    answer = json.loads(mmt("check", path, "--json").out)
    units = answer["units"]
    assert [(name, facts["modelled"], units[name]["encoder"] > 0) for name, facts in answer["modalities"].items()] == [
        ("digit", False, False),
        ("label", True, True),
        ("again", True, True),
    ]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (["model={kind: cvae, target: digit}"], ("model.target", "'digit'", "modelled")),
        (["model={kind: vae, modality: digit}"], ("model.modality", "'digit'", "modelled")),
        (["modalities.again=null", "model={kind: jmvae}", "data.supervision=null"], ("jmvae", "digit", "modelled")),
        (["evaluate=[{kind: elbo, entries: [{target: [digit], given: [label]}]}]"], ("digit from label", "modelled")),
        (["evaluate=[{kind: prediction, entries: [{target: [label], given: [digit]}]}]"], ("digit", "modelled")),
        (
            ["evaluate=[{kind: log_likelihood, entries: [{target: [label], proposal: [digit]}]}]"],
            ("digit", "modelled"),
        ),
        (["evaluate=[{kind: imputation, hide: {digit: 0.5}}]"], ("hide.digit", "modelled")),
    ],
)
def test_faults_of_names_that_are_not_modelled(changes: list[str], facts: tuple[str, ...], tmp_path: Path) -> None:
    plain = document(table(tmp_path / "some.csv"), modelled=False)
    schema = mmtoolkit.parse_schema(plain, overrides=changes)
    with pytest.raises(UserError) as error:
        mmtoolkit_check(schema)
    assert_facts(str(error.value), *facts)


def test_left_out_by_wish(runs: Runs) -> None:
    entries = [{"target": ["label"], "given": ["digit"]}, {"target": ["label"], "given": ["again"]}]
    elbo = mmtoolkit.Elbo.model_validate({"entries": entries, "unsupported": "leave_out"})
    (score,) = runs[0].evaluate([elbo], "test")
    assert [result["given"] for result in score["results"]] == [["again"]]
    (note,) = score["notes"]
    assert_facts(note, "left out", "label from digit", "not modelled")


def test_faults_of_the_schema(tmp_path: Path) -> None:
    plain = document(table(tmp_path / "some.csv"), modelled=False)
    with pytest.raises(UserError) as error:
        mmtoolkit.parse_schema(
            plain, overrides=["modalities.label.modelled=false", "modalities.again.modelled=false", "evaluate=[]"]
        )
    assert_facts(str(error.value), "modalities: ", "no modality is modelled", "remove")
    groups = ["data.supervision={paired: 0.5, groups: [[digit], [label]]}"]
    with pytest.raises(UserError) as error:
        mmtoolkit.parse_schema(plain, overrides=groups)
    assert_facts(str(error.value), "data.supervision.groups.0.0", "digit", "not modelled")


def test_build_gives_the_model_what_is_modelled() -> None:
    modalities = {"a": Label(classes=("x", "y")), "b": Label(classes=("x", "y"), modelled=False)}
    assert list(mmtoolkit.build(mmtoolkit.MVAE(latent_dim=2), modalities).modalities) == ["a"]


def test_a_prepared_column_stays_when_only_modelled_changes(tmp_path: Path) -> None:
    lines: list[str] = []
    for modelled in (True, False):
        modalities = {"label": Label(classes=("a", "b", "c")), "digit": Label(classes=("0", "1"), modelled=modelled)}
        source = mmtoolkit.TableSource(path=table(tmp_path / "some.csv") if modelled else tmp_path / "some.csv")
        mmtoolkit.prepare(source, modalities, report=lines.append)
        lines.append("next")
    assert lines[-1] == lines[-2] == "next"


def test_sets_are_checked(runs: Runs) -> None:
    scored = mmt("evaluate", runs[0].folder, *sets("evaluate=[{kind: elbo, entries: [{target: [digit]}]}]"))
    assert scored.status == 2
    assert_facts(scored.err, "digit", "modelled")
