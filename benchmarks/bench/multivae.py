"""The sides of MultiVae 1.0.3 (github.com/AgatheSenellart/MultiVae), in an environment that holds both.

It trains and scores the same networks, through its own trainer and its own estimate, as a user gets them. MultiVae
imports torchvision, but nothing here uses it: where it is not installed, empty modules stand in for it.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

import torch

if importlib.util.find_spec("torchvision") is None:

    class _Empty(ModuleType):
        """A module that has a class of any name."""

        __path__: list[str] = []  # noqa: RUF012

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for _part in ("", ".datasets", ".datasets.utils", ".transforms", ".transforms.functional", ".models", ".utils"):
        sys.modules[f"torchvision{_part}"] = _Empty(f"torchvision{_part}")
    sys.modules["torchvision.io"] = _Empty("torchvision.io")

from multivae.data.datasets import IncompleteDataset, MultimodalBaseDataset
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor
from torch.nn import functional as F

from bench.networks import Piece
from bench.peer_models import Decoder, Encoder, build_peer, compared, mean_loss
from bench.same import check_close, copied, our_loss
from bench.turns import Turns
from bench.work import WORKS, Work
from mmt_attributes import Label
from mmt_binary import Binary
from mmtoolkit.components import Modality
from mmtoolkit.training.networks import build

_EPOCHS = 1_000_000  # the line ends training


def _unchanged(x: Tensor) -> Tensor:
    return x


def _as_classes(x: Tensor) -> Tensor:
    return x.argmax(-1)


def _as_indices(x: Tensor) -> Tensor:
    return x.squeeze(1).long()


def stored(modality: Modality, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor], str]:
    """What MultiVae keeps of the floor's rows, how an encoder reads them, and their likelihood."""
    match modality:
        case Label():
            return F.one_hot(x, len(modality.names)).float(), _as_classes, "categorical"
        case Binary():
            return x.float().unsqueeze(1), _as_indices, "bernoulli"
        case _:
            return x, _unchanged, "bernoulli"


def dataset_of(data: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Any:
    """MultiVae's dataset of rows, complete or with holes."""
    complete = all(mask.all() for mask in present.values())
    return MultimodalBaseDataset(dict(data)) if complete else IncompleteDataset(dict(data), dict(present))


class _Theirs:
    """MultiVae's model and data for some work, with the weights of ours."""

    def __init__(self, work: Work) -> None:
        split, latent = work.dataset.splits["train"], work.model.latent_dim
        pieces: Mapping[str, Piece] = work.pieces()
        data, reads, likelihoods = {}, {}, {}
        for name, modality in split.modalities.items():
            values = pieces[name].read(modality.prepare(split.stored[name], None, None))
            data[name], reads[name], likelihoods[name] = stored(modality, values)
        self.work, self.data = work, data
        present = dict(zip(split.modalities, split.present.unbind(1), strict=True))
        self.dataset = dataset_of(data, present)
        self.network = build(work.model, work.dataset.modalities, seed=0).eval()
        ordered = [*(piece.encoder for piece in pieces.values()), *(piece.decoder for piece in pieces.values())]
        ours = [*self.network.encoders.parameters(), *self.network.decoders.parameters()]
        copied(ours, [p for module in ordered for p in module.parameters()])
        private = getattr(work.model, "private_dim", 0)
        self.model = build_peer(
            work.model,
            {name: Encoder(piece.encoder, latent, private, reads[name]) for name, piece in pieces.items()},
            {name: Decoder(piece.decoder.get_submodule("layers"), latent + private) for name, piece in pieces.items()},
            data,
            likelihoods,
        )

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def check(self) -> dict[str, float]:
        """Compare the loss of one complete batch with ours, without noise and random subsets; return facts.

        The models are changed for the comparison as `compared` says.

        Where rows lack a modality, MultiVae averages a term over the rows that have it and counts a row with one
        modality twice, so the losses differ; the batch is therefore compared as if it lacked nothing.

        Raises:
            ValueError: they differ.
        """
        task, size = self.work, self.work.batch_size
        split = task.dataset.splits["train"]
        complete = type(split)(split.name, split.modalities, split.stored, torch.ones_like(split.present))
        task = Work(
            type(task.dataset)(task.dataset.source, task.dataset.modalities, {"train": complete}),
            task.model,
            size,
            task.pieces,
        )
        none = torch.zeros(0, len(split.modalities), dtype=torch.bool)
        rows = min(size, len(split))
        batch = {name: values[:rows] for name, values in self.data.items()}
        masks = {name: torch.ones(rows, dtype=torch.bool) for name in batch}
        inputs = (
            IncompleteDataset(batch, masks)
            if isinstance(self.dataset, IncompleteDataset)
            else MultimodalBaseDataset(batch)
        )
        self.model.eval()
        still = mock.patch.object(torch.distributions.Normal, "rsample", _mean)
        with compared(task.model, self.network, self.model, rows) as noise, still, torch.no_grad():
            loss, _ = our_loss(task, self.network, none, noise)
            theirs = mean_loss(task.model, self.model(inputs).loss, rows)
        check_close("loss", loss.detach(), theirs, 1e-4)
        return {
            "parameters": self.parameters,
            "loss of one batch": loss.item(),
            "loss of the other side": theirs.item(),
        }


def _mean(self: torch.distributions.Normal, shape: Sequence[int] = ()) -> Tensor:
    """What `rsample` gives without noise."""
    return self.loc.expand(*shape, *self.loc.shape)


class _Timed(BaseTrainer):  # type: ignore[misc]
    """MultiVae's trainer; a turn is an epoch, its seconds those of the steps."""

    def __init__(self, turns: Turns, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.turns = turns

    def train_step(self, epoch: int) -> Any:
        begun = time.perf_counter()
        result = super().train_step(epoch)
        self.turns.done(time.perf_counter() - begun)
        return result


def train(turns: Turns, work: str, rows: int) -> None:
    """MultiVae's training through its own trainer, with its Adam."""
    task = WORKS[work](rows=rows)
    theirs = _Theirs(task)
    facts = theirs.check()
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=_EPOCHS,
            per_device_train_batch_size=task.batch_size,
            optimizer_cls="Adam",
            learning_rate=task.learning_rate,
            no_cuda=True,
        )
        trainer = _Timed(turns, theirs.model, theirs.dataset, training_config=config)
        turns.ready(**facts)
        trainer.train()


def likelihood(turns: Turns, rows: int, samples: int) -> None:
    """MultiVae's estimate of the joint log-likelihood; a turn is all rows."""
    theirs = _Theirs(WORKS["bimodal"](rows=rows))
    facts = theirs.check()
    turns.ready(**facts)
    with torch.no_grad():
        while True:
            begun = time.perf_counter()
            nll = float(theirs.model.compute_joint_nll(theirs.dataset, K=samples))
            turns.done(time.perf_counter() - begun, log_p=-nll / rows)


SIDES: Mapping[str, Callable[..., None]] = {"multivae": train, "multivae likelihood": likelihood}
