"""The training loop: which weights it keeps, what stops it, which files it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, distributions, nn

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.models import MVAE
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.sources import FashionMini
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.networks import build
from mmtoolkit.training.saving import Pace
from mmtoolkit.training.trainer import Trainer
from runs import SMALL

LABEL = Label(classes=FashionMini.classes)


def dataset(modalities: Mapping[str, Modality] | None = None, **options: Any) -> Dataset:
    rows = {"train": 120, "valid": 40, "test": 20}
    return prepare(FashionMini(rows=rows, **options), modalities or {"label": LABEL})


def trainer(folder: Path, data: Dataset | None = None, **options: Any) -> Trainer:
    data = data or dataset()
    network = build(MVAE(latent_dim=2), data.modalities, seed=0)
    train = TrainOptions(**{"epochs": 2, "batch_size": 50, **options})
    return Trainer(network, data, train, folder, new_fabric("cpu"))


def bound(loop: Trainer) -> float:
    """The validation bound of the weights that are trained."""
    assert loop.validation is not None
    return loop.validation.measure(loop.network)


def test_beta_rises_a_little_each_step_and_stays_at_one(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=4, warmup_epochs=2)
    assert loop.steps == 3  # the last, short batch is kept
    assert [loop._beta(step) for step in range(8)] == [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1]
    assert trainer(tmp_path)._beta(0) == 1


def test_beta_is_where_the_warm_up_ends(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=4, warmup_epochs=2, beta=3.0)
    assert [loop._beta(step) for step in range(8)] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]
    assert trainer(tmp_path, beta=0)._beta(7) == 0


@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
def test_the_loss_weighs_the_divergence_by_beta_and_the_bound_does_not(beta: float, tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=1, beta=beta)
    assert bound(loop) == bound(trainer(tmp_path, epochs=1))
    loop.run()
    (line,) = loop.history
    terms = line["terms"]
    assert line["beta"] == beta
    assert line["loss"] == pytest.approx(beta * terms["KL"] - terms["log p(label)"], rel=1e-6)
    assert terms["KL"] > 0


def test_beta_is_no_negative_number() -> None:
    with pytest.raises(mmtoolkit.UserError) as error:
        mmtoolkit.read_schema("fashion_mini", ["train.beta=-0.5"])
    assert_facts(str(error.value), "--set train.beta", "greater than or equal to 0")


def test_the_best_weights_by_validation_are_kept(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=6, learning_rate=0.05, warmup_epochs=1)
    outcome = loop.run()
    bounds = {line["epoch"]: line["validation"] for line in loop.history}
    after_warmup = {epoch: bound for epoch, bound in bounds.items() if epoch > 1}
    assert outcome.kept_epoch == max(after_warmup, key=after_warmup.__getitem__)
    assert outcome.bound == bounds[outcome.kept_epoch]
    best = build(MVAE(latent_dim=2), loop.network.modalities)
    best.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    loop.network.load_state_dict(best.state_dict())
    assert bound(loop) == pytest.approx(outcome.bound, abs=1e-9)


def test_a_warmup_to_the_end_keeps_the_last_epoch_and_says_so(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=2, warmup_epochs=2)
    outcome = loop.run()
    assert outcome.kept_epoch == 2
    assert_facts(outcome.reason, "the last epoch", "warm-up")
    saved = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in loop.network.state_dict().items())


def test_early_stopping_ends_training(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=60, learning_rate=0.3, early_stopping=2)
    outcome = loop.run()
    assert outcome.epochs == outcome.kept_epoch + 2 < 60
    assert "early stopping" in outcome.reason


def test_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    loop = trainer(tmp_path, gradient_clip=1e-3)
    norms = []

    def measure(*_: object) -> None:
        gradients = [cast(Tensor, parameter.grad) for parameter in loop.network.parameters()]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    loop.optimizer.register_step_post_hook(measure)
    loop.run()
    assert len(norms) == 6
    assert max(norms) == pytest.approx(1e-3, rel=1e-3)


class Broken(Label):
    """A label whose decoder gives NaN from its fifth call in training on."""

    kind: Literal["broken"] = "broken"  # type: ignore[assignment]

    def decoder(self, size: int) -> nn.Module:
        return BrokenDecoder(size)


class BrokenDecoder(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(size, 10), 0

    def forward(self, z: Tensor) -> distributions.Distribution:
        self.calls += self.training
        logits = self.layer(z) if self.calls < 5 else self.layer(z) * torch.nan
        return distributions.Categorical(logits=logits, validate_args=False)


CHECK = f"`mmt plugins check {__file__}` tries it"


@pytest.mark.parametrize("often", [False, True])
def test_a_loss_that_is_not_finite_stops_training_naming_modality_and_step(
    often: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if often:
        monkeypatch.setattr(Pace, "least_seconds", 0)
        monkeypatch.setattr(Pace, "ratio", 0)
    data = dataset(
        {"good": LABEL.model_copy(update={"column": "label"}), "bad": Broken(classes=LABEL.classes, column="label")}
    )
    loop = trainer(tmp_path, data, epochs=5)
    with pytest.raises(mmtoolkit.UserError) as error:
        loop.run()
    remedies = ("train.learning_rate", "train.gradient_clip", "extreme values", f"broken is a plugin's: {CHECK}")
    checkpoint = "checkpoint of epoch 1 is kept" if often else "no checkpoint yet"
    assert_facts(str(error.value), "step 5", "epoch 2", "log p(bad)", "not finite", checkpoint, *remedies)
    assert (tmp_path / "checkpoint").exists() == often
    if often:
        saved = load_file(tmp_path / "checkpoint" / "weights.safetensors")
        assert all(value.isfinite().all() for value in saved.values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    loop = trainer(tmp_path, epochs=1)
    last = loop.steps - 1

    def spoil(*_: object) -> None:
        if loop.progress.step == last:
            with torch.no_grad():
                loop.network.decoders[0].get_parameter("network.raw.0.weight").fill_(torch.inf)

    loop.optimizer.register_step_post_hook(spoil)
    with pytest.raises(mmtoolkit.UserError) as error:
        loop.run()
    assert_facts(str(error.value), "networks of label", "not finite", "no checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_a_column_that_supervision_emptied_leaves_its_networks_as_initialised(tmp_path: Path) -> None:
    labels = {name: LABEL.model_copy(update={"column": "label"}) for name in ("a", "b")}
    data = dataset(labels, supervision={"paired": 0, "groups": [["a"], ["a"]]})
    data.splits["train"].present[:, 1] = False
    loop = trainer(tmp_path, data)
    before = {name: value.clone() for name, value in loop.network.state_dict().items()}
    loop.run()
    after = loop.network.state_dict()
    for name in before:
        assert torch.equal(before[name], after[name]) == (".1." in name), name


def test_rows_with_nothing_are_not_trained_on(tmp_path: Path) -> None:
    data = dataset(supervision={"keep": 0.3})
    loop, present = trainer(tmp_path, data, epochs=1), []
    loop.network.register_forward_pre_hook(lambda _, inputs: present.append(inputs[0].present))
    loop.run()
    assert torch.cat(present).all()
    assert len(torch.cat(present)) == data.splits["train"].present.sum() < 60


def test_history_has_a_line_an_epoch(tmp_path: Path) -> None:
    loop = trainer(tmp_path)
    loop.run()
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert line["loss"] == pytest.approx(line["terms"]["KL"] * line["beta"] - line["terms"]["log p(label)"])
        assert line["rows_per_second"] > 0
        assert line["validation"] < 0


@pytest.fixture
def settings() -> Iterator[Callable[..., tuple[int, bool]]]:
    """A function that sets PyTorch's determinism settings, if you pass some, and returns them. Restored afterwards."""
    deterministic = torch.utils.deterministic

    def set_and_get(*new: Any) -> tuple[int, bool]:
        if new:
            torch.set_deterministic_debug_mode(new[0])
            deterministic.fill_uninitialized_memory = new[1]  # type: ignore[attr-defined]
        return torch.get_deterministic_debug_mode(), deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]

    before = set_and_get()
    yield set_and_get
    set_and_get(*before)


