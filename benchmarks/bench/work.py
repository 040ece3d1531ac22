"""What the lines train: rows of noise, a model, and the floor's networks for it.

The work of a step does not depend on what is in the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench import networks
from bench.networks import Piece
from mmt_attributes import Label, Numeric
from mmt_binary import Binary
from mmt_image import DCGAN, Image
from mmt_text import Text
from mmtoolkit import MLP, Modality, Model
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.models import MMVAE, MVAE, MVTCAE, MMVAEPlus, MoPoE
from mmtoolkit.models.mvae import SubsetOptions
from mmtoolkit.sources import CelebA

_MEAN, _STD = 20.0, 5.0  # of the numbers of a table
_CLASSES = 4  # of the labels of a table


@dataclass(frozen=True)
class Work:
    """Rows and a model to train on them.

    Attributes:
        dataset: with the split `train`, and `valid` where validation is measured.
        model: of all modalities.
        batch_size: rows in a step.
        pieces: builds what the floor has of each modality, by name.
        learning_rate: of Adam.
    """

    dataset: Dataset
    model: Model
    batch_size: int
    pieces: Callable[[], Mapping[str, Piece]]
    learning_rate: float = 1e-3

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.dataset.splits["train"])

    @property
    def random_subsets(self) -> int:
        """How many a step draws."""
        return self.model.subsets.k if isinstance(self.model, MVAE) else 0


def _split(name: str, modalities: Mapping[str, Modality], rows: int, missing: Mapping[str, float]) -> Split:
    """Rows of noise; `missing` has the share of each modality's cells that are missing."""
    draw = torch.Generator().manual_seed(0 if name == "train" else 1)
    stored: dict[str, Tensor] = {}
    for modality_name, modality in modalities.items():
        match modality:
            case Image():
                # Black or white: MultiVae's Bernoulli pixels can be nothing between.
                pixels = torch.randint(0, 2, (rows, *modality.shape), generator=draw, dtype=torch.uint8)
                stored[modality_name] = 255 * pixels
            case Text():
                stored[modality_name] = _texts(rows, modality, draw)
            case Label():
                stored[modality_name] = torch.randint(0, len(modality.names), (rows,), generator=draw)
            case Binary():
                stored[modality_name] = torch.randint(0, 2, (rows,), generator=draw).float()
            case _:
                stored[modality_name] = _MEAN + _STD * torch.randn(rows, generator=draw, dtype=torch.float64)
    shares = torch.tensor([missing.get(name, 0.0) for name in modalities])
    present = torch.rand(rows, len(modalities), generator=draw) >= shares
    return Split(name, modalities, stored, present)


def _texts(rows: int, modality: Text, draw: torch.Generator) -> Tensor:
    """Texts of any length up to the bound, each length as often."""
    symbols = torch.randint(2, modality.size, (rows, modality.length), generator=draw)
    lengths = torch.randint(0, modality.length + 1, (rows, 1), generator=draw)
    return torch.where(torch.arange(modality.length) < lengths, symbols, networks.STOP)


def _dataset(
    modalities: Mapping[str, Modality], rows: int, missing: Mapping[str, float] | None = None, valid: int = 0
) -> Dataset:
    sizes = {"train": rows, **({"valid": valid} if valid else {})}
    splits = {name: _split(name, modalities, size, missing or {}) for name, size in sizes.items()}
    return Dataset(CelebA(), modalities, splits)


_DIGITS = tuple("0123456789")


def _image_and_label(rows: int, missing: Mapping[str, float], valid: int) -> Work:
    latent = 64
    modalities: dict[str, Modality] = {
        "image": Image(shape=(1, 28, 28), network=MLP()),
        "label": Label(classes=_DIGITS),
    }
    return Work(
        _dataset(modalities, rows, missing, valid),
        MVAE(latent_dim=latent),
        100,
        lambda: {"image": networks.flat_image(latent), "label": networks.label(latent, 10)},
    )


def bimodal(rows: int, valid: int = 0) -> Work:
    """Images of 28x28 and labels, through the networks of the schema `mnist` (Wu & Goodman 2018, section 4.1)."""
    return _image_and_label(rows, {}, valid)


def missing(rows: int) -> Work:
    """The same, with 90 % of the labels missing."""
    return _image_and_label(rows, {"label": 0.9}, 0)


