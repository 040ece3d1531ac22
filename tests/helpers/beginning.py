"""A plugin whose model starts from data and learns after training; it kills its process at a given place."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from mmtoolkit import MVAE, Batch, MVAENetwork, Unit, hookimpl


def die(place: str) -> None:
    """Kill the process if $MMT_TEST_PLACE is this place."""
    if os.environ.get("MMT_TEST_PLACE") == place:
        os.kill(os.getpid(), signal.SIGKILL)


class DataNetwork(MVAENetwork):
    """`starts` and `ends` count calls; `shift`, which the loss reads, is drawn and taken from data in both."""

    starts: Tensor
    ends: Tensor
    steps: Tensor

    def __init__(self, *arguments: Any, worse: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.worse = worse
        self.register_buffer("steps", torch.zeros(()))
        self.shift = torch.nn.Parameter(torch.zeros(self.latent_dim))
        self.register_buffer("starts", torch.zeros(()))
        self.register_buffer("ends", torch.zeros(()))

    @torch.no_grad()
    def begin(self, batches: Iterable[Batch]) -> None:
        self.starts += 1
        self._learn(batches, "begin")

    @torch.no_grad()
    def end(self, batches: Iterable[Batch]) -> None:
        self.ends += 1
        self._learn(batches, "end")

    def _learn(self, batches: Iterable[Batch], place: str) -> None:
        assert not self.training
        for batch in batches:
            self.shift.add_(torch.randn_like(self.shift) + self.infer_all(batch).mean.mean(0))
            die(place)

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.shift.any(), "this process has the outcome of begin"
        die("step")
        self.steps += 1
        loss, parts = super().forward(batch, beta, subsets, noise, visible)
        return loss + (self.shift - 1).square().sum(), parts

    def bound(self, batch: Batch, noise: Tensor, visible: Batch | None = None) -> Tensor:
        return super().bound(batch, noise, visible) - self.worse * self.steps


class DataMVAE(MVAE):
    """An MVAE that starts from data."""

    kind: Literal["data_mvae"] = "data_mvae"  # type: ignore[assignment]
    worse: float = 0.0
    """By how much each step makes the validation bound worse."""

    def build(self, modalities: Mapping[str, Unit]) -> DataNetwork:
        return DataNetwork(modalities, self.latent_dim, self.subsets, self.prior, worse=self.worse)


@hookimpl
def mmt_components() -> list[type[MVAE]]:
    return [DataMVAE]
