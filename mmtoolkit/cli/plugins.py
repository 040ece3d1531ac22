"""`mmt plugins`: lists components, writes a new plugin project, and checks a plugin's contract."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mmtoolkit.base.errors import UserError
from mmtoolkit.cli import plugin_commands
from mmtoolkit.cli.app import app, out, plugins_of, print_json

if TYPE_CHECKING:
    from mmtoolkit.components import Component
    from mmtoolkit.components.plugins import Plugin, Plugins
    from mmtoolkit.testing.examples import Trial

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

plugins = typer.Typer()
app.add_typer(plugins, name="plugins")


@plugins.callback(invoke_without_command=True, epilog="Example:\n\n  mmt plugins --plugin my_modality.py")
def show(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show the installed components and their origins; make and check plugins."""
    if ctx.invoked_subcommand is not None:
        return
    from mmtoolkit.cli.tables import table
    from mmtoolkit.components import FAMILIES

    installed = plugins_of(ctx)
    rows = [
        {
            "kind": kind,
            "family": family,
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "distribution": installed.origins[cls].distribution,
            "version": installed.origins[cls].version,
        }
        for family in (base.family for base in FAMILIES)
        for kind, cls in sorted(installed.of_family(family).items())
    ]
    if json:
        print_json({"components": rows, "broken": installed.broken})
        return
    components = table("components", "kind", "family", "class", "from")
    for row in sorted(rows, key=lambda row: row["distribution"] == "mmtoolkit"):  # yours are first, ours are many
        origin = f"{row['distribution']} {row['version']}"
        components.add_row(*map(escape, (row["kind"], row["family"], row["class"].rpartition(".")[2], origin)))
    out().print(components)


@plugins.command(
    "new", epilog="Examples:\n\n  mmt plugins new mmt-rainfall\n\n  mmt plugins new mmt-tails --likelihood"
)
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin's name, such as mmt-rainfall.")],
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder to make. Default: ./NAME.")] = None,
    modality: Annotated[
        bool, typer.Option("--modality", help="A modality: how cells are read. This is the default.")
    ] = False,
    architecture: Annotated[
        bool, typer.Option("--architecture", help="An architecture: the networks of modalities.")
    ] = False,
    likelihood: Annotated[
        bool, typer.Option("--likelihood", help="A likelihood: the distribution of a value given z.")
    ] = False,
    prior: Annotated[bool, typer.Option("--prior", help="A prior: the distribution of z.")] = False,
    model: Annotated[
        bool, typer.Option("--model", help="A model: how modalities share z, and the training loss.")
    ] = False,
    source: Annotated[bool, typer.Option("--source", help="A source: where rows come from.")] = False,
    evaluator: Annotated[bool, typer.Option("--evaluator", help="An evaluator: a score of a trained run.")] = False,
    watcher: Annotated[bool, typer.Option("--watcher", help="A watcher: what follows a training.")] = False,
) -> None:
    """Make a plugin project: a component that works, its tests, and a schema that trains at once.

    Give one family at most.
    """
    from mmtoolkit.scaffold.project import write_project

    flags = {
        "modality": modality,
        "architecture": architecture,
        "likelihood": likelihood,
        "prior": prior,
        "model": model,
        "source": source,
        "evaluator": evaluator,
        "watcher": watcher,
    }
    families = [family for family, given in flags.items() if given] or ["modality"]
    if families[1:]:
        given = " and ".join(f"--{family}" for family in families)
        raise UserError(f"mmt plugins new: a project has one component to start with, not {given}; give one of them")
    project = write_project(name, folder or Path(name), plugins_of(ctx), families[0])
    console = out()
    console.print(f"[bold]{escape(str(project.folder))}[/] holds the {families[0]}; next:", soft_wrap=True)
    for command in project.next_commands:
        console.print(f"  {escape(command)}", soft_wrap=True)


