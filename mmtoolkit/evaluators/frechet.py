"""The Fréchet distance between features of generated and of real values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import torch
from torch import Tensor

from mmtoolkit.evaluators.generated import GeneratedValues
from mmtoolkit.evaluators.jackknife import jackknife


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """The squared Fréchet (2-Wasserstein) distance of the two Gaussians fitted to features (Dowson & Landau 1982).

    It is |m - m'|² + tr(S + S' - 2 (S S')^(1/2)), with means m and unbiased covariances S. The trace of the root is the
    sum of the singular values of F' F for any factors S = F F', which is real and not negative whatever was rounded.

    Args:
        real: (N, F), N >= 2.
        generated: (M, F), M >= 2.
    """
    real, generated = real.double(), generated.double()
    mean = (real.mean(0) - generated.mean(0)).square().sum()
    one, other = _factor(real), _factor(generated)
    root = torch.linalg.svdvals(one.T @ other).sum()
    return float((mean + one.square().sum() + other.square().sum() - 2 * root).clamp(min=0))


def _factor(x: Tensor) -> Tensor:
    """A factor (F, min(N, F)) of the covariance of features (N, F)."""
    centred: Tensor = ((x - x.mean(0)) / (len(x) - 1) ** 0.5).T
    if len(x) <= x.shape[1]:
        return centred
    values: Tensor
    vectors: Tensor
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    return vectors * values.clamp(min=0).sqrt()


class Frechet(GeneratedValues):
    """The Fréchet distance between the features of generated and of real values: 0 if both have equal moments.

    The features are those of a classifier of this modality, trained on the same data, or the values themselves. The
    "FID" of the literature is this distance for features of an Inception network trained on ImageNet (Heusel et al.
    2017): numbers of this evaluator compare runs on the same data, and not with published ones.

    The default entries are each target of several numbers, such as a picture, from the prior, from each single other
    unit, from all others, and from itself. A row counts if it has the target and any of the given.
    """

    kind: Literal["frechet"] = "frechet"

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One that trains no judges."""
        return (cls(features="values"),)

    def compare(self, real: Tensor, generated: Tensor) -> list[dict[str, Any]]:
        """One distance, and its standard error by jackknife over rows."""

        def distance(places: Tensor) -> float:
            return frechet_distance(real[places], generated[places])

        stderr = jackknife(len(real), distance) if len(real) == len(generated) else None
        value = frechet_distance(real, generated)
        return [{"metric": "frechet", "better": "low", "value": value, "stderr": stderr}]
