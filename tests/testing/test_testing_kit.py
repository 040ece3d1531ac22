"""The contract kit finds what is broken: components broken on purpose, and the sentence that each must give."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import field_serializer
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torchmetrics import MeanMetric

from mmtoolkit.components import (
    Banked,
    Columns,
    Entries,
    Evaluator,
    Modality,
    Model,
    Network,
    NumberModality,
    Parsed,
    Run,
    Scores,
    Source,
    Table,
    split_entries,
)
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models import MVAE
from mmtoolkit.models.mvae import MVAENetwork, SubsetOptions
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing import check_evaluator, check_modality, check_model, check_source
from mmtoolkit.testing.stand_ins import Choice, Point


class Level(NumberModality):
    """A sound modality, to be broken: one number or several, with a Gaussian likelihood of learned scale."""

    kind: Literal["level"] = "level"
    unit: float | None = None
    name: str = "level"

    def number(self, cell: Any, place: int) -> float:
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = float("inf")
        if number > 1e6 or number < -1e6:
            raise ValueError(f"{cell!r} is no number; give one such as 3.5")
        return number

    def entry(self, number: float, place: int) -> float:
        return number

    def fit(self, chunks: Iterable[Cells]) -> Any:
        if self.unit is not None:
            return self
        most = max(float(self.parse_column(cells).stored.abs().max()) for cells in chunks)
        return type(self).model_validate({**self.model_dump(), "unit": max(most, 1.0)})

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        return stored.to(torch.float32)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return LevelEncoder(self, width, extra)

    def decoder(self, size: int) -> nn.Module:
        return LevelDecoder(self, size)


class LevelEncoder(nn.Module):
    def __init__(self, modality: Level, width: int, extra: int) -> None:
        super().__init__()
        self.single = modality.single
        self.layers = nn.Linear(2 * modality.size + extra, width)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        values, known = split_entries(x, self.single)
        features = [values, known.to(values)] if c is None else [values, known.to(values), c.to(values)]
        return self.layers(torch.cat(features, 1))


class LevelDecoder(nn.Module):
    likelihood: Any = distributions.Normal

    def __init__(self, modality: Level, size: int) -> None:
        super().__init__()
        self.modality = modality
        self.layers = nn.Linear(size, modality.size)
        self.raw = nn.Parameter(torch.zeros(modality.size))

    def forward(self, z: Tensor) -> Distribution:
        mean = self.layers(z).to(torch.promote_types(z.dtype, torch.float32))
        scale = (nn.functional.softplus(self.raw) + 0.1).to(mean).expand_as(mean)
        return self.modality.distribution(self.likelihood(mean, scale, validate_args=False))


def test_what_is_sound_passes() -> None:
    check_modality(Level(), bad=["many", 1e9])
    check_modality(Level(columns=("a", "b")), bad=[{"a": "many"}, {"c": 1}])
    check_modality(Point())
    check_modality(Choice(), cells=[0, "1", 2], bad=[3, "many"])


def test_a_likelihood_of_positive_numbers_passes() -> None:
    class Decoder(LevelDecoder):
        def forward(self, z: Tensor) -> Distribution:
            base = super().forward(z).base
            rate = base.scale + nn.functional.softplus(base.loc)
            return self.modality.distribution(distributions.Gamma(1 + base.scale, rate, validate_args=False))

    def number(self: Level, cell: Any, place: int) -> float:
        found = Level.number(self, cell, place)
        if not found > 0:
            raise ValueError(f"{cell!r} is not positive; give a time")
        return found

    waits = level(number=number, decoder=lambda self, size: Decoder(self, size))
    check_modality(waits(), [0.5, 1.0, 3.0], bad=[0, -1.0])
    check_modality(waits(columns=("a", "b")), [{"a": 1.0, "b": 2.0}, {"a": 0.5}, {"b": 3.0}])


def faults(modality: Modality, *cells: Any, bad: Sequence[Any] = ()) -> list[str]:
    with pytest.raises(AssertionError) as raised:
        check_modality(modality, list(cells) or None, bad)
    lines = str(raised.value).splitlines()
    for line in lines:
        assert "; " in line, line  # what to do
        assert ", but " in line or "; but " in line, line  # what came
    return lines


def decoding(change: Any) -> type[Level]:
    """A `Level` whose decoder gives something else: change(mean, scale, modality) -> distribution."""

    class Decoder(LevelDecoder):
        def forward(self, z: Tensor) -> Distribution:
            base = super().forward(z).base
            return change(base.loc, base.scale, self.modality)

    return level(decoder=lambda self, size: Decoder(self, size))


def level(**members: Any) -> type[Level]:
    """A `Level` with other methods."""
    return type("Level", (Level,), {"__module__": __name__, **members})


class Undirected(MeanMetric):
    """A metric that does not say whether high or low is better."""

    def update(self, average: Any, x: Tensor) -> None:  # type: ignore[override]
        super().update(x)


class Spanned(Level):
    """Its options come back as others."""

    span: tuple[int, int] = (1, 2)

    @field_serializer("span")
    def _another(self, span: tuple[int, int]) -> list[int]:
        return [9, 9]


ALWAYS = property(lambda self: True)
TWO = property(lambda self: 2)


class Wider(distributions.Normal):
    """Samples of half as much spread again as log_prob states."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + 1.5 * (super().sample(sample_shape) - self.loc)


