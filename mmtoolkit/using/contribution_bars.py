"""Turns contributions into bars of a picture: those of one row, or their means over rows."""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.words import number, one_line, shorten
from mmtoolkit.components import Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.figures.contributions import Bar, draw_contributions
from mmtoolkit.using.contributions import EFFECT, MEASURES, Contributions, Explainer

_TITLES = ("share of precision", "shift, standard deviations", "KL, nats")
_VALUE = 24  # letters of the value of a cell


class MeanBars:
    """The means of contributions over rows, each over the rows that have one; of effects, their mean size.

    Args:
        explainer: computes the contributions that are added.
    """

    def __init__(self, explainer: Explainer) -> None:
        self.explainer = explainer
        self.rows = 0
        self._sums = dict.fromkeys(explainer.keys(), 0.0)
        self._counts = dict.fromkeys(explainer.keys(), 0)

    def add(self, contributions: Contributions, size: int) -> None:
        """Add those of some rows."""
        self.rows += size
        for key, values in contributions.numbers.items():
            known = values[~values.isnan()]
            self._sums[key] += float(known.abs().sum() if key[1] == EFFECT else known.sum())
            self._counts[key] += len(known)

    @property
    def means(self) -> dict[tuple[str, str], float]:
        """(part, measure) -> the mean; NaN where no row has one."""
        return {key: self._sums[key] / count if count else math.nan for key, count in self._counts.items()}

    def figure(self, title: str = "") -> Figure:
        """Draw the means."""
        return _draw(self.explainer, self.means, {}, "mean size of the effect", title)


def figure_of_row(explainer: Explainer, contributions: Contributions, batch: Batch, row: int, title: str) -> Figure:
    """Draw the contributions of one row of a batch, each part with its value in words."""
    numbers = {key: float(values[row]) for key, values in contributions.numbers.items()}
    predicted = None if contributions.predicted is None else contributions.predicted[row]
    if predicted is not None:
        title = f"{title}; {explainer.target} is predicted as {number(predicted)}"
    return _draw(explainer, numbers, _words(explainer.run, batch, row), "effect", title)


def _draw(
    explainer: Explainer,
    numbers: dict[tuple[str, str], float],
    words: dict[str, str],
    effect: str,
    title: str,
) -> Figure:
    measures, titles = list(MEASURES), list(_TITLES)
    if explainer.target is not None:
        measures.append(EFFECT)
        titles.append(f"{effect} on {explainer.target}")
    bars = [
        Bar(words.get(part.name, part.name), [numbers.get((part.name, m), math.nan) for m in measures], not part.whole)
        for part in explainer.parts
    ]
    if explainer.has_shares_of_prior:
        shares = [numbers[explainer.prior, MEASURES[0]], *[math.nan] * (len(measures) - 1)]
        bars.append(Bar(explainer.prior, shares, is_prior=True))
    return draw_contributions(bars, titles, title)


def _words(run: Run, batch: Batch, row: int) -> dict[str, str]:
    """Name -> name and value of each modality that a row has and that is no picture."""
    words = {}
    for name, modality in run.model.modalities.items():
        places = batch.rows(name)
        value: Tensor = batch.value(name)[places == row]
        if len(value) and not modality.picture:
            words[name] = f"{name}: {shorten(one_line(modality.text(value[0].cpu())), _VALUE)}"
    return words


@torch.no_grad()
def mean_contributions(run: Run, split: str, rows: Tensor) -> MeanBars:
    """The means over some rows of a split of the run's own data."""
    explainer = Explainer(run)
    bars = MeanBars(explainer)
    for batch in run.batches(split, [rows]):
        bars.add(explainer.contributions(batch), batch.size)
    return bars
