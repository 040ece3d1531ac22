"""All lines of the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.against import (
    against_floor,
    against_multivae,
    beside_neighbours,
    likelihood_against_multivae,
    likelihood_against_products,
    overhead,
)
from bench.commands import waits
from bench.reading import Line, Target

_BIMODAL = "images of 28x28 and labels, networks of `mnist`, batch 100"
_FACES = "19 modalities (images of 64x64 and 18 attributes), networks of `celeba19`, k = 1, batch 100"
_MISSING = "images of 28x28 and labels, 90 % of the labels missing, batch 100"
_TABLE = "16 columns with 20 % holes, networks 64 wide, k = 3"

_VIEWS = {
    "mmvae": "MMVAE (evidence lower bound)",
    "mopoe": "MoPoE",
    "mopoe_mean": "MoPoE with the mean of the divergences",
    "mvtcae": "MVTCAE",
    "mmvaeplus": "MMVAE+ (one draw)",
}
_OF_VIEWS = "three images of 28x28, networks of `mnist`, batch 100"
_STEP, _NOT_SLOWER = Target(most=1.15), 1.0

_LINES = [
    Line("floor.bimodal", _BIMODAL, against_floor("bimodal", 5_000, 15)),
    Line("floor.faces", _FACES, against_floor("faces", 300, 7)),
    Line("floor.text", "images of 50x50 and texts, networks of `multimnist`, batch 100", against_floor("text", 400, 9)),
    Line("floor.missing", _MISSING, against_floor("missing", 5_000, 15)),
    *(
        Line(f"floor.{name}", f"{about}: {_OF_VIEWS}", against_floor(name, 2_000, 15, most=_STEP))
        for name, about in _VIEWS.items()
    ),
    Line("tables.32", f"{_TABLE}, batch 32", against_floor("table32", 1_000, 21, step=Target(most=12))),
    Line("tables.128", f"{_TABLE}, batch 128", against_floor("table128", 2_000, 15)),
    *(
        Line(
            f"binaries.{count}",
            f"{count} yes or no, each a modality, networks 64 wide, k = 0, batch 100",
            against_floor(f"binaries{count}", max(500, 20_000 // count), 11, memory=True),
        )
        for count in (2, 5, 10, 20, 50, 100)
    ),
    Line("multivae.bimodal", _BIMODAL, against_multivae("bimodal", 5_000, 9, 2.4), peer=True),
    Line("multivae.faces", _FACES, against_multivae("faces", 200, 7, 2.2), peer=True),
    Line("multivae.missing", _MISSING, against_multivae("missing", 5_000, 9, 3.0), peer=True),
    *(
        Line(f"multivae.{name}", f"{about}: {_OF_VIEWS}", against_multivae(name, 2_000, 9, _NOT_SLOWER), peer=True)
        for name, about in _VIEWS.items()
        if name != "mopoe"  # MultiVae has the mean alone
    ),
    Line(
        "multivae.likelihood",
        "log p(image, label) by K = 1000 draws, networks of `mnist`",
        likelihood_against_multivae(50, 7, 2.4),
        peer=True,
    ),
    Line(
        "likelihood",
        "log p(image) by K = 1000 draws, networks of `mnist`, against the decoder's products, activations and the sum "
        "over pixels alone, in the best of four chunk sizes",
        likelihood_against_products(50, 7),
    ),
    Line("neighbours", f"{_BIMODAL}, beside two busy processes", beside_neighbours("bimodal", 2_000, 9)),
    Line("overhead.bimodal", f"{_BIMODAL}, epochs of 5,000 rows", overhead("bimodal", 5_000, 20)),
    Line("overhead.table", f"{_TABLE}, batch 32, epochs of 500 rows", overhead("table32", 500, 60)),
    Line("start", "`mmt run` of a table of 300 rows and 8 columns, as `mmt init` writes it", waits(300, 8, 5, start=3)),
    Line(
        "tail",
        "`mmt run` of a table of 1,000 rows and 20 columns, as `mmt init` writes it",
        waits(1_000, 20, 3, tail=5),
    ),
]

LINES: Mapping[str, Line] = {line.name: line for line in _LINES}
"""Name -> line."""


def chosen(names: Sequence[str]) -> list[Line]:
    """The lines of some names, each a line or the part of lines before a dot; all for no name.

    Raises:
        ValueError: there is no such line.
    """
    for name in names:
        if not any(_matches(line, name) for line in LINES):
            raise ValueError(f"there is no line {name!r}; the lines are {', '.join(LINES)}")
    return [line for line in LINES.values() if not names or any(_matches(line.name, name) for name in names)]


def _matches(line: str, name: str) -> bool:
    return line == name or line.startswith(f"{name}.")
