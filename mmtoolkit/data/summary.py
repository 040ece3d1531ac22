"""A summary of prepared data: rows per split and shares of missing cells."""

from __future__ import annotations

from typing import Any

from mmtoolkit.data.dataset import Dataset


def summary(dataset: Dataset) -> dict[str, Any]:
    """The rows of each split, the share of them that lack each modality (None without rows), and the notes."""
    splits = {
        name: {
            "rows": len(split),
            "missing": {
                modality: 1 - float(split.present[:, m].double().mean()) if len(split) else None
                for m, modality in enumerate(dataset.modalities)
            },
        }
        for name, split in dataset.splits.items()
    }
    return {"splits": splits, "notes": dataset.notes}
