"""The contract kit finds faults: components broken on purpose, and the facts that each sentence must state."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from pydantic import field_serializer
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torchmetrics import MeanMetric

from facts import assert_facts
from mmtoolkit.components import (
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
    Unit,
    split_entries,
)
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import PriorModule, StandardNormal
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
        read = [values, known.to(values)] if c is None else [values, known.to(values), c.to(values)]
        features: Tensor = self.layers(torch.cat(read, 1))
        return features


class LevelDecoder(nn.Module):
    likelihood: Any = distributions.Normal

    def __init__(self, modality: Level, size: int) -> None:
        super().__init__()
        self.modality = modality
        self.layers: nn.Module = nn.Linear(size, modality.size)
        self.raw = nn.Parameter(torch.zeros(modality.size))

    def numbers(self, z: Tensor) -> Any:
        """The distribution of the numbers, all of them known."""
        mean = self.layers(z).to(torch.promote_types(z.dtype, torch.float32))
        scale = (nn.functional.softplus(self.raw) + 0.1).to(mean).expand_as(mean)
        return self.likelihood(mean, scale, validate_args=False)

    def forward(self, z: Tensor) -> Distribution:
        return self.modality.distribution(self.numbers(z))


@pytest.mark.slow
def test_what_is_sound_passes() -> None:
    check_modality(Level(), bad=["many", 1e9])
    check_modality(Level(columns=("a", "b")), bad=[{"a": "many"}, {"c": 1}])
    check_modality(Point())
    check_modality(Choice(), cells=[0, "1", 2], bad=[3, "many"])


def test_a_likelihood_of_positive_numbers_passes() -> None:
    class Decoder(LevelDecoder):
        def forward(self, z: Tensor) -> Distribution:
            base = self.numbers(z)
            rate = base.scale + nn.functional.softplus(base.loc)
            return self.modality.distribution(distributions.Gamma(1 + base.scale, rate, validate_args=False))

    def number(self: Level, cell: Any, place: int) -> float:
        seconds = Level.number(self, cell, place)
        if not seconds > 0:
            raise ValueError(f"{cell!r} is not positive; give a time")
        return seconds

    waits = level(number=number, decoder=lambda self, size: Decoder(self, size))
    check_modality(waits(), [0.5, 1.0, 3.0], bad=[0, -1.0])
    check_modality(waits(columns=("a", "b")), [{"a": 1.0, "b": 2.0}, {"a": 0.5}, {"b": 3.0}])


def broken_promises(check: Callable[..., None], *args: Any) -> list[str]:
    """The lines of a failed check: each states the promise, the result and the remedy."""
    with pytest.raises(AssertionError) as error:
        check(*args)
    lines = str(error.value).splitlines()
    for line in lines:
        assert "; " in line, line  # the remedy
        assert ", but " in line or "; but " in line, line  # the result
    return lines


def faults(modality: Modality, *cells: Any, bad: Sequence[Any] = ()) -> list[str]:
    return broken_promises(check_modality, modality, list(cells) or None, bad)


def assert_line(lines: Sequence[str], start: str, *facts: str) -> None:
    """One of the lines begins with `start` and states the facts in this order."""
    assert any(_states(line, start, facts) for line in lines), "\n".join([f"{start}{facts} is not in", *lines])


def _states(line: str, start: str, facts: Sequence[str]) -> bool:
    try:
        assert_facts(line, start, *facts)
    except AssertionError:
        return False
    return line.startswith(start)


def decoding(change: Callable[..., Distribution]) -> type[Level]:
    """A `Level` whose decoder gives something else: change(mean, scale, modality) -> distribution."""

    class Decoder(LevelDecoder):
        def forward(self, z: Tensor) -> Distribution:
            base = self.numbers(z)
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
        draws: Tensor = super().sample(sample_shape)
        return self.loc + 1.5 * (draws - self.loc)


class Shifted(distributions.Normal):
    """Draws that lie a tenth of a standard deviation too far right."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        draws: Tensor = super().sample(sample_shape)
        return draws + 0.1 * self.scale


class Unnormalised(distributions.Normal):
    """A density that leaves out its constant."""

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob: Tensor = super().log_prob(value)
        return log_prob + 0.5