class Shifted(distributions.Normal):
    """Draws that lie a tenth of a standard deviation too far right."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return super().sample(sample_shape) + 0.1 * self.scale


class Unnormalised(distributions.Normal):
    """A density that leaves out its constant."""

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) + 0.5


class Unscaled(distributions.Normal):
    """A density that leaves out what depends on the learned scale."""

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * ((value - self.loc) / self.scale).square()


class Deaf(distributions.Normal):
    """Draws that do not heed sample_shape."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return super().sample()


def _mixed(self: Any, x: Tensor, c: Tensor | None = None) -> Tensor:
    features = LevelEncoder.forward(self, x, c)
    return features - features.mean(0)


def _rounded(mean: Tensor, scale: Tensor, modality: Level) -> Distribution:
    return modality.distribution(distributions.Normal(mean.float().to(mean), scale, validate_args=False))


MODALITIES: dict[str, tuple[Any, str]] = {
    "not round": (
        Spanned,
        "options: model_validate_json(model_dump_json()) gives the same options before fit, but span came back as "
        "another; give them types that JSON holds, or a serialiser",
    ),
    "fit gives itself": (
        level(fit=lambda self, chunks: (list(chunks), self)[1]),
        "fit: fills all that is open, but what it gave reads the cells again; learn it all at once, and return self "
        "without iterating over chunks where nothing is None",
    ),
    "fit changes what is given": (
        level(fit=lambda self, chunks: Level.fit(self, chunks).model_copy(update={"name": "other"})),
        "fit: fills only options left None, but it changed name; leave what is given as it is",
    ),
    "fit gives another class": (
        level(fit=lambda self, chunks: (list(chunks), Spanned(unit=1.0))[1]),
        "fit: gives a Level, but a Spanned came; return a copy of itself",
    ),
    "fit crashes on a fault": (
        level(fit=lambda self, chunks: Level.fit(self, ([float(c) for c in cells] for cells in chunks))),
        "fit: leaves out cells that cannot be read, or raises ValueError, but TypeError came for <object object",
    ),
    "another shape": (
        level(event_shape=lambda self: (1,)),
        "parse: gives a tensor of event_shape (1,), but () came; make the two agree",
    ),
    "column and cell differ": (
        level(parse=lambda self, cell: Level.parse(self, cell) + 1),
        "parse_column: of a list gives what parse gives cell by cell, but values differ; make the two agree",
    ),
    "None is read": (
        level(
            parse_column=lambda self, cells: (
                Level.parse_column(self, [0.0 if c is None else c for c in cells])
                if not isinstance(cells, np.ndarray)
                else Level.parse_column(self, cells)
            )
        ),
        "parse_column: of a list with None among it exactly the cells that are not None are present and none is at "
        "fault, but present is [True, True, ",
    ),
    "arrays are read otherwise": (
        level(
            parse_column=lambda self, cells: Level.parse_column(
                self, cells[::-1] if isinstance(cells, np.ndarray) else cells
            )
        ),
        "parse_column: of an array gives what parse gives cell by cell, but values differ; make the two agree",
    ),
    "faults are raised": (
        level(number=lambda self, cell, place: float(cell)),
        "parse_column: tells a bad cell by its row, but TypeError was raised for <object object",
    ),
    "a fault says nothing": (
        level(number=lambda self, cell, place: _number_without_words(cell)),
        "parse_column: says what is wrong with a cell, but nothing is said of <object object",
    ),
    "a fault costs its neighbours": (
        level(parse_column=lambda self, cells: _all_or_nothing(Level.parse_column(self, cells))),
        "parse_column: a bad cell costs no other row, but <object object",
    ),
    "prepare draws from elsewhere": (
        level(prepare=lambda self, stored, generator, keys: stored.float() + torch.rand(len(stored))),
        "prepare: with keys a draw is fixed for good, but it changed; draw by mmtoolkit.keyed_uniform(keys, ...)",
    ),
    "prepare mixes rows": (
        level(prepare=lambda self, stored, generator, keys: (stored - stored.mean()).float()),
        "prepare: of one row gives what it gives of many, but it differs; look at each row by itself",
    ),
    "prepare changes the shape": (
        level(prepare=lambda self, stored, generator, keys: stored.float().unsqueeze(1)),
        "prepare: gives (N, *event_shape), (12,), but (12, 1) came; keep one shape all the way",
    ),
    "prepare works in place": (
        level(prepare=lambda self, stored, generator, keys: stored.add_(0.5).sub_(0.25).float()),
        "prepare: leaves what is stored as it is, but changed it; do not work in place",
    ),
    "redraws and does not": (
        level(redraws=ALWAYS),
        "prepare: draws anew where redraws is True, but gave the same each time; drop redraws, or draw",
    ),
    "redraws from elsewhere": (
        level(
            redraws=ALWAYS,
            prepare=lambda self, stored, generator, keys: stored.float() + (0 if keys is not None else torch.rand(1)),
        ),
        "prepare: draws from the generator alone, but another was used; hand `generator` to every draw",
    ),
    "cells do not come back": (
        level(entry=lambda self, number, place: number + 1),
        "cell: prepare(parse(cell(x))) gives x again, but it differs for the cell ",
    ),
    "a point no cell holds": (
        level(entry=lambda self, number, place: round(number)),
        "point: gives a value that a cell can hold, but another was read back; round or clamp it to what is stored",
    ),
    "typed is another": (
        level(typed=lambda self, text: text + "1"),
        "typed: the text '0.0' is the cell 0.0, but another was read; write typed, or let parse read text",
    ),
    "a score upside down": (
        level(
            scores=lambda self, point, x: {"errors": (point - x).abs()},
            better=lambda self: {"errors": "high"},
        ),
        "scores: errors is best for the truth, and `better` says high, but 0 came for it and ",
    ),
    "a score without a direction": (
        level(scores=lambda self, point, x: {"absolute_error": (point - x).abs()}),
        "scores: say whether high or low is better, but `better` gives None for absolute_error; let it give 'high' or ",
    ),
    "a direction that is none": (
        level(entry_better=lambda self: {"squared_error": "lower"}),
        "scores: say whether high or low is better, but `better` gives 'lower' for squared_error; let it give 'high' ",
    ),
    "details upside down": (
        level(
            detailed_scores=lambda self, point, x: {"part": (point - x).abs()[x > 0]},
            better=lambda self: {"squared_error": "low", "part": "high"},
        ),
        "detailed_scores: part is best for the truth, and `better` says high, but 0 came for it and ",
    ),
    "details without a direction": (
        level(detailed_scores=lambda self, point, x: {"part": (point - x).abs()[x > 0]}),
        "detailed_scores: say whether high or low is better, but `better` gives None for part; let it give 'high' or ",
    ),
    "a metric without a direction": (
        level(metrics=lambda self: {"spread": Undirected()}),
        "metrics: say whether high or low is better, but higher_is_better of spread is None; set it to True or False",
    ),
    "a score of all rows": (
        level(scores=lambda self, point, x: {"absolute_error": (point - x).abs().mean()}),
        "scores: absolute_error is one finite number a row, (12,), but () came, or it is not finite; reduce it to rows",
    ),
    "details by the prediction": (
        level(detailed_scores=lambda self, point, x: {"part": x[point > x.mean()]}),
        "detailed_scores: which rows they are of depends on x alone, but it changed with the prediction; choose them "
        "by x",
    ),
    "a baseline of the last chunk": (
        level(baseline=lambda self, chunks: [chunk.mean() for chunk in chunks][-1]),
        "baseline: does not depend on how rows are cut into chunks, but it does; sum over all chunks first",
    ),
    "text that is none": (level(text=lambda self, value: 3), "text: gives a text, but int came; return str"),
    "features of another width": (
        level(encoder=lambda self, width, extra=0: LevelEncoder(self, width + 1, extra)),
        "encoder(width): gives (N, width), (12, 6), but (12, 7) came; correct the last layer",
    ),
    "an encoder that mixes rows": (
        level(
            encoder=lambda self, width, extra=0: type("Mixed", (LevelEncoder,), {"forward": _mixed})(self, width, extra)
        ),
        "encoder(width): reads each row by itself in evaluation mode, but one row alone gave another result; mend it",
    ),
    "a condition not read": (
        level(encoder=lambda self, width, extra=0: _Ignoring(self, width)),
        "encoder(width, extra=3): reads the condition (N, extra), but it changed nothing; join it to the features",
    ),
    "a parameter not used": (
        level(encoder=lambda self, width, extra=0: _spare(LevelEncoder(self, width, extra))),
        "encoder(width): every parameter gets a gradient, but spare got none; use or remove it",
    ),
    "a condition of another size": (
        level(condition_size=TWO),
        "condition: gives (N, condition_size) finite floats, (12, 2), but torch.float32 (12, 1) came; make the two "
        "agree",
    ),
    "no Independent": (
        decoding(lambda mean, scale, modality: distributions.Normal(mean, scale, validate_args=False)),
        "decoder(size): gives a Distribution of batch (12,) and event (), but (12, 1) and () came; wrap it in "
        "Independent, or correct event_shape",
    ),
    "exp of z": (
        decoding(
            lambda mean, scale, m: m.distribution(distributions.Normal(mean, (9 * mean).exp(), validate_args=False))
        ),
        "decoder(size): stays finite for every z, but ",
    ),
    "validated parameters": (
        decoding(lambda mean, scale, m: m.distribution(distributions.Normal(mean, scale, validate_args=True))),
        "`decoder` and `head` look at each row by itself, draw many samples at once, and every parameter learns; but "
        "<lambda> (test_testing_kit.py, line ",
    ),
    "parameters that are NaN, of draws by rejection": (
        decoding(
            lambda mean, scale, m: m.distribution(distributions.VonMises(mean, (-scale).log(), validate_args=False))
        ),
        "decoder(size): log-probabilities of what cells hold are finite, but NaN or infinity came; bound the ",
    ),
    "cut off from z": (
        decoding(
            lambda mean, scale, m: m.distribution(
                distributions.Normal(mean, scale * (1 + mean.detach().square()), validate_args=False)
            )
        ),
        "decoder(size): stays accurate in float64, its gradient equal to finite differences, but it does not; do not "
        "cast to float32, round or detach what depends on z",
    ),
    "shifted draws": (
        decoding(lambda mean, scale, m: m.distribution(Shifted(mean, scale, validate_args=False))),
        "decoder(size): draws come as often as log_prob says, but its density gives ",
    ),
    "degrees that become radians": (
        level(
            number=lambda self, cell, place: Level.number(self, cell, place) / 57.3,
            entry=lambda self, number, place: 57.3 * number,
        ),
        "number: keeps the unit of the cells, for spread tells standard deviations in it, but ",
    ),
    "float32 inside": (decoding(_rounded), "decoder(size): stays accurate in float64, its gradient equal to finite "),
    "half precision": (
        decoding(lambda mean, scale, m: _Half(mean, scale, m)),
        "decoder(size): densities are taken in float32 or better, but torch.bfloat16 came under autocast; use "
        "mmtoolkit.at_least_float32",
    ),
    "wider draws": (
        decoding(lambda mean, scale, m: m.distribution(Wider(mean, scale, validate_args=False))),
        "decoder(size): sample draws from the distribution of log_prob, but the mean gradient of log_prob over "
        "samples is ",
    ),
    "a constant left out": (
        decoding(lambda mean, scale, m: m.distribution(Unnormalised(mean, scale, validate_args=False))),
        "decoder(size): draws come as often as log_prob says, but its density gives 1.5",
    ),
    "a scale left out": (
        decoding(lambda mean, scale, m: m.distribution(Unscaled(mean, scale, validate_args=False))),
        "decoder(size): sample draws from the distribution of log_prob, but the mean gradient of log_prob over "
        "samples is ",
    ),
    "sample_shape not heeded": (
        decoding(lambda mean, scale, m: m.distribution(Deaf(mean, scale, validate_args=False))),
        "decoder(size): sample((3,)) gives (3, N, *event), (3, 12), but (12,) came; heed sample_shape",
    ),
    "rows for draws": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (-1, draws)).mean(1)),
        "average: row j of p belongs to row j mod N, but rows were mixed; unflatten(0, (draws, -1)) and reduce the "
        "first",
    ),
    "one draw of them": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (draws, -1))[-1]),
        "average: is the same in whatever order the draws come, but it differs; take all draws alike",
    ),
    "a pool of one draw too many": (
        level(pooled=lambda self, p, draws: self.point(p)),
        "pooled: of equal draws is the point of one, (12,), but (36,) came, or it differs; join the draws of each row",
    ),
    "a spread of no column": (
        level(spread=lambda self, name, p, draws: {"other": {"std": p.mean}}),
        "spread: tells of source columns one number a row, (12,), but 'other' and ['(36,)'] came; reduce over draws",
    ),
    "a sum of draws": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (draws, -1)).sum(0)),
        "average: of equal draws is that of one, but it differs; take the mean over draws",
    ),
    "all draws at once": (
        level(average=lambda self, p, draws: p.mean),
        "average: gives a statement a row, (12, ...), but (24,) came; reduce over draws",
    ),
    "a head of two layers": (
        level(head=lambda self, size: _Deep(self, size)),
        "head(size): is a single linear layer, but has more; a linear baseline shows what features alone tell",
    ),
    "weights that are not kept": (
        level(decoder=lambda self, size: _Forgetful(self, size)),
        "decoder(size): gives the same once its weights are loaded, but it does not; register what it remembers as a "
        "buffer",
    ),
}


