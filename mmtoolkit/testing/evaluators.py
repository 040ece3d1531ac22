"""What an evaluator promises."""

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
from mmtoolkit.testing.cells import round_trip
from mmtoolkit.testing.stand_ins import StandInRun, stand_in_modalities
from mmtoolkit.training.networks import build


class Subject:
    """An evaluator, and runs that it is to score.

    Args:
        evaluator: whose options name no modality but those given here.
        modalities: name -> modality with `example_cells`; small ones of the kit's own where left out.
    """

    def __init__(self, evaluator: Evaluator, modalities: Mapping[str, Modality] | None = None) -> None:
        self.evaluator = evaluator
        given = stand_in_modalities() if modalities is None else modalities
        self.modalities = {name: m.fit(iter([list(m.example_cells())])) for name, m in given.items()}

    def run(self, model: Model | None = None) -> StandInRun:
        """A run of a model with fresh weights, an MVAE where left out."""
        network = build(model or MVAE(latent_dim=2), self.modalities, seed=0)
        network.eval()
        return StandInRun(self.modalities, network)

    @cached_property
    def scores(self) -> Scores:
        """What it finds of an MVAE's test split."""
        return self.scored(self.run())

    def scored(self, run: StandInRun) -> Scores:
        """What it finds of the test split, as `mmt evaluate` asks."""
        self.evaluator.check(tuple(run.modalities))
        self.evaluator.check_model(run.model)
        asked: Run = run
        with torch.no_grad():
            scores: Any = self.evaluator.evaluate(asked, "test")
        if not isinstance(scores, Scores):
            raise TypeError(f"evaluate gives {type(scores).__name__}, not mmtoolkit.Scores")
        found: Scores = scores
        return found


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options come back from JSON as they were."""
    yield from round_trip(subject.evaluator)


def results_are_plain(subject: Subject) -> Iterator[str]:
    """`evaluate` gives results of plain data, each with target and given in schema order."""
    scores, names = subject.scores, list(subject.modalities)
    if not scores.results:
        yield (
            "evaluate: gives a result or more for a model that can do everything, but none came; score something, or "
            "name entries for the kit's modalities"
        )
    for result in scores.results:
        try:
            check_result(
                {key: None if isinstance(v, float) and not abs(v) < float("inf") else v for key, v in result.items()}
            )
        except ValueError as error:
            yield (
                f"evaluate: results are plain data with target and given, but {dict(result)} came: {error}; give lists "
                "of names and numbers"
            )
            continue
        for key in ("target", "given"):
            listed = result[key]
            if listed != [name for name in names if name in listed]:
                yield (
                    f"evaluate: {key} lists modalities in schema order, but {listed} came; sort them as run.modalities "
                    "has them"
                )
        if "value" not in result:
            yield f"evaluate: a result has a value, a number or None, but {dict(result)} came; name its number value"
        if "better" not in result:
            yield (
                f"evaluate: a result says whether high or low is better, but {dict(result)} came; add better, 'high' "
                "or 'low', or None where neither is"
            )
    if not all(isinstance(note, str) for note in scores.notes):
        yield "evaluate: notes are lines of text, but something else came; give a list of str"


def figures_are_figures(subject: Subject) -> Iterator[str]:
    """Figures are pictures, or Matplotlib figures by name."""
    from matplotlib.figure import Figure

    pictures: Sequence[Any] = subject.scores.pictures
    for picture in pictures:
        figure: Any = getattr(picture, "figure", None)
        if not isinstance(picture, Picture):
            yield (
                f"evaluate: figures are a list of mmtoolkit.Picture, or name -> figure, but the list has "
                f"{type(picture).__name__}; make it an mmtoolkit.Picture"
            )
        elif not isinstance(figure, Figure):
            yield (
                f"evaluate: the figure {picture.name!r} is a matplotlib Figure, but {type(figure).__name__} "
                "came; make it by matplotlib.figure.Figure"
            )


def scores_are_the_same_each_time(subject: Subject) -> Iterator[str]:
    """The same run has the same scores, drawn with run.generator alone."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(subject.scored(subject.run()))
    if found[0].results != found[1].results and repr(found[0].results) != repr(found[1].results):
        yield (
            "evaluate: gives the same scores each time, but they changed with PyTorch's default generator; draw with "
            "run.generator, or seed by it inside torch.random.fork_rng()"
        )


def the_run_stays_as_it_is(subject: Subject) -> Iterator[str]:
    """The run is left as it was: weights, evaluation mode, PyTorch's generator."""
    run = subject.run()
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    state = torch.get_rng_state()
    subject.scored(run)
    if any(not torch.equal(value, before[name]) for name, value in run.model.state_dict().items()):
        yield "evaluate: leaves the trained weights alone, but changed them; copy the model before training on"
    if run.model.training:
        yield "evaluate: leaves the model in evaluation mode, but it is in training mode; set it back"
    if not torch.equal(torch.get_rng_state(), state):
        yield (
            "evaluate: leaves PyTorch's default generator alone, but drew from it; draw with run.generator, or inside "
            "torch.random.fork_rng()"
        )


def other_models_are_scored(subject: Subject) -> Iterator[str]:
    """What a model cannot give is left out with a note, or refused by a UserError before training."""
    for model in (VAE(latent_dim=2), CVAE(latent_dim=2)):
        try:
            subject.scored(subject.run(model))
        except UserError:
            continue
        except Exception as error:
            yield (
                f"evaluate: leaves out what a model cannot give, but for a {model.kind} it raised "
                f"{error_with_class(error)}; ask model.targets, subsets and conditions first"
            )


CHECKS = (
    results_are_plain,
    options_come_back,
    figures_are_figures,
    scores_are_the_same_each_time,
    the_run_stays_as_it_is,
    other_models_are_scored,
)