class Unscaled(distributions.Normal):
    """A density that leaves out what depends on the learned scale."""

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * ((value - self.loc) / self.scale).square()


class Deaf(distributions.Normal):
    """Draws that do not heed sample_shape."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        draws: Tensor = super().sample()
        return draws


def _mixed(self: Any, x: Tensor, c: Tensor | None = None) -> Tensor:
    features = LevelEncoder.forward(self, x, c)
    return features - features.mean(0)


def _rounded(mean: Tensor, scale: Tensor, modality: Level) -> Distribution:
    return modality.distribution(distributions.Normal(mean.float().to(mean), scale, validate_args=False))


MODALITIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "not round": (
        Spanned,
        ("options: ", "before fit", "span", "serialiser"),
    ),
    "fit gives itself": (
        level(fit=lambda self, chunks: (list(chunks), self)[1]),
        ("fit: ", "reads the cells again", "return self"),
    ),
    "fit changes what is given": (
        level(fit=lambda self, chunks: Level.fit(self, chunks).model_copy(update={"name": "other"})),
        ("fit: ", "None", "changed name;", "keep"),
    ),
    "fit gives another class": (
        level(fit=lambda self, chunks: (list(chunks), Spanned(unit=1.0))[1]),
        ("fit: ", "Level", "Spanned", "copy"),
    ),
    "fit crashes on a fault": (
        level(fit=lambda self, chunks: Level.fit(self, ([float(c) for c in cells] for cells in chunks))),
        ("fit: ", "ValueError", "TypeError", "<object object", "parse_column"),
    ),
    "another shape": (
        level(event_shape=lambda self: (1,)),
        ("parse: ", "event_shape (1,)", "()", "agree"),
    ),
    "column and cell differ": (
        level(parse=lambda self, cell: Level.parse(self, cell) + 1),
        ("parse_column: ", "a list", "differ", "agree"),
    ),
    "None is read": (
        level(
            parse_column=lambda self, cells: (
                Level.parse_column(self, [0.0 if c is None else c for c in cells])
                if not isinstance(cells, np.ndarray)
                else Level.parse_column(self, cells)
            )
        ),
        ("parse_column: ", "None", "present is [True, True, ", "treat None as missing"),
    ),
    "arrays are read otherwise": (
        level(
            parse_column=lambda self, cells: Level.parse_column(
                self, cells[::-1] if isinstance(cells, np.ndarray) else cells
            )
        ),
        ("parse_column: ", "an array", "differ", "agree"),
    ),
    "faults are raised": (
        level(number=lambda self, cell, place: float(cell)),
        ("parse_column: ", "TypeError", "<object object", "raise ValueError"),
    ),
    "a fault says nothing": (
        level(number=lambda self, cell, place: _number_without_words(cell)),
        ("parse_column: ", "<object object", "text"),
    ),
    "a fault costs its neighbours": (
        level(parse_column=lambda self, cells: _all_or_nothing(Level.parse_column(self, cells))),
        ("parse_column: ", "other row", "<object object", "each row"),
    ),
    "prepare draws from elsewhere": (
        level(prepare=lambda self, stored, generator, keys: stored.float() + torch.rand(len(stored))),
        ("prepare: ", "keys", "changed", "mmtoolkit.keyed_uniform(keys, ...)"),
    ),
    "prepare mixes rows": (
        level(prepare=lambda self, stored, generator, keys: (stored - stored.mean()).float()),
        ("prepare: ", "each row", "alone", "other rows"),
    ),
    "prepare changes the shape": (
        level(prepare=lambda self, stored, generator, keys: stored.float().unsqueeze(1)),
        ("prepare: ", "(12,)", "(12, 1)", "shape"),
    ),
    "prepare works in place": (
        level(prepare=lambda self, stored, generator, keys: stored.add_(0.5).sub_(0.25).float()),
        ("prepare: ", "stored", "in place"),
    ),
    "redraws and does not": (
        level(redraws=ALWAYS),
        ("prepare: ", "redraws", "same", "remove redraws"),
    ),
    "redraws from elsewhere": (
        level(
            redraws=ALWAYS,
            prepare=lambda self, stored, generator, keys: stored.float() + (0 if keys is not None else torch.rand(1)),
        ),
        ("prepare: ", "`generator`", "another", "pass `generator`"),
    ),
    "cells do not come back": (
        level(entry=lambda self, number, place: number + 1),
        ("cell: ", "prepare(parse(cell(x)))", "differs for the cell ", "undo parse"),
    ),
    "a point no cell holds": (
        level(entry=lambda self, number, place: round(number)),
        ("point: ", "another", "round or clamp"),
    ),
    "typed is another": (
        level(typed=lambda self, text: text + "1"),
        ("typed: ", "'0.0'", "0.0", "write typed"),
    ),
    "a score upside down": (
        level(
            scores=lambda self, point, x: {"errors": (point - x).abs()},
            better=lambda self: {"errors": "high"},
        ),
        ("scores: errors ", "truth", "high", " 0 ", "`better`"),
    ),
    "a score without a direction": (
        level(scores=lambda self, point, x: {"absolute_error": (point - x).abs()}),
        ("scores: ", "high or low", "None for absolute_error", "'high' or 'low'"),
    ),
    "a direction that is none": (
        level(entry_better=lambda self: {"squared_error": "lower"}),
        ("scores: ", "high or low", "'lower' for squared_error", "'high' or 'low'"),
    ),
    "details upside down": (
        level(
            detailed_scores=lambda self, point, x: {"part": (point - x).abs()[x > 0]},
            better=lambda self: {"squared_error": "low", "part": "high"},
        ),
        ("detailed_scores: part ", "truth", "high", " 0 ", "`better`"),
    ),
    "details without a direction": (
        level(detailed_scores=lambda self, point, x: {"part": (point - x).abs()[x > 0]}),
        ("detailed_scores: ", "high or low", "None for part", "'high' or 'low'"),
    ),
    "a metric without a direction": (
        level(metrics=lambda self: {"spread": Undirected()}),
        ("metrics: ", "high or low", "higher_is_better of spread is None", "True or False"),
    ),
    "a score of all rows": (
        level(scores=lambda self, point, x: {"absolute_error": (point - x).abs().mean()}),
        ("scores: absolute_error ", "(12,)", "()", "rows"),
    ),
    "details by the prediction": (
        level(detailed_scores=lambda self, point, x: {"part": x[point > x.mean()]}),
        ("detailed_scores: ", "x", "prediction", "choose"),
    ),
    "a baseline of the last chunk": (
        level(baseline=lambda self, chunks: [chunk.mean() for chunk in chunks][-1]),
        ("baseline: ", "chunks", "sum over all chunks"),
    ),
    "text that is none": (level(text=lambda self, value: 3), ("text: ", "int", "return str")),
    "features of another width": (
        level(encoder=lambda self, width, extra=0: LevelEncoder(self, width + 1, extra)),
        ("encoder(width): ", "(12, 6)", "(12, 7)", "last layer"),
    ),
    "an encoder that mixes rows": (
        level(
            encoder=lambda self, width, extra=0: type("Mixed", (LevelEncoder,), {"forward": _mixed})(self, width, extra)
        ),
        ("encoder(width): ", "each row", "alone", "other rows"),
    ),
    "a condition not read": (
        level(encoder=lambda self, width, extra=0: _Ignoring(self, width)),
        ("encoder(width, extra=3): ", "condition (N, extra)", "nothing", "concatenate"),
    ),
    "a parameter not used": (
        level(encoder=lambda self, width, extra=0: _spare(LevelEncoder(self, width, extra))),
        ("encoder(width): ", "every parameter", "spare got none", "remove"),
    ),
    "a condition of another size": (
        level(condition_size=TWO),
        ("condition: ", "(12, 2)", "torch.float32 (12, 1)", "agree"),
    ),
    "no Independent": (
        decoding(lambda mean, scale, modality: distributions.Normal(mean, scale, validate_args=False)),
        ("decoder(size): ", "batch (12,) and event ()", "(12, 1) and ()", "Independent"),
    ),
    "exp of z": (
        decoding(
            lambda mean, scale, m: m.distribution(distributions.Normal(mean, (9 * mean).exp(), validate_args=False))
        ),
        ("decoder(size): ", "finite for every z", "log_prob", "bound the parameters"),
    ),
    "validated parameters": (
        decoding(lambda mean, scale, m: m.distribution(distributions.Normal(mean, scale, validate_args=True))),
        ("`decoder` and `head` ", "each row", "<lambda> (test_testing_kit.py, line ", "validate_args=False"),
    ),
    "parameters that are NaN, of draws by rejection": (
        decoding(
            lambda mean, scale, m: m.distribution(distributions.VonMises(mean, (-scale).log(), validate_args=False))
        ),
        ("decoder(size): log_prob", "NaN", "bound the parameters"),
    ),
    "cut off from z": (
        decoding(
            lambda mean, scale, m: m.distribution(
                distributions.Normal(mean, scale * (1 + mean.detach().square()), validate_args=False)
            )
        ),
        ("decoder(size): ", "float64", "finite differences", "detach"),
    ),
    "shifted draws": (
        decoding(lambda mean, scale, m: m.distribution(Shifted(mean, scale, validate_args=False))),
        ("decoder(size): values ", "as often as log_prob says", "density", "draw from"),
    ),
    "degrees that become radians": (
        level(
            number=lambda self, cell, place: Level.number(self, cell, place) / 57.3,
            entry=lambda self, number, place: 57.3 * number,
        ),
        ("number: ", "unit of the cells", "became", "write spread"),
    ),
    "float32 inside": (decoding(_rounded), ("decoder(size): ", "float64", "finite differences", "float32")),
    "half precision": (
        decoding(lambda mean, scale, m: _Half(mean, scale, m)),
        ("decoder(size): ", "float32 or better", "torch.bfloat16", "mmtoolkit.at_least_float32"),
    ),
    "wider draws": (
        decoding(lambda mean, scale, m: m.distribution(Wider(mean, scale, validate_args=False))),
        ("decoder(size): sample ", "mean gradient of log_prob", "standard errors", "agree"),
    ),
    "a constant left out": (
        decoding(lambda mean, scale, m: m.distribution(Unnormalised(mean, scale, validate_args=False))),
        ("decoder(size): values ", "density", " 1.5", "add the term"),
    ),
    "a scale left out": (
        decoding(lambda mean, scale, m: m.distribution(Unscaled(mean, scale, validate_args=False))),
        ("decoder(size): sample ", "mean gradient of log_prob", "standard errors", "agree"),
    ),
    "sample_shape not heeded": (
        decoding(lambda mean, scale, m: m.distribution(Deaf(mean, scale, validate_args=False))),
        ("decoder(size): sample((3,))", "(3, 12)", "(12,)", "sample_shape"),
    ),
    "rows for draws": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (-1, draws)).mean(1)),
        ("average: ", "row j mod N", "unflatten(0, (draws, -1))"),
    ),
    "one draw of them": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (draws, -1))[-1]),
        ("average: ", "order of the draws", "alike"),
    ),
    "a pool of one draw too many": (
        level(pooled=lambda self, p, draws: self.point(p)),
        ("pooled: ", "(12,)", "(36,)", "join the draws"),
    ),
    "a spread of no column": (
        level(spread=lambda self, name, p, draws: {"other": {"std": p.mean}}),
        ("spread: ", "(12,)", "'other'", "'(36,)'", "reduce over draws"),
    ),
    "a sum of draws": (
        level(average=lambda self, p, draws: p.mean.unflatten(0, (draws, -1)).sum(0)),
        ("average: ", "equal draws", "mean over draws"),
    ),
    "all draws at once": (
        level(average=lambda self, p, draws: p.mean),
        ("average: ", "(12, ...)", "(24,)", "reduce over draws"),
    ),
    "a head of two layers": (
        level(head=lambda self, size: _Deep(self, size)),
        ("head(size): ", "single linear layer", "more"),
    ),
    "weights that are not kept": (
        level(decoder=lambda self, size: _Forgetful(self, size)),
        ("decoder(size): ", "weights are loaded", "buffer"),
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
        log_prob = super().log_prob(x)
        return log_prob.bfloat16() if torch.is_autocast_enabled("cpu") else log_prob


class _Deep(LevelDecoder):
    def __init__(self, modality: Level, size: int) -> None:
        super().__init__(modality, size)
        self.layers = nn.Sequential(nn.Linear(size, 5), nn.Linear(5, modality.size))


class _Forgetful(LevelDecoder):
    def __init__(self, modality: Level, size: int) -> None:
        super().__init__(modality, size)
        self.shift = torch.randn(modality.size)

    def forward(self, z: Tensor) -> Distribution:
        base = self.numbers(z)
        return self.modality.distribution(
            distributions.Normal(base.loc + self.shift.to(base.loc), base.scale, validate_args=False)
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", MODALITIES)
def test_a_broken_modality(case: str) -> None:
    cls, facts = MODALITIES[case]
    assert_line(faults(cls()), *facts)


def test_all_faults_are_reported_at_once() -> None:
    lines = faults(level(named=lambda self, name, value: 3, typed=lambda self, text: text + "1", condition_size=TWO)())
    assert [line.split(":")[0] for line in lines] == ["typed", "condition", "named"]


def test_checks_that_depend_on_a_failed_one_are_skipped() -> None:
    normal = decoding(lambda mean, scale, modality: distributions.Normal(mean, scale, validate_args=False))
    assert len(faults(normal())) == 1
    broken = decoding(lambda mean, scale, modality: mean.no_such_method())
    (line,) = faults(broken())
    assert_facts(line, "`decoder`, and `head` if there is one", "AttributeError", "no_such_method", "fix it")


def test_cells_that_must_be_refused() -> None:
    (line,) = faults(Level(), 1.0, 2.0, bad=["3"])
    assert_facts(line, "parse_column: ", "reject '3'", "raise ValueError")


def test_good_cells_that_are_refused() -> None:
    line = faults(Level(), 1.0, 2.0, "many")[0]
    assert_facts(line, "parse_column: ", "example", "'many' is no number; give one such as 3.5", "fix parse")


def test_parse_that_returns_no_tensor() -> None:
    class Plain(Modality):
        kind: Literal["plain"] = "plain"

        def event_shape(self) -> tuple[int, ...]:
            return ()

        def parse(self, cell: Any) -> Tensor:
            return float(cell)  # type: ignore[return-value]

        def encoder(self, width: int, extra: int = 0) -> nn.Module:
            return nn.Identity()

        def decoder(self, size: int) -> nn.Module:
            return nn.Identity()

    line = faults(Plain(), 1.0, 2.0)[0]
    assert_facts(line, "parse gives float; it must return a tensor", "write example_cells")


def test_without_cells_nothing_can_be_tried() -> None:
    (line,) = faults(level(example_cells=lambda self: [])())
    assert_facts(line, "example cells", "; but it raised ValueError: example_cells", "level must learn", "write")
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
        draws: Tensor = self.base.sample(sample_shape)
        return draws

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob: Tensor = self.base.log_prob(value)
        return log_prob + (torch.lgamma(value + 1) if self.wrong else 0)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [None, ("a", "b")], ids=["one", "several"])
def test_probabilities_of_discrete_values_without_their_constant(columns: tuple[str, ...] | None) -> None:
    def counts(wrong: bool) -> Modality:
        cls = decoding(lambda mean, scale, m: m.distribution(Discrete(nn.functional.softplus(mean) + scale, wrong)))
        members = {"__module__": __name__, "point": lambda self, p: p.mean.round()}
        rounding: type[Level] = type("Counts", (cls,), members)
        return rounding(columns=columns)

    check_modality(counts(wrong=False))
    for line in faults(counts(wrong=True)):
        assert line.startswith("decoder(size): values ")
        assert_facts(line, "as often as log_prob says", "20000 draws", "add the term")


def test_unknown_entries_that_matter() -> None:
    class Reader(LevelEncoder):
        def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
            features: Tensor = self.layers(x.flatten(1) if c is None else torch.cat([x.flatten(1), c], 1))
            return features

    lines = faults(level(encoder=lambda self, width, extra=0: Reader(self, width, extra))(columns=("a", "b")))
    assert_line(lines, "encoder(width): ", "unknown entry", "nan", "split_entries")


# Models.


def model(network: type[MVAENetwork]) -> Model:
    """An MVAE whose networks are others."""

    class Broken(MVAE):
        def build(self, modalities: Mapping[str, Unit]) -> MVAENetwork:
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


def _any_set(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Posterior:
    self.check_names(given)
    return self.posterior(batch, frozenset(given))


def _inferring(wrong: str) -> Any:
    cls: type[_Posterior] = type("Wrong", (_Posterior,), {"wrong": wrong})

    def infer(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
        q = MVAENetwork.infer(self, batch, given)
        assert isinstance(q, Gaussian)
        return cls(q.mean, q.logvar)

    return infer


class _WithoutPrior(MVAENetwork):
    """A network without p(z) that yet infers z from nothing."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.prior = None

    def need_prior(self) -> PriorModule:
        return StandardNormal(self.latent_dim)

    def infer(self, batch: Batch, given: Collection[str]) -> Posterior:
        return _any_set(self, batch, self.flat(given))


