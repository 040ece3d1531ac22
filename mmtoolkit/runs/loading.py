"""Loads a trained run from its folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.catalogue.models import find_run
from mmtoolkit.components import Modality
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.runs.folder import UNWATCHED, read_declared, read_finished_record, resume_command
from mmtoolkit.runs.plugin_files import blaming, changed_files
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.training.devices import resolve_device
from mmtoolkit.training.networks import build
from mmtoolkit.training.weights import load_weights


def load(
    folder: Path | str,
    plugin_files: Sequence[str | Path] = (),
    device: str = "cpu",
    say: Callable[[str], None] | None = None,
) -> TrainedRun:
    """Load a trained run from its folder. This does not read the data and unpickles nothing.

    Args:
        folder: the run folder, or the name of a model of the catalogue.
        plugin_files: the `--plugin` files that the run used. One may have changed since, as long as it still reads the
            run's schema and its networks take the run's weights.
        device: where to put the networks: auto, cpu or cuda.
        say: receives a line for each plugin that does not work or has changed, and notes if the run reads data later.
            By default a changed plugin is a Python warning, and the rest is not shown.

    Raises:
        UserError: the folder holds no finished run or is damaged; the run needs another version of mmtoolkit, or a
            plugin file that you did not give or that no longer fits.
    """
    folder = find_run(folder)
    record = read_finished_record(folder)
    plugins = load_plugins(plugin_files)
    for line in plugins.broken:
        (say or _silent)(line)
    changed = changed_files(folder, record, plugins)
    read_declared(folder)  # reports damage in one line, not key by key
    where = resolve_device(device)
    with blaming(folder, changed):
        schema = read_schema(folder / "schema.yaml", [UNWATCHED], plugins)
        network = build(schema.model, schema.units, schema.train.seed)
        load_weights(network, folder / "weights.safetensors")
        baselines = _baselines(folder, schema.modalities)
    for file in changed:
        line = (
            f"{folder}: {file}; the run still loads, but what you compute now may differ: train it again if it must not"
        )
        say(line) if say is not None else warnings.warn(line, stacklevel=2)
    return TrainedRun(folder, schema, network.to(where).eval(), where, baselines, plugins, say or _silent)


def _silent(line: str) -> None:
    """Show nothing."""


def _baselines(folder: Path, modalities: Mapping[str, Modality]) -> dict[str, Tensor]:
    path = folder / "baselines.safetensors"
    try:
        baselines: dict[str, Tensor] = load_file(path)
        shapes = {name: tuple(baseline.shape) for name, baseline in baselines.items()}
        if shapes != {name: modality.event_shape() for name, modality in modalities.items()}:
            raise ValueError(f"its shapes {shapes} do not fit the modalities")
    except Exception as error:  # safetensors and the file system raise many types
        remedy = f"write it again with `{resume_command(folder)}`"
        raise UserError(f"{path}: is missing or damaged: {error_text(error)}; {remedy}") from error
    return baselines
