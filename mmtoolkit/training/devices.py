"""Devices, precision and processes of a run, by Lightning Fabric."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.importing import quick_imports
from mmtoolkit.base.processor import processor_facts
from mmtoolkit.base.words import error_text
from mmtoolkit.data.split import Split

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed")
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""The words of x86 processors that multiply bfloat16."""


def resolve_device(name: str) -> torch.device:
    """The device of a name. `auto` is CUDA if available, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: is not supported; give auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here; give --device cpu")
    return torch.device(name)


def note_on_precision(device: torch.device, precision: str) -> str | None:
    """A line for the user if the precision makes steps slower on this machine."""
    facts = processor_facts() if device.type == "cpu" and precision == "bf16-mixed" else frozenset()
    if not facts or facts & _BFLOAT16:
        return None
    return (
        "--precision bf16-mixed: this processor has no instructions for bfloat16 (avx512_bf16 or amx_bf16), so steps "
        "are slower than with 32-true"
    )


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed PyTorch's default generators of the host and of a device, 100 times faster than `torch.manual_seed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def resident(split: Split, device: torch.device) -> Split:
    """The split, with its columns on a GPU if they fit into half of its free memory."""
    if device.type != "cuda":
        return split
    free, _ = torch.cuda.mem_get_info(device)
    return split.on(device) if split.nbytes < free / 2 else split


def new_fabric(device: str = "auto", devices: int = 1, precision: str = "32-true") -> Fabric:
    """Make and launch a Lightning Fabric. Under torchrun it uses torchrun's processes.

    Args:
        device: auto, cpu or cuda.
        devices: the number of processes, one for each device.
        precision: 32-true or bf16-mixed.

    Raises:
        UserError: there is no such device or precision here.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision}: is not supported; give one of {', '.join(PRECISIONS)}")
    accelerator = resolve_device(device).type
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it CUDA's matrix products are not reproducible
    nodes = 1
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    threads = os.environ.get("OMP_NUM_THREADS")
    # If the rows of a process lack a modality, its parameters are unused there.
    strategy = "ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto"
    try:
        fabric = _fabric_class()(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
            strategy=strategy,
        )
    except Exception as error:
        raise UserError(
            f"--device {device} --devices {devices}: {error_text(error)}; give --device cpu, or fewer"
        ) from error
    fabric.launch()
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)  # Fabric sets it for the processes that it starts
    return fabric


def _fabric_class() -> type[Fabric]:
    """Import Fabric, which takes a second or two; and torchmetrics only if it needs more of it than its version."""
    with quick_imports():
        try:
            with _torchmetrics_by_version():
                from lightning_fabric import Fabric
        except (ImportError, AttributeError):
            for name in [name for name in sys.modules if name.partition(".")[0] == "lightning_fabric"]:
                del sys.modules[name]  # it may hold on to what stood in for torchmetrics
            from lightning_fabric import Fabric
    return Fabric


@contextmanager
def _torchmetrics_by_version() -> Iterator[None]:
    """Show what is imported the version of torchmetrics alone.

    Fabric imports all of torchmetrics, and with it Matplotlib, to compare its version with another. That takes as long
    as all the rest of Fabric, and a run needs neither before its scores.
    """
    name = "torchmetrics"
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    module.__version__ = metadata.version(name)  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
