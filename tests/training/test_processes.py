"""Several processes train one model: as one process does, and whatever becomes of their number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from facts import assert_facts
from mmtoolkit.training.processes import Processes
from runs import Ended, mmt_process

PLUGIN = Path(__file__).parents[1] / "helpers" / "killing.py"
SCHEMA = """
name: together
data:
  kind: fashion_mini
  rows: {train: 61, valid: 30, test: 30}
  supervision: {keep: 0.7}
modalities:
  image: {kind: fragile_image, shape: [1, 28, 28], network: {kind: mlp, width: 16}}
  words:
    kind: record
    columns: {label: {kind: label}, again: {kind: label, column: label}}
    network: {kind: mlp, width: 16}
  third: {kind: label, column: label}
model: {kind: mvae, latent_dim: 4, subsets: {k: 1}}
train:
  {epochs: 3, batch_size: 20, accumulate: 2, hide: {rate: 0.6}, optimizer: {kind: sgd}, learning_rate: 1e-4, ema: 0.9}
evaluate: [{kind: elbo}]
"""


class Fabric:
    """The number of processes, and which this is."""

    def __init__(self, rank: int, number: int) -> None:
        self.global_rank, self.world_size = rank, number


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 5, 20])
def test_shares_are_a_partition_whose_mean_is_that_of_the_batch(number: int, size: int) -> None:
    shares = [Processes(Fabric(rank, number)).share(size) for rank in range(number)]  # type: ignore[arg-type]
    own = [share.places.tolist()[: share.count] for share in shares]
    assert sorted(place for places in own for place in places) == list(range(size))
    assert all(len(share.places) for share in shares)
    values = torch.randn(size, dtype=torch.float64)
    mean = sum(share.weight * values[share.places].mean() for share in shares) / number
    torch.testing.assert_close(mean, values.mean())


def train(schema: Path, out: Path, processes: int, *words: str, **environment: str) -> Ended:
    arguments = ("--plugin", PLUGIN, "run", schema, "--out", out, "--device", "cpu", "--devices", str(processes))
    return mmt_process(*arguments, *words, **environment)


def losses(folder: Path) -> list[Any]:
    keys = ("epoch", "loss", "terms", "validation")
    return [[json.loads(line)[key] for key in keys] for line in (folder / "history.jsonl").read_text().splitlines()]


def assert_close(folder: Path, other: Path) -> None:
    for ours, theirs in zip(losses(folder), losses(other), strict=True):
        assert ours[0] == theirs[0]
        assert ours[1] == pytest.approx(theirs[1], rel=1e-5)
        assert ours[2] == pytest.approx(theirs[2], rel=1e-4, abs=1e-5)
        assert ours[3] == pytest.approx(theirs[3], rel=1e-5)
    weights, expected = (load_file(run / "weights.safetensors") for run in (folder, other))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("together") / "schema.yaml"
    path.write_text(SCHEMA)
    return path


@pytest.fixture(scope="module")
def alone(schema: Path) -> Path:
    finished = train(schema, schema.parent / "alone", 1)
    assert finished.status == 0, finished.err
    return schema.parent / "alone"


@pytest.mark.slow
def test_two_processes_train_as_one_does(schema: Path, alone: Path, tmp_path: Path) -> None:
    together = train(schema, tmp_path / "run", 2)
    assert together.status == 0, together.err
    assert together.err.count("epoch 2/3") == 1  # only the main process reports
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
    assert_close(tmp_path / "run", alone)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    first: int, then: int, schema: Path, alone: Path, tmp_path: Path
) -> None:
    killed = train(schema, tmp_path / "run", first, MMT_TEST_CALL="7", MMT_TEST_SIGNAL="SIGKILL", MMT_TEST_OFTEN="yes")
    assert killed.status != 0
    progress = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())["progress"]
    assert (progress["epoch"], progress["step"], progress["rows"]) == (1, 1, 40)
    resumed = train(schema, tmp_path / "run", then, "--resume")
    assert resumed.status == 0, resumed.err
    assert_close(tmp_path / "run", alone)


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_dies_ends_the_job(rank: str, schema: Path, tmp_path: Path) -> None:
    ended = train(schema, tmp_path / "run", 2, MMT_TEST_CALL="3", MMT_TEST_SIGNAL="SIGKILL", MMT_TEST_RANK=rank)
    assert ended.status not in (0, None)
    assert "Traceback" not in ended.err, ended.err
    if rank == "1":
        assert_facts(ended.err, "another process of the run has ended", "--resume")


@pytest.mark.slow
def test_torchrun_starts_the_processes(schema: Path, alone: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "mmtoolkit"]
    words = ["--plugin", str(PLUGIN), "run", str(schema), "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = subprocess.run([*launcher, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert_close(tmp_path / "run", alone)
