"""`mmt run`, `check`, `evaluate` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, out, plugins_of, print_json, say
from mmtoolkit.errors import UserError

SchemaArgument = Annotated[
    str, typer.Argument(metavar="SCHEMA", help="A schema file, or a name from `mmt list schemas`.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the schema, as train.epochs=10; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


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
    resume: Annotated[bool, typer.Option(help="Go on with the run that the folder holds.")] = False,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many devices to train on.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    json: JsonOption = False,
) -> None:
    """Train a model, score it, and write the run folder with its report."""
    plugins = plugins_of(ctx)
    from mmtoolkit.cli.progress import watcher
    from mmtoolkit.execution import execute
    from mmtoolkit.figures import draw_figures
    from mmtoolkit.report import write_report
    from mmtoolkit.run_folder import holds_run, resume_command
    from mmtoolkit.schema import read_schema

    read = read_schema(schema, set_ or (), plugins)
    for note in read.notes:
        say(note)
    folder = out_folder or Path("runs") / read.name
    shown = watcher()
    try:
        done = execute(
            read,
            folder,
            plugins=plugins,
            resume=resume,
            device=device,
            devices=devices,
            precision=precision,
            watcher=shown,
            say=say,
        )
    except KeyboardInterrupt:
        shown.close()
        if not holds_run(folder):
            raise
        say(f"interrupted; what was done is kept. Go on with: {resume_command(folder, ctx.obj)}")
        raise typer.Exit(130) from None
    finally:
        shown.close()
    if not done.main_process:
        return
    for note in draw_figures(done):
        say(note)
    report_file = write_report(folder)
    if json:
        print_json(done.results)
        return
    _print_scores(done.results["scores"])
    out().print(f"[bold]{escape(str(report_file))}[/] has the pictures", soft_wrap=True)


def _print_scores(scores: list[dict[str, Any]]) -> None:
    from mmtoolkit.cli.tables import score_table

    for score in scores:
        out().print(score_table(score))


@app.command(epilog="Example:\n\n  mmt check mnist --set model.latent_dim=32")
def check(ctx: typer.Context, schema: SchemaArgument, set_: SetOption = None, json: JsonOption = False) -> None:
    """Check a schema, its data and its networks, without training."""
    plugins = plugins_of(ctx)
    from mmtoolkit.checking import check as checked
    from mmtoolkit.schema import read_schema

    read = read_schema(schema, set_ or (), plugins)
    for note in read.notes:
        say(note)
    found, fault = checked(read, say)
    if json:
        print_json(found)
    else:
        _print_check(found)
    if fault is not None:
        raise fault


def _print_check(found: dict[str, Any]) -> None:
    from mmtoolkit.cli.tables import table

    console = out()
    if "splits" in found:
        names = list(found["modalities"])
        rows = table("data", "split", "rows ", *(f"{escape(name)} missing " for name in names[:8]))
        for split, counts in found["splits"].items():
            shares = [counts["missing"][name] for name in names[:8]]
            rows.add_row(split, f"{counts['rows']:,}", *("" if s is None else f"{s:.1%}" for s in shares))
        console.print(rows)
        for note in found["notes"]:
            say(note)
    networks = table("networks", "modality", "kind", "shape", "encoder parameters ", "decoder parameters ")
    for name, facts in found["modalities"].items():
        shape = "x".join(map(str, facts["shape"])) or "single value"
        networks.add_row(escape(name), facts["kind"], shape, f"{facts['encoder']:,}", f"{facts['decoder']:,}")
    console.print(networks)
    counts = found["parameters"]
    console.print(
        f"{counts['total']:,} parameters, {counts['inference']:,} of them in inference networks; "
        f"z has {found['latent_dim']} numbers. One step works."
    )


@app.command(
    epilog="Examples:\n\n  mmt evaluate runs/demo --split valid\n\n"
    "  mmt evaluate runs/demo --set 'evaluate=[{kind: prediction, samples: 20}]'"
)
def evaluate(
    ctx: typer.Context,
    run_folder: RunArgument,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="evaluate=VALUE", help="What to score instead; may be repeated."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Default: test.")] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Score a run again: other evaluators, another split. Kept in RUN/evaluations/N.json."""
    from mmtoolkit.files import make_folder, write_json
    from mmtoolkit.overrides import parse_override
    from mmtoolkit.run import load
    from mmtoolkit.schema import read_schema

    loaded = load(run_folder, ctx.obj, device, say)
    evaluators = loaded.schema.evaluate
    if set_:
        for text in set_:
            if parse_override(text)[0][0] != "evaluate":
                raise UserError(f"--set {text}: cannot change a trained run; evaluate alone can be set here")
        evaluators = read_schema(run_folder / "schema.yaml", set_, loaded.plugins).evaluate
    folder = run_folder / "evaluations"
    number = 1 + max((int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()), default=0)
    scores = loaded.evaluate(evaluators, split or loaded.default_split(), folder / str(number))
    for score in scores:
        for note in score["notes"]:
            say(f"{score['kind']}: {note}")
    make_folder(folder)
    document = {"name": loaded.schema.name, "scores": scores}
    write_json(folder / f"{number}.json", document)
    say(f"kept in {folder / f'{number}.json'}")
    if json:
        print_json(document)
    else:
        _print_scores(scores)


@app.command()
def report(run_folder: RunArgument) -> None:
    """Write the HTML report of a run again, from its folder alone."""
    from mmtoolkit.report import write_report

    out().print(escape(str(write_report(run_folder))), soft_wrap=True)
