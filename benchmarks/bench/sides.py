"""The sides that need nothing but mmtoolkit: ours and the floors."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.flat_models import new_floor
from bench.turns import Turns
from bench.work import WORKS
from mmtoolkit.components import Network, TrainingStart
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators.importance import estimate
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.compute import Compute, applied, compute_for
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.networks import build
from mmtoolkit.training.trainer import Trainer

_EPOCHS = 1_000_000  # the line ends training


class _EndOfEpoch:
    """Ends a turn with each epoch."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def begin(self, start: TrainingStart) -> None: ...

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None: ...

    def epoch(self, line: dict[str, Any]) -> None:
        self.turns.done(line["seconds"], overhead=line["overhead_seconds"])


def ours(turns: Turns, work: str, rows: int, threads: int | None = None, **options: Any) -> None:
    """The training loop of `mmt run`; a turn is an epoch, its seconds those of the steps."""
    task = WORKS[work](rows=rows, **options)
    network = build(task.model, task.dataset.modalities, seed=0)
    compute = compute_for(network, task.dataset.splits["train"], task.batch_size, threads)
    train = TrainOptions(epochs=_EPOCHS, batch_size=task.batch_size, learning_rate=task.learning_rate)
    with tempfile.TemporaryDirectory() as folder, applied(compute):
        trainer = Trainer(network, task.dataset, train, Path(folder), new_fabric("cpu"), _EndOfEpoch(turns))
        turns.ready(parameters=sum(p.numel() for p in network.parameters()), compute=asdict(compute))
        trainer.run()


def floor(turns: Turns, work: str, rows: int, compute: Mapping[str, Any], **options: Any) -> None:
    """The same training as a flat loop, with our threads and kernels; a turn is an epoch."""
    flat = new_floor(WORKS[work](rows=rows, **options))
    with applied(Compute(**compute)):
        turns.ready(parameters=sum(p.numel() for p in flat.parameters()))
        for number in range(_EPOCHS):
            turns.done(flat.epoch(number))


def _bimodal_in_evaluation(rows: int) -> tuple[Network, Batch, Compute]:
    """The networks of images and labels, a batch of all rows, and how `mmt` computes with them."""
    task = WORKS["bimodal"](rows=rows)
    network = build(task.model, task.dataset.modalities, seed=0).eval()
    split = task.dataset.splits["train"]
    compute = compute_for(network, split, task.batch_size)
    return network, split.batch(torch.arange(rows), torch.device("cpu")), compute


_MEMORY = 16 * 2**20  # bytes of a chunk of draws, as `log_likelihood` takes by default


def our_likelihood(turns: Turns, rows: int, samples: int, of: list[str]) -> None:
    """The importance-sampling estimate of log p(of) by draws from q(z | of); a turn is all rows."""
    network, batch, compute = _bimodal_in_evaluation(rows)
    generator = torch.Generator().manual_seed(0)
    with applied(compute):
        turns.ready(parameters=sum(p.numel() for p in network.parameters()), compute=asdict(compute))
        while True:
            begun = time.perf_counter()
            [result] = estimate(network, batch, of, [tuple(of)], samples, generator, _MEMORY)
            turns.done(time.perf_counter() - begun, log_p=float(result.log_p.mean()))


_CHUNKS = (250, 500, 1000, 2000)


@torch.no_grad()
def flat_likelihood(turns: Turns, rows: int, samples: int, compute: Mapping[str, Any]) -> None:
    """What such an estimate of images cannot do without: the decoder's products, activations and the sum over pixels.

    It has no draws, no densities of z and no estimates; a turn is that of the fastest of four chunk sizes.
    """
    network, batch, _ = _bimodal_in_evaluation(rows)
    linears = [m for m in network.decoders.of("image").modules() if isinstance(m, nn.Linear)]
    decoder = nn.Sequential(*[part for linear in linears for part in (linear, nn.SiLU())][:-1])
    z = torch.randn(max(_CHUNKS), network.latent_dim)
    x = batch.value("image").flatten(1).repeat(-(-max(_CHUNKS) // rows), 1)[: max(_CHUNKS)]
    with applied(Compute(**compute)):
        turns.ready(parameters=sum(p.numel() for p in network.parameters()))
        while True:
            turns.done(min(_decoded(decoder, z, x, rows * samples, chunk) for chunk in _CHUNKS))


def _decoded(decoder: nn.Module, z: Tensor, x: Tensor, draws: int, chunk: int) -> float:
    """Seconds that decoding and scoring of some draws take, in chunks."""
    begun = time.perf_counter()
    scores = torch.empty(draws)
    for start in range(0, draws, chunk):
        logits = decoder(z[: min(chunk, draws - start)])
        scores[start : start + len(logits)] = (x[: len(logits)] * logits - F.softplus(logits)).sum(1)
    return time.perf_counter() - begun


SIDES: Mapping[str, Callable[..., None]] = {
    "ours": ours,
    "floor": floor,
    "our likelihood": our_likelihood,
    "flat likelihood": flat_likelihood,
}
