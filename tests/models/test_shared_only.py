"""Models in which some modalities have no private latent variables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mmtoolkit import CMVAE, DMVAE, UserError, build
from mmtoolkit.models import MMVAEPlus
from private_cases import PRESENT, SIZES, TOYS, B, D, P, S, network_of, rows_of
from toys import randn

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dmvae": (DMVAE, {}),
    "dmvae of 3 draws": (DMVAE, {"draws": 3}),
    "mmvaeplus": (MMVAEPlus, {}),
    "mmvaeplus of 3 draws": (MMVAEPlus, {"draws": 3, "gradient": "dreg"}),
    "cmvae": (CMVAE, {"clusters": 2, "draws": 3}),
}
EACH = pytest.mark.parametrize("name", MODELS)
OWN_OF_B = slice(S + P, S + 2 * P)  # the private part that a whole network has for b


def networks(name: str) -> tuple[Any, Any]:
    """A network in which b has no private part, and one in which it has, with the same weights but where b's own is.

    In the second, the expert of b says N(0, I) of it, and the decoder of b does not read it.
    """
    cls, options = MODELS[name]
    lean = network_of(cls(**SIZES, **options, shared_only=("b",)))
    whole = network_of(cls(**SIZES, **options))
    weights = dict(lean.named_parameters())
    with torch.no_grad():
        for key, parameter in whole.named_parameters():
            if key == "encoders.1.weight":  # an embedding, with means, then log-variances
                parameter.zero_()
                for at in (0, S + P):
                    parameter[:, at : at + S] = weights[key][:, at * S // (S + P) : at * S // (S + P) + S]
            elif key == "decoders.1.weight":
                parameter.zero_()
                parameter[:, :S] = weights[key]
            elif key == "logscales":
                parameter[[0, 2]] = weights[key]
            else:
                parameter.copy_(weights[key])
    return lean, whole


def without_own(x: Tensor) -> Tensor:
    return torch.cat([x[..., : OWN_OF_B.start], x[..., OWN_OF_B.stop :]], dim=-1)


@EACH
@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_it_is_the_model_whose_private_part_says_nothing(name: str, beta: float) -> None:
    lean, whole = networks(name)
    assert (lean.latent_dim, whole.latent_dim) == (D - P, D)
    noise = randn(whole.noise_terms(0), *((3,) if whole.draws > 1 else ()), B, D, seed=3)
    losses = [network(rows_of(), beta, noise=own)[0] for network, own in ((lean, without_own(noise)), (whole, noise))]
    assert_close(losses[0], losses[1], rtol=1e-12, atol=1e-12)
    batch = rows_of(torch.ones_like(PRESENT))
    for given in (["a"], ["b"], ["a", "b", "c"]):
        lean_q, whole_q = lean.infer(batch, given), whole.infer(batch, given)
        assert_close(lean_q.mean, without_own(whole_q.mean), rtol=1e-12, atol=1e-12)
        z = randn(B, D, seed=5)
        lean_p, whole_p = lean.decode(without_own(z), batch, TOYS), whole.decode(z, batch, TOYS)
        assert_close(lean_p["b"].logits, whole_p["b"].logits)
        assert_close(lean_p["c"].mean, whole_p["c"].mean)


@EACH
def test_a_modality_that_is_shared_only_has_no_place_of_its_own_in_z(name: str) -> None:
    lean, _ = networks(name)
    assert lean.own("b") == slice(0, 0)
    assert lean.own("c") == slice(S + P, S + 2 * P)
    batch = rows_of(torch.ones_like(PRESENT))
    q = lean.infer(batch, ["b"])
    assert not q.mean[:, S:].any()
    assert (q.variance[:, S:] == 1).all()


def test_a_record_or_a_modality_must_exist_and_one_must_have_something_of_its_own() -> None:
    with pytest.raises(UserError, match=r"model.shared_only: there is no modality 'bb'.*the modalities are a, b, c"):
        build(DMVAE(**SIZES, shared_only=("bb",)), TOYS, seed=0)
    with pytest.raises(UserError, match=r"model.shared_only: names all modalities; leave out those"):
        build(MMVAEPlus(**SIZES, shared_only=("a", "b", "c")), TOYS, seed=0)
