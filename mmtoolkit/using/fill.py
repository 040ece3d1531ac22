"""What missing cells are filled with: the model's prediction, or a draw from its distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Network
from mmtoolkit.core.posterior import Posterior, point_of


class Fill(ABC):
    """The values of missing cells, from q(z | what a row has).

    Attributes:
        samples: how many draws of z each prediction pools; 0 if the model decides it.
    """

    samples = 0

    def __init__(self, *seed: int | str) -> None:
        self._seed = seed

    def generator(self, device: torch.device, part: str = "") -> torch.Generator:
        """The source of chance for all rows of a table, one after the other.

        Args:
            device: of the draws.
            part: the file, in a table of several: each has its own draws, whichever job reads it.
        """
        return torch.Generator(device).manual_seed(seed_for("impute", *self._seed, *([part] if part else [])))

    @abstractmethod
    def latents(
        self, model: Network, units: Collection[str], q: Posterior, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The z that each unit is decoded from: (K, B, D), of which K may differ between units."""

    @abstractmethod
    def values(self, modality: Modality, p: Distribution, draws: int, generator: torch.Generator) -> Tensor:
        """The values (N, *event) of a modality, from p over draws * N rows in draw-major order."""


class Predicted(Fill):
    """The point prediction from the mean of q, or from draws of z together.

    Args:
        samples: how many draws; 0 takes the mean, except where the model asks for some.
        seed: fixes the draws.

    Raises:
        UserError: a number is no whole number of 0 or more.
    """

    def __init__(self, samples: int = 0, seed: int = 0) -> None:
        _check("samples", samples)
        _check("seed", seed)
        super().__init__(seed)
        self.samples = samples

    def latents(
        self, model: Network, units: Collection[str], q: Posterior, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The point of q, or as many draws as the unit with the most asks for."""
        counts = {unit: self.samples or model.pooled_draws(unit) for unit in units}
        most, point = max(counts.values(), default=1), point_of(q).unsqueeze(0)
        draws = drawn(q, most, generator) if self.samples or most > 1 else point
        return {unit: draws if self.samples or count > 1 else point for unit, count in counts.items()}

    def values(self, modality: Modality, p: Distribution, draws: int, generator: torch.Generator) -> Tensor:
        """The point of p, or of all its draws."""
        return modality.pooled(p, draws) if draws > 1 or self.samples else modality.point(p)


class Drawn(Fill):
    """One draw of z from q, and one of the cells from p(x | z): a table for multiple imputation (Rubin 1987).

    Args:
        seed: fixes the draws.
        table: the place of the table among several, whose draws are independent.

    Raises:
        UserError: the seed is no whole number of 0 or more.
    """

    def __init__(self, seed: int = 0, table: int = 0) -> None:
        _check("seed", seed)
        super().__init__(seed, "table", table)

    def latents(
        self, model: Network, units: Collection[str], q: Posterior, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One draw for all units, so that the cells of a row go together."""
        return dict.fromkeys(units, drawn(q, 1, generator))

    def values(self, modality: Modality, p: Distribution, draws: int, generator: torch.Generator) -> Tensor:
        """A draw from p."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        with torch.random.fork_rng():
            # Distributions sample from the default generator.
            torch.manual_seed(seed)
            return p.sample()


def fills_of(tables: int, samples: int = 0, seed: int = 0) -> list[Fill]:
    """The fills of so many tables for multiple imputation.

    Raises:
        UserError: a number does not fit, or `samples` is given too.
    """
    _check("tables", tables, least=1)
    if samples:
        raise UserError(
            f"tables {tables} and samples {samples}: each table holds single draws, and samples pools draws into "
            "one prediction; give one of the two"
        )
    return [Drawn(seed, table) for table in range(tables)]


def drawn(q: Posterior, count: int, generator: torch.Generator) -> Tensor:
    """Draws of z from q: (count, B, D)."""
    noise = torch.randn(count, *point_of(q).shape, generator=generator, device=generator.device)
    return q.rsample(noise)


def _check(option: str, number: int, least: int = 0) -> None:
    """Raise a `UserError` if a number is no whole one, or too small."""
    if not isinstance(number, int) or number < least:
        raise UserError(f"{option}: {number!r} does not fit; give a whole number of {least} or more")
