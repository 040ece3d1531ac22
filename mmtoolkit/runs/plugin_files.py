"""The `--plugin` files of a run: which are missing, which have changed since it was trained, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.plugins import Plugin, Plugins

_DIGITS = 12  # of a checksum in a message


@dataclass(frozen=True)
class ChangedFile:
    """A plugin file that changed since a run was trained.

    Attributes:
        path: where it is now.
        was: its SHA-256 when the run was trained.
        now: its SHA-256.
    """

    path: str
    was: str
    now: str

    def __str__(self) -> str:
        """Such as `the plugin file /a/mine.py changed since the run was trained (SHA-256 0123…, now 4567…)`."""
        was, now = self.was[:_DIGITS], self.now[:_DIGITS]
        return f"the plugin file {self.path} changed since the run was trained (SHA-256 {was}…, now {now}…)"


def changed_files(folder: Path, record: Mapping[str, Any], plugins: Plugins) -> list[ChangedFile]:
    """The plugin files of a run that have changed.

    A file is the run's if it has the contents, else the path, else the name that run.json has.

    Args:
        folder: the run folder.
        record: the content of its run.json.
        plugins: loaded from the files that the user gave.

    Raises:
        UserError: a file of the run was not given.
    """
    given = given_files(plugins)
    changed = []
    for plugin in record["plugins"]:
        if not plugin["checksum"] or plugin["checksum"] in {file.checksum for file in given}:
            continue
        same = [file for file in given if file.distribution == plugin["distribution"]]
        same += [file for file in given if file.name == plugin["name"]]
        if not same:
            raise UserError(
                f"{folder}: was made with the plugin file {plugin['distribution']} "
                f"(SHA-256 {plugin['checksum'][:_DIGITS]}…); name that file with --plugin"
            )
        changed.append(ChangedFile(same[0].distribution, plugin["checksum"], str(same[0].checksum)))
    return changed


def given_files(plugins: Plugins) -> list[Plugin]:
    """The plugins that are files, in the order in which they were given."""
    return [plugin for plugin in dict.fromkeys([*plugins.origins.values(), *plugins.empty]) if plugin.checksum]


@contextmanager
def blaming(folder: Path, changed: list[ChangedFile]) -> Iterator[None]:
    """Put the changed files before the faults of a run that no longer fits them."""
    try:
        yield
    except UserError as error:
        if not changed:
            raise
        lines = [
            f"{folder}: {file}, and no longer fits it; give the file as it was, or train the run again"
            for file in changed
        ]
        raise UserError([*lines, *error.faults]) from error
