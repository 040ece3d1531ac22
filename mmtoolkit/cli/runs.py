"""`mmt run`, `check`, `evaluate` and `report`: train, check and score runs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli.app import app, load_run, out, plugins_of, print_json, say
from mmtoolkit.cli.options import (
    BadCellOption,
    DeviceOption,
    JsonOption,
    RunArgument,
    SchemaArgument,
    SetOption,
    ThreadsOption,
)
from mmtoolkit.cli.streams import table_streams


@app.command(
    epilog="Examples:\n\n  mmt run fashion_mini --out runs/demo\n\n"
    "  mmt run my.yaml --set train.epochs=10 --set model.latent_dim=32\n\n  mmt run my.yaml --resume"
)
def run(
    ctx: typer.Context,
    schema: SchemaArgument,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run folder. Default: runs/NAME.")
    ] = None,
    set_: SetOption = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder.")] = False,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many devices to train on.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    threads: ThreadsOption = None,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw pictures for the report.")] = True,
    json: JsonOption = False,
) -> None:
    """Train a model, score it, and write the run folder with its report."""
    plugins = plugins_of(ctx)
    from mmtoolkit.cli.progress import watcher
    from mmtoolkit.runs.folder import holds_run, resume_command
    from mmtoolkit.runs.run import run as run_schema
    from mmtoolkit.schema.schema import read_schema

    read = read_schema(schema, set_ or (), plugins)
    for note in read.notes:
        say(note)
    folder = out_folder or Path("runs") / read.name
    progress = watcher()
    try:
        trained = run_schema(
            read,
            folder,
            plugins=plugins,
            resume=resume,
            device=device,
            devices=devices,
            precision=precision,
            threads=threads,
            watcher=progress,
            say=say,
            figures=figures,
        )
    except KeyboardInterrupt:
        progress.close()
        if not holds_run(folder):
            raise
        say(f"interrupted; what was done is kept. Go on with: {resume_command(folder, ctx.obj)}")
        raise typer.Exit(130) from None
    finally:
        progress.close()
    if not trained.main_process:
        return
    if json:
        print_json(trained.results)
        return
    _print_scores(trained.results["scores"])
    out().print(
        f"[bold]{escape(str(folder / 'report.html'))}[/] has the {'pictures' if figures else 'scores'}", soft_wrap=True
    )


def _print_scores(scores: list[dict[str, Any]]) -> None:
    from mmtoolkit.cli.tables import score_tables

    console = out()
    for score in scores:
        for part in score_tables(score, console.width):
            console.print(part)


@app.command(epilog="Example:\n\n  mmt check mnist --set model.latent_dim=32")
def check(ctx: typer.Context, schema: SchemaArgument, set_: SetOption = None, json: JsonOption = False) -> None:
    """Check a schema, its data and its networks without training."""
    plugins = plugins_of(ctx)
    from mmtoolkit.runs.checking import check as check_schema
    from mmtoolkit.schema.schema import read_schema

    read = read_schema(schema, set_ or (), plugins)
    for note in read.notes:
        say(note)
    report, fault = check_schema(read, say)
    if json:
        print_json(report)
    else:
        _print_check(report)
    if fault is not None:
        raise fault


def _print_check(report: dict[str, Any]) -> None:
    from mmtoolkit.cli.tables import table
    from mmtoolkit.data.summary import notes_on_signs

    console = out()
    if "splits" in report:
        splits = report["splits"]
        rows = table("data", "share missing", *(f"{escape(split)} " for split in splits))
        for name in report["modalities"]:
            shares = [counts["missing"][name] for counts in splits.values()]
            rows.add_row(escape(name), *("" if share is None else f"{share:.1%}" for share in shares))
        rows.add_section()
        rows.add_row("rows", *(f"{counts['rows']:,}" for counts in splits.values()))
        console.print(rows)
        for note in [*report["notes"], *notes_on_signs(report["signs"])]:
            say(note)
    networks = table("parameters of the networks", "modality", "kind", "shape", "encoder ", "decoder ")
    for name, unit in report["units"].items():
        sizes = [f"{unit[part]:,}" for part in ("encoder", "decoder")]
        if name not in report["modalities"]:
            networks.add_row(escape(name), unit["kind"], f"{len(unit['modalities'])} columns", *sizes)
        for modality in unit["modalities"]:
            facts = report["modalities"][modality]
            shape = "x".join(map(str, facts["shape"])) or "single value"
            own = sizes if modality == name else ["", ""]
            own = own if facts["modelled"] else ["not modelled"] * 2
            networks.add_row(escape(modality if modality == name else f"  {modality}"), facts["kind"], shape, *own)
    console.print(networks)
    counts = report["parameters"]
    of_these = "" if report["shared_dim"] == report["latent_dim"] else f", {report['shared_dim']} of them shared"
    console.print(
        f"{counts['total']:,} parameters, {counts['inference']:,} of them in inference networks; "
        f"z has {report['latent_dim']} numbers{of_these}. One step works."
    )


@app.command(
    epilog="Examples:\n\n  mmt evaluate runs/demo --split valid\n\n"
    "  mmt evaluate runs/demo --set 'evaluate=[{kind: prediction, samples: 20}]'\n\n"
    "  mmt evaluate runs/shop new.csv --on-bad-cell missing"
)
def evaluate(
    ctx: typer.Context,
    run_folder: RunArgument,
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="TABLE", help="A table to score on instead of the run's own data; - for standard input."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What to score instead, as evaluate=VALUE, or how TABLE is read, as data.encoding=cp1252; may be "
            "repeated.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="A split of the run's own data. Default: test, or valid where the data has none."),
    ] = None,
    on_bad_cell: BadCellOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Score a run again: by other evaluators, on another split or on a new table. Writes RUN/evaluations/N.json.

    For a packed run or a model of the catalogue it writes evaluations/N.json in the current folder.
    """
    from mmtoolkit.base.files import make_folder, write_json
    from mmtoolkit.catalogue.models import folder_for, is_packed, name_of
    from mmtoolkit.runs.folder import UNWATCHED
    from mmtoolkit.runs.scoring_tables import evaluate_table
    from mmtoolkit.schema.schema import read_schema
    from mmtoolkit.using.user_table import file_as_set

    if table is not None and split is not None:
        raise UserError(f"--split {split}: is of the run's own data; leave it out to score on {table}")
    evaluate_sets, reading_sets = _split_sets(set_ or (), table)
    if table is None and on_bad_cell is not None:
        raise UserError("--on-bad-cell: is of a TABLE, and the run's own data is prepared; leave it out")
    with contextlib.nullcontext() if table is None else table_streams(table, sets=reading_sets) as streams:
        loaded = load_run(ctx, run_folder, device, None if streams is None else streams.say)
        evaluators = loaded.schema.evaluate
        if evaluate_sets:
            evaluators = read_schema(run_folder / "schema.yaml", [UNWATCHED, *evaluate_sets], loaded.plugins).evaluate
        folder = folder_for(run_folder) / "evaluations"
        number = 1 + max((int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()), default=0)
        document: dict[str, Any] = {"name": loaded.schema.name}
        if is_packed(run_folder):
            document["run"] = name_of(run_folder)
        if streams is None:
            scores = loaded.evaluate(evaluators, split or loaded.default_split(), folder / str(number))
        else:
            user_file = file_as_set(loaded, streams.table, reading_sets, on_bad_cell, streams.folder)
            document["table"] = streams.renamed(str(user_file.path))
            scores = evaluate_table(loaded, user_file, evaluators, folder / str(number))
    for score in scores:
        if streams is not None:
            score |= {"split": streams.renamed(score["split"]), "notes": list(map(streams.renamed, score["notes"]))}
        for note in score["notes"]:
            say(f"{score['kind']}: {note}")
    make_folder(folder)
    document["scores"] = scores
    write_json(folder / f"{number}.json", document)
    say(f"the scores are in {folder / f'{number}.json'}")
    if json:
        print_json(document)
    else:
        _print_scores(scores)