def _number_without_words(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        raise ValueError from None


def _all_or_nothing(parsed: Parsed) -> Parsed:
    return Parsed(parsed.stored, parsed.present & (not parsed.faults), parsed.faults)


def _spare(network: nn.Module) -> nn.Module:
    network.spare = nn.Parameter(torch.ones(1))
    return network


class _Ignoring(LevelEncoder):
    def __init__(self, modality: Level, width: int) -> None:
        super().__init__(modality, width, 0)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(x)


class _Half(Entries):
    def __init__(self, mean: Tensor, scale: Tensor, modality: Level) -> None:
        super().__init__(distributions.Normal(mean, scale, validate_args=False), modality.single)

    def log_prob(self, x: Tensor) -> Tensor:
        found = super().log_prob(x)
        return found.bfloat16() if torch.is_autocast_enabled("cpu") else found


class _Deep(LevelDecoder):
    def __init__(self, modality: Level, size: int) -> None:
        super().__init__(modality, size)
        self.layers = nn.Sequential(nn.Linear(size, 5), nn.Linear(5, modality.size))


class _Forgetful(LevelDecoder):
    def __init__(self, modality: Level, size: int) -> None:
        super().__init__(modality, size)
        self.shift = torch.randn(modality.size)

    def forward(self, z: Tensor) -> Distribution:
        base = super().forward(z).base
        return self.modality.distribution(
            distributions.Normal(base.loc + self.shift.to(base.loc), base.scale, validate_args=False)
        )


@pytest.mark.parametrize("case", MODALITIES)
def test_a_broken_modality(case: str) -> None:
    cls, sentence = MODALITIES[case]
    found = faults(cls())
    assert any(line.startswith(sentence) for line in found), "\n".join(found)


def test_all_that_is_broken_is_told_at_once() -> None:
    found = faults(level(named=lambda self, name, value: 3, typed=lambda self, text: text + "1", condition_size=TWO)())
    assert [line.split(":")[0] for line in found] == ["typed", "condition", "named"]


def test_what_rests_on_a_broken_promise_is_not_tried() -> None:
    normal = decoding(lambda mean, scale, modality: distributions.Normal(mean, scale, validate_args=False))
    assert len(faults(normal())) == 1
    broken = decoding(lambda mean, scale, modality: mean.no_such_method())
    (line,) = faults(broken())
    assert line.startswith("`decoder`, and `head` where there is one, give distributions (N,) of values (*event), ")


def test_cells_that_must_be_refused() -> None:
    assert faults(Level(), 1.0, 2.0, bad=["3"]) == [
        "parse_column: '3' is at fault, but it was read; let parse raise ValueError for it"
    ]


def test_good_cells_that_are_refused() -> None:
    assert faults(Level(), 1.0, 2.0, "many")[0] == (
        "parse_column: reads the example cells, but 'many' is at fault: 'many' is no number; give one such as 3.5; "
        "mend parse, or the example"
    )


def test_without_cells_nothing_can_be_tried() -> None:
    (line,) = faults(level(example_cells=lambda self: [])())
    assert line == (
        "There are cells to try it with, from which it learns what is open and which it reads and prepares; but it "
        "raised ValueError: example_cells gives no cells, and level must learn from some; give cells; mend it"
    )
    check_modality(level(example_cells=lambda self: [])(unit=1.0))  # its decoder generates some


class Discrete(Distribution):
    """Poisson draws that do not have the probabilities stated: the factorial is left out."""

    def __init__(self, rate: Tensor, wrong: bool) -> None:
        self.base, self.wrong = distributions.Poisson(rate, validate_args=False), wrong
        super().__init__(rate.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(value) + (torch.lgamma(value + 1) if self.wrong else 0)


@pytest.mark.parametrize("columns", [None, ("a", "b")], ids=["one", "several"])
def test_probabilities_of_discrete_values_without_their_constant(columns: tuple[str, ...] | None) -> None:
    def counts(wrong: bool) -> Modality:
        cls = decoding(lambda mean, scale, m: m.distribution(Discrete(nn.functional.softplus(mean) + scale, wrong)))
        return type("Counts", (cls,), {"__module__": __name__, "point": lambda self, p: p.mean.round()})(
            columns=columns
        )

    check_modality(counts(wrong=False))
    found = faults(counts(wrong=True))
    assert all(
        line.startswith("decoder(size): draws come as often as log_prob says, but of 20000 draws ") for line in found
    )


def test_unknown_entries_that_matter() -> None:
    class Reader(LevelEncoder):
        def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
            features = x.flatten(1) if c is None else torch.cat([x.flatten(1), c], 1)
            return self.layers(features)

    found = faults(level(encoder=lambda self, width, extra=0: Reader(self, width, extra))(columns=("a", "b")))
    assert (
        "encoder(width): what stands in an unknown entry changes nothing, but nan did; read values by split_entries"
        in found
    )


class Bank(Level, Banked):
    kind: Literal["level"] = "level"

    def encode_bank(self, encoders: Sequence[nn.Module], x: Tensor, valid: Tensor) -> Tensor:
        return torch.stack([encoder(rows) for encoder, rows in zip(encoders, x, strict=True)])

    def decode_bank(self, decoders: Sequence[nn.Module], z: Tensor, valid: Tensor) -> Distribution:
        z = torch.where(valid.unsqueeze(-1), z, 0.0)
        mean = torch.stack([decoder.layers(rows).squeeze(-1) for decoder, rows in zip(decoders, z, strict=True)])
        scale = torch.stack([nn.functional.softplus(decoder.raw) + 0.1 for decoder in decoders])
        return distributions.Normal(mean, scale.expand_as(mean), validate_args=False)


def test_banks() -> None:
    check_modality(Bank())
    turned = {"encode_bank": lambda self, encoders, x, valid: Bank.encode_bank(self, encoders[::-1], x, valid)}
    (line,) = faults(type("Bank", (Bank,), {"__module__": __name__, **turned})())
    assert line == (
        "encode_bank: gives what separate networks give on valid rows, gradients too, but it differs; mask the rows "
        "that "
        "are not valid"
    )


# Models.


def model(network: type[MVAENetwork]) -> Model:
    """An MVAE whose networks are others."""

    class Broken(MVAE):
        def build(self, modalities: Mapping[str, Modality]) -> MVAENetwork:
            return network(modalities, self.latent_dim, SubsetOptions())

    return Broken(latent_dim=2)


def broken(**members: Any) -> Model:
    return model(type("Broken", (MVAENetwork,), {"__module__": __name__, **members}))


def _loss(change: Any) -> Any:
    def forward(self: MVAENetwork, batch: Batch, beta: float = 1.0, subsets: Any = None, noise: Any = None) -> Any:
        loss, parts = MVAENetwork.forward(self, batch, beta, subsets, noise)
        return change(self, batch, loss, parts)

    return forward


class _Posterior(Gaussian):
    """A Gaussian, some of which is wrong."""

    wrong: str = ""

    def kl(self, noise: Tensor | None = None) -> Tensor:
        return super().kl() + (1.0 if self.wrong == "kl" else 0.0)

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z) + (1.0 if self.wrong == "log_prob" else 0.0)

    def rsample(self, noise: Tensor) -> Tensor:
        if self.wrong == "noise":
            return super().rsample(noise - noise.mean())
        return super().rsample(2.0 * noise if self.wrong == "spread" else noise)


def _inferring(wrong: str) -> Any:
    cls = type("Wrong", (_Posterior,), {"wrong": wrong})

    def infer(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
        q = MVAENetwork.infer(self, batch, given)
        return cls(q.mean, q.logvar)

    return infer


def _decoded(self: MVAENetwork, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
    draws = len(z) // batch.size
    turned = z.unflatten(0, (batch.size, draws)).transpose(0, 1).flatten(0, 1) if draws > 1 else z
    return MVAENetwork.decode(self, turned, batch, targets)


def _unkept(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    if not hasattr(self, "shift"):
        self.shift = torch.randn(1)
    q = MVAENetwork.infer(self, batch, given)
    return Gaussian(q.mean + self.shift.to(q.mean), q.logvar)


def _by_batch(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    q = MVAENetwork.infer(self, batch, given)
    return Gaussian(q.mean + 0.1 * q.mean.mean(0), q.logvar)


def _zero_for_missing(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    q = MVAENetwork.infer(self, batch, given)
    lacking = len(set(given) - {name for name in batch.names if len(batch.rows(name))})
    return Gaussian(q.mean * (1 + lacking), q.logvar)


MODELS: dict[str, tuple[Model, str]] = {
    "a loss a row": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss.expand(batch.size), parts))),
        "forward: gives a finite scalar loss, but (16,) ",
    ),
    "parts with gradient": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss, {**parts, "loss": loss}))),
        "forward: its parts are finite scalars without gradient, but some were not for whole rows; detach them",
    ),
    "parts that come and go": (
        broken(
            forward=_loss(
                lambda self, batch, loss, parts: (loss, {n: p for n, p in parts.items() if n == "KL" or p != 0})
            )
        ),
        "forward: names the same parts in every step, log p(point), log p(choice), log p(other point), KL, but "
        "log p(point), KL came for point alone; give zero where there is none",
    ),
    "the sign of the loss": (
        broken(forward=_loss(lambda self, batch, loss, parts: (-loss, parts))),
        "forward: lowering the loss raises bound, but 60 steps took it from ",
    ),
    "beta not heeded": (
        broken(forward=lambda self, batch, beta=1.0, subsets=None, noise=None: MVAENetwork.forward(self, batch)),
        "forward: beta is the weight of the KL divergence, but the loss at beta 0, 1, 2 is ",
    ),
    "a parameter not used": (
        model(
            type(
                "Spare",
                (MVAENetwork,),
                {"__init__": lambda self, *a: (MVAENetwork.__init__(self, *a), _spare(self), None)[2]},
            )
        ),
        "forward: every parameter gets a gradient, but spare got none; use it in the loss, or do not build it",
    ),
    "another generator": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss * random.random(), parts))),
        "forward: with PyTorch's generator seeded alike a step is the same, but the loss differed; draw by torch alone",
    ),
    "networks run on no rows": (
        broken(
            forward=_loss(lambda self, batch, loss, parts: (loss + 0 * sum(p.sum() for p in self.parameters()), parts))
        ),
        "forward: networks of what no row has get no gradient, but those of point got one; do not run them on no rows",
    ),
    "a wrong divergence": (
        broken(infer=_inferring("kl")),
        "infer(batch, []): kl is the mean of log_prob less that of the prior over its draws, but it is not; make the "
        "three agree",
    ),
    "a density that is none": (
        broken(infer=_inferring("log_prob")),
        "infer(batch, [point]): log_prob is a density that sums to one, but it sums to 2.7",
    ),
    "draws of another spread": (
        broken(infer=_inferring("spread")),
        "infer(batch, [point]): variance is that of its draws, but it is not; make variance and rsample agree",
    ),
    "draws that know of others": (
        broken(infer=_inferring("noise")),
        "infer(batch, [point]): a draw is a function of its own noise, but it changed with that of other draws; use "
        "noise",
    ),
    "no posterior": (
        broken(infer=lambda self, batch, given: MVAENetwork.infer(self, batch, given).mean),
        "infer(batch, []): gives a Posterior, but Tensor came; write mean, variance, rsample, log_prob and kl",
    ),
    "rows that know of others": (
        broken(infer=_by_batch),
        "infer: a row alone gives what it gives among others, but it did not; look at each row by itself",
    ),
    "missing as zero": (
        broken(infer=_zero_for_missing),
        "infer: a row that has ",
    ),
    "any name": (
        broken(infer=lambda self, batch, given: MVAENetwork.infer(self, batch, set(given) & set(batch.names))),
        "infer: an unknown name is a UserError, but none was raised; call self.check_names(given)",
    ),
    "sets that are not listed": (
        broken(subsets=lambda self: [frozenset(self.modalities)]),
        "infer: a set that subsets() does not list is a UserError, but [point] was taken; refuse it, or list it",
    ),
    "row-major draws": (
        broken(decode=_decoded),
        "decode: row j of z belongs to row j mod B, but point differs from draws decoded one by one; repeat what is "
        "read",
    ),
    "all targets always": (
        broken(decode=lambda self, z, batch, targets: MVAENetwork.decode(self, z, batch, self.targets)),
        "decode: leaves out targets that are not asked for, but gave some; heed `targets`",
    ),
    "a bound of all rows": (
        broken(bound=lambda self, batch, noise: MVAENetwork.bound(self, batch, noise).mean()),
        "bound: gives a finite number for each usable row, (16,), but () came for whole rows, or not finite; give "
        "one a row",
    ),
    "usable without anything": (
        broken(usable=lambda self, present: torch.ones(len(present), dtype=torch.bool)),
        "usable: says which rows can be learned from, bool (16,), none that has nothing, but torch.bool (16,) came; ",
    ),
    "float32 inside": (
        broken(
            forward=_loss(lambda self, batch, loss, parts: (loss.float(), parts)),
        ),
        "forward: with weights and values in float64 all is float64, but the loss is not; make new tensors by "
        "new_zeros",
    ),
    "a state that is not kept": (
        broken(infer=_unkept),
        "build: networks with the same weights give the same, but bound differs; keep what they remember in buffers",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_broken_model(case: str) -> None:
    made, sentence = MODELS[case]
    with pytest.raises(AssertionError) as raised:
        check_model(made)
    found = str(raised.value).splitlines()
    assert any(line.startswith(sentence) for line in found), "\n".join(found)
    assert all("; " in line for line in found)


def test_a_model_that_builds_no_network() -> None:
    class Nothing(Model):
        kind: Literal["nothing"] = "nothing"

        def build(self, modalities: Mapping[str, Modality]) -> Network:
            return nn.Linear(1, 1)  # type: ignore[return-value]

    with pytest.raises(AssertionError) as raised:
        check_model(Nothing())
    assert str(raised.value) == (
        "`build` gives a Network over the modalities, the same for the same seed; but it raised TypeError: build gives "
        "Linear, which is no mmtoolkit.Network; mend it"
    )


# Sources.


class Pairs(Source):
    """A sound source, to be broken."""

    kind: Literal["pairs"] = "pairs"

    def splits(self) -> tuple[str, ...]:
        return "train", "test"

    def files(self) -> Sequence[Path]:
        return []

    def load(self, split: str) -> Table:
        return Columns({"a": [1, None, 3] * 5, "b": np.arange(15)})


class _Skipping(Columns):
    def chunks(self, names: Sequence[str], size: int) -> Any:
        return (chunk for place, chunk in enumerate(super().chunks(names, size)) if place != 1)


class _All(Columns):
    def chunks(self, names: Sequence[str], size: int) -> Any:
        return super().chunks(self.names, size)


class _Greedy(Columns):
    def chunks(self, names: Sequence[str], size: int) -> Any:
        return super().chunks(names, size + 3)


class _Short(Columns):
    def column(self, name: str) -> Cells:
        return super().column(name)[:-1]


def _pairs() -> dict[str, Any]:
    return {"a": [1, None, 3] * 5, "b": np.arange(15)}


SOURCES: dict[str, tuple[dict[str, Any], str]] = {
    "no train": (
        {"splits": lambda self: ("test",)},
        "splits: names each split once, train among them, but ('test',) came; add train, from which is learned",
    ),
    "a file that is none": (
        {"files": lambda self: [Path("nowhere.csv")]},
        "files: lists the files that rows are read from, but nowhere.csv is none; list what is read, or raise "
        "UserError",
    ),
    "a line for lines": (
        {"notes": lambda self: "all is well"},
        "notes: gives a list of lines, but 'all is well' came; put each line into a list",
    ),
    "short columns": (
        {"load": lambda self, split: _Short(_pairs())},
        "load('train'): column 'a' has the table's length, 15, but 14; give None where a cell is missing",
    ),
    "other columns": (
        {"load": lambda self, split: Columns({"a": [1]} if split == "test" else _pairs())},
        "load('test'): all splits have the columns of train, a, b, but a came; give None where a split lacks one",
    ),
    "rows left out": (
        {"load": lambda self, split: _Skipping(_pairs())},
        "chunks: gives what column gives, but 'a' of train differs; read both from one place",
    ),
    "columns not asked for": (
        {"load": lambda self, split: _All(_pairs())},
        "chunks: gives the columns that are named, but others came for train; heed `names`",
    ),
    "too many rows": (
        {"load": lambda self, split: _Greedy(_pairs())},
        "chunks: gives 7 rows at most, but more came for train; heed `size`",
    ),
    "rows of chance": (
        {"load": lambda self, split: Columns({"a": np.random.rand(9)})},
        "load('train'): rows are the same each time, but they changed; draw from a generator seeded by an option",
    ),
    "missing as NaN": (
        {"load": lambda self, split: Columns({"a": [1.0, float("nan")]})},
        "column: a missing cell is None, but 'a' of train has NaN; give None",
    ),
    "rows taken by itself": (
        {"load": lambda self, split: Columns({"a": list(range(self.rows.get(split, 9)))})},
        "load('train'): leaves `rows` to the core, which takes the first, but took it itself; give all rows",
    ),
}


def test_a_sound_source_passes() -> None:
    check_source(Pairs())


@pytest.mark.parametrize("case", SOURCES)
def test_a_broken_source(case: str) -> None:
    members, sentence = SOURCES[case]
    with pytest.raises(AssertionError) as raised:
        check_source(type("Pairs", (Pairs,), {"__module__": __name__, **members})())
    assert sentence in str(raised.value).splitlines()


# Evaluators.


class Spread(Evaluator):
    """A sound evaluator, to be broken: how far apart the means of z are."""

    kind: Literal["spread"] = "spread"

    def evaluate(self, run: Run, split: str) -> Scores:
        names = [name for name in run.modalities if name in run.model.inputs]
        means = torch.cat([run.model.infer_all(batch).mean for batch in run.batches(split)])
        return Scores([{"target": names, "given": names, "better": None, "value": float(means.std())}])


def _results(*results: dict[str, Any], **rest: Any) -> Any:
    return lambda self, run, split: Scores(list(results), **rest)


def _drawn(self: Any, run: Any, split: str) -> Scores:
    return Scores([{"target": ["point"], "given": [], "better": "low", "value": float(torch.rand(1))}])


def _trained(self: Any, run: Any, split: str) -> Scores:
    next(iter(run.model.parameters())).zero_()
    run.model.train()
    return Scores([{"target": ["point"], "given": [], "better": "low", "value": 0.0}])


def _presuming(self: Any, run: Any, split: str) -> Scores:
    run.model.encoders.of("other point")
    return Scores([{"target": ["point"], "given": [], "better": "low", "value": 0.0}])


SOUND = {"target": ["point"], "given": ["choice"], "better": "high", "value": 1.0}
EVALUATORS: dict[str, tuple[Any, str]] = {
    "nothing": (
        _results(),
        "evaluate: gives a result or more for a model that can do everything, but none came; score",
    ),
    "no plain data": (
        _results({**SOUND, "value": torch.ones(1)}),
        "evaluate: results are plain data with target and given, but "
        "{'target': ['point'], 'given': ['choice'], 'better': 'high', 'value': "
        "tensor([1.])} came: it is no plain data, ",
    ),
    "no target": (
        _results({"given": [], "value": 1.0}),
        "evaluate: results are plain data with target and given, but {'given': [], 'value': 1.0} came: ",
    ),
    "another order": (
        _results({**SOUND, "given": ["choice", "point"]}),
        "evaluate: given lists modalities in schema order, but ['choice', 'point'] came; sort them as run.modalities "
        "has them",
    ),
    "no value": (
        _results({"target": ["point"], "given": [], "accuracy": 1.0}),
        "evaluate: a result has a value, a number or None, but {'target': ['point'], 'given': [], 'accuracy': 1.0} "
        "came; ",
    ),
    "no direction": (
        _results({"target": ["point"], "given": [], "value": 1.0}),
        "evaluate: a result says whether high or low is better, but {'target': ['point'], 'given': [], 'value': 1.0} "
        "came; add better, 'high' or 'low', or None where neither is",
    ),
    "a direction that is none": (
        _results({**SOUND, "better": "lower"}),
        "evaluate: results are plain data with target and given, but {'target': ['point'], 'given': ['choice'], "
        "'better': 'lower', 'value': 1.0} came: better: ",
    ),
    "a figure that is none": (
        _results(SOUND, figures={"map": 3}),
        "evaluate: the figure 'map' is a matplotlib Figure, but int came; make it by matplotlib.figure.Figure",
    ),
    "scores of chance": (
        _drawn,
        "evaluate: gives the same scores each time, but they changed with PyTorch's default generator; draw with ",
    ),
    "a generator used up": (
        _drawn,
        "evaluate: leaves PyTorch's default generator alone, but drew from it; draw with run.generator, or inside ",
    ),
    "weights changed": (
        _trained,
        "evaluate: leaves the trained weights alone, but changed them; copy the model before",
    ),
    "training mode": (
        _trained,
        "evaluate: leaves the model in evaluation mode, but it is in training mode; set it back",
    ),
    "what models lack": (
        _presuming,
        "evaluate: leaves out what a model cannot give, but for a vae it raised ValueError: ",
    ),
    "more than a run promises": (
        lambda self, run, split: Scores([{"target": [run.schema.name], "given": []}]),
        "`evaluate` gives results of plain data, each with target and given in schema order; but <lambda> "
        "(test_testing_kit.py, line ",
    ),
    "no scores": (
        lambda self, run, split: [SOUND],
        "`evaluate` gives results of plain data, each with target and given in schema order; but it raised TypeError: "
        "evaluate gives list, not mmtoolkit.Scores; mend it",
    ),
}


def test_a_sound_evaluator_passes() -> None:
    check_evaluator(Spread())


@pytest.mark.parametrize("case", EVALUATORS)
def test_a_broken_evaluator(case: str) -> None:
    evaluate, sentence = EVALUATORS[case]
    with pytest.raises(AssertionError) as raised:
        check_evaluator(type("Spread", (Spread,), {"__module__": __name__, "evaluate": evaluate})())
    found = str(raised.value).splitlines()
    assert any(line.startswith(sentence) for line in found), "\n".join(found)
