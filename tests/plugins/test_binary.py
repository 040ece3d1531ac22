"""Binary attributes: cells, networks, and models over attributes, numbers and binaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import distributions, nn

from mmt_attributes import Attributes, Numeric
from mmt_binary import Binary
from mmtoolkit import MVAE, Batch, Observed, StudentTLikelihood, build, parse_schema
from mmtoolkit.data.dataset import prepare
from mmtoolkit.training.networks import generated_batch
from rows import faults_of, parameters, refused, rows_of
from toys import randn

NAN = float("nan")
MALE = Binary(values=("-1", "1"))
PULSE = Binary(values=("dead", "alive"))


# Cells.


@pytest.mark.parametrize(
    ("chunks", "values"),
    [
        ([[1, -1]], ("-1", "1")),
        ([["yes"], ["no"]], ("no", "yes")),
        ([np.array([True, False])], ("False", "True")),
        ([["YES"]], ("NO", "YES")),
    ],
)
def test_the_spelling_is_learned(chunks: Any, values: tuple[str, str]) -> None:
    fitted = Binary(weight=2).fit(iter(chunks))
    assert fitted == Binary(weight=2, values=values)
    assert Binary.model_validate_json(fitted.model_dump_json()) == fitted


def test_a_given_spelling_is_kept() -> None:
    cells = iter([["never read"]])
    assert PULSE.fit(cells) is PULSE
    assert next(cells) == ["never read"]


def test_a_spelling_that_cannot_be_learned() -> None:
    with pytest.raises(ValueError, match="the values are 'alive', 'dead', and which is no and which is yes is not"):
        Binary().fit([["alive", "dead"]])
    with pytest.raises(ValueError, match="how no and yes are written is not known yet"):
        Binary().parse("1")


def fault(cell: Any, no: str = "-1", yes: str = "1") -> str:
    return f"{cell!r} is neither {no!r} nor {yes!r}; write one of these, or name others by values: [NO, YES]"


def test_cells_are_read() -> None:
    found = MALE.parse_column([1, "-1", None, NAN, "yes", False, "perhaps"])
    assert found.present.tolist() == [True, True, False, False, True, True, False]
    assert found.stored[found.present].tolist() == [1, 0, 1, 0]
    assert found.stored.dtype == torch.uint8
    assert found.faults == {6: fault("perhaps")}
    whole = MALE.parse_column(np.array([1, -1, 5]))
    assert whole.stored[:2].tolist() == [1, 0]
    assert whole.faults == {2: fault(np.int64(5))}


@pytest.mark.parametrize("cell", ["yes", 1, "alive!", "", [1]])
def test_a_bad_cell_is_told(cell: Any) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        PULSE.parse(cell)
    assert str(raised.value) == fault(cell, "dead", "alive")


def test_nan_is_no_cell() -> None:
    with pytest.raises(ValueError, match="no known value; give one, or leave the cell empty"):
        MALE.parse(NAN)


@pytest.mark.parametrize("modality", [MALE, PULSE, Binary(values=("1", "0"))])
def test_a_cell_goes_there_and_back(modality: Binary) -> None:
    for number, cell in enumerate(modality.fixed_cells()):
        x = modality.prepare(modality.parse(cell)[None], None, None)[0]
        assert (x.dtype, float(x), modality.cell(x)) == (torch.float32, number, cell)


def test_text() -> None:
    no, yes = torch.tensor(0.0), torch.tensor(1.0)
    assert (MALE.text(no), MALE.text(yes)) == ("no", "yes")
    assert (PULSE.text(no), PULSE.text(yes)) == ("dead", "alive")
    assert Binary(values=("1", "0")).text(yes) == "0"  # it would read the wrong way round


def test_columns_are_for_attributes() -> None:
    assert refused(Binary, columns=("a", "b")) == "Extra inputs are not permitted"


def test_a_source_of_binaries(own_cache: Path) -> None:
    table = {"a": [1, None, -1, 7], "b": ["alive", "dead", None, "alive"]}
    modalities = {"a": Binary(), "b": Binary(values=("dead", "alive"))}
    (line,) = faults_of(rows_of(table), **modalities)
    assert line == (
        "modalities.a: cannot learn from column a: there are 3 values, '-1', '1', '7', and a binary modality has two; "
        "name them by values: [NO, YES] if the others are faults, or use kind: label"
    )
    modalities["a"] = MALE
    remedy = "mend the cell, list it in missing if it means a missing cell, or set data.on_bad_cell to missing"
    assert faults_of(rows_of(table), **modalities) == [f"train row 3, column a: {fault(7)}; {remedy}"]
    train = prepare(rows_of(table, on_bad_cell="missing"), modalities).split("train")
    assert train.present.tolist() == [[True, True], [False, True], [True, False], [False, True]]
    assert torch.cat(list(train.values("a"))).tolist() == [1, 0]


# Networks.


def test_sizes() -> None:
    assert parameters(MALE.encoder(200)) == 2 * 512 + 513 * 512 + 513 * 200
    assert parameters(MALE.encoder(200, extra=7)) == 2 * 512 + (513 + 7) * 512 + 513 * 200
    assert parameters(MALE.branch(6)) == 2 * 6
    assert parameters(MALE.decoder(100)) == 101 * 512 + 2 * 513 * 512 + 513
    assert MALE.condition_size == 1
    assert MALE.condition(torch.tensor([0.0, 1.0])).tolist() == [[-1], [1]]


def test_the_encoder_is_an_embedding_and_two_layers() -> None:
    encoder, c = MALE.encoder(6, extra=2).double(), randn(3, 2)
    x = torch.tensor([1.0, 0.0, 1.0])
    state = encoder.state_dict()
    first = F.silu(torch.stack([state["network.first.0.weight"][int(row)] for row in x]))
    hidden = F.silu(torch.cat([first, c], 1) @ state["network.dense.0.weight"].T + state["network.dense.0.bias"])
    torch.testing.assert_close(
        encoder(x, c), hidden @ state["network.dense.2.weight"].T + state["network.dense.2.bias"]
    )
    branch = MALE.branch(6)
    assert torch.equal(branch(x), F.silu(branch.get_parameter("network.0.weight")[[1, 0, 1]]))


def test_log_prob_is_that_of_a_coin() -> None:
    decoder = MALE.decoder(5).double()
    z, x = randn(8, 5) * 50, torch.arange(8).double() % 2
    p = decoder(z)
    assert (p.batch_shape, p.event_shape) == ((8,), ())
    yes = torch.sigmoid(decoder.get_submodule("network.raw")(z)[:, 0])
    torch.testing.assert_close(p.log_prob(x), torch.where(x == 1, yes, 1 - yes).log())


def test_one_row_is_enough_to_train_on() -> None:
    encoder, decoder = MALE.encoder(10).train(), MALE.decoder(5).train()
    for x in (torch.tensor([1.0]), torch.tensor([0.0])):
        z = encoder(x).chunk(2, dim=1)[0]
        decoder(z).log_prob(x).sum().backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any(), name


# Scores.


def coins(*probabilities: float) -> distributions.Bernoulli:
    return distributions.Bernoulli(probs=torch.tensor(probabilities), validate_args=False)


def test_scores() -> None:
    assert MALE.point(coins(0.2, 0.7, 0.0, 1.0)).tolist() == [0, 1, 0, 1]
    assert MALE.scores(torch.tensor([1.0, 0]), torch.tensor([1.0, 1]))["accuracy"].tolist() == [1, 0]
    torch.testing.assert_close(MALE.average(coins(0.2, 0.5, 0.4, 1.0), 2), torch.tensor([[0.3], [0.75]]))
    assert MALE.baseline(iter([torch.tensor([1.0, 0]), torch.tensor([1.0])])) == 1
    assert MALE.baseline(iter([torch.tensor([1.0, 0, 0])])).shape == ()
    metric = MALE.metrics()["calibration_error"]
    metric.update(torch.tensor([[0.8], [0.8]]), torch.tensor([1.0, 0.0]))
    assert float(metric.compute()) == pytest.approx(0.3)


# Models.


def finite_gradients(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_a_model_over_all_three() -> None:
    modalities = {
        "face": Attributes(columns=("a", "b"), values=("0", "1")),
        "body": Numeric(columns=("x", "y"), mean=(170.0, 70.0), std=(10.0, 15.0), likelihood=StudentTLikelihood()),
        "age": Numeric(mean=(40.0,), std=(20.0,)),
        "p": MALE,
        "q": MALE,
        "r": PULSE,
    }
    network = build(MVAE(latent_dim=4), modalities, seed=0)
    drawn = generated_batch(network, 12)
    generator = torch.Generator().manual_seed(0)
    values = {name: drawn.value(name).clone() for name in modalities}
    for name in ("face", "body"):
        known = torch.rand(12, 2, generator=generator) < 0.6
        values[name][:, 1] = known
        values[name][:, 0] = torch.where(known, values[name][:, 0], NAN)
    present = torch.rand(6, 12, generator=generator) < 0.7
    batch = Batch({name: Observed(values[name], present[m]) for m, name in enumerate(modalities)})
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    noise = torch.randn(7, 12, 4, generator=generator)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss, parts = network(batch, noise=noise)
        assert all(part.isfinite() for part in parts.values())
        loss.backward()
        finite_gradients(network)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("count", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_many_binaries_from_a_schema_take_steps(count: int) -> None:
    names = [f"attribute {k}" for k in range(count)]
    schema = parse_schema(
        {
            "name": "many",
            "data": {"kind": "mnist"},
            "modalities": {"each one": {"kind": "binary", "values": [-1, 1], "each": names}},
            "model": {"kind": "mvae", "latent_dim": 3, "subsets": {"k": 1}},
        }
    )
    assert list(schema.modalities) == names
    network = build(schema.model, schema.modalities, seed=0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 4, generator=generator).round()
    batch = Batch({name: Observed(x[m], torch.arange(4) != m % 3) for m, name in enumerate(names)})
    noise = torch.randn(count + 2, 4, 3, generator=generator)
    subset = torch.arange(count)[None] % 2 == 0
    losses = []
    for _ in range(3):
        network.zero_grad()
        loss, parts = network(batch, subsets=subset, noise=noise)
        assert len(parts) == count + 1
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.01 * parameter.grad)
    finite_gradients(network)
    assert losses[-1] < losses[0]


def test_a_caption_tells_of_what_is_there() -> None:
    usual, named = Binary(values=("-1", "1")), Binary(values=("female", "male"))
    assert usual.named("Smiling", torch.tensor(1.0)) == "Smiling"
    assert usual.named("Smiling", torch.tensor(0.0)) == ""
    assert named.named("sex", torch.tensor(0.0)) == "sex female"
