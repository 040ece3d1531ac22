"""The contract kit: what plugin authors call in their own tests.

Each `check_...` tries a component as mmtoolkit uses it and raises one `AssertionError`, with a line for each broken
promise: what was promised, what came, what to do.

```python
from mmtoolkit.testing import check_modality
from my_counts import Count


def test_contract():
    check_modality(Count(), cells=[3, "12", 0], bad=["many", -1])
```

`examine` gives the outcome of every promise instead, kept or broken, as `mmt plugins check` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtoolkit.components import Component, Evaluator, Modality, Model, Source
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing import cells as data
from mmtoolkit.testing import evaluators, inference, models, networks, sampling, sources, subjects
from mmtoolkit.testing.promises import Outcome, assert_kept, examined

__all__ = ["Outcome", "check_evaluator", "check_modality", "check_model", "check_source", "examine"]


def check_modality(modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> None:
    """Try a modality: its cells, networks, likelihood, draws and scores.

    Args:
        modality: as a schema would make it; what is left open is learned from the cells.
        cells: good ones, three or more, all different, none of them None; its `example_cells` where left out.
        bad: cells that it must refuse, beside those that the kit thinks of.

    Raises:
        AssertionError: a promise is broken; a line each.
    """
    assert_kept(_modality(modality, cells, bad))


def check_model(model: Model, modalities: Mapping[str, Modality] | None = None) -> None:
    """Try a model's networks: loss and gradients, rows with holes, posteriors, decoding, weights saved and loaded.

    Args:
        model: with a small `latent_dim`, such as 2.
        modalities: name -> modality with `example_cells`; three small ones of the kit where left out.

    Raises:
        AssertionError: a promise is broken; a line each.
    """
    assert_kept(_model(model, modalities))


def check_source(source: Source) -> None:
    """Try a source whose data is here: splits, columns, chunks, files.

    Raises:
        AssertionError: a promise is broken; a line each.
    """
    assert_kept(examined(source, sources.CHECKS))


def check_evaluator(evaluator: Evaluator, modalities: Mapping[str, Modality] | None = None) -> None:
    """Try an evaluator on runs of several models, with fresh weights and rows with holes.

    Args:
        evaluator: small and quick.
        modalities: name -> modality with `example_cells`; three small ones of the kit where left out.

    Raises:
        AssertionError: a promise is broken; a line each.
    """
    assert_kept(examined(evaluators.Subject(evaluator, modalities), evaluators.CHECKS))


def examine(component: Component) -> Iterator[Outcome]:
    """The outcome of every promise of a component, tried with its own examples, each as it is asked for.

    It ends early with a broken promise that all later ones rest on, such as that a decoder gives a distribution.

    Raises:
        TypeError: it is of no known family.
    """
    if isinstance(component, Modality):
        return _modality(component)
    if isinstance(component, Model):
        return _model(component)
    if isinstance(component, Source):
        return examined(component, sources.CHECKS)
    if isinstance(component, Evaluator):
        return examined(evaluators.Subject(component), evaluators.CHECKS)
    raise TypeError(f"{component!r} is no modality, source, model or evaluator")


def _model(model: Model, modalities: Mapping[str, Modality] | None = None) -> Iterator[Outcome]:
    return examined(models.Subject(model, modalities), (*models.CHECKS, *inference.CHECKS))


def _modality(modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> Iterator[Outcome]:
    checks = (*data.OF_CELLS, *networks.CHECKS, *data.OF_PREDICTIONS, *sampling.CHECKS)
    return examined(subjects.Subject(modality, cells, bad), checks, networks.NEEDED)
