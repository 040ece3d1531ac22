"""Commands of plugins: their entry points give the names; a command loads when you call it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import typer
from typer.core import TyperCommand

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class

GROUP = "mmtoolkit.commands"


class Lazy(TyperCommand):
    """Stands for a plugin's command until you call it, so that help imports no plugin.

    Args:
        name: the name of the command.
        points: the entry points with that name; one, unless plugins clash.
    """

    def __init__(self, name: str, points: Sequence[metadata.EntryPoint]) -> None:
        self.places = [f"{point.value} of {_origin(point)}" for point in points]
        super().__init__(name, help=f"From the plugin {' and '.join(map(_origin, points))}.")
        self.point = points[0]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command and return its context, with which it runs from here on.

        Raises:
            UserError: several plugins have the command, or it does not work.
        """
        if len(self.places) > 1:
            places = " and ".join(self.places)
            raise UserError(f"mmt {self.name}: several plugins have this command, {places}; uninstall all but one")
        return _loaded(self.point).make_context(info_name, args, parent=parent, **extra)


def names() -> list[str]:
    """The names of the commands that installed plugins add, sorted."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def distributions() -> set[str]:
    """The names of the distributions that add commands."""
    return {point.dist.name for point in metadata.entry_points(group=GROUP) if point.dist}


def find(name: str) -> Lazy | None:
    """The command of that name from an installed plugin, not loaded yet; None if there is none."""
    points = {point.value: point for point in metadata.entry_points(group=GROUP, name=name)}
    return Lazy(name, [points[value] for value in sorted(points)]) if points else None


def _origin(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _loaded(point: metadata.EntryPoint) -> Any:
    """The command that an entry point names.

    Raises:
        UserError: the import fails, or the object is neither a Typer application nor a function.
    """
    try:
        command = point.load()
        if inspect.isfunction(command):
            application = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
            application.command(point.name)(command)
        elif isinstance(command, typer.Typer):
            application = command
        else:
            raise TypeError(f"{point.value} is {type(command).__name__}, neither a typer.Typer nor a function")
        return typer.main.get_command(application)
    except (Exception, SystemExit) as error:
        text = error_with_class(error)
        remedy = f"mend or uninstall {point.dist.name if point.dist else 'the plugin'}"
        raise UserError(f"mmt {point.name}: the command of {_origin(point)} does not work: {text}; {remedy}") from error
