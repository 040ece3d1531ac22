"""Texts over each network that reads them, and the networks of 0.1 among these."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.export import Dim, export

from mmt_text import GRU, Text
from mmtoolkit import MLP, VAE, Architecture, Batch, Observed, Transformer, build, load_plugins, read_schema
from mmtoolkit.components.architecture import RawDecoder
from mmtoolkit.likelihoods import CategoricalLikelihood
from mmtoolkit.testing import check_modality
from runs import mmt
from toys import randn, seeded

NETWORKS: list[Architecture] = [
    GRU(width=6),
    GRU(width=6, layers=1, feedback="argmax"),
    Transformer(width=8, heads=2),
    Transformer(width=6, layers=1, heads=1, dropout=0),
    MLP(width=8),
    MLP(width=8, depth=1, norm="layer", dropout=0.1, residual=True),
]
EVERY = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)


def over(network: Architecture, length: int = 3, **options: Any) -> Text:
    return Text(length=length, alphabet=("a", "b"), network=network, **options)


def ids(*texts: str, of: Text) -> Tensor:
    return torch.stack([of.parse(text) for text in texts])


def test_all_that_read_tokens_are_here() -> None:
    classes = load_plugins().of_family("architecture").values()
    text = Text(length=2)
    reading = {cls for cls in classes if issubclass(cls, Architecture) and issubclass(text.gives, cls.reads)}
    assert reading == {type(network) for network in NETWORKS}


@EVERY
@pytest.mark.parametrize("least", [0, 1, 3])
def test_probabilities_of_all_texts_sum_to_one(network: Architecture, least: int) -> None:
    text = over(network, min_length=least)
    every = ["".join(letters) for n in range(4) for letters in itertools.product("ab", repeat=n)]
    texts, z = torch.stack([over(network).parse(t) for t in every]), 3 * randn(4, 5)
    for module in (text.decoder(5), text.head(5)):
        assert module is not None
        p = module.double().eval()(z).log_prob(texts.unsqueeze(1).expand(-1, 4, -1)).exp()  # (texts, 4)
        torch.testing.assert_close(p.sum(0), torch.ones(4).double(), rtol=1e-12, atol=0)
        short = torch.tensor([len(t) < least for t in every])
        assert (p[short] == 0).all()
        assert (p[~short] > 0).all()
        assert not torch.allclose(p[:, 0], p[:, 1])


@EVERY
def test_what_follows_the_stop_changes_no_bit(network: Architecture) -> None:
    text = over(network)
    x = ids("", "a", "ba", "aba", "b", of=text)
    after = nn.functional.pad((x == 0).cumsum(1) > 0, (1, -1))
    dirty = torch.where(after, torch.randint(-5, 1000, x.shape, generator=seeded()), x)
    assert not torch.equal(dirty, x)
    encoder, branch, c = text.encoder(8, extra=2).eval(), text.branch(5).eval(), torch.ones(5, 2)
    assert torch.equal(encoder(x, c), encoder(dirty, c))
    assert torch.equal(branch(x), branch(dirty))
    for module in (text.decoder(4).eval(), text.head(4)):
        assert module is not None
        p = module(torch.randn(5, 4, generator=seeded()))
        assert torch.equal(p.log_prob(x), p.log_prob(dirty))


@EVERY
def test_features_tell_texts_apart(network: Architecture) -> None:
    text = over(network)
    x = ids("", "a", "b", "aa", "ab", "ba", "aab", "aba", of=text)
    for module in (text.encoder(4), text.branch(4)):
        features = module.double().eval()(x)
        distances = torch.cdist(features, features) + torch.eye(len(x))
        assert distances.min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("network", [NETWORKS[2], NETWORKS[4]], ids=lambda network: network.kind)
def test_the_contract_holds(network: Architecture) -> None:
    check_modality(Text(length=4, network=network), bad=["much too long a text", True])


@EVERY
def test_a_likelihood_that_does_not_write_takes_independent_places(network: Architecture) -> None:
    class Places(CategoricalLikelihood):
        writes = False

    text = over(network)
    decoder = network.decoder(text.form(), 4, Places()).double().eval()
    assert isinstance(decoder, RawDecoder)
    z = randn(3, 4)
    assert decoder.raw(z).shape == (3, 4, 3)
    assert not torch.allclose(decoder.raw(z)[..., 0], decoder.raw(z)[..., 1])
    x = ids("ab", "", "bba", of=text)
    first = decoder(z).log_prob(x)
    torch.testing.assert_close(decoder(z.flip(0)).log_prob(x.flip(0)), first.flip(0), rtol=1e-12, atol=0)
    first.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("network", [NETWORKS[2], NETWORKS[4]], ids=lambda network: network.kind)
def test_an_exported_encoder_takes_any_number_of_rows(network: Architecture) -> None:
    text = over(network)
    x, encoder = ids("", "ab", "bba", of=text), text.encoder(6).eval()
    exported = export(encoder, (x,), dynamic_shapes=({0: Dim("rows")},)).module()
    torch.testing.assert_close(exported(x.repeat(4, 1)), encoder(x.repeat(4, 1)))


@EVERY
def test_half_precision_is_raised(network: Architecture) -> None:
    text = over(network)
    x = ids("a", "bab", of=text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p = text.decoder(4)(text.encoder(8)(x).chunk(2, dim=1)[0])
        assert p.log_prob(x).dtype == torch.float32
        p.log_prob(x).sum().backward()
        assert p.sample().shape == text.point(p).shape == (2, 3)
    assert text.decoder(4).bfloat16()(torch.randn(2, 4).bfloat16()).log_prob(x).dtype == torch.float32


# The networks of 0.1.


def drawn(make: Callable[[], nn.Module]) -> tuple[list[Tensor], Tensor]:
    """The parameters that a seed gives, and the next number that it gives."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return [p.detach() for p in make().parameters()], torch.rand(1)


