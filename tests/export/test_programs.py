"""Exported programs compute for dense batches what the networks compute for the rows that have each modality."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmtoolkit import UserError, load_plugins, parameters_of
from mmtoolkit.components import Modality, Model, Network, Unit
from mmtoolkit.export.families import family_of
from mmtoolkit.export.onnx_files import write_onnx
from mmtoolkit.export.programs import DecoderProgram, PosteriorProgram, Program
from mmtoolkit.export.slots import slots_of
from mmtoolkit.export.tracing import example, traced
from mmtoolkit.models import MVAE
from mmtoolkit.testing.models import Subject
from mmtoolkit.testing.stand_ins import batch_of, stand_in_modalities
from mmtoolkit.training.networks import build

PLUGINS = load_plugins()
MODELS = [
    pytest.param(example, id=f"{kind}-{place}")
    for kind, cls in PLUGINS.of_family("model").items()
    if issubclass(cls, Model)
    for place, example in enumerate(cls.examples())
]
UNITS = [
    pytest.param(example, id=f"{kind}-{place}")
    for kind, cls in PLUGINS.of_family("modality").items()
    if issubclass(cls, Unit)
    for place, example in enumerate(cls.examples())
]

SMALL = {"width": 8}
PARTS: list[tuple[str, dict[str, Any]]] = [
    *(("numeric", {"likelihood": {"kind": kind}}) for kind in ("laplace", "lognormal")),
    *(("numeric", {"likelihood": {"kind": "gaussian", "scale": scale}}) for scale in ("predicted", 0.5)),
    ("count", {"likelihood": {"kind": "poisson"}}),
    (
        "image",
        {"shape": [1, 8, 8], "network": {"kind": "mlp", **SMALL}, "likelihood": {"kind": "continuous_bernoulli"}},
    ),
    ("image", {"shape": [3, 16, 16], "network": {"kind": "conv"}}),
    ("image", {"shape": [1, 16, 16], "network": {"kind": "resnet"}, "likelihood": {"kind": "laplace"}}),
    ("image", {"shape": [1, 28, 28]}),
    ("text", {"length": 4, "network": {"kind": "gru", "feedback": "argmax", **SMALL}}),
    ("text", {"length": 4, "network": {"kind": "gru", "state": "last_position", **SMALL}}),
    ("text", {"length": 4, "network": {"kind": "transformer", **SMALL}}),
    ("text", {"length": 4, "network": {"kind": "mlp", **SMALL}}),
    ("series", {"length": 6, "network": {"kind": "transformer", **SMALL}}),
]
UNITS += [
    pytest.param(PLUGINS.of_family("modality")[kind].model_validate({"kind": kind, **options}), id=f"{kind}-{options}")
    for kind, options in PARTS
]


def fitted(unit: Unit) -> Unit:
    """The unit with what its modalities learn from their examples."""
    return unit.with_members({name: m.fit(iter([list(m.example_cells())])) for name, m in unit.members("x").items()})


def over(unit: Unit) -> Network:
    network: Network = build(MVAE(latent_dim=2), {"x": fitted(unit)}, seed=0).eval()
    return network


def values_of(modality: Modality, rows: int) -> Tensor:
    parsed = modality.parse_column(list(modality.example_cells()))
    stored = parsed.stored[torch.arange(rows) % len(parsed.stored)]
    return modality.prepare(stored, None, torch.arange(rows))


def hidden(x: Tensor, there: Tensor) -> Tensor:
    """The values with NaN, or a number that is no class, in the rows that lack them."""
    mask = there.view(-1, *[1] * (x.ndim - 1))
    return torch.where(mask, x, torch.nan) if x.is_floating_point() else torch.where(mask, x, 10**6)


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_a_posterior_is_that_of_infer_all_for_every_mask(model: Model) -> None:
    subject = Subject(model)
    network = subject.network()
    names = list(network.modalities)
    masks = list(itertools.product([False, True], repeat=len(names)))
    present = torch.tensor(masks).repeat(2, 1)
    values = {name: x[: len(present)] for name, x in subject.values.items()}
    program = PosteriorProgram(network, slots_of(network.modalities))
    tensors = [hidden(values[name], present[:, names.index(name)]) for name in program.names]
    actual, q = program.computed(*tensors, present), network.infer_all(batch_of(values, present))
    torch.testing.assert_close(actual["mean"], q.mean)
    torch.testing.assert_close(actual["variance"], q.variance)
    torch.testing.assert_close(actual["point"], q.point)
    expected = network.told(present, program.names)
    assert torch.equal(actual["informed"], expected)
    assert not actual["informed"][0]  # nothing is present
    assert actual["informed"].any()


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_a_unit_alone_is_inferred_as_with_nothing_else(model: Model) -> None:
    subject = Subject(model)
    network = subject.network()
    slots = slots_of(network.modalities)
    for unit in network.encoders.names:
        if not network.supports([unit]):
            continue
        program = PosteriorProgram(network, slots, [unit])
        present = torch.ones(16, len(slots), dtype=torch.bool)
        actual, q = program.computed(subject.values[unit], present), network.infer(subject.complete, [unit])
        torch.testing.assert_close(actual["mean"], q.mean)
        torch.testing.assert_close(actual["variance"], q.variance)


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_a_decoder_gives_the_parameters_of_decode(model: Model) -> None:
    subject = Subject(model)
    network = subject.network()
    z = torch.randn(16, network.latent_dim)
    for unit in network.decoders.names:
        program = DecoderProgram(network, slots_of(network.modalities), unit)
        tensors = [*(subject.values[name] for name in network.conditions), subject.holes.present]
        actual = program.computed(z, *(tensors if network.conditions else ()))
        p = network.decode(z, subject.holes, [unit])[unit]
        for name, x in parameters_of(p).items():
            torch.testing.assert_close(actual[name], x)
        torch.testing.assert_close(actual["point"], network.modalities[unit].point(p))


@pytest.mark.parametrize("unit", UNITS)
@torch.no_grad()
def test_every_modality_is_read_and_decoded(unit: Unit) -> None:
    network = over(unit)
    slots = slots_of(network.modalities)
    present = torch.rand(6, len(slots), generator=torch.Generator().manual_seed(1)) < 0.6
    present[0], present[1] = False, True
    values = {name: values_of(m, 6) for name, m in network.modalities.items()}
    tensors = [hidden(x, present[:, place]) for place, x in enumerate(values.values())]
    assert all(x.dtype == slots[name].dtype and x.shape[1:] == slots[name].shape for name, x in values.items())
    q = network.infer_all(batch_of(values, present))
    torch.testing.assert_close(PosteriorProgram(network, slots).computed(*tensors, present)["mean"], q.mean)
    program = DecoderProgram(network, slots, "x")
    actual = program.computed(q.mean, *(values[name] for name in program.stepwise))
    for name, p in network.decode(q.mean, batch_of(values, present), ["x"]).items():
        prefix = "" if name == "x" else f"{name}."
        for key, x in network.modalities[name].exported(p, values[name]).items():
            torch.testing.assert_close(actual[prefix + key], x)


def test_a_text_is_scored_by_the_log_probabilities_of_its_symbols() -> None:
    (unit, *_) = PLUGINS.of_family("modality")["text"].examples()
    network = over(unit)  # type: ignore[arg-type]
    text = network.modalities["x"]
    x, z = values_of(text, 4), torch.randn(4, 2)
    program = DecoderProgram(network, slots_of(network.modalities), "x")
    with torch.no_grad():
        each = program.computed(z, x)["log_probs"].gather(-1, x.unsqueeze(-1)).squeeze(-1)
        expected = network.decode(z, batch_of({"x": x}, torch.ones(4, 1, dtype=torch.bool)), ["x"])["x"].log_prob(x)
        ended = (x == 0).cumsum(1) - (x == 0).long() > 0  # what follows the first stop counts for nothing
    torch.testing.assert_close(torch.where(ended, 0.0, each).sum(1), expected)


def test_the_greedy_text_is_written_as_the_manifest_says() -> None:
    (unit, *_) = PLUGINS.of_family("modality")["text"].examples()
    network = over(unit)  # type: ignore[arg-type]
    program, z = DecoderProgram(network, slots_of(network.modalities), "x"), torch.randn(5, 2)
    with torch.no_grad():
        text = torch.zeros(5, 4, dtype=torch.int64)
        for place in range(4):
            text[:, place] = program.computed(z, text)["log_probs"][:, place].argmax(-1)
        ended = (text == 0).cumsum(1) > 0
        batch = batch_of({"x": text}, torch.ones(5, 1, dtype=torch.bool))
        assert torch.equal(torch.where(ended, 0, text), network.decode(z, batch, ["x"])["x"].mode)


def test_names_of_outputs_are_free() -> None:
    network = build(MVAE(latent_dim=2), {"mean": stand_in_modalities()["point"]}, seed=0).eval()
    program = PosteriorProgram(network, slots_of(network.modalities))
    assert list(program(*example(program, 2))) == ["mean_", "variance", "point", "informed"]


def test_families_say_what_a_posterior_is_made_of() -> None:
    network = Subject(next(iter(PLUGINS.of_family("model")["mmvaeplus"].examples()))).network()  # type: ignore[arg-type]
    program = PosteriorProgram(network, slots_of(network.modalities))
    blocks = program.family()["blocks"]
    assert [block["family"] for block in blocks] == ["mixture", "gaussian"]
    assert [block["columns"] for block in blocks] == [[0, 2], [2, 5]]
    with torch.no_grad():
        outputs = program.computed(*example(program, 4))
    shares, means = outputs["block_0.shares"], outputs["block_0.part_mean"]
    torch.testing.assert_close((shares.unsqueeze(2) * means).sum(1), outputs["mean"][:, :2])
    assert family_of(object()) == ({"family": "object"}, {})


class HostChoice(Network):
    """Reads a number of a tensor on the host."""

    def forward(self, *args, **kwargs):
        raise NotImplementedError

    def subsets(self) -> None:
        return

    def posterior_of_experts(self, experts, members):
        return experts[0] if experts.mean.sum() > 0 else experts[1]


class NoExperts(HostChoice):
    def posterior_of_experts(self, experts, members):
        return Network.posterior_of_experts(self, experts, members)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (HostChoice, ("the posterior", "cannot be exported", "data-dependent")),
        (NoExperts, ("the posterior", "write", "posterior_of_experts(experts, members)")),
    ],
)
def test_what_cannot_be_exported_is_named(network: type[Network], words: tuple[str, ...]) -> None:
    own = network(stand_in_modalities(), 2).eval()
    with pytest.raises(UserError) as raised:
        traced(PosteriorProgram(own, slots_of(own.modalities)), "the posterior")
    assert all(word in str(raised.value) for word in words), raised.value


class Fixed(Program):
    """A program whose trace fixes a number."""

    def computed(self, *tensors: Tensor) -> dict[str, Tensor]:
        return {"size": tensors[0] + (1.0 if torch.compiler.is_exporting() else 2.0)}


def test_a_program_that_computes_something_else_is_no_export() -> None:
    network = build(MVAE(latent_dim=2), stand_in_modalities(), seed=0).eval()
    program = Fixed(network, slots_of(network.modalities))
    program.inputs = [program.slots["point"]]
    with pytest.raises(UserError, match=r"it: cannot be exported: its size differs by torch\.export"):
        traced(program, "it")


@pytest.mark.slow
@pytest.mark.parametrize("case", [*UNITS, *MODELS])
def test_every_program_is_traced_and_translated(case: Unit | Model, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = over(case) if isinstance(case, Unit) else Subject(case).network()
    slots = slots_of(network.modalities)
    programs: list[Program] = [PosteriorProgram(network, slots)]
    programs += [DecoderProgram(network, slots, unit) for unit in network.decoders.names]
    for program in programs:  # both functions compare what they make with PyTorch
        write_onnx(program, traced(program, "it"), tmp_path / "it.onnx", "it")
