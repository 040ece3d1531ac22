"""Compare the runs of a study's folder row by row, and write the catalogue's file that docs/reproduction.md shows.

Run it as `python benchmarks/pairs.py runs/studies/tables-mnist`. Two models score the same test rows, so the error of
their difference is far below the errors of both. A log p comes by the study's proposal, and by one refined a row.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mmtoolkit
from mmtoolkit import TrainedRun
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators import LogLikelihood
from mmtoolkit.evaluators.complete import some_rows
from mmtoolkit.evaluators.importance import MEMORY, estimate
from mmtoolkit.evaluators.log_likelihood import LikelihoodEntry
from mmtoolkit.runs.computing import compute_afterwards
from mmtoolkit.runs.folder import read_finished_record
from mmtoolkit.study.file import Score, axis_text
from mmtoolkit.study.grid import read_study
from mmtoolkit.training.compute import applied
from record import RESULTS

Names = tuple[str, ...]

_BATCH_ROWS = 500
_PRIOR_SAMPLES = 5000


def pairs(folder: Path, count: int, samples: int, steps: int) -> dict[str, Any]:
    """Each score of each finished run on the same rows, and the differences of two runs.

    Args:
        folder: of a study whose scores are log-likelihoods.
        count: test rows.
        samples: K, draws of z a row.
        steps: of refinement.

    Raises:
        UserError: the study has several seeds, of which a model would have several values.
    """
    study, cells = read_study(folder / "study.yaml")
    if len({cell.seed for cell in cells}) > 1:
        raise UserError(f"{folder / 'study.yaml'}: has several seeds; give a study of one")
    scores = [score for score in study.scores if score.kind == "log_likelihood" and score.field == "value"]
    values: dict[str, dict[tuple[str, int], Tensor]] = {}
    for cell in cells:
        try:
            read_finished_record(folder / "runs" / cell.folder)
        except UserError as error:
            print(f"{cell.title}: left out: {error}")
            continue
        with applied(compute_afterwards(folder / "runs" / cell.folder)), torch.no_grad():
            run = mmtoolkit.load(folder / "runs" / cell.folder)
            rows = some_rows(torch.arange(len(run.present["test"])), count, "pairs")
            values[axis_text(cell.labels["model"])] = values_of(run, rows, scores, samples, steps)
    in_order = dict.fromkeys(axis_text(cell.labels["model"]) for cell in read_study(study.name)[1])
    values = {model: values[model] for model in in_order if model in values}
    places = [(score.name, of) for score in scores for of in _steps(scores, score, steps)]
    return {
        "study": study.name,
        "rows": count,
        "samples": samples,
        "steps": steps,
        "mmtoolkit": metadata.version("mmtoolkit"),
        "means": [
            {"score": name, "steps": of, "model": model, **_mean(by_place[name, of])}
            for name, of in places
            for model, by_place in values.items()
            if (name, of) in by_place
        ],
        "differences": [
            {"score": name, "steps": of, "models": [a, b], **_mean(values[a][name, of] - values[b][name, of])}
            for name, of in places
            for a, b in combinations(values, 2)
            if (name, of) in values[a] and (name, of) in values[b]
        ],
    }


def _steps(scores: Sequence[Score], score: Score, steps: int) -> tuple[int, ...]:
    """The steps to refine a score by. A refined proposal forgets where it began, so it begins at the first one only."""
    return (0, steps) if score.proposal == scores[0].proposal else (0,)


def _mean(values: Tensor) -> dict[str, float]:
    return {"value": float(values.mean()), "stderr": float(values.std() / math.sqrt(len(values)))}


def values_of(
    run: TrainedRun, rows: Tensor, scores: Sequence[Score], samples: int, steps: int
) -> dict[tuple[str, int], Tensor]:
    """Log p of each row by each score that the model can give: (its name, steps) -> (n,) float64."""
    model, wanted = run.model, []
    for score in scores:
        entry = LikelihoodEntry(target=score.target, given=score.given, proposal=score.proposal)
        if not LogLikelihood().cannot(entry, model):
            given = tuple(name for name in score.given if name not in model.conditions)
            wanted += [(score, of, (*score.target, *given), given) for of in _steps(scores, score, steps)]
    parts: dict[tuple[str, int], list[Tensor]] = {(score.name, of): [] for score, of, _, _ in wanted}
    for place, batch in enumerate(run.batches("test", rows.split(_BATCH_ROWS))):
        for proposal, of in dict.fromkeys((score.proposal, of) for score, of, _, _ in wanted):
            group = [each for each in wanted if (each[0].proposal, each[1]) == (proposal, of)]
            targets = list(dict.fromkeys(target for _, _, target, _ in group))
            log_p = dict(zip(targets, _estimates(run, batch, proposal, targets, samples, of, place), strict=True))
            for score, _, target, given in group:
                of_given = _log_p_of_given(run, batch, given, place) if given else 0
                parts[score.name, of].append(log_p[target] - of_given)
    return {key: torch.cat(values) for key, values in parts.items()}


def _estimates(
    run: TrainedRun, batch: Batch, proposal: Any, targets: Sequence[Names], samples: int, steps: int, place: int
) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed_for("pairs", place))
    memory = MEMORY["cpu"]
    return [of.log_p for of in estimate(run.model, batch, proposal, targets, samples, draw, memory, steps)]


def _log_p_of_given(run: TrainedRun, batch: Batch, given: Names, place: int) -> Tensor:
    """Log p of what is given, by draws from the prior that rows with the same given share."""
    (name,) = given
    values, which = batch.value(name).unique(dim=0, return_inverse=True)
    first = torch.tensor([int((which == of).nonzero()[0]) for of in range(len(values))])
    [of_value] = _estimates(run, batch.take(first.sort().values), (), [given], _PRIOR_SAMPLES, 0, place)
    return of_value[first.argsort().argsort()[which]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a study's folder")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    compared = pairs(options.folder, options.rows, options.samples, options.steps)
    file = RESULTS / "pairs" / f"{compared['study']}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(write_yaml(compared), encoding="utf-8")
    print(file)
