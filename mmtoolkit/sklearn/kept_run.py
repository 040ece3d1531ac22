"""A trained run whose files are kept in memory: it outlives its folder, and pickles."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmtoolkit.runs.folder import TO_USE
from mmtoolkit.runs.loading import load
from mmtoolkit.runs.trained import TrainedRun


class KeptRun:
    """The files of a run folder that using the run takes.

    Args:
        files: name -> content.
        plugin_files: the `--plugin` files that the run needs.
        device: where to put the networks.
    """

    def __init__(self, files: Mapping[str, bytes], plugin_files: Sequence[str], device: str) -> None:
        self.files, self.plugin_files, self.device = dict(files), tuple(plugin_files), device

    @classmethod
    def of(cls, folder: Path, plugin_files: Sequence[str], device: str) -> KeptRun:
        """Read the files of a run's folder."""
        files = {name: (folder / name).read_bytes() for name in TO_USE if (folder / name).exists()}
        return cls(files, plugin_files, device)

    @cached_property
    def run(self) -> TrainedRun:
        """The run, in a temporary folder that is removed when nothing uses the run any more."""
        folder = TemporaryDirectory(prefix="mmtoolkit-", ignore_cleanup_errors=True)
        for name, content in self.files.items():
            (Path(folder.name) / name).write_bytes(content)
        run = load(folder.name, self.plugin_files, self.device)
        weakref.finalize(run, folder.cleanup)
        return run

    def __getstate__(self) -> dict[str, Any]:
        """The files alone: the run is loaded again where it is used."""
        return {name: value for name, value in self.__dict__.items() if name != "run"}
