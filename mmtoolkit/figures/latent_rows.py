"""Where rows of the data lie in the latent space, and its projection to two dimensions."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Run
from mmtoolkit.components.evaluator import seen_by_model

_PROJECTIONS = ("pca", "umap")

_ROWS = 2000
_BATCH_ROWS = 500
_DIGITS = 6
_UMAP_ROWS = 3  # too few for UMAP


@torch.no_grad()
def latent_rows(run: Run, split: str) -> dict[str, Any]:
    """Compute the mean of q(z | all that a row has), and the shades of its point, for up to 2,000 rows of a split.

    The mean is that of the part of z that all modalities share. The rows are drawn at random. Rows with nothing to
    infer z from are left out.

    Returns:
        The content of latent.json: `split`; `rows`, their places in the split; `means`, a number a row for each latent
        variable; `shades`, column -> the shades of all rows, None where missing, for columns with any shade (see
        `Modality.shades`).
    """
    model = run.model
    rows = model.informed(seen_by_model(run, split)).nonzero().squeeze(1)
    if len(rows) > _ROWS:
        order = torch.randperm(len(rows), generator=run.generator, device=run.device).cpu()
        rows = rows[order[:_ROWS].sort().values]
    means: list[list[float]] = []
    by_column: dict[tuple[str, str], dict[int, float | str]] = {}  # (modality, column) -> row -> shade
    for batch in run.batches(split, rows.split(_BATCH_ROWS)) if len(rows) else ():
        for name, modality in run.modalities.items():
            for row, value in zip(batch.rows(name).tolist(), batch.value(name).cpu(), strict=True):
                for column, shade in modality.shades(name, value).items():
                    if (plain := _plain(shade)) is not None:
                        by_column.setdefault((name, column), {})[len(means) + row] = plain
        shared = model.infer_all(batch).mean[:, model.shared].tolist()
        means += [[float(f"{x:.{_DIGITS}g}") for x in mean] for mean in shared]
    columns = [column for _, column in by_column]
    shades = {
        f"{name}: {column}" if columns.count(column) > 1 else column: [of_row.get(row) for row in range(len(means))]
        for (name, column), of_row in by_column.items()
    }
    return {"split": split, "rows": rows.tolist(), "means": means, "shades": shades}


def _plain(shade: Any) -> float | str | None:
    """A number, None if it is not finite, or a word (True is a word)."""
    if isinstance(shade, bool) or not isinstance(shade, Real):
        return str(shade)
    return float(shade) if math.isfinite(shade) else None


def project(means: NDArray[np.float64], projection: str) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Project points (N, D) to two dimensions: (N, 2), and the names of the axes.

    Raises:
        UserError: there is no such projection, UMAP is not installed, or there are too few points for it.
    """
    if projection not in _PROJECTIONS:
        raise UserError(f"--projection {projection}: there is no such projection; take {' or '.join(_PROJECTIONS)}")
    if projection == "umap":
        return _umap(means), ("UMAP 1", "UMAP 2")
    points, shares = principal_components(means)
    first, second = (f"principal component {k + 1} ({share:.0%} of the variance)" for k, share in enumerate(shares))
    return points, (first, second)


def principal_components(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points (N, D) onto the two directions of greatest variance, with each one's share of the variance.

    The sign of a direction makes its largest entry positive. With one dimension, the second coordinate is zero.

    Returns:
        (N, 2) and (2,).
    """
    centred = x - x.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(1)])
    points = centred @ (directions * signs[:, None])[:2].T
    shares = sizes[:2] ** 2 / max((sizes**2).sum(), np.finfo(float).tiny)
    missing = 2 - len(shares)
    return np.pad(points, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def _umap(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply UMAP (McInnes, Healy & Melville 2018) with its defaults and a fixed seed."""
    try:
        from umap import UMAP
    except ImportError:
        raise UserError(
            "--projection umap: needs the package umap-learn; install it with pip install 'mmtoolkit[umap]'"
        ) from None
    if len(x) <= _UMAP_ROWS:
        raise UserError(f"--projection umap: {len(x)} rows are too few for UMAP; take pca")
    umap = UMAP(n_components=2, n_neighbors=min(15, len(x) - 1), random_state=0, n_jobs=1)
    return np.asarray(umap.fit_transform(x), dtype=np.float64)