class _Spare(MVAENetwork):
    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        _spare(self)


def _decoded(self: MVAENetwork, z: Tensor, batch: Batch, targets: Collection[str]) -> dict[str, Distribution]:
    draws = len(z) // batch.size
    turned = z.unflatten(0, (batch.size, draws)).transpose(0, 1).flatten(0, 1) if draws > 1 else z
    return MVAENetwork.decode(self, turned, batch, targets)


def _unkept(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    if not hasattr(self, "shift"):
        self.shift = torch.randn(1)
    q = MVAENetwork.infer(self, batch, given)
    assert isinstance(q, Gaussian)
    return Gaussian(q.mean + cast(Tensor, self.shift).to(q.mean), q.logvar)


def _by_batch(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    q = MVAENetwork.infer(self, batch, given)
    assert isinstance(q, Gaussian)
    return Gaussian(q.mean + 0.1 * q.mean.mean(0), q.logvar)


def _zero_for_missing(self: MVAENetwork, batch: Batch, given: Collection[str]) -> Gaussian:
    q = MVAENetwork.infer(self, batch, given)
    assert isinstance(q, Gaussian)
    lacking = len(set(given) - {name for name in batch.names if len(batch.rows(name))})
    return Gaussian(q.mean * (1 + lacking), q.logvar)


MODELS: dict[str, tuple[Model, tuple[str, ...]]] = {
    "fewer shared latent variables": (
        broken(shared=property(lambda self: slice(0, 1))),
        ("build: ", "share latent_dim 2", "shares 1", "`shared`"),
    ),
    "nothing given without a prior": (
        model(_WithoutPrior),
        ("infer: ", "UserError", "nothing is given", "p(z)", "self.need_prior()"),
    ),
    "a loss a row": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss.expand(batch.size), parts))),
        ("forward: ", "finite scalar loss", "(16,) ", "divide"),
    ),
    "parts with gradient": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss, {**parts, "loss": loss}))),
        ("forward: ", "without gradient", "whole rows", "detach"),
    ),
    "parts that come and go": (
        broken(
            forward=_loss(
                lambda self, batch, loss, parts: (loss, {n: p for n, p in parts.items() if n == "KL" or p != 0})
            )
        ),
        ("forward: ", "log p(point), log p(choice), log p(other point), KL", "log p(point), KL", "point alone", "zero"),
    ),
    "the sign of the loss": (
        broken(forward=_loss(lambda self, batch, loss, parts: (-loss, parts))),
        ("forward: ", "bound", "60 steps", "sign"),
    ),
    "beta not heeded": (
        broken(forward=lambda self, batch, beta=1.0, subsets=None, noise=None: MVAENetwork.forward(self, batch)),
        ("forward: ", "beta", "KL divergence", "0, 1, 2", "multiply"),
    ),
    "a parameter not used": (
        model(_Spare),
        ("forward: ", "every parameter", "spare got none", "loss"),
    ),
    "another generator": (
        broken(forward=_loss(lambda self, batch, loss, parts: (loss * random.random(), parts))),
        ("forward: ", "seed", "generator", "differed", "torch"),
    ),
    "networks run on no rows": (
        broken(
            forward=_loss(lambda self, batch, loss, parts: (loss + 0 * sum(p.sum() for p in self.parameters()), parts))
        ),
        ("forward: ", "no row", "gradient", "point got one", "do not run"),
    ),
    "a wrong divergence": (
        broken(infer=_inferring("kl")),
        ("infer(batch, []): kl ", "prior", "agree"),
    ),
    "a density that is none": (
        broken(infer=_inferring("log_prob")),
        ("infer(batch, [point]): log_prob ", "one", "2.7", "add the term"),
    ),
    "draws of another spread": (
        broken(infer=_inferring("spread")),
        ("infer(batch, [point]): variance ", "agree"),
    ),
    "draws that know of others": (
        broken(infer=_inferring("noise")),
        ("infer(batch, [point]): ", "noise", "other draws", "elementwise"),
    ),
    "no posterior": (
        broken(infer=lambda self, batch, given: MVAENetwork.infer(self, batch, given).mean),
        ("infer(batch, []): ", "Posterior", "Tensor", "mean, variance, point, rsample, log_prob, kl and detached"),
    ),
    "rows that know of others": (
        broken(infer=_by_batch),
        ("infer: ", "each row", "alone", "other rows"),
    ),
    "missing as zero": (
        broken(infer=_zero_for_missing),
        ("infer: ", "only", "infer(batch, [", "missing"),
    ),
    "any name": (
        broken(infer=lambda self, batch, given: MVAENetwork.infer(self, batch, set(given) & set(batch.names))),
        ("infer: ", "UserError", "unknown name", "self.check_names(given)"),
    ),
    "sets that are not listed": (
        broken(subsets=lambda self: [frozenset(self.modalities)], infer=_any_set),
        ("infer: ", "UserError", "subsets()", "[point]", "reject it, or list it"),
    ),
    "row-major draws": (
        broken(decode=_decoded),
        ("decode: ", "row j mod B", "point", "draw-major"),
    ),
    "all targets always": (
        broken(decode=lambda self, z, batch, targets: MVAENetwork.decode(self, z, batch, self.targets)),
        ("decode: ", "only the requested targets", "`targets`"),
    ),
    "a bound of all rows": (
        broken(bound=lambda self, batch, noise: MVAENetwork.bound(self, batch, noise).mean()),
        ("bound: ", "usable row", "(16,)", "()", "whole rows", "one a row"),
    ),
    "usable without anything": (
        broken(usable=lambda self, present: torch.ones(len(present), dtype=torch.bool)),
        ("usable: ", "bool (16,)", "torch.bool (16,)", "correct"),
    ),
    "float32 inside": (
        broken(
            forward=_loss(lambda self, batch, loss, parts: (loss.float(), parts)),
        ),
        ("forward: ", "float64", "the loss is not", "new_zeros"),
    ),
    "a state that is not kept": (
        broken(infer=_unkept),
        ("build: ", "same weights", "bound differs", "buffers"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MODELS)
def test_a_broken_model(case: str) -> None:
    component, facts = MODELS[case]
    assert_line(broken_promises(check_model, component), *facts)


def test_a_model_that_builds_no_network() -> None:
    class Nothing(Model):
        kind: Literal["nothing"] = "nothing"

        def build(self, modalities: Mapping[str, Unit]) -> Network:
            return nn.Linear(1, 1)  # type: ignore[return-value]

    (line,) = broken_promises(check_model, Nothing())
    assert_facts(line, "`build` ", "; but it raised TypeError: build returns Linear", "mmtoolkit.Network", "fix it")


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


SOURCES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no train": (
        {"splits": lambda self: ("test",)},
        ("splits: ", "train", "('test',)", "add train"),
    ),
    "a file that is none": (
        {"files": lambda self: [Path("nowhere.csv")]},
        ("files: ", "nowhere.csv", "UserError"),
    ),
    "a line for lines": (
        {"notes": lambda self: "all is well"},
        ("notes: ", "list of lines", "'all is well'"),
    ),
    "short columns": (
        {"load": lambda self, split: _Short(_pairs())},
        ("load('train'): column 'a' ", "15", "14", "None"),
    ),
    "other columns": (
        {"load": lambda self, split: Columns({"a": [1]} if split == "test" else _pairs())},
        ("load('test'): ", "train, a, b", "a;", "None"),
    ),
    "rows left out": (
        {"load": lambda self, split: _Skipping(_pairs())},
        ("chunks: ", "'a' of train", "differs", "one place"),
    ),
    "columns not asked for": (
        {"load": lambda self, split: _All(_pairs())},
        ("chunks: ", "named columns", "train", "`names`"),
    ),
    "too many rows": (
        {"load": lambda self, split: _Greedy(_pairs())},
        ("chunks: ", "7 rows", "train", "`size`"),
    ),
    "rows of chance": (
        {"load": lambda self, split: Columns({"a": np.random.rand(9)})},
        ("load('train'): ", "same each time", "changed", "generator", "option"),
    ),
    "missing as NaN": (
        {"load": lambda self, split: Columns({"a": [1.0, float("nan")]})},
        ("column: ", "missing", "'a' of train", "NaN", "None"),
    ),
    "rows taken by itself": (
        {"load": lambda self, split: Columns({"a": list(range(self.rows.get(split, 9)))})},
        ("load('train'): ", "`rows`", "core", "all rows"),
    ),
}