def faces(rows: int) -> Work:
    """Images of 64x64 and 18 attributes, each a modality, k = 1: the schema `celeba19` (section 4.4)."""
    latent, names = 100, [f"attribute {i}" for i in range(18)]
    modalities: dict[str, Modality] = {"image": Image(shape=(3, 64, 64), network=DCGAN())}
    modalities |= {name: Binary(values=("0", "1")) for name in names}
    return Work(
        _dataset(modalities, rows),
        MVAE(latent_dim=latent, subsets=SubsetOptions(k=1)),
        100,
        lambda: {
            "image": networks.convolved_image(latent, networks.FACES, 5),
            **{name: networks.binary(latent) for name in names},
        },
        1e-4,
    )


def text(rows: int) -> Work:
    """Images of 50x50 and texts of up to four digits: the schema `multimnist` (section 4.3)."""
    latent = 100
    modalities: dict[str, Modality] = {
        "image": Image(shape=(1, 50, 50), network=DCGAN()),
        "text": Text(length=4, alphabet=_DIGITS, unknown=False),
    }
    return Work(
        _dataset(modalities, rows),
        MVAE(latent_dim=latent),
        100,
        lambda: {
            "image": networks.convolved_image(latent, networks.DIGITS, 2),
            "text": networks.text(latent, len(_DIGITS) + 2),
        },
    )


def table(rows: int, batch_size: int, valid: int = 0) -> Work:
    """16 columns, of which 20 % of the cells are missing: 8 numbers, 4 labels, 4 yes or no, networks 64 wide.

    The model is the one that `mmt init` writes for 16 columns: z of 32, three random subsets.
    """
    latent, width = 32, 64
    network = MLP(width=width)
    numbers, labels, flags = (
        [f"{kind}{i}" for i in range(n)] for kind, n in (("number", 8), ("label", 4), ("flag", 4))
    )
    classes = tuple("abcd")[:_CLASSES]
    modalities: dict[str, Modality] = {name: Numeric(mean=(_MEAN,), std=(_STD,), network=network) for name in numbers}
    modalities |= {name: Label(classes=classes, network=network) for name in labels}
    modalities |= {name: Binary(values=("0", "1"), network=network) for name in flags}

    def pieces() -> Mapping[str, Piece]:
        return {
            **{name: networks.numeric(latent, width, _MEAN, _STD) for name in numbers},
            **{name: networks.label(latent, _CLASSES, width) for name in labels},
            **{name: networks.binary(latent, width) for name in flags},
        }

    dataset = _dataset(modalities, rows, dict.fromkeys(modalities, 0.2), valid)
    return Work(dataset, MVAE(latent_dim=latent, subsets=SubsetOptions(k=3)), batch_size, pieces)


def binaries(rows: int, count: int) -> Work:
    """Some number of yes or no, each a modality, networks 64 wide, k = 0."""
    latent, width = 32, 64
    names = [f"flag{i}" for i in range(count)]
    modalities: dict[str, Modality] = {name: Binary(values=("0", "1"), network=MLP(width=width)) for name in names}
    return Work(
        _dataset(modalities, rows),
        MVAE(latent_dim=latent),
        100,
        lambda: {name: networks.binary(latent, width) for name in names},
    )


def views(rows: int, model: Model) -> Work:
    """Three images of 28x28, each a modality, through the networks of the schema `mnist`."""
    latent = model.latent_dim + getattr(model, "private_dim", 0)
    names = [f"view {i}" for i in range(3)]
    modalities: dict[str, Modality] = {name: Image(shape=(1, 28, 28), network=MLP()) for name in names}
    return Work(_dataset(modalities, rows), model, 100, lambda: {name: networks.flat_image(latent) for name in names})


VIEWS: Mapping[str, Model] = {
    "mmvae": MMVAE(latent_dim=64),
    "mopoe": MoPoE(latent_dim=64),
    "mopoe_mean": MoPoE(latent_dim=64, divergence="mean"),
    "mvtcae": MVTCAE(latent_dim=64),
    "mmvaeplus": MMVAEPlus(latent_dim=32, private_dim=32),
}
"""The models of three images."""

WORKS: Mapping[str, Callable[..., Work]] = {
    "bimodal": bimodal,
    "missing": missing,
    "faces": faces,
    "text": text,
    "table32": partial(table, batch_size=32),
    "table128": partial(table, batch_size=128),
    **{f"binaries{count}": partial(binaries, count=count) for count in (2, 5, 10, 20, 50, 100)},
    **{name: partial(views, model=model) for name, model in VIEWS.items()},
}
"""Name -> what builds the work of some number of rows."""
