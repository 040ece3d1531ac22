"""An architecture: a residual network for pictures (He et al. 2016), both ways between a picture and features."""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from mmtoolkit import Architecture, Component, Conditioned, Form, Grid, hookimpl


class OwnResNet(Architecture):
    """Residual blocks at half and at a quarter of a picture's sides."""

    kind: Literal["own_resnet"] = "own_resnet"
    reads = (Grid,)

    width: PositiveInt = 16
    """Channels at half of the sides; at a quarter there are twice as many."""

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """From pictures (N, C, H, W), and a condition (N, extra), to features (N, width)."""
        assert isinstance(form, Grid)
        halve = [nn.Conv2d(form.channels, self.width, 3, 2, 1), nn.Conv2d(self.width, 2 * self.width, 3, 2, 1)]
        layers = nn.Sequential(halve[0], Block(self.width), halve[1], Block(2 * self.width), nn.SiLU(), nn.Flatten())
        return Conditioned(layers, nn.Linear(math.prod(self._smallest(form)) + extra, width))

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """From z (N, size) to what a likelihood needs at each pixel: (N, numbers, C, H, W)."""
        assert isinstance(form, Grid)
        smallest = self._smallest(form)
        return nn.Sequential(
            *(nn.Linear(size, math.prod(smallest)), nn.Unflatten(1, smallest), Block(2 * self.width)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(2 * self.width, self.width, 3, padding=1), Block(self.width)),
            *(nn.Upsample((form.height, form.width)), nn.SiLU()),
            *(nn.Conv2d(self.width, numbers * form.channels, 3, padding=1), nn.Unflatten(1, (numbers, form.channels))),
        )

    def _smallest(self, form: Grid) -> tuple[int, int, int]:
        """Channels, height and width at a quarter of the sides, rounded up."""
        return 2 * self.width, math.ceil(form.height / 4), math.ceil(form.width / 4)


class Block(nn.Module):
    """A picture and what two convolutions say of it, added: (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.layers = nn.Sequential(nn.SiLU(), next(convs), nn.SiLU(), next(convs))

    def forward(self, x: Tensor) -> Tensor:
        """X + layers(x)."""
        out: Tensor = x + self.layers(x)
        return out


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this file."""
    return [OwnResNet]
