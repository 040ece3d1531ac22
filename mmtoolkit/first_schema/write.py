"""A first schema as commented YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmtoolkit.base.words import printable
from mmtoolkit.base.yaml12 import write_entry
from mmtoolkit.components import ColumnSummary
from mmtoolkit.first_schema.choose import Choice

# What keys say, beside them.
_NOTES = {
    "path": "relative to this file",
    "missing": "what stands for a missing cell, beside null",
    "split": "rows to learn from, to choose by and to score by",
    "on_bad_cell": "what cannot be read is counted as missing, and told; error refuses it",
    "latent_dim": "the numbers in which the model sums up a row",
    "subsets": "of a row's modalities, drawn each step, that are learned beside all of them and each alone",
    "epochs": "some minutes on two cores; more may be better",
    "sampling": "the rows of an epoch; those of a small table come several times",
    "warmup_epochs": "over which the weight of the KL divergence rises; the best epoch after them is kept",
}


def document(
    table: str,
    name: str,
    data: Mapping[str, Any],
    choices: Sequence[Choice],
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    evaluate: Sequence[Mapping[str, Any]],
) -> str:
    """The text of a schema file.

    Args:
        table: the table's path, as the user gave it.
        name: of the schema.
        data: options of the source.
        choices: what becomes of the columns; those that are left out stand as comments.
        model: its options.
        train: its options.
        evaluate: options of each evaluator.
    """
    columns = [column for choice in choices for column in choice.columns]
    used = [choice for choice in choices if choice.used]
    left_out = [choice for choice in choices if not choice.used]
    lines = [
        f"# A first schema for {printable(table)}, proposed by `mmt init`; change what you like.",
        f"# {columns[0].rows:,} rows, {len(columns)} columns, {missing(columns):.0%} of all cells missing.",
        *write_entry("name", name),
        "",
        *_noted("data", data),
        "",
        "modalities:",
    ]
    for choice in used:
        lines += [f"  # {_about(choice)}", *_entry(choice, "  ")]
    if left_out:
        lines += ["", "  # Left out. To use one all the same, remove the # before its line."]
    for choice in left_out:
        name = printable(choice.columns[0].name) or "(no name)"
        lines += [f"  # {name}: {_about(choice)}", *(_entry(choice, "  # ") if choice.kind is not None else ())]
    lines += ["", *_noted("model", model), "", *_noted("train", train), "", *write_entry("evaluate", evaluate, 1)]
    return "\n".join(lines) + "\n"


def _noted(key: str, options: Mapping[str, Any]) -> list[str]:
    """A key with an option a line, and what to know of it."""
    lines = [f"{key}:"]
    for option, value in options.items():
        *before, last = write_entry(option, value)
        note = f"  # {_NOTES[option]}" if option in _NOTES else ""
        lines += [f"  {line}" for line in [*before, last + note]]
    return lines


def _entry(choice: Choice, before: str) -> list[str]:
    return [before + line for line in write_entry(choice.name, options(choice))]


def options(choice: Choice) -> dict[str, Any]:
    """A modality as a schema has it."""
    return {"kind": choice.kind, **choice.proposal.options}


def missing(columns: Sequence[ColumnSummary]) -> float:
    """The share of their cells that are missing."""
    return sum(column.missing for column in columns) / max(sum(column.rows for column in columns), 1)


def _about(choice: Choice) -> str:
    return printable(f"{missing(choice.columns):.0%} missing; {choice.proposal.about}")
