"""Arguments and options of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SchemaArgument = Annotated[
    str, typer.Argument(metavar="SCHEMA", help="A schema file, or a name from `mmt list schemas`.")
]


def _found(run: Path) -> Path:
    from mmtoolkit.catalogue.models import find_run

    return find_run(run)


RunArgument = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run folder, or a trained model from `mmt list models`.", callback=_found),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the schema, such as train.epochs=10; may be repeated."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
BadCellOption = Annotated[
    Literal["error", "missing"] | None,
    typer.Option(
        "--on-bad-cell",
        help="If a cell of TABLE cannot be read: an error, or missing and counted. Default: as in the run.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the file that --out names.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="How many threads a run computes with. Default: by the sizes of its networks; with --resume, as before.",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TableArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="A table: .csv, .tsv, .json or .jsonl (also with .gz, .bz2 or .zst), .parquet, .arrow, .feather or .xlsx; "
        "a folder of Parquet files; or - for standard input.",
    ),
]
NewTableOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The table to write; its ending names the format. A folder, for a table in a folder of Parquet files; or "
        "- for standard output.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Read only the I-th of N shares of a folder of Parquet files, and write its parts to the folder --out: "
        "for N jobs side by side.",
    ),
]
ReadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="data.KEY=VALUE", help="How to read the table, such as data.encoding=cp1252; may be repeated."
    ),
]
