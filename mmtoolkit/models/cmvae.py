"""The clustering multimodal variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit.components import Gradient, Network, PrivateLatents, Unit
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.blocks import BlockPrior
from mmtoolkit.models.mmvaeplus import MMVAEPlusNetwork
from mmtoolkit.priors import MixturePrior
from mmtoolkit.priors.mixture import LearnedMixture

_EXPERTS = 100_000  # that pruning reads at most


class CMVAE(PrivateLatents):
    """The CMVAE: an MMVAE+ whose shared z has a mixture of Gaussians as prior, one for each cluster of rows.

    Training maximises the objective of `mmvaeplus` with p(z) = sum_c π_c N(z; μ_c, diag(σ_c²)); π, μ and σ are
    learned. The paper adds q(c | z), whose best value p(c | z) makes both objectives equal.

    After training, `prune` drops clusters: one after another the one with the fewest rows, down to two. It keeps those
    of the step with the least mean, over rows and their modalities, of

        H[p(c | z)] / log C - log p(z) / S,

    where z is the mean of q_m(z | x_m), C the number of clusters left and S the size of z.

    Source: Palumbo, Manduchi, Laguna, Chopard & Vogt, "Deep Generative Clustering with Multimodal Diffusion
    Variational Autoencoders", ICLR 2024, without its diffusion decoders.
    """

    kind: Literal["cmvae"] = "cmvae"

    clusters: Annotated[int, Field(gt=0, le=1000)] = 10
    """C, the number of clusters before pruning."""
    prune: bool = True
    """Whether to drop clusters after training."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One with three clusters."""
        return (example.model_copy(update={"clusters": 3}) for example in super().examples())

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders of two modalities or more."""
        self.check_units(modalities)
        return CMVAENetwork(
            modalities,
            self.latent_dim,
            self.private_dim,
            self.clusters,
            self.prune,
            self.draws,
            self.gradient,
            self.shared_only,
        )


class CMVAENetwork(MMVAEPlusNetwork):
    """The networks of a CMVAE."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        shared_dim: int,
        private_dim: int,
        clusters: int,
        prune: bool,
        draws: int = 1,
        gradient: Gradient = "standard",
        shared_only: Collection[str] = (),
    ) -> None:
        prior = MixturePrior(components=clusters)
        super().__init__(modalities, shared_dim, private_dim, prior, draws, gradient, shared_only)
        self.prune = prune

    @property
    def mixture(self) -> LearnedMixture:
        """p(z) of the shared part, with a Gaussian for each cluster; the weight of one that was dropped is 0."""
        assert isinstance(self.prior, BlockPrior)
        part = self.prior.parts[0]
        assert isinstance(part, LearnedMixture)
        return part

    def end(self, batches: Iterable[Batch]) -> None:
        """Drop clusters, as `CMVAE` says."""
        if self.prune and len(self.mixture.logits) > 1:
            logits = pruned(self.mixture.logits, *self._log_densities(batches), self.shared_dim)
            with torch.no_grad():
                self.mixture.logits.copy_(logits)

    @torch.no_grad()
    def clusters(self, batch: Batch) -> Tensor:
        """The cluster of each row: (B,) int64, -1 where a row has nothing.

        Each modality of a row votes for its likeliest cluster, argmax p(c | z) at the mean of q_m(z | x_m). Equal
        votes are decided by the mean of p(c | z).
        """
        each, rows = self._of_experts(batch)
        places = sent(rows, each.device)
        cluster = votes(self.mixture.logits, each, places, batch.size).argmax(1)
        has = torch.zeros(batch.size, dtype=torch.bool, device=each.device).index_fill(0, places, True)
        return torch.where(has, cluster, -1)

    def _of_experts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log p(z | c) at the mean of each expert that a batch has, (n, C), and the row of each, (n,) on the host."""
        experts, slots = self.packed_experts(batch)
        z = self.shared_part(experts).mean.unsqueeze(1)  # (n, 1, S)
        mixture = self.mixture
        squares = (z - mixture.means).square() * torch.exp(-mixture.logvars)
        log_densities = -0.5 * (squares + mixture.logvars + math.log(2 * math.pi)).sum(-1)
        return log_densities, slots % batch.size

    @torch.no_grad()
    def _log_densities(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Log p(z | c) of the experts of some rows, (n, C), and the number of the row of each, (n,)."""
        parts: list[Tensor] = []
        numbers: list[Tensor] = []
        rows, experts = 0, 0
        for batch in batches:
            each, own = self._of_experts(batch)
            parts.append(each.double().cpu())
            numbers.append(own + rows)
            rows, experts = rows + batch.size, experts + len(own)
            if experts >= _EXPERTS:
                break
        return torch.cat(parts), torch.cat(numbers)


def votes(logits: Tensor, log_densities: Tensor, rows: Tensor, size: int) -> Tensor:
    """How many experts of each row vote for each cluster, and half the mean of p(c | z), which decides ties: (B, C).

    Args:
        logits: the logarithms of the weights of the clusters, up to a constant, (C,).
        log_densities: log p(z | c) of each expert, (n, C).
        rows: the row of each, (n,).
        size: B.
    """
    shares = (log_densities + logits).softmax(1)
    ballots = torch.nn.functional.one_hot(shares.argmax(1), len(logits)).to(shares.dtype)
    blank = shares.new_zeros(size, len(logits))
    counts = blank.new_zeros(size).index_add(0, rows, blank.new_ones(len(rows))).clamp(min=1).unsqueeze(1)
    return blank.index_add(0, rows, ballots) + 0.5 * blank.index_add(0, rows, shares) / counts


def pruned(logits: Tensor, log_densities: Tensor, rows: Tensor, dims: int) -> Tensor:
    """The logits of the clusters that stay, and -inf for those that pruning drops: (C,); see `CMVAE`.

    Args:
        logits: (C,).
        log_densities: log p(z | c) of each expert of the training rows, (n, C) float64.
        rows: the row of each expert, (n,), of consecutive numbers from 0.
        dims: S.
    """
    current = logits.detach().double().cpu()
    best, least = current, math.inf
    size = int(rows.max()) + 1
    while (left := int(current.isfinite().sum())) > 1:
        joint = log_densities + current.log_softmax(0)
        shares = joint.softmax(1)
        entropy = torch.special.entr(shares).sum(1)
        score = float((entropy / math.log(left) - joint.logsumexp(1) / dims).mean())
        if score < least:
            best, least = current, score
        members = torch.bincount(votes(current, log_densities, rows, size).argmax(1), minlength=len(current))
        members = torch.where(current.isfinite(), members, size + 1)
        current = current.index_fill(0, members.argmin().unsqueeze(0), -torch.inf)
    return best.to(logits)
