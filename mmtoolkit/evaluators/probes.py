"""Linear probes and clusters of z, with scikit-learn, and their scores with standard errors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.jackknife import jackknife
from mmtoolkit.evaluators.scikit_learn import import_sklearn

_ITERATIONS = 2000
_STARTS = 4


def import_probes(module: str) -> ModuleType:
    """A module of scikit-learn that probes or clusters.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return import_sklearn(module, "evaluate, latent", "remove latent from evaluate")


@dataclass(frozen=True)
class Rows:
    """The z and one modality of some rows, on the host.

    Attributes:
        z: (N, D) float64.
        numbers: (N, P) float64, the parts of its values as numbers.
        known: (N, P) bool.
    """

    z: Tensor
    numbers: Tensor
    known: Tensor


def accuracy_of_probe(learned: Rows, scored: Rows) -> dict[str, Any]:
    """The accuracy of logistic regressions of classes on z, one for each part: {value, stderr, examples, baseline}.

    The regression has a penalty of half the squared weights on z of variance 1 (C = 1). The score of a row is the share
    of its known parts that are right; the baseline predicts the most frequent class of the rows to learn from.
    """
    linear = import_probes("linear_model")
    z, z_scored = _standardised(learned.z, scored.z)
    hits, usual_hits = torch.zeros_like(scored.numbers), torch.zeros_like(scored.numbers)
    known = scored.known.clone()
    for part in range(scored.numbers.shape[1]):
        rows = learned.known[:, part]
        classes, counts = learned.numbers[rows, part].unique(return_counts=True)
        if not len(classes):
            known[:, part] = False
            continue
        usual = predicted = classes[counts.argmax()].expand(len(scored.z))
        if len(classes) > 1:
            regression = linear.LogisticRegression(max_iter=_ITERATIONS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # classes that a plane parts need no exact optimum
                regression.fit(z[rows].numpy(), learned.numbers[rows, part].numpy())
            predicted = torch.from_numpy(regression.predict(z_scored.numpy()))
        hits[:, part] = (predicted == scored.numbers[:, part]).double()
        usual_hits[:, part] = (usual == scored.numbers[:, part]).double()
    means = [_mean_of_parts(of, known) for of in (hits, usual_hits)]
    return {**means[0].compute(), "baseline": means[1].compute()["value"]}


def _mean_of_parts(scores: Tensor, known: Tensor) -> MeanWithError:
    """The mean over rows of the mean over their known parts."""
    mean = MeanWithError()
    rows = known.any(1)
    mean.update(torch.where(known, scores, 0.0)[rows].sum(1) / known[rows].sum(1))
    return mean


def r2_of_probe(learned: Rows, scored: Rows) -> dict[str, Any]:
    """R², the share of variance that ridge regressions on z explain: {value, stderr, examples, baseline}.

    The regression has a penalty of the squared weights on z and numbers of variance 1 (alpha = 1). R² is 1 - sum
    (y - ŷ)² / sum (y - mean y)² over the scored rows, averaged over the parts that vary there. The standard error is
    that of this ratio of means to first order. The baseline is 0: it predicts their mean.
    """
    linear = import_probes("linear_model")
    z, z_scored = _standardised(learned.z, scored.z)
    values, influences = [], torch.zeros(len(scored.z), dtype=torch.float64)
    for part in range(scored.numbers.shape[1]):
        rows, places = learned.known[:, part], scored.known[:, part]
        truth = scored.numbers[places, part]
        spread = (truth - truth.mean()).square()
        if not rows.any() or len(truth) < 2 or not spread.mean() > 0:
            continue
        y = learned.numbers[rows, part]
        centre, scale = y.mean(), y.std(correction=0).clamp(min=torch.finfo(torch.float64).tiny)
        ridge = linear.Ridge(alpha=1.0)
        ridge.fit(z[rows].numpy(), ((y - centre) / scale).numpy())
        errors = (torch.from_numpy(ridge.predict(z_scored[places].numpy())) * scale + centre - truth).square()
        ratio = errors.mean() / spread.mean()
        values.append(float(1 - ratio))
        influences[places] += (errors - ratio * spread) / spread.mean() * len(scored.z) / len(truth)
    examples = int(scored.known.any(1).sum())
    if not values:
        return {"value": None, "stderr": None, "examples": examples, "baseline": 0.0}
    stderr = float(influences.std() / len(values) / len(influences) ** 0.5)
    return {"value": sum(values) / len(values), "stderr": stderr, "examples": examples, "baseline": 0.0}


def nmi_of_clusters(learned: Rows, scored: Rows, seed: int) -> dict[str, Any]:
    """The normalised mutual information of classes with clusters of z: {value, stderr, examples, baseline}.

    k-means, the best of four starts, finds as many clusters as there are classes, in z alone. The mutual information is
    divided by the mean of the two entropies (Strehl & Ghosh 2002 take the geometric mean). The error is by jackknife.
    """
    clusters = len(learned.numbers[:, 0].unique())
    means = import_probes("cluster").KMeans(clusters, n_init=_STARTS, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # z may have fewer distinct values than there are classes
        groups = means.fit(learned.z.numpy()).predict(scored.z.numpy())
    truth, metrics = scored.numbers[:, 0].numpy(), import_probes("metrics")

    def nmi(places: Tensor) -> float:
        return float(metrics.normalized_mutual_info_score(truth[places.numpy()], groups[places.numpy()]))

    rows = len(truth)
    return {
        "value": nmi(torch.arange(rows)),
        "stderr": jackknife(rows, nmi),
        "examples": rows,
        "baseline": 0.0,
    }


def _standardised(learned: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Both, (N, D), less the mean of the first and over the root of its mean variance.

    There is one scale for all of z: dimensions that a model does not use, which hardly vary, stay small.
    """
    mean, variance = learned.mean(0), learned.var(0, correction=0).mean()
    scale = variance.sqrt() if variance > 0 else torch.ones_like(variance)
    return (learned - mean) / scale, (scored - mean) / scale
