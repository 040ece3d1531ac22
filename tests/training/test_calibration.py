"""`train.calibrate`: scales are fitted to hidden validation cells, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Numeric
from mmtoolkit import StudentTLikelihood, TrainedRun, TrainingStart, UserError, new_fabric, parse_schema
from mmtoolkit.cli.progress import PlainWatcher
from mmtoolkit.runs.pictures import _learning_curves
from mmtoolkit.training.calibration import calibrate, masked_rows
from mmtoolkit.training.validation import Validation
from untrained import untrained


def validation_of(run: TrainedRun) -> Validation:
    return Validation(run.dataset.splits["valid"], run.model, 0, new_fabric("cpu"))


def fitted_scales(run: TrainedRun) -> dict[str, float]:
    """The scale of each modality, fitted where decoders say the same whatever z is."""
    with torch.no_grad():
        for name, parameter in run.model.decoders.named_parameters():
            if "raw_scale" not in name:
                parameter.zero_()
    calibrate(run.model, validation_of(run), 0)
    p: Any = run.decode(torch.zeros(1, run.model.latent_dim))
    return {name: float(p[name].base.scale) for name in run.modalities}


def cells(rows: int, width: float) -> dict[str, list[float]]:
    draw = np.random.default_rng(rows)
    return {name: draw.normal(0.0, width, rows).tolist() for name in "ab"}


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "width"), [(100, 3.0), (5, 3.0), (100, 0.3)])
def test_the_scale_is_the_most_probable_by_cells_and_ten_as_training_learned_it_but_never_less(
    rows: int, width: float, tmp_path: Path
) -> None:
    modalities = {name: Numeric(mean=(0.0,), std=(1.0,)) for name in "ab"}
    run = untrained(modalities, tmp_path, train=cells(10, 1.0), valid=cells(rows, width))
    scales = fitted_scales(run)
    for name, scale in scales.items():
        cells_of = [
            x for part in masked_rows(run.model, validation_of(run), 0) for x in part.hidden.value(name).tolist()
        ]
        assert sorted(cells_of) == pytest.approx(sorted(cells(rows, width)[name]))  # each is hidden once
        count, squares = rows, np.square(cells_of).sum()
        learned = np.log(2.0) + 1e-3
        fitted = np.sqrt((squares + 10 * learned**2) / (count + 10))
        assert scale == pytest.approx(max(fitted, learned), rel=1e-3)


@pytest.mark.slow
def test_a_heavy_tail_is_fitted_as_such(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    tailed = {name: (3 * draw.standard_t(4, 400)).tolist() for name in "ab"}
    modalities = {name: Numeric(mean=(0.0,), std=(1.0,), likelihood=StudentTLikelihood()) for name in "ab"}
    run = untrained(modalities, tmp_path, train=cells(10, 1.0), valid=tailed)
    assert list(fitted_scales(run).values()) == pytest.approx([3.0, 3.0], rel=0.2)


SCHEMA: dict[str, Any] = {
    "name": "small",
    "modalities": {
        "row": {
            "kind": "record",
            "columns": {"a": {"kind": "numeric"}, "b": {"kind": "numeric"}, "c": {"kind": "label"}},
            "network": {"kind": "mlp", "width": 16, "depth": 1},
        }
    },
    "model": {"kind": "mvae", "latent_dim": 2},
    "train": {"epochs": 2, "batch_size": 20, "hide": {"rate": 0.5}, "select": "imputation"},
    "evaluate": [],
}


def trained(folder: Path, valid: bool, say: Any = lambda line: None, **train: Any) -> TrainedRun:
    draw = np.random.default_rng(0)
    a = draw.normal(size=60)
    lines = [f"{x:.3f},{x + 0.1 * draw.normal():.3f},{'xy'[int(x > 0)]}" for x in a]
    folder.mkdir()
    (folder / "t.csv").write_text("\n".join(["a,b,c", *lines]) + "\n")
    split = {"train": 0.5, "valid": 0.5} if valid else {"train": 0.5, "test": 0.5}
    data = {"kind": "table", "path": str(folder / "t.csv"), "split": split}
    schema = parse_schema({**SCHEMA, "data": data, "train": {**SCHEMA["train"], **train}})
    return mmtoolkit.run(schema, folder / "run", figures=False, say=say)


def test_a_run_differs_in_its_scales_alone(tmp_path: Path) -> None:
    plain, fitted = trained(tmp_path / "plain", True), trained(tmp_path / "fitted", True, calibrate=True)
    before, after = (load_file(run.folder / "weights.safetensors") for run in (plain, fitted))
    differ = {name for name in before if not torch.equal(before[name], after[name])}
    assert differ
    assert all("raw_scale" in name for name in differ)
    holed = {"a": [1.0, None, -1.0], "b": [None, 2.0, None], "c": ["x", None, None]}
    assert plain.impute(holed) == fitted.impute(holed)
    loaded = mmtoolkit.load(fitted.folder)
    again = load_file(loaded.folder / "weights.safetensors")
    assert all(torch.equal(again[name], after[name]) for name in after)
    assert all(parameter.requires_grad for parameter in fitted.model.parameters())


def test_what_selects_weights_is_named_after_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "filling", True)
    assert_facts(run.results["training"]["reason"], "has the best filling score")
    picture = _learning_curves(run)
    assert "filling score" in {words.get_text() for words in picture.figure.findobj(Text)}
    assert_facts(picture.text, "filling score", "0 is as well as the mean or mode", "1 is perfect")
    lines = PlainWatcher()
    facts: dict[str, Any] = {"folder": tmp_path, "schema": run.schema, "epochs": 2, "done": 0, "steps": 2, "rows": 30}
    lines.begin(TrainingStart(**facts, validation=run.schema.train.validation_measure))
    lines.epoch(run.history[0])
    assert_facts(capsys.readouterr().err, f"  filling score {run.history[0]['validation']:.2f}")


def test_without_validation_rows_a_line_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    trained(tmp_path / "t", False, lines.append, calibrate=True, select="bound")
    assert "train.calibrate: there are no usable validation rows, so scales stay as training learns them" in lines


def test_nothing_hidden_is_a_fault() -> None:
    with pytest.raises(
        UserError, match=r"train\.calibrate: it needs a model that has .* fill in cells; set train\.hide, or remove"
    ):
        parse_schema({**SCHEMA, "data": {"kind": "fashion_mini"}, "train": {"calibrate": True}})
