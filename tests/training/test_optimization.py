"""Optimisers and schedules: their options, and the steps that they take."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.models import MVAE
from mmtoolkit.runs.checking import check
from mmtoolkit.schema.optimization import (
    ConstantSchedule,
    CosineSchedule,
    LinearSchedule,
    OptimizerOptions,
    PlateauSchedule,
    ScheduleOptions,
    optimizer_classes,
)
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.sources import FashionMini
from mmtoolkit.training.networks import build
from mmtoolkit.training.optimization import new_optimizer
from short_training import trainer

EXCLUDED = {"LBFGS", "SparseAdam", "Muon"}
CPU = torch.device("cpu")


def read(*changes: str) -> TrainOptions:
    return mmtoolkit.read_schema("fashion_mini", changes).train


# The optimiser's options.


def test_the_kinds_are_the_classes_of_pytorch() -> None:
    classes = {name for name, cls in vars(torch.optim).items() if isinstance(cls, type)} - {"Optimizer"}
    assert set(optimizer_classes()) == {name.lower() for name in classes - EXCLUDED}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(optimizer_classes()))
def test_every_kind_trains_and_lowers_the_loss(kind: str, data: Dataset, tmp_path: Path) -> None:
    rate = {"adadelta": 1.0, "sgd": 0.05, "asgd": 0.05}.get(kind, 0.01)
    loop = trainer(tmp_path, data, epochs=6, optimizer=kind, learning_rate=rate)
    loop.run()
    assert loop.history[-1]["loss"] < loop.history[0]["loss"]


def test_words_mappings_and_objects_are_the_same_options() -> None:
    options = OptimizerOptions(kind="adamw", weight_decay=0.1, betas=(0.8, 0.9))
    written = {"kind": "adamw", "weight_decay": 0.1, "betas": [0.8, 0.9]}
    assert TrainOptions(optimizer=options).optimizer == TrainOptions(optimizer=written).optimizer
    assert options != OptimizerOptions(kind="adamw")
    assert TrainOptions(optimizer="adamw").optimizer == OptimizerOptions(kind="adamw")
    assert TrainOptions().optimizer == OptimizerOptions(kind="adam")
    assert options.arguments == {"weight_decay": 0.1, "betas": (0.8, 0.9)}


def test_the_resolved_schema_reads_back_equal() -> None:
    schema = mmtoolkit.read_schema(
        "fashion_mini",
        [
            "train.optimizer={kind: adamw, betas: [0.8, 0.9]}",
            "train.schedule={kind: plateau, factor: 0.5, warmup: 0.1}",
        ],
    )
    again = mmtoolkit.parse_schema(read_yaml(schema.to_yaml(), "saved").data)
    assert again == schema
    assert again.train.schedule == PlateauSchedule(factor=0.5, warmup=0.1)


def test_set_changes_a_key_of_a_word_of_a_default_and_of_a_mapping() -> None:
    assert read("train.optimizer.weight_decay=0.1").optimizer == OptimizerOptions(kind="adam", weight_decay=0.1)
    changes = ("train.optimizer=adamw", "train.optimizer.weight_decay=0.1")
    assert read(*changes).optimizer == OptimizerOptions(kind="adamw", weight_decay=0.1)
    assert read("train.schedule=cosine", "train.schedule.warmup=0.1").schedule == CosineSchedule(warmup=0.1)


@pytest.mark.parametrize(
    ("first", "change", "note"),
    [
        ("train.optimizer={kind: adamw, betas: [0.8, 0.9], weight_decay: 0.1}", "train.optimizer.kind=sgd", "betas"),
        ("train.schedule={kind: cosine, final: 0.1, warmup: 0.1}", "train.schedule.kind=plateau", "final"),
    ],
)
def test_a_new_kind_drops_the_keys_that_it_lacks(first: str, change: str, note: str) -> None:
    schema = mmtoolkit.read_schema("fashion_mini", [first, change])
    (line,) = schema.notes
    assert_facts(line, f"--set {change}: dropped {note}, which ", " does not have")
    assert schema.train.optimizer.arguments in ({}, {"weight_decay": 0.1})
    assert schema.train.schedule.warmup in (0, 0.1)


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        ("adamm", ("train.optimizer: ", "'adamm'", "did you mean 'adam'", "the kinds are", "sgd")),
        ("lbfgs", ("train.optimizer: ", "'lbfgs'", "the kinds are")),
        ("3", ("train.optimizer: ", "{kind: …}", "not 3")),
        ("{weight_decay: 0.1}", ("train.optimizer: ", "no kind", "add kind", "adam")),
        ("{kind: adamm}", ("train.optimizer.kind: ", "did you mean 'adam'")),
        ("{kind: adam, lr: 0.1}", ("train.optimizer.lr: ", "remove it", "set train.learning_rate")),
        ("{kind: adam, params: 0.1}", ("train.optimizer.params: ", "unknown key", "betas, eps")),
        ("{kind: adam, maximize: true}", ("train.optimizer.maximize: ", "unknown key")),
        ("{kind: adam, weight_decai: 0.1}", ("train.optimizer.weight_decai: ", "did you mean 'weight_decay'")),
        ("{kind: adam, weight_decay: heavy}", ("train.optimizer.weight_decay: ", "a number", "'heavy'", "; ")),
        ("{kind: adam, eps: .inf}", ("train.optimizer.eps: ", "a number", "inf")),
        ("{kind: adam, amsgrad: 1}", ("train.optimizer.amsgrad: ", "true or false", "not 1")),
        ("{kind: adam, betas: [0.9]}", ("train.optimizer.betas: ", "a list of 2 numbers", "[0.9]")),
        ("{kind: adam, betas: [0.9, 2]}", ("train.optimizer.betas: ", "Invalid beta", "; change it")),
        ("{kind: sgd, nesterov: true}", ("train.optimizer.nesterov: ", "momentum", "; change it")),
        ("{kind: adam, fused: true, foreach: true}", ("train.optimizer: ", "fused", "foreach", "; change it")),
    ],
)
def test_a_bad_optimiser_is_refused_with_place_and_remedy(value: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(mmtoolkit.UserError) as error:
        read(f"train.optimizer={value}")
    (line,) = error.value.faults
    assert line.startswith("--set train.optimizer")
    assert_facts(line, *facts)


def test_arguments_are_judged_together() -> None:
    options = read("train.optimizer={kind: sgd, nesterov: true, momentum: 0.9}").optimizer
    assert options.arguments == {"nesterov": True, "momentum": 0.9}


def test_the_json_schema_offers_the_kinds() -> None:
    properties = mmtoolkit.Schema.model_json_schema()["$defs"]["TrainOptions"]["properties"]
    words, mapping = properties["optimizer"]["anyOf"]
    assert words["enum"] == mapping["properties"]["kind"]["enum"] == list(optimizer_classes())
    assert mapping["required"] == ["kind"]
    words, *mappings = properties["schedule"]["anyOf"]
    assert words["enum"] == [mapping["properties"]["kind"]["const"] for mapping in mappings]


def test_an_optimiser_is_fused_unless_the_options_say_otherwise() -> None:
    def fused(**options: Any) -> Any:
        weight = torch.nn.Parameter(torch.zeros(1))
        return new_optimizer(OptimizerOptions(**options), [weight], 0.1, CPU).defaults.get("fused")

    assert fused(kind="adam") is True
    assert fused(kind="adamw", weight_decay=0.5) is True
    assert fused(kind="adamw", fused=False) is False
    assert not fused(kind="adam", foreach=True)
    assert fused(kind="rmsprop") is None


# The steps.


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ({}, lambda weights: torch.optim.Adam(weights, lr=1e-3, fused=True)),
        (
            {"optimizer": {"kind": "adamw", "weight_decay": 0.5}, "learning_rate": 0.01},
            lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.5, fused=True),
        ),
    ],
)
def test_weights_are_those_of_a_plain_loop(
    options: dict[str, Any], optimizer: Callable[[Any], torch.optim.Optimizer], data: Dataset, tmp_path: Path
) -> None:
    """With the defaults these are the steps of 0.1: bit for bit."""
    loop = trainer(tmp_path, data, **options)
    loop.run()
    network = build(MVAE(latent_dim=2), data.modalities, seed=0).train()
    plain = optimizer(network.parameters())
    split = data.splits["train"]
    for epoch in range(3):
        order = torch.arange(120)[
            torch.randperm(120, generator=torch.Generator().manual_seed(seed_for("order", 0, epoch)))
        ]
        for step, rows in enumerate(order.split(50)):
            torch.default_generator.manual_seed(seed_for("step", 0, 3 * epoch + step, 0))
            loss, _ = network(split.batch(rows, CPU, redraw=True), 1.0)
            plain.zero_grad()
            loss.backward()
            plain.step()
    for name, value in network.state_dict().items():
        assert torch.equal(value, loop.network.state_dict()[name]), name


def test_a_step_over_several_batches_has_the_gradient_of_all_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the last batch is shorter, and where cells are missing: 120 rows are 50, 50 and 20."""
    # Draws depend on the batch. Without noise, the loss is a mean over rows.
    monkeypatch.setattr(torch, "randn", lambda *size, device=None, generator=None: torch.zeros(*size, device=device))
    label = Label(classes=FashionMini.classes, column="label")
    source = FashionMini(rows={"train": 200, "valid": 40, "test": 20}, supervision={"keep": 0.6})
    data = prepare(source, {"a": label, "b": label})
    gradients: dict[str, list[Tensor]] = {}
    for name, options in {"whole": {"batch_size": 200}, "parts": {"batch_size": 50, "accumulate": 4}}.items():
        loop = trainer(tmp_path / name, data, epochs=1, **options)
        assert (loop.steps, loop.epochs.size % 50 > 0) == (1, True)

        def record(optimizer: torch.optim.Optimizer, *_: object, name: str = name) -> None:
            weights = optimizer.param_groups[0]["params"]
            gradients[name] = [weight.grad.double() for weight in weights if weight.grad is not None]

        loop.optimizer.register_step_pre_hook(record)
        loop.run()
    assert len(gradients["whole"]) == len(gradients["parts"]) > 10
    for expected, gradient in zip(gradients["whole"], gradients["parts"], strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_several_processes_and_batches_have_the_gradient_of_all_rows(tmp_path: Path) -> None:
    """Also of a modality that the last batch of a process does not have."""
    saved: list[dict[str, Tensor]] = []
    for processes, batch_size, accumulate in ((1, 80, 1), (2, 20, 4), (2, 27, 3)):
        folder = tmp_path / f"{processes}-{batch_size}"
        script = Path(__file__).parents[1] / "helpers" / "one_step.py"
        words = [script, folder, processes, batch_size, accumulate]
        subprocess.run([sys.executable, *map(str, words)], check=True, timeout=300)
        saved.append(load_file(folder / "weights.safetensors"))
    for name, value in saved[0].items():
        for other in saved[1:]:
            torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-6)


