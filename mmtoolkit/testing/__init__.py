"""The contract kit: checks that plugin authors call in their own tests.

Each `check_...` uses a component as mmtoolkit does. It raises one `AssertionError` with a line for each broken promise:
the promise, the result, the remedy.

```python
from mmtoolkit.testing import check_modality
from my_counts import Count


def test_contract():
    check_modality(Count(), cells=[3, "12", 0], bad=["many", -1])
```

`examine` yields the outcome of every promise instead, kept or broken, as `mmt plugins check` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtoolkit.components import (
    Architecture,
    Component,
    Evaluator,
    Form,
    Likelihood,
    Modality,
    Model,
    Prior,
    Source,
    Unit,
    Watcher,
)
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing import (
    architectures,
    encoders,
    evaluators,
    exports,
    heads,
    inference,
    likelihoods,
    masses,
    models,
    networks,
    parted,
    parts,
    predictions,
    priors,
    records,
    sampling,
    sources,
    subjects,
    watchers,
)
from mmtoolkit.testing import cells as cell_checks
from mmtoolkit.testing.promises import Outcome, assert_no_faults, run_checks

__all__ = [
    "Outcome",
    "check_architecture",
    "check_evaluator",
    "check_likelihood",
    "check_modality",
    "check_model",
    "check_prior",
    "check_record",
    "check_source",
    "check_watcher",
    "examine",
]


def check_modality(modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> None:
    """Check a modality: its cells, networks, likelihood, draws and scores, and that its networks can be exported.

    Args:
        modality: as a schema would make it; `fit` fills its open options from the cells.
        cells: good ones, three or more, all different, none of them None; by default its `example_cells`.
        bad: cells that it must reject, beside those that the kit tries anyway.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(_modality(modality, cells, bad))


def check_record(record: Unit) -> None:
    """Check a unit of several modalities: its columns, networks and likelihoods, unknown cells, and a model over it.

    Args:
        record: as a schema would make it; its columns have `example_cells`, from which they learn their open options.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(_record(record))


def check_model(model: Model, modalities: Mapping[str, Modality] | None = None) -> None:
    """Check a model's networks: loss and gradients, rows with holes, posteriors, decoding, saving and exporting.

    Args:
        model: with a small `latent_dim`, such as 2.
        modalities: name -> modality with `example_cells`; by default three small ones of the kit.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(_model(model, modalities))


def check_architecture(architecture: Architecture, forms: Sequence[Form] | None = None) -> None:
    """Check an architecture: its networks for small forms, their shapes, rows, gradients, precision and weights.

    Args:
        architecture: as a schema would make it; a narrow one is quicker.
        forms: small ones that it reads; needed for a form type of your own. By default some of each type that ships
            with mmtoolkit.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(_architecture(architecture, forms))


def check_likelihood(likelihood: Likelihood, forms: Sequence[Form] | None = None) -> None:
    """Check a likelihood: its heads, densities, gradients and draws, and what it cannot score.

    Args:
        likelihood: as a schema would make it.
        forms: small ones that it scores; needed for a form type of your own. By default some of each type that ships
            with mmtoolkit.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(_likelihood(likelihood, forms))


def check_prior(prior: Prior) -> None:
    """Check a prior: its density, draws, moments and divergence, saving and loading.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(run_checks(priors.Subject(prior), priors.CHECKS))


def check_source(source: Source) -> None:
    """Check a source whose data is on this machine: splits, columns, chunks, files.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(run_checks(source, sources.CHECKS))


def check_evaluator(evaluator: Evaluator, modalities: Mapping[str, Modality] | None = None) -> None:
    """Check an evaluator on runs of several models with untrained weights and rows with holes.

    Args:
        evaluator: small and quick.
        modalities: name -> modality with `example_cells`; by default three small ones of the kit.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(run_checks(evaluators.Subject(evaluator, modalities), evaluators.CHECKS))


def check_watcher(watcher: Watcher) -> None:
    """Check a watcher: its listener hears whole runs, resumed runs and runs that fail, in folders of the kit.

    Args:
        watcher: one that needs no service that is not there.

    Raises:
        AssertionError: it breaks a promise; a line for each.
    """
    assert_no_faults(run_checks(watchers.Subject(watcher), watchers.CHECKS))


def examine(component: Component) -> Iterator[Outcome]:
    """Check a component with its own examples; yield the outcome of each promise as soon as it is known.

    Checks that depend on a failed one are skipped: all later ones, for example, need a decoder to return a
    distribution.

    Raises:
        TypeError: the component belongs to no known family.
    """
    if isinstance(component, Modality):
        return _modality(component)
    if isinstance(component, Unit):
        return _record(component)
    if isinstance(component, Architecture):
        return _architecture(component)
    if isinstance(component, Likelihood):
        return _likelihood(component)
    if isinstance(component, Model):
        return _model(component)
    if isinstance(component, Prior):
        return run_checks(priors.Subject(component), priors.CHECKS)
    if isinstance(component, Source):
        return run_checks(component, sources.CHECKS)
    if isinstance(component, Evaluator):
        return run_checks(evaluators.Subject(component), evaluators.CHECKS)
    if isinstance(component, Watcher):
        return run_checks(watchers.Subject(component), watchers.CHECKS)
    families = "modality, record, architecture, likelihood, prior, model, source, evaluator or watcher"
    raise TypeError(f"{component!r} is of no known family; pass a {families}")


def _architecture(architecture: Architecture, forms: Sequence[Form] | None = None) -> Iterator[Outcome]:
    checks = (*architectures.CHECKS, exports.networks_are_exported)
    return run_checks(architectures.Subject(architecture, forms), checks, architectures.REQUIRED)


def _likelihood(likelihood: Likelihood, forms: Sequence[Form] | None = None) -> Iterator[Outcome]:
    return run_checks(heads.Subject(likelihood, forms), (*heads.CHECKS, *masses.CHECKS), heads.REQUIRED)


def _model(model: Model, modalities: Mapping[str, Modality] | None = None) -> Iterator[Outcome]:
    return run_checks(models.Subject(model, modalities), (*models.CHECKS, *inference.CHECKS, exports.model_is_exported))


def _record(record: Unit) -> Iterator[Outcome]:
    checks = (*records.CHECKS, *encoders.CHECKS, networks.saved_weights_can_be_loaded, exports.unit_is_exported)
    return run_checks(records.Subject(record), checks, (*records.REQUIRED, *encoders.REQUIRED))


def _modality(modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> Iterator[Outcome]:
    checks = (
        *cell_checks.CHECKS,
        *parted.CHECKS,
        *encoders.CHECKS,
        *likelihoods.CHECKS,
        *networks.CHECKS,
        *predictions.CHECKS,
        *parts.CHECKS,
        *sampling.CHECKS,
        exports.unit_is_exported,
    )
    required = (*parted.REQUIRED, *encoders.REQUIRED, *likelihoods.REQUIRED)
    return run_checks(subjects.Subject(modality, cells, bad), checks, required)
