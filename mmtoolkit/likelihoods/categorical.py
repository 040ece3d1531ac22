"""The categorical likelihood: of classes, and of the symbols of a text."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, distributions, nn

from mmtoolkit.components import Classes, Form, Likelihood
from mmtoolkit.components.support import Support
from mmtoolkit.core.posterior import at_least_float32


class CategoricalLikelihood(Likelihood):
    """A categorical distribution over the classes."""

    kind: Literal["categorical"] = "categorical"
    scores: ClassVar[tuple[type[Form], ...]] = (Classes,)
    support: ClassVar[Support] = "classes"

    def numbers(self, form: Form) -> int:
        """One logit for each class."""
        assert isinstance(form, Classes)
        return form.count

    def head(self, form: Form) -> nn.Module:
        """The outputs are logits."""
        return _Head()


class _Head(nn.Module):
    """From logits (N, K)."""

    def forward(self, raw: Tensor) -> distributions.Categorical:
        return distributions.Categorical(logits=at_least_float32(raw), validate_args=False)
