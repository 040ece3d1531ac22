"""Packed runs: small, in half precision, the same to every command, and never written to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import mmtoolkit
from facts import assert_facts
from mmtoolkit import TrainedRun, UserError, parse_schema, read_schema
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.catalogue.shipped import find_data_set
from mmtoolkit.runs.packing import half_weights
from mmtoolkit.runs.portable import PortableData, without_paths
from runs import assert_refused, mmt

SCHEMA: dict[str, Any] = {
    "name": "clothes",
    "data": {"kind": "fashion_mini", "rows": {"train": 300, "valid": 60, "test": 80}},
    "modalities": {
        "image": {"kind": "image", "shape": [1, 28, 28], "network": {"kind": "mlp", "width": 32}},
        "label": {"kind": "label", "network": {"kind": "mlp", "width": 8}},
    },
    "model": {"kind": "mvae", "latent_dim": 4},
    "train": {"epochs": 6, "warmup_epochs": 1, "batch_size": 50, "learning_rate": 1e-2},
    "evaluate": ["prediction"],
}
ROWS = [{"label": "Sandal"}, {"label": "Bag"}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("packing") / "run"
    return mmtoolkit.run(parse_schema(SCHEMA), folder, figures=False)


@pytest.fixture(scope="module")
def packed(run: TrainedRun) -> TrainedRun:
    folder = run.folder.with_name("packed")
    run.pack(folder)
    return mmtoolkit.load(folder)


def card_of(run: TrainedRun) -> Any:
    return read_yaml((run.folder / "card.yaml").read_text(), "card").data


def test_it_predicts_as_the_run(run: TrainedRun, packed: TrainedRun) -> None:
    q, half = run.infer(ROWS), packed.infer(ROWS)
    assert torch.allclose(half.mean, q.mean, atol=5e-3)
    assert not torch.equal(half.mean, q.mean)
    given = {"label": "Sandal"}
    images, alike = (of.sample(20, given)["image"] for of in (run, packed))
    assert torch.allclose(alike, images, atol=2e-3)
    assert images.std(0).mean() > 0.01  # so that the tolerance says something
    assert packed.results == run.results
    assert packed.history == run.history


def test_weights_are_half_on_disk_and_float_in_memory(run: TrainedRun, packed: TrainedRun) -> None:
    stored = load_file(packed.folder / "weights.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    for name, value in packed.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float())
        assert torch.allclose(value, run.model.state_dict()[name], rtol=2**-11, atol=2**-25)
    full, half = (sum(file.stat().st_size for file in of.folder.rglob("*.safetensors")) for of in (run, packed))
    assert half < 0.3 * full  # a checkpoint has the weights and two moments of each


def test_the_card_says_what_half_precision_costs(run: TrainedRun, packed: TrainedRun) -> None:
    cost, split = card_of(packed)["half_precision"], run.dataset.split("test")
    batch = split.batch(torch.arange(len(split)), torch.device("cpu"))
    noise = torch.randn(batch.size, 4, generator=run.generator)
    with torch.no_grad():
        full, half = (of.model.bound(batch, noise).double() for of in (run, packed))
    assert (cost["rows"], cost["split"]) == (80, "test")
    assert cost["full"] == pytest.approx(float(full.mean()), abs=1e-4)
    assert cost["loss"] == pytest.approx(float((full - half).mean()), abs=1e-4)
    assert cost["stderr"] == pytest.approx(float((full - half).std() / 80**0.5), abs=1e-4)
    assert 0 < abs(cost["loss"]) < 0.05


def test_the_card_says_where_it_comes_from(run: TrainedRun, packed: TrainedRun) -> None:
    card = card_of(packed)
    assert (card["schema"], card["model"], card["epochs"], card["rows"]) == ("clothes", "mvae", 6, 300)
    assert card["licence"].startswith("MIT")
    results = run.results["scores"][0]["results"]
    accuracy = next(result["value"] for result in results if result["metric"] == "accuracy")
    assert accuracy in [pytest.approx(value, abs=1e-6) for value in card["scores"].values()]


def test_nothing_names_this_machine_and_the_data_is_found_anew(run: TrainedRun, packed: TrainedRun) -> None:
    files = [path for path in packed.folder.iterdir() if path.suffix != ".safetensors"]
    here = str(run.dataset.source.files()[0].parent)
    assert here in (run.folder / "run.json").read_text()
    assert [path.name for path in files if here in path.read_text() or str(Path.cwd()) in path.read_text()] == []
    assert len(packed.dataset.split("test")) == 80
    again = packed.schema.with_learned(packed.dataset.source, packed.dataset.modalities)
    assert again == run.schema


def test_commands_name_their_program_without_its_folder(run: TrainedRun) -> None:
    again = {"command": "/home/me/bin/mmt run x --out=/home/me/y --resume"}
    commands = {"command": "/home/me/bin/mmt run x --out /home/me/y", "resumed": [again]}
    record = {**json.loads((run.folder / "run.json").read_text()), **commands}
    without = without_paths(record, PortableData(run.schema.data))
    assert (without["command"], without["resumed"]) == ("mmt run x", [{"command": "mmt run x --resume"}])


def test_buffers_keep_their_precision() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    network[1].running_var.fill_(1e-9)  # type: ignore[operator]
    weights = half_weights(network)
    assert torch.equal(weights["1.running_var"], torch.full((3,), 1e-9))
    assert weights["1.num_batches_tracked"].dtype == torch.int64
    assert weights["0.weight"].dtype == weights["1.weight"].dtype == torch.float16


def test_a_weight_too_large_is_named(run: TrainedRun, tmp_path: Path) -> None:
    broken = mmtoolkit.load(run.folder)
    name, parameter = list(broken.model.named_parameters())[2]
    with torch.no_grad():
        parameter.flatten()[0] = 70_000
    with pytest.raises(UserError) as raised:
        broken.pack(tmp_path / "out")
    (line,) = raised.value.faults
    assert_facts(line, f"weights of {name}:", "65,504", "pass on the run folder")
    assert list(tmp_path.iterdir()) == []


def test_packing_is_refused(run: TrainedRun, packed: TrainedRun, tmp_path: Path) -> None:
    cases = [
        (mmt("pack", packed.folder, "--out", tmp_path / "again"), [str(packed.folder), "packed already", "copy"]),
        (mmt("pack", run.folder, "--out", packed.folder), [str(packed.folder), "there already", "--overwrite"]),
        (mmt("pack", run.folder, "--out", run.folder, "--overwrite"), [str(run.folder), "no packed run", "--out"]),
        (mmt("report", packed.folder), [str(packed.folder), "packed run", "no report", "mmt run clothes"]),
        (
            mmt("run", packed.folder / "schema.yaml", "--out", packed.folder, "--resume"),
            [str(packed.folder), "packed run", "no checkpoint"],
        ),
    ]
    for ended, facts in cases:
        assert_refused(ended, facts)
    with pytest.raises(UserError, match="packed run, which has no report"):
        mmtoolkit.write_report(packed.folder)


@pytest.mark.slow
def test_commands_write_to_the_current_folder(run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mmt("pack", run.folder, "--out", "packed")
    assert (ended.status, ended.out) == (0, "packed\n")
    assert_facts(ended.err, "MB; half precision takes", "nats", "80 rows of test")
    before = {path: path.read_bytes() for path in Path("packed").iterdir()}
    sample = mmt("sample", "packed", "-n", "2", "--sampler", "mixture")  # whose numbers a run folder would keep
    assert sample.out == "samples/1.png\n"
    assert mmt("evaluate", "packed", "--split", "valid").status == 0
    assert {path: path.read_bytes() for path in Path("packed").iterdir()} == before
    assert json.loads(Path("evaluations/1.json").read_text())["run"] == str(tmp_path / "packed")
    compared = json.loads(mmt("compare", "evaluations/1.json", "packed", "--json").out)
    assert len(compared["runs"]) == 2
    compared = json.loads(mmt("compare", run.folder, "packed", "--json").out)
    assert (compared["differences"], compared["notes"]) == ({}, [])
    assert mmt("pack", run.folder, "--out", "packed", "--overwrite").status == 0


def test_plugin_files_are_named_without_their_folders(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from typing import Literal\nfrom mmtoolkit import MLP, hookimpl\n"
        "class Own(MLP):\n    kind: Literal['own'] = 'own'\n"
        "@hookimpl\ndef mmt_components():\n    return [Own]\n"
    )
    plugins = mmtoolkit.load_plugins([file])
    label = {"kind": "label", "network": {"kind": "own", "width": 8}}
    schema = parse_schema({**SCHEMA, "modalities": {"label": label}}, plugins=plugins)
    mmtoolkit.run(schema, tmp_path / "run", plugins=plugins, figures=False).pack(tmp_path / "packed")
    assert str(tmp_path) not in (tmp_path / "packed" / "run.json").read_text()
    moved = shutil.move(file, tmp_path / "packed" / "mine.py")
    assert mmtoolkit.load(tmp_path / "packed", [moved]).schema.modalities["label"].network.kind == "own"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"made with the plugin file mine\.py"):
        mmtoolkit.load(tmp_path / "packed")


def test_the_data_folder_that_you_set_stays(tmp_path: Path) -> None:
    shutil.copytree(find_data_set("fashion_mini"), tmp_path / "data")
    data = {**SCHEMA["data"], "root": str(tmp_path / "data")}
    schema = parse_schema({**SCHEMA, "data": data, "train": {"epochs": 1}})
    card = mmtoolkit.run(schema, tmp_path / "run", figures=False).pack(tmp_path / "packed")
    assert card["licence"] is None
    assert read_schema(tmp_path / "packed" / "schema.yaml").data.root == tmp_path / "data"  # type: ignore[attr-defined]
