"""Write a first schema as commented YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmtoolkit.base.words import printable
from mmtoolkit.base.yaml12 import write_entry
from mmtoolkit.components import ColumnSummary
from mmtoolkit.first_schema.choose import Choice

# Comments beside keys.
_NOTES = {
    "path": "relative to this file",
    "missing": "texts that mean a missing cell, besides null",
    "split": "rows to train on, to choose the best epoch by, and to score",
    "on_bad_cell": "unreadable cells count as missing, with a warning; write error to refuse them",
    "latent_dim": "size of z, the vector that the model infers for each row",
    "subsets": "random subsets of a row's modalities in each training step, besides all together and each alone",
    "epochs": "more may give a better model; each ends with a validation",
    "sampling": "rows in an epoch; the rows of a small table repeat",
    "beta": "the weight of the KL divergence, after it has risen in the epochs of the warm-up",
    "hide": "known cells that the model does not see while it learns to fill them in",
    "select": "keep the weights that fill in hidden cells of the validation rows best",
    "calibrate": "after training, make predictions less sure where validation cells show that they are too sure",
    "early_stopping": "epochs without a better validation, after which training stops",
}

_LEFT_OUT = (
    "  # These columns are left out; a comment says why. To use one, mend what the comment names, if anything, and",
    "  # remove the # from its line #NAME: {kind: ...}. A column that has no such line cannot be used as it is.",
)


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
        table: the table's path, as the user wrote it.
        name: of the schema.
        data: options of the source.
        choices: the modality chosen for each column; the text has a comment for each that is left out.
        model: options of the model.
        train: options of training.
        evaluate: options of each evaluator.
    """
    columns = [choice.column for choice in choices]
    used = [choice for choice in choices if choice.used]
    left_out = [choice for choice in choices if not choice.used]
    lines = [
        f"# A first schema for {printable(table)}, proposed by `mmt init`. Change it as you like.",
        f"# {columns[0].rows:,} rows, {len(columns)} columns, {missing(columns):.0%} of all cells are missing.",
        *write_entry("name", name),
        "",
        *_write_section("data", data),
        "",
        "modalities:",
    ]
    written = False
    for choice in used:
        if not choice.gathered:
            lines += [f"  # {_about(choice)}", *_write_modality(choice, "  ")]
        elif not written:
            written = True
            lines += _write_record([c for c in used if c.gathered], {c.name for c in choices if c.kind is not None})
    lines += ["", *_LEFT_OUT] if left_out else []
    for choice in left_out:
        lines.append(f"  # column {printable(choice.name) or '(no name)'}: {_about(choice)}")
        lines += _write_modality(choice, "  #") if choice.kind is not None else []
    lines += ["", *_write_section("model", model), "", *_write_section("train", train)]
    lines += ["", *write_entry("evaluate", evaluate, 1)]
    return "\n".join(lines) + "\n"


def _write_section(key: str, options: Mapping[str, Any]) -> list[str]:
    """A key of the schema, with a line and a comment for each option."""
    lines = [f"{key}:"]
    for option, value in options.items():
        *before, last = write_entry(option, value)
        note = f"  # {_NOTES[option]}" if option in _NOTES else ""
        lines += [f"  {line}" for line in [*before, last + note]]
    return lines


def _write_record(columns: Sequence[Choice], taken: set[str]) -> list[str]:
    """The record of all columns that can stand in one."""
    name = "record"
    while name in taken:
        name += "_"
    (head,) = write_entry(name, {"kind": columns[0].gathered_by}, 0)
    key, _, _ = head.partition(":")
    lines = ["  # These columns share one network, which fills in any of them from any others.", f"  {key}:"]
    lines += [f"    {line}" for line in write_entry("kind", columns[0].gathered_by)]
    lines += ["    columns:"]
    for choice in columns:
        lines += [f"      # {_about(choice)}", *_write_modality(choice, "      ")]
    return lines


def _write_modality(choice: Choice, before: str) -> list[str]:
    return [before + line for line in write_entry(choice.name, options(choice))]


def options(choice: Choice) -> dict[str, Any]:
    """Kind and options of a modality, as in a schema."""
    return {"kind": choice.kind, **choice.proposal.options}


def missing(columns: Sequence[ColumnSummary]) -> float:
    """The share of missing cells in some columns."""
    return sum(column.missing for column in columns) / max(sum(column.rows for column in columns), 1)


def _about(choice: Choice) -> str:
    return printable(f"{choice.missing:.0%} missing; {choice.about}")
