"""A run from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.catalogue.plugins import load_plugins
from mmtoolkit.components import Modality
from mmtoolkit.runs.folder import read_declared, read_finished_record, resume_command
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.training.devices import resolve_device
from mmtoolkit.training.networks import build
from mmtoolkit.training.weights import load_weights


def load(
    folder: Path | str,
    plugin_files: Sequence[str | Path] = (),
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> TrainedRun:
    """Load a trained run from its folder. The data is not touched, and nothing is unpickled.

    Args:
        folder: the run folder.
        plugin_files: the `--plugin` files that the run used.
        device: where to put the networks: auto, cpu or cuda.
        say: told of plugins that do not work, and what is being prepared where data is read later.

    Raises:
        UserError: the folder holds no finished run, is damaged, or was made by another version of mmtoolkit or with a
            plugin that is not here.
    """
    folder = Path(folder)
    made_by = read_finished_record(folder)
    plugins = load_plugins(plugin_files)
    for line in plugins.broken:
        say(line)
    given = {plugin.checksum for plugin in plugins.origins.values()}
    for plugin in made_by["plugins"]:
        if plugin["checksum"] and plugin["checksum"] not in given:
            raise UserError(
                f"{folder}: was made with the plugin file {plugin['distribution']} "
                f"(SHA-256 {plugin['checksum'][:12]}…); name that file, unchanged, with --plugin"
            )
    read_declared(folder)  # damage is told as such, and not key by key
    schema = read_schema(folder / "schema.yaml", plugins=plugins)
    network = build(schema.model, schema.modalities, schema.train.seed)
    load_weights(network, folder / "weights.safetensors")
    baselines = _baselines(folder, schema.modalities)
    where = resolve_device(device)
    return TrainedRun(folder, schema, network.to(where).eval(), where, baselines, plugins, say)


def _baselines(folder: Path, modalities: Mapping[str, Modality]) -> dict[str, Tensor]:
    path = folder / "baselines.safetensors"
    try:
        baselines: dict[str, Tensor] = load_file(path)
        shapes = {name: tuple(baseline.shape) for name, baseline in baselines.items()}
        if shapes != {name: modality.event_shape() for name, modality in modalities.items()}:
            raise ValueError(f"it holds the shapes {shapes}, which are not those of the modalities")
    except Exception as error:  # safetensors and the file system have their own
        remedy = f"have it written again with `{resume_command(folder)}`"
        raise UserError(f"{path}: is missing or damaged: {error_text(error)}; {remedy}") from error
    return baselines
