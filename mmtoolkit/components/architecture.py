"""The base class of architectures: the networks between a form and features."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components.component import Component
from mmtoolkit.components.form import Form, check_forms
from mmtoolkit.components.likelihood import Likelihood, Writer


class Architecture(Component):
    """The base class of architectures: they build the networks of a modality, given its form.

    You write `encoder` and `raw`, for the forms in `reads`.
    """

    family: ClassVar[str] = "architecture"
    reads: ClassVar[tuple[type[Form], ...]]
    """The forms that its networks read and write, such as `(Numbers, Grid)`. You write it."""

    @classmethod
    def check_class(cls) -> None:
        """Check that `reads` is there.

        Raises:
            TypeError: it is not, or is no tuple of types of forms.
        """
        check_forms(cls, "reads", "the types of forms that it has networks for")

    def misfit(self, form: Form) -> str | None:
        """Why it has no networks for this form, one of `reads`; None if it has. Default: None."""
        return None

    @abstractmethod
    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """A module that maps x (N, *form.shape), and c (N, extra) if extra > 0, to features (N, width).

        x is float, or int64 for classes and tokens. `Conditioned` joins x and c.
        """

    def branch(self, form: Form, width: int) -> nn.Module:
        """A module that maps x (N, *form.shape) to (N, width), for encoders that concatenate several modalities.

        Default: `encoder`.
        """
        return self.encoder(form, width)

    @abstractmethod
    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """A module that maps z (N, size) to a likelihood's parameters before any link: (N, numbers, *form.places)."""

    def decoder(self, form: Form, size: int, likelihood: Likelihood) -> nn.Module:
        """A module that maps z (N, size) to a torch Distribution, as `likelihood.head(form)` returns it.

        Default: `raw`, followed by the likelihood's head. An architecture with a `Writer` overrides it, and returns a
        `WrittenDecoder` for tokens if the likelihood `writes`.
        """
        return RawDecoder(self.raw(form, size, likelihood.numbers(form)), likelihood.head(form))


class RawDecoder(nn.Module):
    """From z to a distribution, by a network and the head of a likelihood.

    Args:
        raw: from z (N, size) to (N, numbers, *places).
        head: from there to a distribution.
    """

    def __init__(self, raw: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.raw = raw
        self.head = head

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N, *places)."""
        p: Distribution = self.head(self.raw(z))
        return p


class WrittenDecoder(nn.Module):
    """From z to the distribution of texts that a network writes symbol by symbol.

    Args:
        writer: gives the next symbol.
        likelihood: has `written`.
    """

    def __init__(self, writer: Writer, likelihood: Likelihood) -> None:
        super().__init__()
        self.writer = writer
        self.written = likelihood.written

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event (L,)."""
        return self.written(self.writer, z)


class Conditioned(nn.Module):
    """A network in two parts, of which the second reads a condition, if there is one, beside the first one's features.

    Args:
        first: from x (N, *shape) to features (N, F).
        dense: from (N, F + extra) to (N, width).
    """

    def __init__(self, first: nn.Module, dense: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.dense = dense

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width) of x, and of a condition (N, extra)."""
        features = self.first(x)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        out: Tensor = self.dense(features)
        return out
