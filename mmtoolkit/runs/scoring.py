"""Scores a run with evaluators and checks their results before results.json holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import safe_name
from mmtoolkit.components import Evaluator, Picture, Run
from mmtoolkit.runs.folder import check_result


@dataclass(frozen=True)
class Scored:
    """The scores and pictures of evaluators.

    Attributes:
        scores: the entry of each evaluator in results.json: `kind`, `options`, `split`, `results` and `notes`.
        pictures: the evaluator's place in `scores`, and a picture that it drew.
    """

    scores: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[tuple[int, Picture]] = field(default_factory=list)

    def save_pictures(self, folder: Path) -> list[dict[str, Any]]:
        """Write the pictures into a folder. Return their entries in figures.json, each with its `evaluator`'s place."""
        # Numbers come first, where no kind or name can imitate them, so that no two pictures share a file.
        from mmtoolkit.figures.files import save_pictures  # Matplotlib takes a second to import

        names = [f"{self.scores[place]['kind']}_{picture.name}" for place, picture in self.pictures]
        stems = [
            f"{place}_{safe_name(name, number)}"
            for number, (name, (place, _)) in enumerate(zip(names, self.pictures, strict=True))
        ]
        pictures = zip(stems, (picture for _, picture in self.pictures), strict=True)
        entries = save_pictures(pictures, folder)
        return [{**entry, "evaluator": place} for entry, (place, _) in zip(entries, self.pictures, strict=True)]


@torch.no_grad()
def score(run: Run, evaluators: Sequence[Evaluator], split: str) -> Scored:
    """Score a split with each evaluator, in order.

    Raises:
        UserError: there is no such split, it has no rows, or an evaluator returns something that is not a result.
    """
    for evaluator in evaluators:
        evaluator.check_modalities(run.modalities)
        evaluator.check_model(run.model)
    if not len(run.present[split]):
        raise UserError(f"the split {split!r} has no rows; choose another with --split")
    scored = Scored()
    for place, evaluator in enumerate(evaluators):
        scores = evaluator.evaluate(run, split)
        options = evaluator.model_dump(mode="json", exclude={"kind"})
        finite = [_finite(result) for result in scores.results]
        _check_results(evaluator.kind, finite)
        notes = list(scores.notes)
        if finite != scores.results:
            notes.append("scores that are not finite are written as null")
        # Evaluators written for 0.1.0 state no direction.
        results = [{**result, "better": result.get("better")} for result in finite]
        scored.scores.append(
            {"kind": evaluator.kind, "options": options, "split": split, "results": results, "notes": notes}
        )
        scored.pictures.extend((place, picture) for picture in scores.pictures)
    return scored


def _check_results(kind: str, results: Sequence[Mapping[str, Any]]) -> None:
    for result in results:
        try:
            check_result(result)
        except ValueError as error:
            fault = f"evaluate, {kind}: this is not a valid result: {error}: {dict(result)}"
            raise UserError(f"{fault}; the evaluator's author must mend it") from error


def _finite(result: dict[str, Any]) -> dict[str, Any]:
    """Replace numbers that are not finite by null, because JSON has none."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()}