@plugins.command("check", epilog="Examples:\n\n  mmt plugins check mmt-rainfall\n\n  mmt plugins check my_modality.py")
def check(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A plugin, its distribution, a kind, or a plugin's Python file. Default: the files named by --plugin.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that the components of a plugin keep the promises of their contract; print a line for each promise.

    The exit status is 2 if a promise is broken. The check tries each class on the instances of its `examples`.
    """
    from mmtoolkit.testing.examples import try_examples

    if name is not None and _is_file(name):
        if not os.path.isfile(name):  # Path.is_file raises for a name too long
            raise UserError(f"{name}: there is no such file; give the path of a Python file")
        ctx.obj = [*ctx.obj, Path(name)]
    trials = (trial for cls in _classes(plugins_of(ctx), name, ctx.obj) for trial in try_examples(cls))
    if json:
        documents = [trial.document() for trial in trials]
        print_json(documents)
        broken = sum(bool(promise["faults"]) for document in documents for promise in document["promises"])
    else:
        broken = sum(_print_trial(trial) for trial in trials)
    if broken:
        promises = "1 promise is" if broken == 1 else f"{broken} promises are"
        raise UserError(f"{name or 'the plugin'}: {promises} broken; mend what the lines say, and check again")


def _print_trial(trial: Trial) -> int:
    """Print the outcomes of a trial as they come; return how many promises are broken."""
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


def _is_file(name: str) -> bool:
    """Whether a name is the path of a plugin's file."""
    return name.endswith(".py")


def _classes(plugins: Plugins, name: str | None, files: list[Path]) -> list[type[Component]]:
    """The classes of a plugin, a distribution, a kind or a file; without a name, those of the --plugin files."""
    if not files and name is None:
        raise UserError("mmt plugins check: name a plugin, a kind or a plugin's file, such as my_modality.py")

    def matches(plugin: Plugin) -> bool:
        if name is None:
            return plugin.checksum is not None
        return (
            plugin.distribution == str(Path(name).resolve())
            if _is_file(name)
            else name in (plugin.name, plugin.distribution)
        )

    for plugin in filter(matches, plugins.empty):
        of = f"plugin {plugin.name} of {plugin.distribution} {plugin.version}"
        raise UserError(
            f"{plugin.distribution if plugin.checksum else of}: adds no component; "
            "return your classes from its mmt_components"
        )
    classes = [cls for cls, plugin in plugins.origins.items() if matches(plugin)]
    classes = classes or [cls for (_, kind), cls in plugins.components.items() if kind == name]
    if not classes:
        assert name is not None  # a file adds a component, or is empty
        raise UserError(_unknown(plugins, name))
    return classes


def _of_another_group(name: str) -> str | None:
    """The error of a distribution that is installed without an entry point of ours; None if it is something else."""
    from importlib import metadata

    from mmtoolkit.components.plugins import GROUP

    try:
        groups = {point.group for point in metadata.distribution(name).entry_points}
    except (metadata.PackageNotFoundError, ValueError):
        return None
    if GROUP in groups:
        return None
    others = f"; those that it has are in {', '.join(sorted(groups))}" if groups else ""
    return (
        f"{name}: is installed, but has no entry point in the group {GROUP}{others}; name its module there, in "
        f"pyproject.toml under [project.entry-points.{GROUP}], and install it again"
    )


def _unknown(plugins: Plugins, name: str) -> str:
    """The error of a name that is nothing to check."""
    from mmtoolkit.base.words import did_you_mean

    if name in plugin_commands.distributions():
        return f"{name}: adds commands alone, for which there is no contract; test them by calling them"
    if (other := _of_another_group(name)) is not None:
        return other
    if os.path.isdir(name):
        return (
            f"{name}: is a folder; give a plugin's Python file in it, or install it with "
            f"`pip install -e {shlex.quote(name)}` and give its name"
        )
    origins = plugins.origins.values()
    names = sorted({*(p.name for p in origins), *(p.distribution for p in origins if not p.checksum)})
    kinds = [kind for _, kind in plugins.components]
    return (
        f"{name}: is no plugin, distribution or kind that is installed{did_you_mean(name, [*names, *kinds])}; "
        f"the plugins are {', '.join(names)}, and `mmt plugins` shows the kinds"
    )
