"""The base class of units: what one expert infers z from, a modality or a record of several."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components.component import Component


class Unit(Component):
    """The base class of units: a modality, or a record, whose columns are modalities that share one expert.

    A model joins units, and asks each for its networks. Data, masks and scores know modalities alone.
    """

    family: ClassVar[str] = "modality"

    @classmethod
    def gathers(cls, column: Component) -> bool:
        """Whether a unit of this class can have this modality as a column. Default: no, it is a modality itself.

        `mmt init` puts all such columns of a table into one unit.
        """
        return False

    @abstractmethod
    def members(self, name: str) -> Mapping[str, Any]:
        """The modalities that a unit of this name stands for, in order: itself, or the columns of a record."""

    @abstractmethod
    def with_members(self, members: Mapping[str, Any]) -> Self:
        """The unit with these modalities, which may have learned options; a record may have fewer columns then."""

    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one value: what networks read, and what the decoder's distribution scores."""

    @abstractmethod
    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """A module that maps x (N, *event), and c (N, extra) if extra > 0, to features (N, width).

        Most models ask for width = 2 D and split the features into mean and log-variance of a Gaussian expert.
        """

    def branch(self, width: int) -> nn.Module:
        """A module that maps x (N, *event) to (N, width), for encoders that concatenate several units.

        Default: `encoder`.
        """
        return self.encoder(width)

    @property
    def condition_size(self) -> int:
        """The number of features that `condition` returns. Default: the size of one event."""
        return math.prod(self.event_shape())

    def condition(self, x: Tensor) -> Tensor:
        """The features of x (N, *event) for a conditional network: (N, condition_size). Default: x, flattened."""
        return x.reshape(x.shape[0], -1).float()

    @abstractmethod
    def decoder(self, size: int) -> nn.Module:
        """A module that maps z (N, size) to a torch Distribution: batch (N,), event (*event), validate_args=False.

        The distribution is the likelihood. Any distribution works. That of a record is a `JointDistribution`.
        """


class JointDistribution(Distribution):
    """The distribution of a record: of values (N, 2, K), K numbers and a flag for each, 1 if known, else 0.

    Its log-probability is that of the known numbers.
    """

    @abstractmethod
    def log_probs(self, x: Tensor) -> Tensor:
        """The log-probability of each column of x (N, 2, K), 0 where it is unknown: (N, K), nats."""

    @abstractmethod
    def column(self, name: str) -> Distribution:
        """The distribution of one column: batch (N,), and the event of that modality."""
