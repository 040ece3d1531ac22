"""The pictures of a run: learning curves, samples, reconstructions, any modality from any other."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmtoolkit.components import Modality
from mmtoolkit.files import make_folder, replacing
from mmtoolkit.subsets import supports

if TYPE_CHECKING:
    from mmtoolkit.run import TrainedRun

MOST_MODALITIES = 8
_MOST_VALUES = 10
_LOOKED_AT = 4096  # rows for them
_MOST_WRITTEN = 24
_LONGEST_NAME = 40
_CAPTION = 20
_INK, _SOFT = "#1c2330", "#5d6878"
_COLOURS = ("#1f5fa8", "#c4502b", "#18794e", "#8a4fa3", "#b0860b", "#3b7f8c", "#a83262", "#5d6878")
_DPI = 130


class _Grid:
    """A figure of equal panels, addressed by line and column; sizes in inches."""

    def __init__(
        self, lines: int, columns: int, panel: float = 0.95, left: float = 0.05, gap: float = 0.2, top: float = 0.05
    ) -> None:
        self.width = left + columns * panel + 0.1
        self.height = lines * (panel + gap) + top + 0.05
        self.top = top
        self.figure = Figure(figsize=(self.width, self.height), dpi=_DPI)
        self.panel, self.left, self.gap = panel, left, gap

    def axes(self, line: int, column: int, wide: float = 0.92) -> Axes:
        x = (self.left + column * self.panel) / self.width
        y = 1 - ((line + 1) * (self.panel + self.gap) - self.gap + self.top) / self.height
        made = self.figure.add_axes((x, y, wide * self.panel / self.width, wide * self.panel / self.height))
        made.set_axis_off()
        return made

    def title(self, line: int, text: str) -> None:
        """A name to the left of a line."""
        y = 1 - (line * (self.panel + self.gap) + self.top + self.panel / 2) / self.height
        self.figure.text(
            (self.left - 0.1) / self.width,
            y,
            text,
            ha="right",
            va="center",
            fontsize=8,
            parse_math=False,
            color=_INK,
            wrap=True,
        )

    def head(self, axes: Axes, text: str) -> None:
        """A name over a panel of the first line."""
        axes.set_title(_short(text), fontsize=6.5, color=_SOFT, pad=3, parse_math=False)

    def caption(self, axes: Axes, text: str) -> None:
        """A line or two under a panel."""
        axes.text(
            0.5,
            -0.04,
            "\n".join(textwrap.wrap(text, _CAPTION, max_lines=2, placeholder=" …")),
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=5.5 if len(text) > _CAPTION else 6.5,
            parse_math=False,
            color=_SOFT,
        )


def _short(text: str, most: int = 18) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The loss, the validation bound and each part of the loss, over epochs."""
    epochs = [line["epoch"] for line in history]
    curves = {"loss": [line["loss"] for line in history]}
    if any(line["validation"] is not None for line in history):
        curves["validation bound"] = [line["validation"] for line in history]
    for name in history[-1]["terms"]:
        curves[name] = [line["terms"][name] for line in history]
    curves["β"] = [line["beta"] for line in history]
    columns = min(3, len(curves))
    lines = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(3.3 * columns, 2.2 * lines), dpi=_DPI, layout="constrained")
    for place, (name, values) in enumerate(curves.items()):
        axes = figure.add_subplot(lines, columns, place + 1)
        marker = "o" if len(epochs) < 3 else None
        axes.plot(epochs, values, color=_COLOURS[place % len(_COLOURS)], linewidth=1.6, marker=marker)
        axes.set_title(_short(name, 40), fontsize=9, loc="left", color=_INK, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=7, colors=_SOFT)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if place >= len(curves) - columns:
            axes.set_xlabel("epoch", fontsize=8, color=_SOFT)
    return figure


