"""A run becomes a folder of programs and a manifest, which other software can use without mmtoolkit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mmtoolkit
from mmtoolkit import TrainedRun, UserError, parameters_of
from mmtoolkit.cli import application
from table_runs import truth, write_csv

ROOT = Path(__file__).parents[2]
SCHEMA = """\
name: things
data: {kind: table, path: things.csv, split: {train: 0.8, valid: 0.1, test: 0.1}}
modalities:
  photo: {kind: image, shape: [1, 8, 8], network: {kind: mlp, width: 16}}
  title: {kind: text, length: 6, network: mlp}
  facts:
    kind: record
    columns:
      price: {kind: numeric}
      sort: {kind: label, column: "the sort"}
model: {kind: mvae, latent_dim: 3}
train: {epochs: 1, batch_size: 50}
evaluate: []
"""
ROWS: list[dict[str, Any]] = [
    {"photo": Image.fromarray(np.full((8, 8), 200, dtype=np.uint8)), "price": 3.5, "sort": "pear"},
    {"title": "aappl", "price": 2.0},
    {"title": "aplum"},
    {},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("things")
    write_csv(folder / "things.csv", truth(60, folder))
    (folder / "things.yaml").write_text(SCHEMA)
    return mmtoolkit.load(
        mmtoolkit.run(mmtoolkit.read_schema(folder / "things.yaml"), folder / "run", figures=False).folder
    )


@pytest.fixture(scope="module")
def export(run: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "served"
    manifest = run.export(out)
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8")) == manifest
    return out


def manifest_in(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def called(folder: Path, program: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A program of an export, called as its manifest says."""
    inputs = [tensors[entry["name"]] for entry in program["inputs"]]
    for entry, x in zip(program["inputs"], inputs, strict=True):
        assert (str(x.dtype), list(x.shape[1:])) == (f"torch.{entry['dtype']}", entry["shape"][1:])
    outputs: dict[str, torch.Tensor] = torch.export.load(folder / program["files"]["torch"]).module()(*inputs)
    assert list(outputs) == [entry["name"] for entry in program["outputs"]]
    for entry in program["outputs"]:
        x = outputs[entry["name"]]
        assert (str(x.dtype), list(x.shape[1:])) == (f"torch.{entry['dtype']}", entry["shape"][1:])
    return outputs


