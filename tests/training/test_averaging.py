"""The moving average of weights: its formula, what it copies, and which weights a run keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mmtoolkit.data.dataset import Dataset
from mmtoolkit.models import MVAE
from mmtoolkit.training.averaging import MovingAverage
from mmtoolkit.training.networks import build
from short_training import trainer


def states(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("decay", [0.2, 0.99])
def test_the_average_is_that_of_an_explicit_loop(decay: float, data: Dataset) -> None:
    network = build(MVAE(latent_dim=2), data.modalities, seed=0).double()
    network.norm = nn.BatchNorm1d(3).double()
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf], dtype=torch.float64))
    average = MovingAverage(network, decay)
    expected: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    for n in range(12):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        network.norm(torch.randn(5, 3, generator=generator, dtype=torch.float64))
        average.update()
        weight = min(decay, (1 + n) / (10 + n)) if n else 0.0
        for name, value in states(network).items():
            if value.is_floating_point() and name != "mask":
                value = weight * expected.get(name, torch.zeros_like(value)) + (1 - weight) * value
            expected[name] = value
    averaged = states(average.network)
    assert averaged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-12, atol=1e-12)
    assert averaged["norm.num_batches_tracked"] == 12
    assert not torch.equal(averaged["norm.running_mean"], network.state_dict()["norm.running_mean"])


def test_tied_weights_stay_tied_and_an_average_goes_on_from_its_file(data: Dataset, tmp_path: Path) -> None:
    from mmtoolkit.training.weights import to_bytes

    network = build(MVAE(latent_dim=2), data.modalities, seed=0)
    network.first = nn.Linear(2, 2)
    network.second = network.first
    average = MovingAverage(network, 0.9)
    assert average.network.first is average.network.second
    generator = torch.Generator().manual_seed(0)

    def update(*averages: MovingAverage) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        for each in averages:
            each.update()

    for _ in range(4):
        update(average)
    (tmp_path / "average.safetensors").write_bytes(to_bytes(average.network))
    other = MovingAverage(network, 0.9)
    other.load(tmp_path / "average.safetensors", 4)
    for _ in range(4):
        update(average, other)
    for name, value in states(average.network).items():
        assert torch.equal(value, states(other.network)[name]), name


def test_the_average_is_validated_and_kept_and_training_goes_on_without_it(data: Dataset, tmp_path: Path) -> None:
    plain = trainer(tmp_path / "plain", data, learning_rate=0.02)
    averaged = trainer(tmp_path / "averaged", data, learning_rate=0.02, ema=0.9)
    plain.run()
    outcome = averaged.run()
    for name, value in states(plain.network).items():
        assert torch.equal(value, averaged.network.state_dict()[name]), name
    for ours, theirs in zip(averaged.history, plain.history, strict=True):
        assert ours["loss"] == theirs["loss"]
        assert ours["validation"] != theirs["validation"]
    assert averaged.average is not None
    assert averaged.validation is not None
    assert outcome.kept_epoch == 3  # the last validation is the best of so short a run
    saved = load_file(tmp_path / "averaged" / "weights.safetensors")
    last = states(averaged.average.network)
    assert all(torch.equal(value, last[name]) for name, value in saved.items())
    assert averaged.validation.measure(averaged.average.network) == outcome.bound
    averaged.end()
    assert all(torch.equal(value, averaged.network.state_dict()[name]) for name, value in saved.items())


def test_without_validation_rows_the_last_average_is_kept(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, ema=0.9, warmup=1.0)
    outcome = loop.run()
    assert "the last epoch is kept" in outcome.reason
    assert loop.average is not None
    saved, last = load_file(tmp_path / "weights.safetensors"), states(loop.average.network)
    assert all(torch.equal(value, last[name]) for name, value in saved.items())


def test_the_average_starts_after_the_network_began_from_data(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = trainer(tmp_path, data, ema=0.999, epochs=1, learning_rate=1e-12)

    def begin(_: object) -> None:
        with torch.no_grad():
            for parameter in loop.network.parameters():
                parameter.fill_(0.5)

    monkeypatch.setattr(loop.network, "begin", begin)
    loop.run()
    assert loop.average is not None
    for parameter in loop.average.network.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 0.5))