@pytest.mark.parametrize(
    ("ours", "modules"),
    [
        (
            lambda text: text.encoder(14),
            lambda: [nn.Embedding(12, 200), gru(200), gru(200), nn.Linear(200, 14)],
        ),
        (
            lambda text: text.encoder(14, extra=3),
            lambda: [nn.Embedding(12, 200), gru(200), gru(200), nn.Linear(203, 200), nn.Linear(200, 14)],
        ),
        (
            lambda text: text.branch(9),
            lambda: [nn.Embedding(12, 200), gru(200), gru(200), nn.Linear(200, 9)],
        ),
        (
            lambda text: text.decoder(7),
            lambda: [nn.Embedding(12, 200), nn.Linear(7, 200), gru(207, 2), nn.Linear(207, 12)],
        ),
    ],
    ids=["encoder", "encoder with condition", "branch", "decoder"],
)
def test_a_seed_gives_the_weights_of_0_1(ours: Callable[[Text], nn.Module], modules: Callable[[], Any]) -> None:
    text = Text(length=4, alphabet="0123456789")
    (mine, after), (theirs, then) = drawn(lambda: ours(text)), drawn(lambda: nn.ModuleList(modules()))
    assert len(mine) == len(theirs)
    assert all(map(torch.equal, mine, theirs))
    assert torch.equal(after, then)


def gru(reads: int, layers: int = 1) -> nn.GRU:
    return nn.GRU(reads, 200, num_layers=layers)


def test_options_of_0_1_move_into_the_network() -> None:
    old = Text.model_validate({"length": 4, "feedback": "argmax", "state": "last_position"})
    assert old.network == GRU(feedback="argmax", state="last_position")
    assert old == Text(length=4, network=GRU(feedback="argmax", state="last_position"))
    saved = old.model_dump(mode="json")
    assert not {"feedback", "state"} & saved.keys()
    assert saved["network"]["feedback"] == "argmax"
    word = Text.model_validate({"length": 4, "network": "gru", "state": "last_position"})
    assert word.network == GRU(state="last_position")
    with pytest.raises(ValidationError, match="feedback"):
        Text.model_validate({"length": 4, "network": "transformer", "feedback": "argmax"})


def test_parts_stay_the_instances_that_they_are() -> None:
    text = Text(length=4, network=Transformer(width=8, heads=2))
    assert text.fit([["ab"]]).network is text.network


def test_networks_and_likelihoods_that_do_not_fit() -> None:
    for option, kind in (("network", "dcgan"), ("likelihood", "gaussian")):
        with pytest.raises(ValidationError) as raised:
            Text.model_validate({"length": 4, option: kind})
        (error,) = raised.value.errors()
        assert error["loc"] == (option,)
        assert kind in error["msg"]
        assert "tokens" in error["msg"]


# Runs.

SCHEMA = """\
name: names
data: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 20}}
modalities:
  name: {kind: text, column: label, length: 11, network: NETWORK}
  label: {kind: label}
model: {kind: mvae, latent_dim: 4}
train: {epochs: 1, batch_size: 20, warmup_epochs: 1}
"""


TRANSFORMER = "{kind: transformer, width: 32, layers: 1, heads: 2}"


@pytest.mark.parametrize("network", [TRANSFORMER, "mlp", "{kind: gru, width: 10, feedback: argmax}"])
def test_a_schema_is_sound(network: str, tmp_path: Path) -> None:
    schema = tmp_path / "names.yaml"
    schema.write_text(SCHEMA.replace("NETWORK", network))
    checked = mmt("check", schema)
    assert checked.status == 0, checked.err


@pytest.mark.slow
@EVERY
def test_it_trains(network: Architecture) -> None:
    text = over(network)
    x = ids(*["ab", "b", "", "aba"] * 4, of=text)
    batch = Batch({"text": Observed(x, torch.ones(16, dtype=torch.bool))})
    model = build(VAE(latent_dim=4), {"text": text}, seed=0)
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    before, losses = torch.are_deterministic_algorithms_enabled(), []
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for _ in range(60):
                optimiser.zero_grad()
                loss, _ = model(batch)
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
    finally:
        torch.use_deterministic_algorithms(before)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("network", [TRANSFORMER, "mlp"])
def test_a_run(network: str, tmp_path: Path) -> None:
    schema = tmp_path / "names.yaml"
    schema.write_text(SCHEMA.replace("NETWORK", network))
    ended = mmt("run", schema, "--out", tmp_path / "run")
    assert ended.status == 0, ended.err
    saved = read_schema(tmp_path / "run" / "schema.yaml")
    text = saved.modalities["name"]
    assert isinstance(text, Text)
    assert text.network == (Transformer(width=32, layers=1, heads=2) if network == TRANSFORMER else MLP())
    drawn = mmt("sample", tmp_path / "run", "--given", "label=Bag", "-n", "2")
    assert drawn.status == 0, drawn.err


def test_a_fault_of_the_network_has_its_line(tmp_path: Path) -> None:
    schema = tmp_path / "names.yaml"
    schema.write_text(SCHEMA.replace("NETWORK", "{kind: transformer, width: 30}"))
    ended = mmt("check", schema)
    assert ended.status == 2
    assert "names.yaml:4" in ended.err
    assert "multiple of heads" in ended.err
