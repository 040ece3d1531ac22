"""Runs over classes whose network copies the class, or ignores it, without any training: their coherence is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes import Label
from mmtoolkit import Batch, Gaussian, Network, TrainedRun
from mmtoolkit.components import Modality
from untrained import untrained

CLASSES = ("x", "y", "z")
NAMES = ("a", "b", "c")
LABEL = Label(classes=CLASSES, network={"kind": "mlp", "width": 16})
CODE = 50.0  # the logit of a class whose code is 1


class Decoder(nn.Module):
    """The class with the largest code in its part of z, plus a bias."""

    def __init__(self, part: slice, bias: Tensor) -> None:
        super().__init__()
        self.part = part
        self.bias = nn.Parameter(bias)

    def forward(self, z: Tensor) -> Distribution:
        return distributions.Categorical(logits=CODE * z[:, self.part] + self.bias, validate_args=False)


class Copying(Network):
    """z is the sum of the one-hot classes of what is given, of those units that it reads.

    Args:
        modalities: labels of three classes.
        reads: the units that z is inferred from; given others alone, z is 0 for sure.
        apart: whether each decoder reads numbers of its own, so that draws of the prior do not agree.
        bias: the logit by which decoder m prefers class m.
        private: how many numbers of z follow that no unit shares.
        supported: the sets that z can be inferred from.
        told: the modalities that `decode` needs besides z.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        reads: Collection[str] = NAMES,
        apart: bool = False,
        bias: float = 0.0,
        private: int = 0,
        supported: Sequence[frozenset[str]] | None = None,
        informed: tuple[str, ...] = (),
    ) -> None:
        k = len(CLASSES)
        parts = [slice(k * m, k * m + k) if apart else slice(0, k) for m in range(len(modalities))]
        biases = [bias * torch.eye(k)[m % k] for m in range(len(modalities))]
        decoders = {name: Decoder(part, own) for name, part, own in zip(modalities, parts, biases, strict=True)}
        size = parts[-1].stop + private
        super().__init__(modalities, size, encoders={name: nn.Identity() for name in modalities}, decoders=decoders)
        self.reads, self.private, self.supported, self._conditions = reads, private, supported, informed
        self.copies = len(modalities) if apart else 1

    def forward(self, *args: Any, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        raise AssertionError("it is not trained")

    def subsets(self) -> Sequence[frozenset[str]] | None:
        return self.supported

    @property
    def shared(self) -> slice:
        return slice(0, self.latent_dim - self.private)

    @property
    def conditions(self) -> tuple[str, ...]:
        return self._conditions

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        mean = torch.zeros(batch.size, self.latent_dim)
        for name in given & {*self.reads}:
            code = nn.functional.one_hot(batch.value(name), len(CLASSES)).float().repeat(1, self.copies)
            mean[batch.rows(name), : code.shape[1]] += code
        logvar = torch.full_like(mean, -60.0)
        logvar[:, self.latent_dim - self.private :] = 0.0
        return Gaussian(mean, logvar)


class Ignoring(Copying):
    """Whatever is given, z is a draw from N(0, I)."""

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        zeros = torch.zeros(batch.size, self.latent_dim)
        return Gaussian(zeros, zeros)


def cells(rows: int, names: Sequence[str] = NAMES, seed: int = 0) -> dict[str, list[Any]]:
    """Columns that all hold the class of the row, and `truth`, which does too."""
    classes = torch.randint(len(CLASSES), (rows,), generator=torch.Generator().manual_seed(seed)).tolist()
    return {name: [CLASSES[place] for place in classes] for name in (*names, "truth")}


def copying_run(
    folder: Path,
    network: type[Copying] = Copying,
    names: Sequence[str] = NAMES,
    test: dict[str, list[Any]] | None = None,
    modelled_truth: bool = False,
    **options: Any,
) -> TrainedRun:
    """A run of such a network, with the label `truth`, which it sees only if it is `modelled_truth`."""
    modalities: dict[str, Modality] = dict.fromkeys(names, LABEL)
    modalities["truth"] = LABEL.model_copy(update={"modelled": modelled_truth})
    train, other = cells(90, names), cells(300, names, 1) if test is None else test
    run = untrained(modalities, folder, train=train, test=other)
    seen = {name: modality for name, modality in run.modalities.items() if modality.modelled}
    run.model = network(seen, **options).eval()
    return run
