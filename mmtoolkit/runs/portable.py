"""What a run says of its data and its origin without the places of the machine that trained it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import data_card, find_data_set
from mmtoolkit.components import Source


class PortableData:
    """A source without the folders in which this machine has data sets of the catalogue, and what these sets are.

    Attributes:
        source: `located` gives it back the folders of the machine that it is used on.
        folders: the name of a data set -> its folder here.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.folders = source, dict[str, Path]()
        for option, field in type(source).model_fields.items():
            if field.default is None and getattr(source, option) is not None:
                self._try_without(option)

    def _try_without(self, option: str) -> None:
        folders: dict[str, Path] = {}

        def find(name: str) -> Path:
            folders[name] = find_data_set(name)
            return folders[name]

        bare = self.source.model_copy(update={option: None})
        try:
            located = bare.located(find)
        except UserError:  # the data set is elsewhere
            return
        if located == self.source:
            self.source, self.folders = bare, {**self.folders, **folders}

    @property
    def licence(self) -> str | None:
        """The licences of the data sets; None without one."""
        return "; ".join(data_card(name).licence for name in self.folders) or None

    def short(self, file: str) -> str:
        """The path of a file of a data set from the set's folder on; other paths as they are."""
        for folder in self.folders.values():
            if Path(file).is_relative_to(folder):
                return str(Path(file).relative_to(folder))
        return file


def without_paths(record: Mapping[str, Any], data: PortableData) -> dict[str, Any]:
    """The entries of run.json that name places of this machine, without these places."""
    again = [{**entry, "command": _by_name(entry["command"])} for entry in record.get("resumed", ())]
    return {
        "command": _by_name(record["command"]),
        **({"resumed": again} if again else {}),
        "data": {data.short(file): digest for file, digest in record["data"].items()},
        "plugins": [
            {
                **plugin,
                "distribution": Path(plugin["distribution"]).name if plugin["checksum"] else plugin["distribution"],
            }
            for plugin in record["plugins"]
        ],
    }


def _by_name(command: str) -> str:
    """A command that calls its program without the program's folder, and does not say where it wrote the run."""
    program, *words = shlex.split(command)
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    words = [word for word in words if not word.startswith("--out=")]
    return shlex.join([Path(program).name, *words])
