"""The categorical likelihood: of classes, and of the symbols of a text."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, distributions, nn

from mmtoolkit.components import Classes, Form, Likelihood, Tokens, Writer
from mmtoolkit.components.support import Support
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.likelihoods.tokens import TokensDistribution, TokensHead


class CategoricalLikelihood(Likelihood):
    """A categorical distribution over the classes, or over the symbols at each place of a text.

    The symbols of a text include one that ends it, so that the probabilities of all texts up to the bound sum to one.
    """

    kind: Literal["categorical"] = "categorical"
    scores: ClassVar[tuple[type[Form], ...]] = (Classes, Tokens)
    support: ClassVar[Support] = "classes"
    writes: ClassVar[bool] = True
    pads: ClassVar[bool] = True

    def numbers(self, form: Form) -> int:
        """One logit for each class or symbol."""
        assert isinstance(form, (Classes, Tokens))
        return form.count if isinstance(form, Classes) else form.vocabulary

    def head(self, form: Form) -> nn.Module:
        """The outputs are logits."""
        return TokensHead(form) if isinstance(form, Tokens) else _Head()

    def written(self, writer: Writer, z: Tensor) -> TokensDistribution:
        """Each symbol depends on those before it."""
        return TokensDistribution(writer, z)


class _Head(nn.Module):
    """From logits (N, K)."""

    def forward(self, raw: Tensor) -> distributions.Categorical:
        return distributions.Categorical(logits=at_least_float32(raw), validate_args=False)
