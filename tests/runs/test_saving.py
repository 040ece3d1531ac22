"""Networks that another loop trained become a run folder, which everything reads; and runs are pickled."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import mmtoolkit
from facts import assert_facts
from lines import assert_lines
from mmt_attributes import Label
from mmtoolkit import MLP, Prediction, TrainedRun, UserError, build, load_plugins, parse_schema, prepare
from mmtoolkit.components.plugins import Plugins
from runs import mmt

DATA = {"kind": "fashion_mini", "rows": {"train": 60, "valid": 20, "test": 20}}
SCHEMA: dict[str, Any] = {
    "name": "elsewhere",
    "data": DATA,
    "modalities": {
        "label": {"kind": "label", "network": {"kind": "mlp", "width": 8}},
        "again": {"kind": "label", "column": "label", "network": {"kind": "mlp", "width": 8}},
    },
    "model": {"kind": "mvae", "latent_dim": 2},
    "evaluate": ["prediction"],
}
PLUGIN = """\
from typing import Literal

from mmtoolkit import MLP, hookimpl


class Own(MLP):
    kind: Literal["own"] = "own"


@hookimpl
def mmt_components():
    return [Own]
"""


def elsewhere(schema: Any = SCHEMA, plugins: Plugins | None = None) -> TrainedRun:
    """A run of networks whose weights nobody here trained."""
    read = parse_schema(schema, plugins=plugins)
    data = prepare(read.data, read.modalities)
    network = build(read.model, data.modalities, seed=7)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    return TrainedRun.of_network(read, network, data, plugins)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    run = elsewhere()
    run.save(tmp_path_factory.mktemp("saved") / "run")
    return run


ROWS = [{"label": "Sandal"}, {}]


def test_the_folder_is_loaded_with_the_same_networks(saved: TrainedRun) -> None:
    run = mmtoolkit.load(saved.folder)
    assert run.schema == saved.schema
    assert isinstance(run.modalities["label"], Label)
    assert run.modalities["label"].classes is not None
    assert torch.equal(run.infer(ROWS).mean, saved.infer(ROWS).mean)
    assert run.baselines == saved.baselines
    assert not run.model.training
    assert run.history == []
    assert run.results["training"]["reason"].endswith("elsewhere")
    assert run.types == saved.types
    (score,) = run.results["scores"]
    assert score == saved.evaluate([Prediction()], "test")[0]


@pytest.mark.slow
def test_every_command_reads_the_folder(saved: TrainedRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(saved.folder, tmp_path / "run"))
    (tmp_path / "t.csv").write_text("label,again\nSandal,\n,\n")
    for command in (
        ("sample", run, "--out", tmp_path / "s.csv"),
        ("impute", run, tmp_path / "t.csv", "--out", tmp_path / "i.csv"),
        ("embed", run, tmp_path / "t.csv", "--out", tmp_path / "e.csv"),
        ("evaluate", run),
        ("evaluate", run, tmp_path / "t.csv"),
        ("report", run),
        ("compare", run, saved.folder),
    ):
        done = mmt(*command)
        assert done.status == 0, done.err
    figures = {path.stem for path in (run / "figures").glob("*.png")}
    assert figures >= {"samples", "cells", "latent", "from_0_label"} - {"learning_curves"}
    assert "learning_curves" not in figures
    html = (run / "report.html").read_text()
    assert "trained elsewhere" in html
    assert "epochs, weights" not in html


def test_there_is_nothing_to_resume(saved: TrainedRun) -> None:
    weights = (saved.folder / "weights.safetensors").read_bytes()
    done = mmt("run", saved.folder / "schema.yaml", "--out", saved.folder, "--resume")
    assert done.status == 2
    assert_facts(done.err.splitlines()[-1], f"{saved.folder}: ", "elsewhere", "resume; ", "--out FOLDER")
    assert (saved.folder / "weights.safetensors").read_bytes() == weights


def test_a_folder_that_holds_a_run_is_refused(saved: TrainedRun, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in saved.folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as raised:
        elsewhere().save(saved.folder)
    assert_facts(str(raised.value), f"{saved.folder}: ", "holds a run", "; ", "another folder")
    assert {path: path.read_bytes() for path in saved.folder.rglob("*") if path.is_file()} == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("x")
    elsewhere().save(tmp_path / "notes", figures=False)
    assert (tmp_path / "notes/mine.txt").read_text() == "x"
    assert not (tmp_path / "notes/figures").exists()
    assert mmtoolkit.load(tmp_path / "notes").results["name"] == "elsewhere"


def test_a_save_that_fails_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = elsewhere()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Prediction, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        run.save(tmp_path / "run")
    assert_facts(mmt("sample", tmp_path / "run").err, "holds no run")
    assert not run.saved
    monkeypatch.undo()
    run.save(tmp_path / "run", figures=False)
    assert run.results["name"] == "elsewhere"


def test_a_network_of_another_schema_is_refused(tmp_path: Path) -> None:
    schema = parse_schema(SCHEMA)
    data = prepare(schema.data, schema.modalities)
    wide = {name: modality.with_options(network=MLP(width=9)) for name, modality in data.modalities.items()}
    run = TrainedRun.of_network(schema, build(schema.model, wide), data)
    with pytest.raises(UserError) as raised:
        run.save(tmp_path / "run")
    assert_facts(str(raised.value), "run elsewhere: ", "encoders.0.", "(10, 9)", "(10, 8)", "; ", "build(schema.model")
    assert not (tmp_path / "run").exists()


def test_a_component_of_no_plugin_is_refused(tmp_path: Path) -> None:
    class Nowhere(MLP):
        pass

    schema = {**SCHEMA, "modalities": {"label": Label(network=Nowhere(width=8))}}
    with pytest.raises(UserError) as raised:
        elsewhere(schema).save(tmp_path / "run")
    assert_lines(
        raised.value.faults,
        ("schema: modalities.label.network: ", "architecture", "Nowhere", "mmt_components", "load_plugins"),
    )
    assert not (tmp_path / "run").exists()


def test_a_run_pickles_as_its_folder(saved: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(saved)
    assert len(packed) < 1000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(packed)
    assert again.schema == saved.schema
    assert torch.equal(again.infer(ROWS).mean, saved.infer(ROWS).mean)
    assert again.device == saved.device


def test_a_pickled_run_names_its_plugin_files(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    plugins = load_plugins([tmp_path / "own.py"])
    label = {"kind": "label", "network": {"kind": "own", "width": 8}}
    run = elsewhere({**SCHEMA, "modalities": {"label": label}, "evaluate": []}, plugins)
    run.save(tmp_path / "run", figures=False)
    (plugin,) = [p for p in json.loads((tmp_path / "run/run.json").read_text())["plugins"] if p["checksum"]]
    assert plugin["name"] == "own"
    with pytest.raises(UserError, match=r"own\.py"):
        mmtoolkit.load(tmp_path / "run")
    again = pickle.loads(pickle.dumps(mmtoolkit.load(tmp_path / "run", [tmp_path / "own.py"])))
    assert torch.equal(again.infer(ROWS).mean, run.infer(ROWS).mean)


def test_a_run_that_was_never_saved_has_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = elsewhere()
    monkeypatch.chdir(tmp_path)
    for use in (pickle.dumps, copy.copy, lambda run: run.results, lambda run: run.history):
        with pytest.raises(UserError, match=r"elsewhere: was never saved; .*run\.save\(FOLDER\)"):
            use(run)
    assert run.types == {}
    assert set(run.sample(2)) == {"label", "again"}
    assert run.impute({"label": [None]})["label"] != [None]