@pytest.mark.parametrize("before", [(0, True), (1, False), (2, True)])
@pytest.mark.parametrize("fails", [False, True])
def test_training_is_deterministic_and_leaves_settings_as_they_were(
    tmp_path: Path, settings: Callable[..., tuple[int, bool]], before: tuple[int, bool], fails: bool
) -> None:
    data = dataset({"bad": Broken(classes=LABEL.classes, column="label")}) if fails else dataset()
    loop, during = trainer(tmp_path, data, epochs=5), set()
    loop.network.register_forward_pre_hook(lambda *_: during.add(settings()))
    settings(*before)
    with pytest.raises(mmtoolkit.UserError) if fails else nullcontext():
        loop.run()
    assert during == {(2, False)}
    assert settings() == before


def test_seeds_depend_on_every_part() -> None:
    seeds = {
        seed_for("step", 0, 0, 0),
        seed_for("step", 1, 0, 0),
        seed_for("step", 0, 1, 0),
        seed_for("order", 0, 0, 0),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_unknown_device_and_precision_say_what_to_do() -> None:
    with pytest.raises(mmtoolkit.UserError, match=r"--precision 8-bit: .*; give .*32-true"):
        new_fabric("cpu", 1, "8-bit")
    with pytest.raises(mmtoolkit.UserError, match=r"--device tpus: .*; give auto, cpu or cuda"):
        new_fabric("tpus")


def test_bf16_trains_and_keeps_the_weights_in_float32(tmp_path: Path) -> None:
    schema = mmtoolkit.read_schema("fashion_mini", SMALL)
    run = mmtoolkit.run(schema, tmp_path / "run", device="cpu", precision="bf16-mixed", figures=False)
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert run.history[-1]["loss"] < run.history[0]["terms"]["log p(image)"] * -1


class Exploding(Label):
    """A label that scores minus infinity in evaluation."""

    kind: Literal["exploding"] = "exploding"  # type: ignore[assignment]

    def decoder(self, size: int) -> nn.Module:
        return ExplodingDecoder(size)


class ExplodingDecoder(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 10)

    def forward(self, z: Tensor) -> distributions.Distribution:
        logits = self.layer(z)
        return distributions.Categorical(logits=logits if self.training else logits * torch.nan, validate_args=False)


def test_a_validation_bound_that_is_not_finite_stops_training_before_anything_is_saved(tmp_path: Path) -> None:
    loop = trainer(tmp_path, dataset({"label": Exploding(classes=LABEL.classes)}))
    with pytest.raises(mmtoolkit.UserError, match=r"epoch 1.*validation bound .*not finite"):
        loop.run()
    assert not list(tmp_path.iterdir())


def test_normalisation_that_a_model_adds_to_its_networks_is_guarded_too() -> None:
    class Adding(MVAE):
        def build(self, modalities: Any) -> Any:
            network = super().build(modalities)
            network.more = nn.BatchNorm1d(3)
            return network

    network = build(Adding(latent_dim=2), {"label": LABEL})
    assert network.more(torch.ones(1, 3)).shape == (1, 3)  # type: ignore[operator]