def _split_sets(sets: Sequence[str], table: Path | None) -> tuple[list[str], list[str]]:
    """The values of `--set` that change the evaluators, and those that change how to read the table."""
    from mmtoolkit.schema.overrides import parse_override

    evaluate_sets, reading_sets = [], []
    for text in sets:
        key = parse_override(text)[0][0]
        if key == "evaluate":
            evaluate_sets.append(text)
        elif key == "data" and table is not None:
            reading_sets.append(text)
        else:
            of_table = ", and data of a TABLE" if key == "data" else ""
            raise UserError(f"--set {text}: cannot change a trained run; evaluate alone can be set here{of_table}")
    return evaluate_sets, reading_sets


@app.command(
    epilog="Examples:\n\n  mmt report runs/demo --colour label --projection umap\n\n"
    "  mmt report runs/birds --plugin my_counts.py"
)
def report(
    ctx: typer.Context,
    run_folder: RunArgument,
    colour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Draw the picture of the latent space alone, coloured by this column; may be repeated.",
        ),
    ] = None,
    projection: Annotated[
        str | None, typer.Option(help="Draw that picture alone, by pca, or by umap if umap-learn is installed.")
    ] = None,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures/--no-figures", help="Draw the run's pictures again. Without, only files of the folder are read."
        ),
    ] = True,
    device: DeviceOption = "auto",
) -> None:
    """Draw the pictures of a run again and write its HTML report. Pictures of rows stay if the data is not there."""
    from mmtoolkit.catalogue.models import refuse_packed
    from mmtoolkit.runs.folder import read_finished_record, read_pictures
    from mmtoolkit.runs.pictures import redraw, redraw_latent_space
    from mmtoolkit.runs.report import write_report

    read_finished_record(run_folder)
    refuse_packed(run_folder, "report")
    if colour or projection:
        redraw_latent_space(run_folder, colour or (), projection or "pca")
    elif figures and read_pictures(run_folder):
        for note in redraw(load_run(ctx, run_folder, device)):
            say(note)
    out().print(escape(str(write_report(run_folder))), soft_wrap=True)