def test_the_loss_of_an_epoch_counts_each_row_once(data: Dataset, tmp_path: Path) -> None:
    """A step size of almost nothing: the weights stay, and so do the draws of each batch."""
    losses = []
    for accumulate in (1, 2):
        loop = trainer(tmp_path / str(accumulate), data, epochs=1, accumulate=accumulate, learning_rate=1e-12)
        loop.run()
        losses.append(loop.history[0]["loss"])
        assert loop.steps == (3, 2)[accumulate - 1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


# Schedules.


def rates(schedule: ScheduleOptions, steps: int) -> list[float]:
    return [schedule.rate(step, steps) for step in range(steps + 3)]


def test_schedules_are_their_closed_formulas() -> None:
    assert rates(ConstantSchedule(), 4) == [1] * 7
    assert rates(LinearSchedule(), 4) == [1, 0.75, 0.5, 0.25, 0, 0, 0]
    assert rates(LinearSchedule(final=0.2), 4) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    assert rates(CosineSchedule(), 4) == pytest.approx(
        [(1 + math.cos(math.pi * k / 4)) / 2 for k in (0, 1, 2, 3, 4, 4, 4)]
    )
    assert rates(CosineSchedule(final=0.5), 4) == pytest.approx(
        [0.75 + math.cos(math.pi * k / 4) / 4 for k in (0, 1, 2, 3, 4, 4, 4)]
    )
    assert rates(ConstantSchedule(warmup=0.5), 8) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1]
    assert rates(LinearSchedule(warmup=0.5), 8) == [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]
    assert rates(ConstantSchedule(warmup=1), 2) == [0.5, 1, 1, 1, 1]


