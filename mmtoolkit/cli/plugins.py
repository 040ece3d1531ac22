"""`mmt plugins`: what is installed, a project for a new one, and the contract kit on any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mmtoolkit.cli import others
from mmtoolkit.cli.app import app, out, plugins_of, print_json
from mmtoolkit.errors import UserError

if TYPE_CHECKING:
    from mmtoolkit.components import Component
    from mmtoolkit.plugins import Plugins
    from mmtoolkit.testing.examples import Trial

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

plugins = typer.Typer()
app.add_typer(plugins, name="plugins")


@plugins.callback(invoke_without_command=True, epilog="Example:\n\n  mmt plugins --plugin my_modality.py")
def show(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show the components that are installed and where each comes from; make and check plugins."""
    if ctx.invoked_subcommand is not None:
        return
    from mmtoolkit.cli.tables import table

    found = plugins_of(ctx)
    rows = [
        {
            "kind": kind,
            "family": family,
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "distribution": found.origins[cls].distribution,
            "version": found.origins[cls].version,
        }
        for (family, kind), cls in sorted(found.components.items())
    ]
    if json:
        print_json({"components": rows, "broken": found.broken})
        return
    made = table("components", "kind", "family", "class", "distribution", "version")
    for row in rows:
        made.add_row(*map(escape, row.values()))
    out().print(made)


@plugins.command("new", epilog="Example:\n\n  mmt plugins new mmt-rainfall")
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin's name, such as mmt-rainfall.")],
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder to make. Default: ./NAME.")] = None,
) -> None:
    """Make a plugin project: a modality that works, its tests, and a schema that trains at once."""
    from mmtoolkit.scaffold import write_project

    project = write_project(name, folder or Path(name), plugins_of(ctx))
    console = out()
    console.print(f"[bold]{escape(str(project.folder))}[/] holds the plugin; next:", soft_wrap=True)
    for command in project.next_commands:
        console.print(f"  {escape(command)}", soft_wrap=True)


@plugins.command(
    "check", epilog="Examples:\n\n  mmt plugins check mmt-rainfall\n\n  mmt plugins check --plugin my_modality.py"
)
def check(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A plugin, its distribution, or a kind. Default: the files named by --plugin."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Try the components of a plugin against all that a component promises; a line for each promise.

    Exit status 2 where one is broken. Each class is tried with the instances that its `examples` gives.
    """
    from mmtoolkit.testing.examples import tried

    found = plugins_of(ctx)
    trials = (trial for cls in _chosen(found, name, ctx.obj) for trial in tried(cls))
    if json:
        documents = [trial.document() for trial in trials]
        print_json(documents)
        broken = sum(bool(promise["faults"]) for document in documents for promise in document["promises"])
    else:
        broken = sum(_shown(trial) for trial in trials)
    if broken:
        promises = "1 promise is" if broken == 1 else f"{broken} promises are"
        raise UserError(f"{name or 'the plugin'}: {promises} broken; mend what the lines say, and check again")


def _shown(trial: Trial) -> int:
    """Print what a trial finds, as it finds it; how many promises are broken."""
    console, broken = out(), 0
    console.print(f"[bold]{escape(trial.title)}[/]", soft_wrap=True)
    if trial.untried:
        console.print(f"  not tried: {escape(trial.untried)}", soft_wrap=True)
    for outcome in trial.outcomes:
        broken += bool(outcome.faults)
        console.print(f"  {'BROKEN' if outcome.faults else 'kept  '}  {escape(outcome.promise)}", soft_wrap=True)
        for fault in outcome.beside_promise:
            console.print(f"          {escape(fault)}", soft_wrap=True)
    return broken


def _chosen(found: Plugins, name: str | None, files: list[Path]) -> list[type[Component]]:
    """The classes of a plugin, a distribution or a kind; of the files given with --plugin where there is no name."""
    origins = found.origins.items()
    if name is None:
        if not files:
            raise UserError("mmt plugins check: name a plugin or a kind, or a file with --plugin FILE.py")
        return [cls for cls, plugin in origins if plugin.checksum]
    chosen = [cls for cls, plugin in origins if name in (plugin.name, plugin.distribution)]
    chosen = chosen or [cls for (_, kind), cls in found.components.items() if kind == name]
    if not chosen:
        from mmtoolkit.catalogue import did_you_mean

        if name in others.distributions():
            raise UserError(f"{name}: adds commands alone, for which there is no contract; test them by calling them")
        known = sorted({*(p.name for _, p in origins), *(p.distribution for _, p in origins if not p.checksum)})
        kinds = [kind for _, kind in found.components]
        raise UserError(
            f"{name}: is no plugin, distribution or kind that is installed{did_you_mean(name, [*known, *kinds])}; "
            f"the plugins are {', '.join(known)}, and `mmt plugins` shows the kinds"
        )
    return chosen
