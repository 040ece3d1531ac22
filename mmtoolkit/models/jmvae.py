"""The joint multimodal variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Divergence, Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit
from mmtoolkit.components.listed import ListedNetwork
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.names import known
from mmtoolkit.models.several import check_several
from mmtoolkit.priors import NormalPrior

_HIDDEN = 512


class JMVAE(ManyDraws):
    """The JMVAE: a joint inference network, and one for each modality, which training pulls towards it.

    Training maximises, over the rows that have all modalities,

        E_q(z | x)[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)) - α sum_s KL(q(z | x) || q(z | x_s)),

    where x is all modalities, and s is each modality alone and each of the listed subsets. The model infers z from all
    modalities, from each alone, or from a listed subset.

    Source: Suzuki, Nakayama & Matsuo, "Joint Multimodal Learning with Deep Generative Models", ICLR 2017 workshop.
    """

    kind: Literal["jmvae"] = "jmvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    alpha: NonNegativeFloat = 0.1
    """α, the weight of the KL divergences to the inference networks of the subsets."""
    width: Annotated[int, Field(gt=0, le=65_536)] = 512
    """The number of features of each modality that a joint inference network reads."""
    subsets: tuple[tuple[str, ...], ...] = ()
    """Sets of at least two modalities, but not all, that also get an inference network."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A narrow one."""
        return (cls(latent_dim=2, width=16),)

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Build encoders and decoders of the modalities, a joint encoder of all, and one of each listed subset."""
        check_several("jmvae", modalities)
        listed = []
        for place, names in enumerate(self.subsets):
            subset = frozenset(known(name, modalities, f"subsets.{place}") for name in names)
            if not 1 < len(subset) < len(modalities) or subset in listed:
                raise UserError(
                    f"model.subsets.{place}: [{', '.join(names)}] must hold two modalities or more, not all of them, "
                    "and be listed once; correct or remove it"
                )
            listed.append(subset)
        return JMVAENetwork(
            modalities, self.latent_dim, self.alpha, self.width, listed, self.prior, self.draws, self.gradient
        )


class JointEncoder(nn.Module):
    """One inference network of several modalities: their branches side by side, and two layers (Wu & Goodman 2018).

    Args:
        modalities: name -> modality, in schema order.
        width: features of each branch.
        out: features that it gives.
    """

    def __init__(self, modalities: Mapping[str, Unit], width: int, out: int) -> None:
        super().__init__()
        self.names = tuple(modalities)
        self.branches = nn.ModuleList(modality.branch(width) for modality in modalities.values())
        joined = nn.Linear(len(self.names) * width, _HIDDEN)
        self.dense = nn.Sequential(joined, nn.SiLU(), nn.Linear(_HIDDEN, out))

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Features (B, out) of rows that have all of its modalities, from the values of each, (B, *event)."""
        read = [branch(values[name]) for name, branch in zip(self.names, self.branches, strict=True)]
        features: Tensor = self.dense(torch.cat(read, dim=1))
        return features


def _part(names: list[str]) -> str:
    """The name of a divergence; no two sets have the same, whatever their modalities are called."""
    return f"KL(joint, {names[0]})" if len(names) == 1 else f"KL(joint; {names})"


class JMVAENetwork(ListedNetwork):
    """The networks of a JMVAE; `joint` holds the joint encoder of everything, then those of the listed subsets."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        alpha: float,
        width: int,
        listed: list[frozenset[str]],
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.alpha = alpha
        self.sets = [frozenset(modalities), *listed]
        self.joint = nn.ModuleList(
            JointEncoder({name: m for name, m in modalities.items() if name in subset}, width, 2 * latent_dim)
            for subset in self.sets
        )

    def subsets(self) -> list[frozenset[str]]:
        """Everything, the listed subsets, and each unit alone."""
        return [*self.sets, *(frozenset([name]) for name in self.units)]

    def usable(self, present: Tensor) -> Tensor:
        """The rows that have something of every unit: (B,) bool."""
        return self.there(present).all(1)

    def inference_modules(self) -> list[nn.Module]:
        """The encoders of the modalities, and the joint ones."""
        return [self.encoders, self.joint]

    def posterior_of_set(self, values: Mapping[str, Tensor], given: frozenset[str]) -> Gaussian:
        """q(z | given) by the inference network of that set: (B, D)."""
        if given in self.sets:
            return Gaussian(*self.joint[self.sets.index(given)](values).chunk(2, dim=-1))
        (name,) = given
        return self.unit_expert(name, values[name])

    def divergences(self) -> tuple[str, ...]:
        """`KL`, and that to the network of each subset, `KL(joint, NAME)` or `KL(joint; [NAMES])`."""
        return ("KL", *(self._part(subset) for subset in self.subsets()[1:]))

    def terms(self, step: Step) -> Terms:
        """One, of the joint network, which all other networks should agree with."""
        everything, *rest = self.subsets()
        apart = [
            Divergence(self._part(subset), self.posterior(step.visible, subset), self.alpha, annealed=False)
            for subset in rest
        ]
        return Terms(self.posterior(step.visible, everything), step.once(), divergences=[Divergence(), *apart])

    def _part(self, subset: frozenset[str]) -> str:
        return _part([name for name in self.units if name in subset])
