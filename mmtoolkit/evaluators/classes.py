"""Which modalities hold classes rather than quantities."""

from __future__ import annotations

from mmtoolkit.components import Run


def has_classes(run: Run, name: str) -> bool:
    """Whether the values of a modality are classes: their cells are of a fixed list, or predictions whole numbers."""
    return bool(run.modalities[name].fixed_cells()) or not run.baselines[name].is_floating_point()
