"""The base class of models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from mmtoolkit.components.component import Component
from mmtoolkit.components.network import Network
from mmtoolkit.components.terms_network import Gradient
from mmtoolkit.components.unit import Unit


class Model(Component):
    """The base class of models, which join modalities in one latent space and define the training loss."""

    family: ClassVar[str] = "model"

    latent_dim: Annotated[int, Field(gt=0, le=65_536)] = 64
    """D, the number of latent variables."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One model with two latent variables and all other defaults, or none if an option has no default."""
        return (example.model_copy(update={"latent_dim": 2}) for example in super().examples())

    @abstractmethod
    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Build the networks for these modalities and records, initialised from PyTorch's default generator.

        Raises:
            UserError: the model does not work with them.
        """


class ManyDraws(Model):
    """The base class of models whose bound can be taken from several draws of z; see `TermsNetwork`."""

    draws: Annotated[int, Field(gt=0, le=10_000)] = 1
    """K, the number of draws of z for each row of a term; with more than 1, training maximises a tighter bound, the
    logarithm of the mean of their importance weights (Burda et al. 2016; Mattei & Frellsen 2019)."""
    gradient: Gradient = "standard"
    """`dreg`: the doubly reparametrised gradient of the bound of several draws (Tucker et al. 2019)."""

    @model_validator(mode="after")
    def _check_gradient(self) -> Self:
        if self.gradient == "dreg" and self.draws == 1:
            raise ValueError("gradient: dreg is for several draws; set draws to 2 or more, or gradient to standard")
        return self
