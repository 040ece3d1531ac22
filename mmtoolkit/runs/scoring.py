"""The scores of evaluators on a run, checked, as results.json holds them."""

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
from mmtoolkit.figures import save_pictures
from mmtoolkit.runs.folder import check_result


@dataclass(frozen=True)
class Scored:
    """What evaluators gave.

    Attributes:
        scores: an entry an evaluator, as results.json holds it: `kind`, `options`, `split`, `results` and `notes`.
        pictures: the place of the evaluator among them, and the picture that it drew.
    """

    scores: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[tuple[int, Picture]] = field(default_factory=list)

    def save_pictures(self, folder: Path) -> list[dict[str, Any]]:
        """Write the pictures into a folder; what figures.json says of each, with its `evaluator`'s place."""
        # The numbers come first, so that no kind or name can look like them: no two pictures share a file.
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
    """The scores of each evaluator on a split, in order.

    Raises:
        UserError: there is no such split, it has no rows, or an evaluator gives what is no result.
    """
    for evaluator in evaluators:
        evaluator.check_model(run.model)
    if not len(run.present[split]):
        raise UserError(f"the split {split!r} has no rows; choose another with --split")
    scored = Scored()
    for place, evaluator in enumerate(evaluators):
        given = evaluator.evaluate(run, split)
        options = evaluator.model_dump(mode="json", exclude={"kind"})
        finite = [_finite(result) for result in given.results]
        _check_results(evaluator.kind, finite)
        notes = list(given.notes)
        if finite != given.results:
            notes.append("scores that are not finite stand as null")
        # Evaluators written for 0.1.0 state no direction.
        results = [{**result, "better": result.get("better")} for result in finite]
        scored.scores.append(
            {"kind": evaluator.kind, "options": options, "split": split, "results": results, "notes": notes}
        )
        scored.pictures.extend((place, picture) for picture in given.pictures)
    return scored


def _check_results(kind: str, results: Sequence[Mapping[str, Any]]) -> None:
    for result in results:
        try:
            check_result(result)
        except ValueError as error:
            fault = f"evaluate, {kind}: what it gives is no result: {error}: {dict(result)}"
            raise UserError(f"{fault}; the evaluator's author must mend it") from error


def _finite(result: dict[str, Any]) -> dict[str, Any]:
    """A result with null for numbers that are not finite, which JSON does not have."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()}
