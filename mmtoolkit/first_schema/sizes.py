"""The size of a first model and the length of its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmtoolkit.first_schema.choose import Choice

_LEAST_ROWS = 20  # below it, every row is needed for training
_LATENT = ((2, 8), (5, 16))  # (at most so many columns, size of z)
_LATENT_BEYOND = 32
_SUBSETS = ((2, 0), (3, 1))  # (at most so many modalities, random subsets a step)
_SUBSETS_BEYOND = 3

_BATCH = 128
_PASSES = 250  # over the rows of a small table
_FEWEST_STEPS, _STEPS = 500, 3000  # at least, and enough for some thousand rows
_MANY_ROWS = 5000  # beyond, more rows have more to learn from
_MOST_STEPS = 15_000
_EPOCHS = 30  # of as many steps each: a validation ends each
_WARM_UP = 0.4  # the share of the epochs in which β rises
_FEW_ROWS, _RATE_OF_FEW, _RATE = 500, 0.7, 0.4  # of the cells, at most, hidden in a row
_BETA_ROWS, _LEAST_BETA, _MOST_BETA = 150, 0.1, 0.5  # β is 150 / rows within these bounds
_MINUTES = 3.0  # for pictures and texts, unless the user sets a budget
_MILLISECONDS = 3.0  # of a step over a record of few columns, on two cores
_MILLISECONDS_A_COLUMN = 0.06
_LEAST_STEPS = 100

_EVERY_WAY = 8  # up to so many modalities, predict each from every other


def split(rows: int) -> dict[str, float]:
    """The share of each split: the table itself is to be filled, so nearly all rows are for training."""
    return {"train": 0.9, "valid": 0.1} if rows >= _LEAST_ROWS else {"train": 1}


def units(used: Sequence[Choice]) -> int:
    """The number of experts: the columns of a record share one."""
    gathered = sum(choice.gathered for choice in used)
    return len(used) - gathered + (gathered > 0)


def model(used: Sequence[Choice]) -> dict[str, Any]:
    """Options of the model."""
    latent = next((size for most, size in _LATENT if len(used) <= most), _LATENT_BEYOND)
    subsets = next((k for most, k in _SUBSETS if units(used) <= most), _SUBSETS_BEYOND)
    return {"kind": "mvae", "latent_dim": latent, "subsets": {"k": subsets}}


def train(used: Sequence[Choice], rows: int, minutes: float | None = None) -> dict[str, Any]:
    """Options of training.

    The fewer rows there are, the sooner a model learns them by heart: fewer steps, a larger weight of the KL
    divergence and more hidden cells keep it from that (docs/filling.md).

    An epoch has as many rows as make a thirtieth of all steps, so that it repeats the rows of a small table: each
    epoch ends with a validation, which takes longer than a pass over a small table. The validations choose the best
    weights, and stop the training of a model that only learns its rows by heart.

    Args:
        used: the modalities of the schema.
        rows: of the table.
        minutes: the time that training may take on two cores. By default what such a table needs.
    """
    rows = max(round(split(rows)["train"] * rows), 1)
    beta = min(max(_BETA_ROWS / rows, _LEAST_BETA), _MOST_BETA)
    steps = min(max(_PASSES * rows // _BATCH, _FEWEST_STEPS), _STEPS)
    steps = min(round(steps * max(1.0, rows / _MANY_ROWS) ** 0.5), _MOST_STEPS)
    cost = _step_cost(used)
    if minutes is not None:
        steps = round(minutes * 60_000 / cost)
    elif any(not choice.gathered for choice in used):
        steps = min(steps, round(_MINUTES * 60_000 / cost))
    epoch = round(max(steps, _LEAST_STEPS) / _EPOCHS)  # in steps
    return {
        "epochs": _EPOCHS,
        "sampling": {"rows": epoch * _BATCH},
        "batch_size": _BATCH,
        "learning_rate": 0.003,
        "optimizer": {"kind": "adamw", "weight_decay": 0.01},
        "schedule": "cosine",
        "beta": round(beta, 2),
        "warmup_epochs": round(_WARM_UP * _EPOCHS),
        "hide": {"rate": _RATE_OF_FEW if rows < _FEW_ROWS else _RATE, "whole": 0.2},
        "select": "imputation",
        "calibrate": True,
        "early_stopping": 10,
    }


def _step_cost(used: Sequence[Choice]) -> float:
    """The time of a step on two cores, in milliseconds."""
    alone = sum(choice.proposal.cost * (1 - choice.missing) for choice in used if not choice.gathered)
    return _MILLISECONDS + _MILLISECONDS_A_COLUMN * len(used) + _BATCH * alone


def evaluate(used: Sequence[Choice]) -> list[dict[str, Any]]:
    """Options of the evaluators; imputation comes first."""
    entries = [{"kind": "imputation"}, {"kind": "elbo"}]
    return [*entries, {"kind": "prediction"}] if len(used) <= _EVERY_WAY else entries
