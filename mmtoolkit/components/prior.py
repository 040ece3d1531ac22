"""The base class of priors."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from mmtoolkit.components.component import Component
from mmtoolkit.core.prior import PriorModule


class Prior(Component):
    """The base class of priors: p(z), the distribution of z before anything is known of a row."""

    family: ClassVar[str] = "prior"

    @abstractmethod
    def build(self, latent_dim: int) -> PriorModule:
        """Build the prior over D latent variables; what it learns starts from PyTorch's default generator.

        Raises:
            UserError: a package that it needs is not installed.
        """
