"""Where training runs: devices, precision and processes, which are Lightning Fabric's."""

from __future__ import annotations

import os

from lightning_fabric import Fabric

from mmtoolkit.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed")


def new_fabric(device: str = "auto", devices: int | str = 1, precision: str = "32-true") -> Fabric:
    """A launched Fabric.

    Args:
        device: auto, cpu, cuda or mps.
        devices: how many processes, one a device.
        precision: 32-true, or bf16-mixed.

    Raises:
        UserError: there is no such device or precision here.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision}: is not supported; give one of {', '.join(PRECISIONS)}")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA's matrix products cannot repeat
    # Modalities that a process's rows lack leave parameters unused there.
    strategy = "ddp_find_unused_parameters_true" if devices not in (1, "1") else "auto"
    try:
        fabric = Fabric(accelerator=device, devices=devices, precision=precision, strategy=strategy)  # type: ignore[arg-type]
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"--device {device} --devices {devices}: {text}; give --device cpu, or fewer") from error
    fabric.launch()
    return fabric