@pytest.mark.slow
def test_the_posterior_is_that_of_infer(run: TrainedRun, export: Path) -> None:
    manifest, batch = manifest_in(export), run.batch(ROWS)
    tensors: dict[str, torch.Tensor] = {"present": batch.present}
    for name, facts in manifest["modalities"].items():
        x = torch.full((4, *facts["shape"]), 7, dtype=getattr(torch, facts["dtype"]))
        x = x.fill_(torch.nan) if x.is_floating_point() else x
        x[batch.rows(name)] = batch.value(name)
        tensors[name] = x
    outputs, q = called(export, manifest["programs"]["posterior"], tensors), run.infer(ROWS)
    torch.testing.assert_close(outputs["mean"], q.mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs["variance"], q.variance, rtol=0, atol=1e-5)
    assert outputs["informed"].tolist() == [True, True, True, False]
    prior = manifest["prior"]
    torch.testing.assert_close(outputs["mean"][3], torch.tensor(prior["mean"]))
    facts = called(export, manifest["programs"]["encoders"]["facts"], tensors)
    torch.testing.assert_close(facts["mean"], run.infer(ROWS, ["facts"]).mean, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_decoders_are_those_of_decode(run: TrainedRun, export: Path) -> None:
    manifest, z = manifest_in(export), torch.randn(5, 3)
    tensors = {"z": z, "title": torch.zeros(5, 6, dtype=torch.int64)}
    outputs = {unit: called(export, program, tensors) for unit, program in manifest["programs"]["decoders"].items()}
    assert list(outputs) == ["photo", "title", "facts"]
    assert list(outputs["title"]) == ["log_probs"]
    for name, unit, prefix in (("photo", "photo", ""), ("price", "facts", "price."), ("sort", "facts", "sort.")):
        p = run.decode(z)[name]
        for key, x in {**parameters_of(p), "point": run.modalities[name].point(p)}.items():
            torch.testing.assert_close(outputs[unit][prefix + key], x, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_manifest_says_how_cells_become_values(run: TrainedRun, export: Path) -> None:
    manifest = manifest_in(export)
    of = manifest["modalities"]
    assert manifest["run"] == "things"
    assert list(of) == list(run.modalities)
    assert [facts["place"] for facts in of.values()] == list(range(len(of)))
    assert of["sort"]["classes"] == ["apple", "pear", "plum"]
    assert (of["sort"]["unit"], of["sort"]["columns"]) == ("facts", ["the sort"])
    assert of["title"]["ids"] == {"stop": 0, "start": 1, "first": 2}
    cell = [of["title"]["alphabet"].index(letter) + 2 for letter in "aplum"]
    assert run.batch([{"title": "aplum"}]).value("title")[0].tolist() == [*cell, 0]
    assert of["photo"]["values"] == "channels (grey), rows, columns: the 8-bit value of each pixel, divided by 255"
    assert (of["price"]["shift"], of["price"]["scale"]) == tuple(map(list, run.modalities["price"].standard))  # type: ignore[attr-defined]
    assert "log_probs" in manifest["not_exported"]["the point of title"]
    assert "NaN" in manifest["missing"]


@pytest.mark.slow
def test_files_hold_no_weights_of_other_programs(run: TrainedRun, export: Path) -> None:
    every = sum(x.numel() for x in run.model.parameters())
    files = manifest_in(export)["programs"]
    sizes = {unit: entry["files"]["torch"] for unit, entry in files["decoders"].items()}
    program = torch.export.load(export / sizes["photo"])
    assert sum(x.numel() for x in program.state_dict.values()) < every / 10


def failed(run: TrainedRun, *words: str, **options: Any) -> None:
    with pytest.raises(UserError) as raised:
        run.export(**options)
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.slow
def test_a_folder_that_is_there_is_kept(run: TrainedRun, export: Path, tmp_path: Path) -> None:
    failed(run, "served", "is there already", "--overwrite", out=export)
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    failed(run, "holds no export", "--out", out=tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


@pytest.mark.slow
def test_formats_are_known_and_installed(run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(run, "there is no format 'onx'; did you mean 'onnx'?", "torch, onnx", out=tmp_path / "a", formats=["onx"])
    failed(run, "no format to write", out=tmp_path / "a", formats=[])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    failed(run, "--format onnx: needs onnx", "pip install 'mmtoolkit[onnx]'", out=tmp_path / "a", formats=["onnx"])
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_the_command_replaces_an_export(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}", encoding="utf-8")
    arguments = ["export", str(run.folder), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(application(), arguments)
    assert first.exit_code == 2
    assert "is there already" in first.output
    assert CliRunner().invoke(application(), [*arguments, "--format", "onx"]).exit_code == 2
    unfinished = CliRunner().invoke(application(), ["export", str(tmp_path), "--out", str(tmp_path / "new")])
    assert unfinished.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_onnx_runtime_serves_a_run_alone(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    schema = mmtoolkit.read_schema("fashion_mini", ["train.epochs=1", "train.warmup_epochs=0", "evaluate=[]"])
    mmtoolkit.run(schema, tmp_path / "run", figures=False).export(tmp_path / "served", formats=["torch", "onnx"])
    script = ROOT / "docs" / "examples" / "serve_onnx.py"
    check = f"import sys, runpy; sys.argv[1:] = [{str(tmp_path / 'served')!r}]; runpy.run_path({str(script)!r})"
    check += "\nassert not {'torch', 'mmtoolkit'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
