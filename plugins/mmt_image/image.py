"""The image modality: pixels in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import PIL.Image
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from mmt_image import pictures
from mmt_image.dcgan import DCGAN
from mmt_image.proposals import image_proposal
from mmtoolkit import (
    MLP,
    Architecture,
    BernoulliLikelihood,
    Cells,
    ColumnSummary,
    Form,
    GaussianLikelihood,
    Grid,
    Likelihood,
    Parsed,
    Part,
    Parted,
    Proposal,
    keyed_uniform,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_CELLS_A_WORKER = 16
_SIDE = Field(gt=0, le=4096)


class Image(Parted):
    """An image of fixed shape.

    A cell is the path of a picture file, the bytes of one, a PIL image, or an array: (height, width), (channels,
    height, width) or (height, width, channels), of uint8, of floats in [0, 1], or of larger whole numbers if `white` is
    set. It is stored as uint8.

    With 28x28 pixels `network: mlp` is the image network of MNIST in Wu & Goodman 2018, section 4, and `network: dcgan`
    that of FashionMNIST; with 50x50 and 64x64 pixels `dcgan` is that of MultiMNIST and CelebA.
    """

    kind: Literal["image"] = "image"
    gives: ClassVar[type[Form]] = Grid
    moved: ClassVar[Mapping[str, str]] = {"scale": "likelihood"}
    picture = True
    reads_files = True

    shape: tuple[Annotated[int, _SIDE], Annotated[int, _SIDE], Annotated[int, _SIDE]]
    """Channels (1 for grey, 3 for RGB), height and width."""
    network: Part[Architecture] = DCGAN()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = BernoulliLikelihood()
    """The distribution of a pixel given z."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Whether to draw each pixel as 0 or 1, with its grey value as probability (Larochelle & Murray 2011): `static`
    draws once, `dynamic` anew each time that training uses the picture."""
    resize: Literal["crop", "stretch", "error"] = "crop"
    """How to treat a picture of another size: `crop` resizes its shorter side and crops the centre, `stretch` resizes
    both sides, `error` reports it."""
    white: Annotated[int, Field(ge=1, lt=2**32)] | None = None
    """The value that is white in pictures and arrays of more than 8 bits, such as 4095 for 12 bits in a file of 16;
    larger values are white too. By default that of the file's format, 65535 for 16 bits. Pictures in colour of 16 bits
    are read with 8."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        channels = self.shape[0]
        if channels not in (1, 3):
            raise ValueError(f"shape has {channels} channels; give 1 for grey or 3 for RGB, as [3, 64, 64]")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of picture files, with a shape on which networks are fast."""
        return image_proposal(column)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Small images: grey, in colour with a learned scale, and with dynamic binarisation."""
        return (
            cls(shape=(1, 8, 8), network=MLP()),
            cls(shape=(3, 16, 16), likelihood=GaussianLikelihood()),
            cls(shape=(1, 8, 8), network=MLP(), binarize="dynamic"),
        )

    def example_cells(self) -> Cells:
        """Arrays of pixels."""
        draw = np.random.default_rng(0)
        return [draw.integers(0, 256, self.shape, dtype=np.uint8) for _ in range(4)]

    def event_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return self.shape

    def parse(self, cell: Any) -> Tensor:
        """A path, PIL image or array as uint8 pixels (channels, height, width)."""
        return torch.from_numpy(pictures.pixels(cell, self.shape, self.resize, self.white).copy())

    def parse_column(self, cells: Cells) -> Parsed:
        """Take arrays of uint8 pixels of the right shape as they are, and read pictures in parallel."""
        if isinstance(cells, np.ndarray) and cells.dtype == np.uint8:
            grey = cells.ndim == 3 and self.shape[0] == 1
            stacked = cells[:, None] if grey else cells
            if stacked.shape[1:] == self.shape:
                return Parsed(torch.tensor(stacked), torch.ones(len(cells), dtype=torch.bool))
        with warnings.catch_warnings():  # here, since it is no thread's own; too many pixels are a fault anyway
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            return self._read(cells)

    def _read(self, cells: Cells) -> Parsed:
        """Cells one by one, straight into one array; decoders of pictures let other threads run meanwhile."""
        stored = np.zeros((len(cells), *self.shape), dtype=np.uint8)
        present = np.zeros(len(cells), dtype=bool)
        faults: dict[int, str] = {}

        def read(rows: range) -> None:
            for row in rows:
                if cells[row] is None:
                    continue
                try:
                    stored[row] = pictures.pixels(cells[row], self.shape, self.resize, self.white)
                    present[row] = True
                except ValueError as error:
                    faults[row] = str(error)

        workers = max(1, min(torch.get_num_threads(), len(cells) // _CELLS_A_WORKER))
        parts = [range(start, len(cells), workers) for start in range(workers)]
        if workers == 1:
            read(parts[0])
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read, parts))
        return Parsed(torch.from_numpy(stored), torch.from_numpy(present), dict(sorted(faults.items())))

    @property
    def redraws(self) -> bool:
        """Whether binarisation is dynamic."""
        return self.binarize == "dynamic"

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Pixels in [0, 1]; 0 or 1 if `binarize` is set."""
        x = stored.to(torch.float32).div_(255)
        if self.binarize == "none":
            return x
        if keys is None:
            return torch.bernoulli(x, generator=generator)
        return (keyed_uniform(keys, self.shape) < x).to(x.dtype)

    def layout(self) -> dict[str, Any]:
        """With how pixels stand in a value."""
        channels = "grey" if self.shape[0] == 1 else "red, green and blue"
        drawn = "" if self.binarize == "none" else "; or 0 or 1, drawn with these as probability, as in training"
        return {
            "values": f"channels ({channels}), rows, columns: the 8-bit value of each pixel, divided by 255{drawn}",
            **super().layout(),
            "resize": self.resize,
        }

    def cell(self, value: Tensor) -> Any:
        """A PIL image, grey or RGB."""
        return pictures.picture(value)

    def form(self) -> Form:
        """Values from 0 to 1 on a grid."""
        return Grid(*self.shape, support="unit")

    def head(self, size: int) -> None:
        """None: pixels that are linear in features are no baseline to compare with."""
        return

    def point(self, p: Distribution) -> Tensor:
        """The mean, as pixels in [0, 1]."""
        return p.mean.clamp(0, 1)

    def text(self, value: Tensor) -> str:
        """The size and mean intensity."""
        channels, height, width = self.shape
        return f"{'grey' if channels == 1 else 'RGB'} {height}x{width}, mean {value.float().mean():.2f}"

    def draw(self, value: Tensor, axes: Axes) -> None:
        """The picture."""
        pixels = value.detach().float().clamp(0, 1).cpu().permute(1, 2, 0).numpy()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
