"""MultiVae's models (1.0.3) of the same kinds as ours, around given encoders and decoders.

The module `bench.multivae` must be imported first where torchvision is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from multivae import models as peers
from multivae.models.base import ModelOutput
from multivae.models.base.base_utils import poe
from multivae.models.nn.default_architectures import BaseJointEncoder
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn

from mmtoolkit.components import Model
from mmtoolkit.models import CMVAE, CRMVAE, DMVAE, JMVAE, MMVAE, MVAE, MVTCAE, MMVAEPlus, MoPoE

Read = Callable[[Tensor], Tensor]


class Encoder(BaseEncoder):  # type: ignore[misc]
    """A module with 2 (S + P) features as MultiVae reads it: means and log-variances, shared ones first.

    Args:
        module: the encoder.
        shared: S.
        private: P; 0 for models without private latent variables.
        read: from what MultiVae keeps of rows to what the module reads.
    """

    def __init__(self, module: nn.Module, shared: int, private: int, read: Read) -> None:
        super().__init__()
        self.module, self.latent_dim, self.style_dim, self.read = module, shared, private, read

    def forward(self, x: Tensor) -> Any:
        mean, logvar = self.module(self.read(x)).chunk(2, -1)
        s = self.latent_dim
        # MultiVae changes the log-variances of missing rows in place, which a result of `chunk` does not allow.
        output = ModelOutput(embedding=mean[:, :s], log_covariance=logvar[:, :s].clone())
        if self.style_dim:
            output["style_embedding"], output["style_log_covariance"] = mean[:, s:], logvar[:, s:]
        return output


class Decoder(BaseDecoder):  # type: ignore[misc]
    """A module that gives logits as MultiVae reads it."""

    def __init__(self, module: nn.Module, latent: int) -> None:
        super().__init__()
        self.module, self.latent_dim = module, latent

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.module(z))


class JointEncoder(BaseJointEncoder):  # type: ignore[misc]
    """A module that reads all modalities as MultiVae reads it."""

    def __init__(self, module: nn.Module, latent: int, reads: Mapping[str, Read]) -> None:
        super().__init__()
        self.module, self.latent_dim, self.reads = module, latent, reads

    def forward(self, x: Mapping[str, Tensor]) -> Any:
        mean, logvar = self.module({name: read(x[name]) for name, read in self.reads.items()}).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=logvar)


def subsets_of(names: Sequence[str]) -> list[list[str]]:
    """All but the empty one, in the order of the numbers whose bits are their members, which is ours of a MoPoE."""
    return [[n for place, n in enumerate(names) if code >> place & 1] for code in range(1, 2 ** len(names))]


def options_of(model: Model, names: Sequence[str], beta: float) -> tuple[str, dict[str, Any]]:
    """The name of MultiVae's class for a model of ours, and the options that make its loss ours."""
    match model:
        case MVAE():
            return "MVAE", {"k": model.subsets.k, "warmup": 0, "use_subsampling": True, "beta": beta}
        case MMVAE():
            family = {"gaussian": "normal", "laplace": "laplace_with_softmax"}[model.experts]
            learned = getattr(model.prior, "scale", None) == "learned"
            # Its option beta enters no formula.
            return "MMVAE", {**_draws_of(model), "prior_and_posterior_dist": family, "learn_prior": learned}
        case MoPoE():
            return "MoPoE", {"beta": beta, "subsets": subsets_of(names)}
        case MVTCAE():
            return "MVTCAE", {"alpha": model.alpha, "beta": beta}
        case JMVAE():
            return "JMVAE", {"alpha": model.alpha, "beta": beta, "warmup": 0}
        case CRMVAE():
            return "CRMVAE", {"beta": beta}
        case CMVAE():
            clusters = {"number_of_clusters": model.clusters}
            return "CMVAE", {**_private_of(model, beta), **clusters}
        case MMVAEPlus():
            return "MMVAEPlus", {**_private_of(model, beta), "learn_shared_prior": False}
        case DMVAE():
            return "DMVAE", {"beta": beta, "modalities_specific_dim": dict.fromkeys(names, model.private_dim)} | (
                {} if beta == 1 else {"modalities_specific_betas": dict.fromkeys(names, beta)}
            )
    raise ValueError(f"MultiVae has no counterpart of {model.kind}")


def _draws_of(model: MMVAE | MMVAEPlus | CMVAE) -> dict[str, Any]:
    return {"K": model.draws, "loss": "dreg_looser" if model.gradient == "dreg" else "iwae_looser"}


def _private_of(model: MMVAEPlus | CMVAE, beta: float) -> dict[str, Any]:
    private = {"modalities_specific_dim": model.private_dim, "learn_modality_prior": True}
    return {**_draws_of(model), **private, "prior_and_posterior_dist": "normal", "beta": beta}


def build_peer(
    model: Model,
    encoders: Mapping[str, Encoder],
    decoders: Mapping[str, Decoder],
    data: Mapping[str, Tensor],
    likelihoods: Mapping[str, str],
    beta: float = 1.0,
    joint: JointEncoder | None = None,
) -> Any:
    """MultiVae's model.

    Args:
        model: ours, whose loss it has.
        encoders: name -> encoder.
        decoders: name -> decoder.
        data: name -> rows as MultiVae keeps them.
        likelihoods: name -> MultiVae's name of its likelihood.
        beta: the weight of the divergences.
        joint: the joint encoder of a JMVAE.
    """
    name, options = options_of(model, list(data), beta)
    config = getattr(peers, f"{name}Config")(
        n_modalities=len(data),
        latent_dim=model.latent_dim,
        input_dims={name: tuple(values.shape[1:]) for name, values in data.items()},
        decoders_dist=dict(likelihoods),
        uses_likelihood_rescaling=False,
        **options,
    )
    parts: dict[str, Any] = {"encoders": dict(encoders), "decoders": dict(decoders)}
    if joint is not None:
        parts["joint_encoder"] = joint
    return getattr(peers, name)(config, **parts)


_SUMMED = (MMVAE, MMVAEPlus, CMVAE, CRMVAE)


def mean_loss(model: Model, loss: Tensor, rows: int) -> Tensor:
    """MultiVae's loss as a mean over rows; that of some models is a sum."""
    return loss / rows if isinstance(model, _SUMMED) else loss


@contextmanager
def without_prior_expert(peer: Any) -> Iterator[None]:
    """Let a MoPoE have no prior in the product of all modalities, as in that of any other subset."""
    with mock.patch.object(peer, "_poe_fusion", poe):
        yield


@contextmanager
def compared(model: Model, network: Any, peer: Any, rows: int) -> Iterator[Tensor]:
    """Change what both compute so that their losses agree without noise; the noise of ours.

    A MoPoE has no prior expert, and draws for each row the subset that MultiVae draws. An MMVAE or MMVAE+ has two
    draws, since ours has a part of the divergence of a single one in closed form, which MultiVae estimates.
    """
    with ExitStack() as stack:
        draws: tuple[int, ...] = ()
        if isinstance(model, MMVAE | MMVAEPlus):
            draws = (2,)
            stack.enter_context(mock.patch.object(network, "draws", 2))
            stack.enter_context(mock.patch.object(peer.model_config, "K", 2))
        noise = torch.zeros(network.noise_terms(0), *draws, rows, network.latent_dim)
        if isinstance(model, MoPoE):
            stack.enter_context(without_prior_expert(peer))
            subsets = len(peer.subsets)
            place = (torch.arange(rows) // max(1, rows // subsets)).clamp(max=subsets - 1)
            noise[..., 0] = torch.special.ndtri((place + 0.5) / subsets)
        yield noise
