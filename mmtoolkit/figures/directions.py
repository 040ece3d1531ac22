"""What some modalities tell of all: rows of inputs over rows of outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.subsets import supports
from mmtoolkit.figures.colours import DATA, GIVEN
from mmtoolkit.figures.lines import Cell, Line, draw_lines, groups, title_of

_LOOKED_AT = 512  # rows, for those to show


def offers(model: Network, given: Collection[str]) -> bool:
    """Whether a model infers z from these modalities, and decodes it given no others."""
    return supports(model.subsets(), given) and set(model.conditions) <= set(given)


def rows_with(run: Run, split: str, given: Sequence[str], n: int) -> Tensor:
    """Up to n rows of a split to show what `given` tells of the rest: (n,) int64, ascending.

    Rows that have all of it come before those that have a part; of these, as many different values of it as there
    are; of these, the first. Rows with none of it, or without what the model decodes given, are left out.
    """
    present = run.present[split]
    places = {name: place for place, name in enumerate(run.modalities)}
    has = present[:, [places[name] for name in given]].sum(1)
    has *= present[:, [places[name] for name in run.model.conditions]].all(1)
    fullest = has.argsort(descending=True, stable=True)[: min(int(has.count_nonzero()), _LOOKED_AT)]
    if not len(fullest):
        return fullest
    (batch,) = run.batches(split, [fullest])
    values = {name: dict(zip(batch.rows(name).tolist(), batch.value(name).cpu(), strict=True)) for name in given}
    seen: Counter[bytes] = Counter()
    order = []
    for place, row in enumerate(fullest.tolist()):
        known = [of_row[place].numpy().tobytes() for of_row in values.values() if place in of_row]
        value = b"".join(known)
        order.append((-len(known), seen[value], row))
        seen[value] += 1
    return torch.tensor(sorted(row for _, _, row in sorted(order)[:n]), dtype=torch.int64)


@torch.no_grad()
def direction(run: Run, split: str, given: Sequence[str], rows: Tensor, draws: int = 0, seed: int = 0) -> Figure:
    """Rows of the data, a column each: the given, and what q(z | given) makes of every modality that is decoded.

    Each given stands, framed, over its reconstruction. Of each other modality follow the prediction from the mean of
    q(z | given), those from draws of z, and the data's own value, in a paler frame, to compare with.

    Args:
        run: what infers and decodes.
        split: of its data.
        given: names, in schema order.
        rows: (n,) int64, such as `rows_with` gives.
        draws: how many draws of z from q(z | given) are shown beside its mean.
        seed: fixes the draws.

    Raises:
        UserError: the model cannot infer z from `given`.
    """
    modalities, targets = run.modalities, run.model.targets
    (batch,) = run.batches(split, [rows])
    own = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in modalities}
    made = _made(run, batch, given, draws, seed)

    def data(group: Sequence[str]) -> list[Cell]:
        return [{name: own[name].get(row) for name in group} for row in range(batch.size)]

    def outputs(group: Sequence[str], title: str) -> list[Line]:
        titles = [title, *(f"draw {draw + 1}" for draw in range(draws))]
        return [
            Line([{name: made[name][place, row] for name in group} for row in range(batch.size)], line, soft=place > 0)
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


def _made(run: Run, batch: Batch, given: Sequence[str], draws: int, seed: int) -> dict[str, Tensor]:
    """What the mean of q(z | given), and each draw from it, make of every target: (1 + draws, B, *event)."""
    q = run.model.infer(batch, given)
    generator = torch.Generator(run.device).manual_seed(seed_for("direction", seed))
    noise = torch.randn(draws, *q.mean.shape, generator=generator, device=run.device)
    z = torch.cat([q.mean[None], q.rsample(noise)]).flatten(0, 1)
    decoded = run.model.decode(z, batch, run.model.targets)
    return {name: run.modalities[name].point(p).unflatten(0, (1 + draws, -1)) for name, p in decoded.items()}