def test_a_cosine_is_that_of_pytorch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.03)
    for step in range(20):
        assert 0.3 * CosineSchedule(final=0.1).rate(step, 20) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_plateau_is_that_of_pytorch(patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=0, eps=0
    )
    schedule, best, worse, scale = PlateauSchedule(factor=0.5, patience=patience), -math.inf, 0, 1.0
    bounds = torch.randn(60, generator=torch.Generator().manual_seed(3)).cumsum(0) - 100
    for bound in [*bounds.tolist(), *[-200.0] * 7]:
        best, worse = (bound, 0) if bound > best else (best, worse + 1)
        if worse:
            scale *= schedule.on_worse(worse)
        theirs.step(bound)
        assert scale == optimizer.param_groups[0]["lr"]
    assert scale < 0.1


def test_the_steps_have_the_step_size_of_the_schedule(data: Dataset, tmp_path: Path) -> None:
    loop = trainer(tmp_path, data, schedule={"kind": "linear", "epochs": 4}, learning_rate=0.12)
    used: list[float] = []
    loop.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    loop.run()
    assert used == pytest.approx([0.12 - 0.01 * step for step in range(9)])
    assert [line["learning_rate"] for line in loop.history] == pytest.approx([0.1, 0.07, 0.04])


def test_the_step_size_falls_on_a_plateau_after_the_warm_up(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = trainer(tmp_path, data, epochs=9, warmup_epochs=2, schedule={"kind": "plateau", "patience": 2})
    bounds = iter([-1.0, -2.0, -5.0, -6.0, -7.0, -4.0, -4.5, -4.4, -9.0])
    assert loop.validation is not None
    monkeypatch.setattr(loop.validation, "measure", lambda _: next(bounds))
    loop.run()
    rates = [line["learning_rate"] for line in loop.history]
    assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 3 + [1e-5])
    assert loop.progress.best == -4


