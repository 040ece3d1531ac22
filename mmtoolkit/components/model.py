"""The base class of models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field

from mmtoolkit.components.component import Component
from mmtoolkit.components.network import Network
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
