"""A plugin whose modality interrupts its own process at a given call, for the tests of resuming.

With $MMT_TEST_OFTEN a checkpoint is due after every step; with $MMT_TEST_RANK only that process is interrupted.
"""

from __future__ import annotations

import os
import signal
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mmt_image import Image
from mmtoolkit import hookimpl
from mmtoolkit.training import trainer
from mmtoolkit.training.saving import Pace

if os.environ.get("MMT_TEST_OFTEN"):
    Pace.least_seconds = Pace.ratio = 0
    trainer._LOOK_SECONDS, trainer._LOOK_STEPS = -1, 1


class FragileImage(Image):
    """An image; the process gets signal $MMT_TEST_SIGNAL when training prepares batch number $MMT_TEST_CALL."""

    kind: Literal["fragile_image"] = "fragile_image"  # type: ignore[assignment]
    calls: ClassVar[int] = 0

    @property
    def redraws(self) -> bool:
        """Training batches come without keys, and are told from validation's by that."""
        return True

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        if keys is None:
            type(self).calls += 1
            rank = os.environ.get("LOCAL_RANK", "0")
            due = type(self).calls == int(os.environ.get("MMT_TEST_CALL", "0"))
            if due and rank == os.environ.get("MMT_TEST_RANK", rank):
                os.kill(os.getpid(), signal.Signals[os.environ["MMT_TEST_SIGNAL"]])
        return super().prepare(stored, generator, keys)


@hookimpl
def mmt_components() -> list[type[Image]]:
    return [FragileImage]
