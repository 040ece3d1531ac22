"""Checks of an evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class
from mmtoolkit.components import Evaluator, Modality, Model, Picture, Run, Scores
from mmtoolkit.models import CVAE, MVAE, VAE
from mmtoolkit.runs.folder import check_result
from mmtoolkit.testing.promises import round_trip
from mmtoolkit.testing.stand_ins import StandInRun, stand_in_modalities
from mmtoolkit.training.networks import build


class Subject:
    """An evaluator under test, with runs to score.

    Args:
        evaluator: its options name only modalities listed here.
        modalities: name -> modality with `example_cells`; by default small ones of the kit.
    """

    def __init__(self, evaluator: Evaluator, modalities: Mapping[str, Modality] | None = None) -> None:
        self.evaluator = evaluator
        originals = stand_in_modalities() if modalities is None else modalities
        self.modalities = {name: m.fit(iter([list(m.example_cells())])) for name, m in originals.items()}

    def run(self, model: Model | None = None) -> StandInRun:
        """A run of a model with untrained weights; by default an MVAE."""
        network = build(model or MVAE(latent_dim=2), self.modalities, seed=0)
        network.eval()
        return StandInRun(self.modalities, network)

    @cached_property
    def scores(self) -> Scores:
        """Its scores of an MVAE on the test split."""
        return self.score(self.run())

    def score(self, run: StandInRun) -> Scores:
        """Score the test split of a run, as `mmt evaluate` does."""
        self.evaluator.check(tuple(run.modalities))
        self.evaluator.check_modalities(run.modalities)
        self.evaluator.check_model(run.model)
        protocol: Run = run
        with torch.no_grad():
            result: Any = self.evaluator.evaluate(protocol, "test")
        if not isinstance(result, Scores):
            raise TypeError(f"evaluate returns {type(result).__name__}, not mmtoolkit.Scores")
        scores: Scores = result
        return scores


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged."""
    yield from round_trip(subject.evaluator)


def results_are_plain(subject: Subject) -> Iterator[str]:
    """`evaluate` returns results of plain data, each with target and given in schema order."""
    scores, names = subject.scores, list(subject.modalities)
    if not scores.results:
        yield (
            "evaluate: must return at least one result for a model that can do everything, but got none; score "
            "something, or list entries for the kit's modalities"
        )
    for result in scores.results:
        try:
            check_result(
                {key: None if isinstance(v, float) and not abs(v) < float("inf") else v for key, v in result.items()}
            )
        except ValueError as error:
            yield (
                f"evaluate: results must be plain data with target and given, but got {dict(result)}: {error}; use "
                "lists of names, and numbers"
            )
            continue
        for key in ("target", "given"):
            listed = result[key]
            if listed != [name for name in names if name in listed]:
                yield (
                    f"evaluate: {key} must list modalities in schema order, but got {listed}; use the order of "
                    "run.modalities"
                )
        if "value" not in result:
            yield (
                f"evaluate: a result must have a value, a number or None, but got {dict(result)}; call its number value"
            )
        if "better" not in result:
            yield (
                f"evaluate: a result must say whether high or low is better, but got {dict(result)}; add better: "
                "'high' or 'low', or None if neither is"
            )
    if not all(isinstance(note, str) for note in scores.notes):
        yield "evaluate: notes must be lines of text, but got something else; return a list of str"


def figures_are_figures(subject: Subject) -> Iterator[str]:
    """Figures are a list of pictures, or Matplotlib figures by name."""
    from matplotlib.figure import Figure

    pictures: Sequence[Any] = subject.scores.pictures
    for picture in pictures:
        figure: Any = getattr(picture, "figure", None)
        if not isinstance(picture, Picture):
            yield (
                "evaluate: figures must be a list of mmtoolkit.Picture, or name -> figure, but the list holds "
                f"{type(picture).__name__}; make it an mmtoolkit.Picture"
            )
        elif not isinstance(figure, Figure):
            yield (
                f"evaluate: the figure {picture.name!r} must be a matplotlib Figure, but got {type(figure).__name__}; "
                "make it with matplotlib.figure.Figure"
            )


def scores_are_the_same_each_time(subject: Subject) -> Iterator[str]:
    """The same run gets the same scores; draws come only from run.generator."""
    scores = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        scores.append(subject.score(subject.run()))
    if scores[0].results != scores[1].results and repr(scores[0].results) != repr(scores[1].results):
        yield (
            "evaluate: must return the same scores each time, but they changed with PyTorch's default generator; draw "
            "with run.generator, or seed from it inside torch.random.fork_rng()"
        )


def run_is_unchanged(subject: Subject) -> Iterator[str]:
    """`evaluate` changes nothing of the run: weights, evaluation mode, PyTorch's generator."""
    run = subject.run()
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    state = torch.get_rng_state()
    subject.score(run)
    if any(not torch.equal(value, before[name]) for name, value in run.model.state_dict().items()):
        yield "evaluate: must not change the trained weights, but did; copy the model before you train it"
    if run.model.training:
        yield "evaluate: must leave the model in evaluation mode, but left it in training mode; call eval() at the end"
    if not torch.equal(torch.get_rng_state(), state):
        yield (
            "evaluate: must not draw from PyTorch's default generator, but did; draw with run.generator, or inside "
            "torch.random.fork_rng()"
        )


def other_models_are_scored(subject: Subject) -> Iterator[str]:
    """`evaluate` skips what a model cannot do, with a note, or raises a UserError before training."""
    for model in (VAE(latent_dim=2), CVAE(latent_dim=2)):
        try:
            subject.score(subject.run(model))
        except UserError:
            continue
        except Exception as error:
            yield (
                f"evaluate: must skip what a model cannot do, but for a {model.kind} it raised "
                f"{error_with_class(error)}; check model.targets, subsets and conditions first"
            )


CHECKS = (
    results_are_plain,
    options_come_back,
    figures_are_figures,
    scores_are_the_same_each_time,
    run_is_unchanged,
    other_models_are_scored,
)
