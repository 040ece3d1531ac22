"""The application: global options, exit statuses and output streams."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.importing import quick_imports
from mmtoolkit.cli import plugin_commands

if TYPE_CHECKING:
    from mmtoolkit.components.plugins import Plugins
    from mmtoolkit.runs.trained import TrainedRun


class _Group(TyperGroup):
    """Prints faults that you can mend, one a line, and exits with status 2; with 130 after Ctrl-C.

    It lists the commands of plugins after the built-in ones, which no plugin can replace.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        built_in = super().list_commands(ctx)
        return [*built_in, *(name for name in plugin_commands.names() if name not in built_in)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or plugin_commands.find(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            for fault in error.faults:
                print(fault, file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of the pipe, such as `head`, has ended; point stdout elsewhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=_Group,
    name="mmt",
    help="Multimodal generative models for incomplete data: train one model that infers, generates, scores and fills "
    "in any modality from any others.",
    epilog="Start with:  mmt run fashion_mini --out runs/demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _global_options(
    ctx: typer.Context,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.py", help="A Python file that adds components; may be repeated."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda version: _print_version(version), is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    for file in plugin or ():
        if not file.is_file():
            raise UserError(f"--plugin {file}: there is no such file; give the path of a Python file")
    ctx.obj = list(plugin or ())


def _print_version(version: bool) -> None:
    if version:
        print(f"mmtoolkit {metadata.version('mmtoolkit')}")
        raise typer.Exit


def with_global_options_first(args: list[str]) -> list[str]:
    """Move --plugin FILE to the front of the arguments, so that you may write it anywhere."""
    first, rest = [], []
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--plugin":
            first += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith("--plugin="):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def plugins_of(ctx: typer.Context) -> Plugins:
    """Load the plugins of this call; print a line on stderr for each that does not work."""
    with quick_imports():
        from mmtoolkit.components.plugins import load_plugins  # with PyTorch

        plugins = load_plugins(ctx.obj)
    for line in plugins.broken:
        print(line, file=sys.stderr)
    return plugins


def load_run(ctx: typer.Context, folder: Path, device: str, report: Callable[[str], None] | None = None) -> TrainedRun:
    """Load a run with the plugin files of this call, and let the rest of the command compute as suits it.

    `report` receives its lines for the user; by default they are printed on stderr.
    """
    from mmtoolkit.runs.computing import compute_afterwards
    from mmtoolkit.runs.loading import load
    from mmtoolkit.training.compute import applied

    run = load(folder, ctx.obj, device, report or say)
    ctx.with_resource(applied(compute_afterwards(folder)))
    return run


class _Output(Console):
    """Ends quietly when the reader of the pipe, such as `head`, ends."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def out() -> Console:
    """The console for results: stdout."""
    return _Output(highlight=False)


def say(line: str) -> None:
    """Print a line that is not a result, on stderr."""
    print(line, file=sys.stderr)


def print_json(data: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(data, indent=2, ensure_ascii=False))
