"""A figure of predictions: the given modalities of some rows over what the model decodes from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import point_of
from mmtoolkit.figures.colours import DATA, GIVEN
from mmtoolkit.figures.lines import Cell, Line, draw_lines, groups, title_of

_CANDIDATES = 512  # rows to choose from


def offers(model: Network, given: Collection[str]) -> bool:
    """Whether a model can infer z from these modalities and decode z given no others."""
    return model.supports(given) and set(model.conditions) <= set(given)


def rows_with(run: Run, split: str, given: Sequence[str], n: int) -> Tensor:
    """Choose up to n rows of a split whose `given` you can condition on: (n,) int64, ascending.

    Rows that have all of `given` come before rows that have a part of it, or values with unknown parts. Among those,
    rows with different values come first, then rows in their order. Rows are left out if they have none of `given`, or
    lack a modality that the model decodes given.
    """
    present = run.present[split]
    places = {name: place for place, name in enumerate(run.modalities)}
    has = present[:, [places[name] for name in given]].sum(1)
    has *= present[:, [places[name] for name in run.model.conditions]].all(1)
    fullest = has.argsort(descending=True, stable=True)[: min(int(has.count_nonzero()), _CANDIDATES)]
    if not len(fullest):
        return fullest
    (batch,) = run.batches(split, [fullest])
    values = {name: dict(zip(batch.rows(name).tolist(), batch.value(name).cpu(), strict=True)) for name in given}
    shares = torch.zeros(batch.size, dtype=torch.float64)
    for name in given:
        known = run.modalities[name].known_parts(batch.value(name)).double().mean(1).cpu()
        shares.index_add_(0, batch.rows(name), known)
    repeats: Counter[bytes] = Counter()
    order = []
    for place, row in enumerate(fullest.tolist()):
        value = b"".join(of_row[place].numpy().tobytes() for of_row in values.values() if place in of_row)
        order.append((-float(shares[place]), repeats[value], row))
        repeats[value] += 1
    return torch.tensor(sorted(row for _, _, row in sorted(order)[:n]), dtype=torch.int64)


@torch.no_grad()
def direction(run: Run, split: str, given: Sequence[str], rows: Tensor, draws: int = 0, seed: int = 0) -> Figure:
    """Draw rows of the data, one a column: the given, and every modality that the model decodes from q(z | given).

    Each given stands in a frame over its reconstruction. Each other modality has a line for the prediction from the
    mean of q(z | given), a line for each draw of z, and a line for the row's own value in a paler frame.

    Args:
        run: infers and decodes.
        split: a split of its data.
        given: names of modalities, in schema order.
        rows: (n,) int64, such as `rows_with` returns.
        draws: how many draws of z from q(z | given) to show besides its mean.
        seed: fixes the draws.

    Raises:
        UserError: the model cannot infer z from `given`.
    """
    modalities, targets = run.modalities, run.model.targets
    (batch,) = run.batches(split, [rows])
    own = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in modalities}
    predictions = _predict(run, batch, given, draws, seed)

    def data(group: Sequence[str]) -> list[Cell]:
        return [{name: own[name].get(row) for name in group} for row in range(batch.size)]

    def outputs(group: Sequence[str], title: str) -> list[Line]:
        titles = [title, *(f"draw {draw + 1}" for draw in range(draws))]
        return [
            Line(
                [{name: predictions[name][place, row] for name in group} for row in range(batch.size)],
                line,
                soft=place > 0,
            )
            for place, line in enumerate(titles)
        ]

    lines: list[Line] = []
    for group in groups(modalities, given):
        title = title_of(group)
        lines.append(Line(data(group), f"given {title}", GIVEN, apart=bool(lines)))
        if decoded := [name for name in group if name in targets]:
            lines += outputs(decoded, "reconstructed")
    for group in groups(modalities, [name for name in targets if name not in given]):
        first, *others = outputs(group, title_of(group))
        lines += [Line(first.cells, first.title, apart=True), *others, Line(data(group), "data", DATA, soft=True)]
    return draw_lines(modalities, lines)


def _predict(run: Run, batch: Batch, given: Sequence[str], draws: int, seed: int) -> dict[str, Tensor]:
    """Decode every target from the mean of q(z | given) and from each draw: (1 + draws, B, *event)."""
    q = run.model.infer(batch, given)
    generator = torch.Generator(run.device).manual_seed(seed_for("direction", seed))
    noise = torch.randn(draws, *q.mean.shape, generator=generator, device=run.device)
    z = torch.cat([point_of(q)[None], q.rsample(noise)]).flatten(0, 1)
    decoded = run.model.decode(z, batch, run.model.targets)
    return {name: run.modalities[name].point(p).unflatten(0, (1 + draws, -1)) for name, p in decoded.items()}
