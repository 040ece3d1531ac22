"""Writes a trained run as a folder of programs and a manifest."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing_folder, safe_name, write_json
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import Network
from mmtoolkit.export.manifest import entry_of, manifest_of
from mmtoolkit.export.onnx_files import need_onnx, write_onnx
from mmtoolkit.export.programs import DecoderProgram, PosteriorProgram, Program
from mmtoolkit.export.slots import slots_of
from mmtoolkit.export.tracing import example, traced
from mmtoolkit.schema.schema import Schema

ENDINGS = {"torch": "pt2", "onnx": "onnx"}
"""Format -> the ending of its files."""
MANIFEST = "manifest.json"


class ExportedRun(Protocol):
    """What an export reads of a run."""

    @property
    def schema(self) -> Schema:
        """With what it learned."""

    @property
    def model(self) -> Network:
        """In evaluation mode."""


def export_run(
    run: ExportedRun,
    out: Path,
    formats: Sequence[str] = ("torch",),
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write q(z | what is present), q(z | each unit alone) and the decoders of a run as programs, with a manifest.

    Args:
        run: trained.
        out: the folder to write.
        formats: of the files, `torch` for torch.export and `onnx`; a file of each for each program.
        overwrite: whether an earlier export may stand in the folder, which the new one replaces.
        say: receives the name of each program before it is traced.

    Returns:
        The manifest, as the folder's `manifest.json` has it.

    Raises:
        UserError: the folder is there already, a format is unknown, the extra of one is not installed, or a part of the
            run cannot be exported.
    """
    check_export(out, formats, overwrite)
    network = copy.deepcopy(run.model).cpu().eval()
    slots = slots_of(network.modalities)
    posterior = PosteriorProgram(network, slots)
    manifest = manifest_of(run.schema, network, slots, posterior.mask)
    programs: dict[str, Any] = {"posterior": {}, "encoders": {}, "decoders": {}}

    with replacing_folder(out) as folder:

        def entry(program: Program, what: str, stem: str) -> dict[str, Any]:
            say(what)
            exported = traced(program, what)
            files = {form: f"{stem}.{ENDINGS[form]}" for form in formats}
            for form, file in files.items():
                if form == "torch":
                    torch.export.save(exported, folder / file)
                else:
                    write_onnx(program, exported, folder / file, what)
            with torch.no_grad():
                return entry_of(program, program(*example(program, 2)), files)

        programs["posterior"] = {
            **entry(posterior, "q(z | what is present)", "posterior"),
            "posterior": posterior.family(),
        }
        for place, unit in enumerate(_alone(network)):
            program = PosteriorProgram(network, slots, [unit])
            programs["encoders"][unit] = {
                **entry(program, f"the encoder of {unit}", f"encoder_{safe_name(unit, place)}"),
                "posterior": program.family(),
            }
        for place, unit in enumerate(network.decoders.names):
            what, stem = f"the decoder of {unit}", f"decoder_{safe_name(unit, place)}"
            programs["decoders"][unit] = entry(DecoderProgram(network, slots, unit), what, stem)
        manifest = {**manifest, "programs": programs, "not_exported": dict(_left_out(network))}
        write_json(folder / MANIFEST, manifest)
    return manifest


def check_export(out: Path, formats: Sequence[str], overwrite: bool) -> None:
    """Check what does not depend on the run, before it is loaded.

    Raises:
        UserError: as in `export_run`.
    """
    if not formats:
        raise UserError(f"there is no format to write; name one or more of {', '.join(ENDINGS)}")
    for form in formats:
        if form not in ENDINGS:
            names = ", ".join(ENDINGS)
            raise UserError(f"there is no format {form!r}{did_you_mean(form, ENDINGS)}; the formats are {names}")
    if os.path.lexists(out):
        if not overwrite:
            raise UserError(f"{out}: is there already; give --overwrite to replace it, or write elsewhere with --out")
        if not (out / MANIFEST).is_file():
            raise UserError(f"{out}: holds no export, so --overwrite does not replace it; write elsewhere with --out")
    if "onnx" in formats:
        need_onnx()


def _alone(network: Network) -> list[str]:
    """The units with an encoder from each of which alone z can be inferred."""
    return [unit for unit in network.encoders.names if network.supports([unit])]


def _left_out(network: Network) -> Iterator[tuple[str, str]]:
    """What no program computes -> why, and what to do instead."""
    for unit in network.encoders.names:
        if unit not in _alone(network):
            yield (
                f"the encoder of {unit}",
                f"the model does not infer z from {unit} alone; the posterior reads it with the others",
            )
    for name in network.targets:
        for what, why in network.modalities[name].not_exported().items():
            yield f"{what} of {name}", why