def test_a_sound_source_passes() -> None:
    check_source(Pairs())


@pytest.mark.parametrize("case", SOURCES)
def test_a_broken_source(case: str) -> None:
    members, facts = SOURCES[case]
    component = type("Pairs", (Pairs,), {"__module__": __name__, **members})()
    assert_line(broken_promises(check_source, component), *facts)


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
EVALUATORS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nothing": (
        _results(),
        ("evaluate: ", "at least one result", "none", "score"),
    ),
    "no plain data": (
        _results({**SOUND, "value": torch.ones(1)}),
        ("evaluate: ", "plain data with target and given", "tensor([1.])", "numbers"),
    ),
    "no target": (
        _results({"given": [], "value": 1.0}),
        ("evaluate: ", "plain data with target and given", "{'given': [], 'value': 1.0}"),
    ),
    "another order": (
        _results({**SOUND, "given": ["choice", "point"]}),
        ("evaluate: given ", "schema order", "['choice', 'point']", "run.modalities"),
    ),
    "no value": (
        _results({"target": ["point"], "given": [], "accuracy": 1.0}),
        ("evaluate: ", "value", "{'target': ['point'], 'given': [], 'accuracy': 1.0}", "value"),
    ),
    "no direction": (
        _results({"target": ["point"], "given": [], "value": 1.0}),
        ("evaluate: ", "high or low", "{'target': ['point'], 'given': [], 'value': 1.0}", "'high' or 'low', or None"),
    ),
    "a direction that is none": (
        _results({**SOUND, "better": "lower"}),
        ("evaluate: ", "plain data", "'better': 'lower'", "better: "),
    ),
    "a figure that is none": (
        _results(SOUND, figures={"map": 3}),
        ("evaluate: ", "'map'", "int", "matplotlib.figure.Figure"),
    ),
    "scores of chance": (
        _drawn,
        ("evaluate: ", "same scores", "PyTorch's default generator", "run.generator"),
    ),
    "a generator used up": (
        _drawn,
        ("evaluate: ", "not draw", "PyTorch's default generator", "run.generator"),
    ),
    "weights changed": (
        _trained,
        ("evaluate: ", "weights", "copy the model"),
    ),
    "training mode": (
        _trained,
        ("evaluate: ", "evaluation mode", "training mode", "eval()"),
    ),
    "what models lack": (
        _presuming,
        ("evaluate: ", "vae", "KeyError: ", "model.targets"),
    ),
    "more than a run promises": (
        lambda self, run, split: Scores([{"target": [run.schema.name], "given": []}]),
        ("`evaluate` ", "<lambda> (test_testing_kit.py, line ", "AttributeError"),
    ),
    "no scores": (
        lambda self, run, split: [SOUND],
        ("`evaluate` ", "TypeError", "evaluate returns list", "mmtoolkit.Scores"),
    ),
}


def test_a_sound_evaluator_passes() -> None:
    check_evaluator(Spread())


@pytest.mark.parametrize("case", EVALUATORS)
def test_a_broken_evaluator(case: str) -> None:
    evaluate, facts = EVALUATORS[case]
    component = type("Spread", (Spread,), {"__module__": __name__, "evaluate": evaluate})()
    assert_line(broken_promises(check_evaluator, component), *facts)
