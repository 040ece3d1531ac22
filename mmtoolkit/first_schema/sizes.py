"""The size of a first model and the length of its training: a few minutes on two cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmtoolkit.first_schema.choose import Choice

_MILLISECONDS = 120_000.0  # of training on one core
_LEAST_ROWS = 10  # below it, every row is needed for training
_LATENT = ((3, 8), (8, 16))  # (at most so many columns, size of z)
_LATENT_BEYOND = 32
_SUBSETS = ((2, 0), (3, 1))  # (at most so many modalities, random subsets a step)
_SUBSETS_BEYOND = 3
_STEPS = 1000  # with fewer, take small batches and a high learning rate
_BATCHES = (32, 64, 128)
_PASSES = 200  # at most, over a small table
_SHORTEST, _FEWEST = 1000, 10  # least rows in an epoch, least epochs
_LEAST_COST = 0.05  # milliseconds for a row
_EVERY_WAY = 8  # up to so many modalities, predict each from every other


def split(rows: int) -> dict[str, float]:
    """The share of each split; all rows of a tiny table are for training."""
    return {"train": 0.8, "valid": 0.1, "test": 0.1} if rows >= _LEAST_ROWS else {"train": 1}


def model(used: Sequence[Choice]) -> dict[str, Any]:
    """Options of the model."""
    count = sum(len(choice.columns) for choice in used)
    latent = next((size for most, size in _LATENT if count <= most), _LATENT_BEYOND)
    subsets = next((k for most, k in _SUBSETS if len(used) <= most), _SUBSETS_BEYOND)
    return {"kind": "mvae", "latent_dim": latent, "subsets": {"k": subsets}}


def train(used: Sequence[Choice], rows: int) -> dict[str, Any]:
    """Options of training: as many rows as a few minutes allow, in epochs that are neither short nor few.

    Each epoch ends with a validation, which takes longer than a pass over a small table. So an epoch repeats the rows
    of a small table.

    The weight of the KL divergence rises over the first half of training. The second half leaves epochs to choose the
    best from: while the weight is low, the model learns noise from unrelated columns.
    """
    rows = max(int(split(rows)["train"] * rows), 1)
    cost = max(sum(choice.proposal.cost * (1 - _missing(choice)) for choice in used), _LEAST_COST)
    total = min(_MILLISECONDS / cost, _PASSES * rows)
    size = round(max(_SHORTEST, min(rows, total / _FEWEST)), -2)
    epochs = max(_FEWEST, round(total / size))
    batch = next((batch for batch in reversed(_BATCHES) if total >= batch * _STEPS), _BATCHES[0])
    return {
        "epochs": epochs,
        "sampling": {"rows": int(size)},
        "batch_size": batch,
        "learning_rate": 0.0005 if total >= batch * _STEPS else 0.001,
        "warmup_epochs": epochs // 2,
    }


def _missing(choice: Choice) -> float:
    """The least share of missing cells in a column of a modality."""
    return min(column.missing / max(column.rows, 1) for column in choice.columns)


def evaluate(used: Sequence[Choice]) -> list[dict[str, Any]]:
    """Options of the evaluators; imputation comes first."""
    entries = [{"kind": "imputation"}, {"kind": "elbo"}]
    return [*entries, {"kind": "prediction"}] if len(used) <= _EVERY_WAY else entries
