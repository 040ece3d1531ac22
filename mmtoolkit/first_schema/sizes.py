"""How large a first model is, and how long it is trained: some minutes on two cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmtoolkit.first_schema.choose import Choice

_MILLISECONDS = 120_000.0  # of training on a core
_LEAST_ROWS = 10  # of which some can be spared to choose and score by
_LATENT = ((3, 8), (8, 16))  # (the most modalities, numbers of z)
_LATENT_BEYOND = 32
_SUBSETS = ((2, 0), (3, 1))  # (the most modalities, random subsets a step)
_SUBSETS_BEYOND = 3
_STEPS = 1000  # below which batches are small and steps long
_BATCHES = (32, 64, 128)
_PASSES = 200  # over a small table
_SHORTEST, _FEWEST = 1000, 10  # rows an epoch, and epochs, at least
_LEAST_COST = 0.05  # milliseconds a row
_EVERY_WAY = 8  # modalities up to which each is predicted from every other


def split(rows: int) -> dict[str, float]:
    """Shares of the splits; a table of a few rows is all learned from."""
    return {"train": 0.8, "valid": 0.1, "test": 0.1} if rows >= _LEAST_ROWS else {"train": 1}


def model(used: Sequence[Choice]) -> dict[str, Any]:
    """The model's options."""
    count = sum(len(choice.columns) for choice in used)
    latent = next((size for most, size in _LATENT if count <= most), _LATENT_BEYOND)
    subsets = next((k for most, k in _SUBSETS if len(used) <= most), _SUBSETS_BEYOND)
    return {"kind": "mvae", "latent_dim": latent, "subsets": {"k": subsets}}


def train(used: Sequence[Choice], rows: int) -> dict[str, Any]:
    """The training's options: as many rows as some minutes allow, in epochs that are neither short nor few.

    An epoch ends with validation and a checkpoint: one of a small table's rows alone would take longer to end than to
    go through. The weight of the KL divergence rises over the first half, and the best epoch of the second is kept:
    with none to choose from, what a low weight has left reads noise out of columns that tell nothing of each other.
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
    """The share of rows that lack all of its columns, at least."""
    return min(column.missing / max(column.rows, 1) for column in choice.columns)


def evaluate(used: Sequence[Choice]) -> list[dict[str, Any]]:
    """What is scored: how well holes are filled first."""
    entries = [{"kind": "imputation"}, {"kind": "elbo"}]
    return [*entries, {"kind": "prediction"}] if len(used) <= _EVERY_WAY else entries