def test_a_plateau_without_validation_rows_is_refused(tmp_path: Path) -> None:
    data = prepare(
        FashionMini(rows={"train": 60, "valid": 1, "test": 20}), {"label": Label(classes=FashionMini.classes)}
    )
    data.splits["valid"].present[:] = False
    with pytest.raises(mmtoolkit.UserError) as error:
        trainer(tmp_path, data, schedule="plateau")
    assert_facts(str(error.value), "train.schedule: ", "plateau", "no usable validation rows", "; ", "cosine")


def test_check_reports_a_plateau_without_validation_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x\ny\n" * 20)
    (tmp_path / "s.yaml").write_text(
        "name: t\ndata: {kind: table, path: t.csv, split: {train: 1}}\nmodalities: {a: {kind: label}}\n"
        "model: {kind: mvae, latent_dim: 2}\ntrain:\n  schedule: plateau\nevaluate: []\n"
    )
    with pytest.raises(mmtoolkit.UserError) as error:
        check(mmtoolkit.read_schema(tmp_path / "s.yaml"), lambda line: None)
    assert_facts(str(error.value), "s.yaml:6: train.schedule: ", "plateau", "cosine")


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        ("cosin", ("train.schedule: ", "did you mean 'cosine'", "the kinds are constant, cosine, linear, plateau")),
        ("{kind: cosine, final: 2}", ("train.schedule.final: ", "less than or equal to 1", "smaller")),
        ("{kind: cosine, patience: 2}", ("train.schedule.patience: ", "unknown key", "kind, warmup, epochs, final")),
        ("{kind: plateau, factor: 1}", ("train.schedule.factor: ", "less than 1")),
        ("{kind: constant, warmup: 1.5}", ("train.schedule.warmup: ", "less than or equal to 1")),
        ("{warmup: 0.5}", ("train.schedule: ", "no kind")),
    ],
)
def test_a_bad_schedule_is_refused_with_place_and_remedy(value: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(mmtoolkit.UserError) as error:
        read(f"train.schedule={value}")
    (line,) = error.value.faults
    assert_facts(line, "--set ", *facts)
