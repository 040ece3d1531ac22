"""Weights under the names of older versions, and files of weights that fit no network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.training.checkpoint import load_checkpoint, save_checkpoint
from mmtoolkit.training.renamed_weights import renamed
from mmtoolkit.training.weights import WeightsError, load_weights, to_bytes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoders.0.shallow.2.weight", "encoders.0.network.first.2.weight"),  # image
        ("encoders.0.dense.0.bias", "encoders.0.network.dense.0.bias"),
        ("encoders.12.first.0.weight", "encoders.12.network.first.0.weight"),  # label
        ("encoders.0.first.1.weight", "encoders.0.network.first.0.weight"),  # binary and attributes
        ("encoders.0.first.2.running_var", "encoders.0.network.first.1.running_var"),
        ("encoders.0.first.linear.bias", "encoders.0.network.first.0.bias"),  # numeric
        ("encoders.0.reader.onward.bias_hh_l0", "encoders.0.network.first.onward.bias_hh_l0"),  # text
        ("decoders.3.layers.10.bias", "decoders.3.network.raw.10.bias"),
        ("decoders.3.raw_scale", "decoders.3.network.head.raw_scale"),
        ("decoders.3.likelihood.raw_scale", "decoders.3.network.head.raw_scale"),
        ("decoders.3.gru.bias_hh_l1", "decoders.3.network.gru.bias_hh_l1"),
        ("joint.2.branches.1.0.embedding.weight", "joint.2.branches.1.network.0.embedding.weight"),
        ("joint.0.branches.1.1.weight", "joint.0.branches.1.network.1.weight"),
        ("joint.0.branches.1.1.weight", "joint.0.branches.1.network.0.weight"),
        ("joint.0.branches.1.0.0.weight", "joint.0.branches.1.network.0.0.weight"),
        ("joint.0.branches.1.linear.weight", "joint.0.branches.1.network.0.weight"),
    ],
)
def test_a_name_of_0_1_is_found_again(old: str, new: str) -> None:
    tensor = torch.ones(2)
    assert renamed({old: tensor}, {new: torch.zeros(2)}) == {new: tensor}


def test_a_name_stays_that_the_networks_have_or_that_means_nothing_to_them() -> None:
    own = {"encoders.0.first.0.weight": torch.zeros(2), "encoders.1.network.first.0.weight": torch.zeros(2)}
    kept = ("encoders.0.first.0.weight", "prior.loc", "encoders.2.first.0.weight")
    assert list(renamed({name: torch.ones(2) for name in kept}, own)) == list(kept)


def test_a_new_name_must_have_the_shape() -> None:
    own = {"joint.0.branches.1.network.1.weight": torch.zeros(3), "joint.0.branches.1.network.0.weight": torch.zeros(2)}
    (name,) = renamed({"joint.0.branches.1.1.weight": torch.ones(2)}, own)
    assert name == "joint.0.branches.1.network.0.weight"


class Net(nn.Module):
    """Two layers, of which one has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([nn.Sequential()])
        self.encoders[0].network = nn.ModuleDict({"dense": nn.Linear(2, 3)})
        self.last = nn.Linear(3, 1)
        self.again = self.last


def tensors() -> dict[str, Tensor]:
    return {
        "encoders.0.network.dense.weight": torch.full((3, 2), 2.0),
        "encoders.0.network.dense.bias": torch.full((3,), 3.0),
        "last.weight": torch.full((1, 3), 4.0),
        "last.bias": torch.full((1,), 5.0),
    }


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("last", ["last", "again"])
def test_weights_come_back(last: str, older: bool, tmp_path: Path) -> None:
    named = {name.replace("last", last): tensor for name, tensor in tensors().items()}
    if older:
        named = {name.replace("network.", ""): tensor for name, tensor in named.items()}
    save_file(named, tmp_path / "w.safetensors")
    network = Net()

    assert load_weights(network, tmp_path / "w.safetensors") is older

    for name, tensor in tensors().items():
        assert torch.equal(network.get_parameter(name), tensor)
    assert torch.equal(network.again.weight, network.last.weight)


@pytest.mark.parametrize(
    ("drop", "add", "facts"),
    [
        ("last.bias", {}, ("lacks last.bias",)),
        (None, {"more": torch.ones(1)}, ("it has more",)),
        (None, {"last.bias": torch.ones(7)}, ("last.bias", "(7,)", "(1,)")),
        ("last.bias", {"encoders.0.first.0.bias": torch.ones(3)}, ("lacks last.bias", "has encoders.0.first.0.bias")),
    ],
)
def test_what_does_not_fit_is_named(
    drop: str | None, add: dict[str, Tensor], facts: tuple[str, ...], tmp_path: Path
) -> None:
    named = {name: tensor for name, tensor in tensors().items() if name != drop} | add
    save_file(named, tmp_path / "w.safetensors")
    network = Net()
    before = to_bytes(network)

    with pytest.raises(WeightsError) as raised:
        load_weights(network, tmp_path / "w.safetensors")

    assert_facts(str(raised.value), f"{tmp_path / 'w.safetensors'}: ", *facts, "; train the run again")
    assert to_bytes(network) == before


def test_a_checkpoint_of_an_older_version_is_not_resumed(tmp_path: Path) -> None:
    network = Net()
    optimizer = torch.optim.Adam(network.parameters())
    save_checkpoint(tmp_path, network, optimizer, {"epoch": 1})
    assert load_checkpoint(tmp_path, network, optimizer) == {"epoch": 1}
    named = {name.replace("network.", ""): tensor for name, tensor in tensors().items()}
    save_file(named, tmp_path / "checkpoint" / "weights.safetensors")
    with pytest.raises(UserError) as raised:
        load_checkpoint(tmp_path, network, optimizer)
    assert_facts(str(raised.value), f"{tmp_path / 'checkpoint'}: ", "older version", "; ", "train it again")