def samples(modalities: Mapping[str, Modality], values: Mapping[str, Tensor]) -> Figure:
    """A panel for each of n draws: its pictures, with the other modalities as a caption.

    Args:
        modalities: name -> modality.
        values: name -> (n, *event), such as `TrainedRun.sample` gives; a modality without values is left out.
    """
    modalities = {name: m for name, m in modalities.items() if name in values}
    n = len(next(iter(values.values())))
    pictures = [name for name, m in modalities.items() if m.picture]
    others = [name for name in modalities if name not in pictures]
    if not pictures:
        return _written_samples(modalities, values)
    per_line = max(1, math.ceil(math.sqrt(n)))
    if len(pictures) > 1:
        per_line = max(1, 12 // len(pictures))
    grid = _Grid(math.ceil(n / per_line), per_line * len(pictures))
    for row in range(n):
        line, place = divmod(row, per_line)
        for offset, name in enumerate(pictures):
            axes = grid.axes(line, place * len(pictures) + offset)
            modalities[name].draw(values[name][row], axes)
            if offset == 0 and others:
                if len(others) == 1:
                    told = [modalities[others[0]].text(values[others[0]][row])]
                else:
                    told = [modalities[other].named(other, values[other][row]) for other in others]
                grid.caption(axes, ", ".join(filter(None, told)))
    return grid.figure


def _written_samples(modalities: Mapping[str, Modality], values: Mapping[str, Tensor]) -> Figure:
    """Samples of modalities none of which is a picture: a line of text for each."""
    names = list(modalities)[:MOST_MODALITIES]
    n = min(len(values[names[0]]), _MOST_WRITTEN)
    grid = _Grid(n + 1, len(names), panel=1.2, gap=-0.95)
    for column, name in enumerate(names):
        head = grid.axes(0, column)
        head.text(0.5, 0.5, _short(name), ha="center", va="center", fontsize=8, weight="bold", parse_math=False)
        for row in range(n):
            modalities[name].draw(values[name][row], grid.axes(row + 1, column))
    return grid.figure


def samples_given(run: TrainedRun, name: str, values: Sequence[Tensor], n: int = 10) -> Figure:
    """A line for each value of one modality: n draws of z given it, shown by the other modalities."""
    modality = run.modalities[name]
    others = [other for other in run.model.targets if other != name]
    shown = [other for other in others if run.modalities[other].picture] or others[:1]
    grid = _Grid(len(values), n * len(shown), panel=0.8, left=1.4, gap=0.02)
    for line, value in enumerate(values):
        drawn = run.sample(n, {name: modality.cell(value)}, seed=line)
        grid.title(line, _short(modality.text(value), 60))
        for place in range(n):
            for offset, other in enumerate(shown):
                run.modalities[other].draw(drawn[other][place], grid.axes(line, place * len(shown) + offset))
    return grid.figure


def _rows(run: TrainedRun, split: str, n: int) -> tuple[Any, dict[str, dict[int, Tensor]]]:
    """The first n rows of a split: the batch, and name -> row -> value."""
    data = run.dataset.split(split)
    batch = data.batch(torch.arange(min(n, len(data))), run.device)
    values = {name: dict(zip(batch.rows(name).tolist(), batch.value(name), strict=True)) for name in run.modalities}
    return batch, values


def _aside(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=_SOFT, transform=axes.transAxes)


def _points(run: TrainedRun, batch: Any, given: Sequence[str], targets: Sequence[str]) -> dict[str, Tensor]:
    """What the mean of q(z | given) makes of each target."""
    z = run.model.infer(batch, given).mean
    decoded = run.model.decode(z, batch, targets)
    return {name: run.modalities[name].point(p) for name, p in decoded.items()}


@torch.no_grad()
def reconstructions(run: TrainedRun, split: str, names: Sequence[str], given: Sequence[str], n: int = 12) -> Figure:
    """For each modality a line of data and a line of what the model makes of everything that it infers z from."""
    batch, values = _rows(run, split, n)
    points = _points(run, batch, given, names)
    grid = _Grid(2 * len(names), batch.size, panel=0.8, left=1.4, gap=0.02)
    for place, name in enumerate(names):
        grid.title(2 * place, _short(name, 26))
        grid.title(2 * place + 1, "reconstructed")
        for row in range(batch.size):
            data, made = grid.axes(2 * place, row), grid.axes(2 * place + 1, row)
            if row in values[name]:
                run.modalities[name].draw(values[name][row], data)
            else:
                _aside(data, "missing")
            run.modalities[name].draw(points[name][row], made)
    return grid.figure


@torch.no_grad()
def cross_modal(run: TrainedRun, split: str, names: Sequence[str], givens: Sequence[Sequence[str]]) -> Figure:
    """Any modality from any other: a line for each given set, a group of columns for each of a few rows."""
    batch, values = _rows(run, split, max(1, 12 // len(names)))
    grid = _Grid(1 + len(givens), batch.size * len(names), panel=0.9, left=1.4, gap=0.05, top=0.2)
    if left_out := [name for name in run.modalities if name not in names]:
        text = f"not shown: {', '.join(left_out)}"
        grid.figure.text(0.5, 0, text, ha="center", va="bottom", fontsize=6, color=_SOFT, parse_math=False)
    grid.title(0, "data")
    for row in range(batch.size):
        for offset, name in enumerate(names):
            axes = grid.axes(0, row * len(names) + offset)
            grid.head(axes, name)
            if row in values[name]:
                run.modalities[name].draw(values[name][row], axes)
            else:
                _aside(axes, "missing")
    for line, given in enumerate(givens, start=1):
        grid.title(line, "given all" if len(given) == len(run.modalities) else f"given {_short(', '.join(given), 20)}")
        points = _points(run, batch, given, names)
        for row in range(batch.size):
            for offset, name in enumerate(names):
                axes = grid.axes(line, row * len(names) + offset)
                if name in points:
                    run.modalities[name].draw(points[name][row], axes)
                else:
                    _aside(axes, "not modelled")
    return grid.figure


def _distinct_values(run: TrainedRun, split: str, name: str) -> list[Tensor]:
    """Up to ten distinct values of a modality in a split, in order and from the first to the last."""
    found: dict[str, Tensor] = {}
    for value in next(run.dataset.split(split).values(name, _LOOKED_AT), torch.zeros(0)):
        found.setdefault(run.modalities[name].text(value), value)
    values = sorted(found.values(), key=lambda value: value.flatten().tolist())
    shown = min(len(values), _MOST_VALUES)
    return [values[round(i * (len(values) - 1) / max(shown - 1, 1))] for i in range(shown)]


def draw_figures(run: TrainedRun) -> list[str]:
    """Draw the pictures of a finished run into its folder; what the user should know, a line each."""
    split = run.default_split()
    names = list(run.modalities)
    shown, notes = names[:MOST_MODALITIES], []
    if len(names) > MOST_MODALITIES:
        notes.append(
            f"the figures show the first {MOST_MODALITIES} modalities; not {', '.join(names[MOST_MODALITIES:])}"
        )
    model = run.model

    def offers(given: Sequence[str]) -> bool:
        return supports(model.subsets(), given) and set(model.conditions) <= set(given)

    figures = {"learning_curves": learning_curves(run.history)}
    if offers(()):
        figures["samples"] = samples(run.modalities, run.sample(64))
    inputs = list(model.inputs)
    if offers(inputs):
        made = [name for name in shown if name in model.targets]
        figures["reconstructions"] = reconstructions(run, split, made[:4], inputs)
    for place, name in enumerate(names[:MOST_MODALITIES]):
        if not run.modalities[name].picture and set(model.targets) - {name} and offers([name]):
            values = _distinct_values(run, split, name)
            if values:
                figures[f"given_{safe_name(name, place)}"] = samples_given(run, name, values)
    givens = [[name] for name in shown if offers([name])] + ([inputs] if len(inputs) > 1 and offers(inputs) else [])
    if len(names) > 1 and givens and givens != [inputs]:  # else the reconstructions say it
        figures["cross_modal"] = cross_modal(run, split, shown, givens)
    folder = make_folder(run.folder / "figures")
    for stem, figure in figures.items():
        save_figure(figure, folder / f"{stem}.png")
    return notes


def safe_name(name: str, place: int) -> str:
    """A file name for the modality of any name at a place of the schema: no two are the same."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return f"{place}_{plain[:_LONGEST_NAME]}"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as new:
        figure.savefig(new, format="png")
