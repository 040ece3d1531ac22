"""Series: cells of every kind to numbers and back, gaps that count for nothing, and what fit learns."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pydantic import ValidationError
from torch import Tensor, distributions

from facts import assert_facts
from mmt_series import SeriesModality
from mmt_series.gaps import KnownPlaces
from mmt_series.moments import Spread
from mmtoolkit import MLP, ColumnSummary, Records, Series, StudentTLikelihood

NAN = math.nan
LIST = SeriesModality(length=4, mean=(0.0,), std=(1.0,), network=MLP(width=8))
PAIRS = SeriesModality(length=3, channels=2, mean=(0.0, 0.0), std=(1.0, 1.0), network=MLP(width=8))
COLUMNS = SeriesModality(columns=("h0", "h1", "h2"), mean=(0.0,), std=(1.0,), network=MLP(width=8))


def fault(cell: Any, series: SeriesModality = LIST) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        series.parse(cell)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        SeriesModality(**options)
    return raised.value.errors()[0]["msg"]


# Cells.


@pytest.mark.parametrize(
    "cell",
    [
        [1, None, 2.5],
        (1.0, NAN, 2.5, None),
        np.array([1, NAN, 2.5]),
        np.array([1, NAN, 2.5, NAN], dtype=np.float32),
        np.array([1, None, 2.5], dtype=object),
        torch.tensor([1, NAN, 2.5]),
        "[1, null, 2.5]",
        " [1.0, NaN, 2.5, null]",
        "[1.0, nan, 2.5, None]",
        ["1", "nan", "2.5"],
        [Decimal(1), np.float32("nan"), np.float64(2.5)],
    ],
    ids=repr,
)
def test_a_cell_is_numbers_with_gaps_and_an_open_end(cell: Any) -> None:
    stored = LIST.parse(cell)
    assert stored.dtype == torch.float64
    assert stored.tolist() == [[1, 0, 2.5, 0], [1, 0, 1, 0]]


@pytest.mark.parametrize(
    "cell",
    [
        [[1, 2], None, [None, 4]],
        ([1, 2], [NAN, None], (NAN, 4)),
        np.array([[1, 2], [NAN, NAN], [NAN, 4]]),
        "[[1, 2], null, [null, 4]]",
        [np.array([1, 2]), None, np.array([NAN, 4])],
        np.array([[1, 2], [None, None], [None, 4]], dtype=object),
    ],
    ids=repr,
)
def test_a_cell_with_channels_has_a_list_at_each_time(cell: Any) -> None:
    stored = PAIRS.parse(cell)
    assert stored.shape == PAIRS.event_shape() == (2, 2, 3)
    assert stored.tolist() == [[[1, 0, 0], [2, 0, 4]], [[1, 0, 0], [1, 0, 1]]]


def test_whole_arrays_are_read() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    parsed = PAIRS.parse_column(array)
    assert parsed.present.all()
    assert torch.equal(parsed.stored[:, 0], torch.from_numpy(array).double().transpose(1, 2))
    assert LIST.parse_column(array[:, :, 0].astype(int)).stored[:, 0, :3].tolist() == array[:, :, 0].tolist()


def test_cells_without_a_number_are_missing() -> None:
    parsed = LIST.parse_column([None, [], [None, NAN], "[]", "[null]", np.array([NAN]), [1]])
    assert parsed.present.tolist() == [False] * 6 + [True]
    assert not parsed.faults
    assert "no known number" in fault([None])


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        ([1, 2, 3, 4, 5], ["5", "length is 4", "set length: 5"]),
        (np.zeros(7), ["7", "length is 4", "set length: 7"]),
        ([1, "many", 3], ["place 2", "'many'", "null"]),
        ([True, 1], ["place 1", "True", "null"]),
        ([1, math.inf], ["place 2", "inf", "1e+50"]),
        ([1, 10**400], ["place 2", "1e+50"]),
        ([1, -2e50], ["place 2", "-2e+50", "1e+50"]),
        (["a", "b", "c", "d"], ["place 1", "place 2", "place 3", "1 more"]),
        ([[1, 2], [3, 4]], ["[1, 2]", "channels: 2"]),
        (np.zeros((3, 5)), ["[0.0, 0.0, 0.0,", "channels: 5"]),
        ("many", ["'many'", "[1.5, 2, null]"]),
        ("3.5", ["'3.5'", "[1.5, 2, null]"]),
        ("[1, 2", ["'[1, 2'", "[1.5, 2, null]"]),
        ("[" * 100_000, ["[1.5, 2, null]"]),
        (3.5, ["3.5", "[1.5, 2, null]"]),
        ({"a": 1}, ["{'a': 1}", "[1.5, 2, null]"]),
        (np.array(3.0), ["array(3.)", "[1.5, 2, null]"]),
        ([1, {}], ["place 2", "{}"]),
    ],
    ids=lambda case: repr(case)[:30],
)
def test_cells_that_are_no_series(cell: Any, facts: list[str]) -> None:
    assert_facts(fault(cell), *facts)


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        ([[1, 2], [3]], ["place 2", "1 numbers", "channels is 2", "[[1, 1], [1, 1], null]"]),
        ([1, 2], ["place 1", "no list", "channels is 2"]),
        (np.zeros((3, 4)), ["place 1", "4 numbers", "channels is 2"]),
        ([[1, 2], [3, "x"]], ["place 2, channel 2", "'x'"]),
        ([[1, 2]] * 4, ["4 times", "length is 3"]),
    ],
    ids=lambda case: repr(case)[:30],
)
def test_cells_that_are_no_series_of_channels(cell: Any, facts: list[str]) -> None:
    assert_facts(fault(cell, PAIRS), *facts)


def test_a_faulty_number_is_unknown_and_the_rest_stays() -> None:
    parsed = LIST.parse_column([[1, "x", 3], [1, 2], "no", [5, 6, 7, 8, 9]])
    assert parsed.present.tolist() == [True, True, False, False]
    assert parsed.stored[0].tolist() == [[1, 0, 3, 0], [1, 0, 1, 0]]
    assert list(parsed.faults) == [0, 2, 3]


def test_numbers_belong_to_the_support_of_the_likelihood() -> None:
    shares = LIST.with_options(likelihood="bernoulli")
    assert shares.parse([0, 0.5, 1]).tolist()[0] == [0, 0.5, 1, 0]
    assert_facts(fault([0.5, 1.5], shares), "place 2", "1.5", "numbers from 0 to 1", "another likelihood")
    form = shares.form()
    assert form == Series(1, 4, gaps=True, support="unit", shift=(0.0,), scale=(1.0,))


# Columns.


def test_numbers_in_columns_are_read_in_their_order() -> None:
    chunk: dict[str, Any] = {"h2": ["3", "x", None], "h0": [1, 2, None], "h1": np.array([NAN, 5.0, NAN])}
    cells = COLUMNS.assembled("load", chunk)
    assert isinstance(cells, Records)
    parsed = COLUMNS.parse_column(cells)
    assert parsed.stored.tolist() == [[[1, 0, 3], [1, 0, 1]], [[2, 5, 0], [1, 1, 0]], [[0] * 3, [0] * 3]]
    assert parsed.present.tolist() == [True, True, False]
    assert_facts(parsed.faults[1], "h2", "'x'", "no number")
    assert COLUMNS.source_columns("load") == ("h0", "h1", "h2")


def test_a_mapping_is_a_cell_of_columns() -> None:
    assert COLUMNS.parse({"h1": 2.0}).tolist() == [[0, 2, 0], [0, 1, 0]]
    assert COLUMNS.cell(COLUMNS.parse({"h1": 2.0, "h2": None})) == {"h1": 2.0}
    assert COLUMNS.by_column("load", [{"h1": 2.0}, None]) == {"h0": [None] * 2, "h1": [2.0, None], "h2": [None] * 2}
    assert_facts(fault({"h9": 1}, COLUMNS), "'h9'", "h0, h1, h2")
    assert_facts(fault([1, 2], COLUMNS), "[1, 2]", "mapping", "h0")


def test_cells_of_columns_are_typed_as_a_list_or_a_mapping() -> None:
    assert COLUMNS.typed("[1, null]") == {"h0": 1, "h1": None}
    assert COLUMNS.typed('{"h2": 5}') == {"h2": 5}
    assert LIST.parse(LIST.typed("[1, null]")).tolist() == LIST.parse([1]).tolist()
    for text in ("[1, 2, 3, 4]", "3", "h0: 1"):
        with pytest.raises(ValueError, match="h0"):
            COLUMNS.typed(text)


# Fit.


def test_fit_learns_length_mean_and_spread_of_what_is_known() -> None:
    chunks: list[Any] = [[[1.5, None, 3], "[5.25, 2]"], [[4, NAN, None, 8.0], "no list", [1] * 2]]
    numbers = np.array([1.5, 3, 5.25, 2, 4, 8, 1, 1])
    fitted = SeriesModality().fit(iter(chunks))
    assert fitted.length == 4
    assert fitted.mean == pytest.approx((numbers.mean(),))
    assert fitted.std == pytest.approx((numbers.std(),))
    assert fitted.decimals == 2
    assert fitted.fit(iter(())) is fitted


def test_fit_learns_each_channel_apart() -> None:
    first, second = np.random.default_rng(0).normal((5, -100), (2, 30), (2, 50, 6, 2))
    first[3, 2, 1] = NAN
    fitted = SeriesModality(channels=2).fit(iter([first, list(second)]))
    flat = np.concatenate([first, second]).reshape(-1, 2)
    assert fitted.mean == pytest.approx(np.nanmean(flat, 0))
    assert fitted.std == pytest.approx(np.nanstd(flat, 0))


def test_a_robust_likelihood_learns_from_quartiles() -> None:
    numbers = np.random.default_rng(0).normal(10, 2, (200, 5))
    numbers[:40, 0] = 1e6
    fitted = SeriesModality(likelihood=StudentTLikelihood()).fit(iter([numbers]))
    low, middle, high = np.quantile(numbers, (0.25, 0.5, 0.75))
    assert fitted.mean == pytest.approx((middle,))
    assert fitted.std == pytest.approx(((high - low) / (2 * 0.6744897501960817),))


def test_the_spread_of_equal_numbers_is_one() -> None:
    for robust in (False, True):
        spread = Spread(1, robust)
        for _ in range(3):
            spread.add(np.full((7, 1), 0.1))
        mean, std = spread.result()
        assert mean == pytest.approx([0.1])
        assert std == (1.0,)
    half = Spread(1, robust=True)
    half.add(np.array([[0.0]] * 8 + [[4.0]] * 2))
    assert half.result()[1] == pytest.approx([1.6])  # the quartiles say nothing


def test_fit_reads_what_the_likelihood_reads() -> None:
    class OfLogarithms(StudentTLikelihood):
        robust = False
        support = "positive"

        def read(self, x: Tensor) -> Tensor:
            return x.log()

    cells = [[1.0, 10.0], [100.0, None]]
    fitted = SeriesModality(likelihood=OfLogarithms(), network=MLP(width=8)).fit(iter([cells]))
    logs = np.log([1.0, 10.0, 100.0])
    assert fitted.mean == pytest.approx((logs.mean(),))
    assert fitted.std == pytest.approx((logs.std(),))
    read = fitted.reader()(fitted.parse_column(cells).stored)
    expected = (np.log([[1, 10], [100, 1]]) - logs.mean()) / logs.std()
    expected[1, 1] = 0
    assert read[:, 0].numpy() == pytest.approx(expected)
    assert read[:, 1].tolist() == [[1, 1], [1, 0]]


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no number .*'x'.* mend the data"):
        SeriesModality().fit(iter([["x", [None]]]))
    with pytest.raises(ValueError, match="no number in channel 2"):
        SeriesModality(channels=2).fit(iter([[[[1, None]]]]))
    for open_series in (SeriesModality(), SeriesModality(length=3)):
        with pytest.raises(ValueError, match="not known yet"):
            open_series.form()


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"columns": ["a", "b", "a"]}, ["'a'", "twice"]),
        ({"columns": ["a"], "column": "b"}, ["column", "columns", "keep"]),
        ({"columns": ["a"], "channels": 1}, ["columns", "remove channels"]),
        ({"columns": ["a", "b"], "length": 3}, ["length is 3", "2 columns", "remove length"]),
        ({"channels": 2, "mean": [0]}, ["mean", "1 entries", "2 channels"]),
        ({"std": [1, 2]}, ["std", "2 entries", "1 channels"]),
        ({"network": "dcgan"}, ["dcgan", "a series"]),
        ({"likelihood": "categorical"}, ["categorical", "a series"]),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], facts: list[str]) -> None:
    assert_facts(refused(**options), *facts)


# The likelihood.


@pytest.mark.parametrize("series", [LIST, PAIRS, COLUMNS], ids=["list", "channels", "columns"])
def test_log_prob_is_the_sum_over_known_numbers(series: SeriesModality) -> None:
    channels, length = series.channels or 1, series.times
    draw = torch.Generator().manual_seed(0)
    location, spread = (torch.rand(3, channels, length, generator=draw).double() + 0.5 for _ in range(2))
    values, known = torch.randn(3, channels, length, generator=draw).double(), torch.rand(3, channels, length) < 0.6
    x = torch.stack([values * known, known.double()], 1).reshape(3, *series.event_shape())
    p = series.joined(distributions.Normal(location, spread))
    for row, log_prob in enumerate(p.log_prob(x)):
        total = 0.0
        for channel in range(channels):
            for place in range(length):
                if known[row, channel, place]:
                    m, s = location[row, channel, place].item(), spread[row, channel, place].item()
                    off = (values[row, channel, place].item() - m) / s
                    total += -0.5 * off**2 - math.log(s) - 0.5 * math.log(2 * math.pi)
        assert log_prob.item() == pytest.approx(total, rel=1e-12)
    whole = p.mean
    assert whole.shape == (3, *series.event_shape())
    assert torch.equal(whole[:, 1], torch.ones_like(whole[:, 1]))
    assert torch.equal(whole[:, 0].reshape(location.shape), location)
    assert p.sample((5,)).shape == (5, 3, *series.event_shape())


def test_what_stands_in_a_gap_changes_nothing() -> None:
    encoder, decoder = PAIRS.encoder(6), PAIRS.decoder(4)
    x = PAIRS.parse_column([[[1, None], [2, 3], None]]).stored
    other = torch.where(x[:, 1:] > 0.5, x, torch.tensor(1e30, dtype=x.dtype))
    other[:, 1] = x[:, 1]
    assert torch.equal(encoder(x), encoder(other))
    z = torch.randn(1, 4)
    gradients = []
    for value in (x, other):
        decoder.zero_grad()
        log_prob = decoder(z).log_prob(value)
        log_prob.sum().backward()
        gradients.append([log_prob, *(p.grad.clone() for p in decoder.parameters() if p.grad is not None)])
    assert all(map(torch.equal, *gradients))
    changed = x.clone()
    changed[0, 0, 0, 0] += 1
    assert not torch.equal(encoder(x), encoder(changed))


def test_a_density_without_zero_has_finite_gradients_in_gaps() -> None:
    location = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    p = KnownPlaces(distributions.LogNormal(location, torch.ones_like(location), validate_args=False), (2, 2))
    p.log_prob(torch.tensor([[[2.0, 0.0], [1.0, 0.0]]], dtype=torch.float64)).sum().backward()
    assert location.grad is not None
    assert location.grad.flatten().tolist() == pytest.approx([math.log(2), 0])


def test_large_numbers_keep_their_digits() -> None:
    series = SeriesModality(network=MLP(width=8)).fit(iter([[[1e9 + 1, 1e9 + 2, 1e9 + 3]]]))
    x = series.parse_column([[1e9 + 1, 1e9 + 2, 1e9 + 3]]).stored
    assert series.reader()(x)[0, 0].tolist() == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5)])
    p = series.decoder(4)(torch.randn(1, 4))
    assert p.log_prob(x).dtype == torch.float64
    assert p.log_prob(x).item() > -100


def test_a_conditional_network_reads_numbers_and_flags() -> None:
    series = PAIRS.with_options(mean=(1.0, 2.0), std=(2.0, 4.0))
    x = series.parse_column([[[3, None], [5, 6]]]).stored
    assert series.condition_size == 12
    assert series.condition(x).tolist() == [[1, 2, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0]]


# Points, gaps and scores.


def test_gaps_are_filled_and_known_numbers_stay() -> None:
    for series, cell in ((LIST, [1, None, 3]), (PAIRS, [[1, None], [2, 3]]), (COLUMNS, {"h1": 1})):
        value = series.parse_column([cell, cell]).stored
        made = torch.full_like(value, 7.0)
        made[:, 1] = 1
        filled = series.filled(value, made.float())
        assert (filled[:, 1] == 1).all()
        assert torch.equal(filled[:, 0], torch.where(value[:, 1] > 0.5, value[:, 0], 7.0))


def test_parts_are_the_numbers() -> None:
    x = PAIRS.parse_column([[[1, None], [2, 3]], [[4, 5]] * 3]).stored
    known = PAIRS.known_parts(x)
    assert known.tolist() == [[True, True, False, False, True, False], [True] * 6]
    parts = torch.zeros_like(known)
    parts[0, 0] = parts[1, 4] = True
    without = PAIRS.without_parts(x, parts)
    assert PAIRS.cell(without[0]) == [[None, None], [2, 3], [None, None]]
    assert PAIRS.cell(without[1]) == [[4, 5], [4, None], [4, 5]]
    assert LIST.known_parts(torch.zeros(0, 2, 4)).shape == (0, 4)
    assert LIST.without_parts(LIST.parse([1, 2, 3])[None], torch.tensor([[True, False, False, True]])).tolist() == [
        [[0, 2, 3, 0], [0, 1, 1, 0]]
    ]


def test_the_baseline_is_the_mean_of_each_place_over_known_numbers() -> None:
    x = LIST.parse_column([[1, 2], [3, None], [None, 4, 5]]).stored
    assert LIST.baseline(iter([x[:2], x[2:]])).tolist() == [[2, 3, 5, 3], [1, 1, 1, 1]]  # the last one is of all five


def test_scores_are_of_known_numbers() -> None:
    x = PAIRS.parse_column([[[1, None], [2, 3]], [[None, 1]]]).stored
    point = PAIRS.parse_column([[[2, 9], [2, 6], [9, 9]]] * 2).stored
    scores = PAIRS.scores(point, x)
    assert scores["squared_error"].tolist() == pytest.approx([(1 + 0 + 9) / 3, 64])
    assert scores["absolute_error"].tolist() == pytest.approx([4 / 3, 8])
    details = PAIRS.detailed_scores(point, x)
    assert details["squared_error of channel 1"].tolist() == [0.5]
    assert details["absolute_error of channel 2"].tolist() == [3, 8]
    of_columns = COLUMNS.detailed_scores(*(COLUMNS.parse_column([{"h0": n, "h2": 1}]).stored for n in (3, 5)))
    assert {name: score.tolist() for name, score in of_columns.items() if "squared" in name} == {
        "squared_error of h0": [4],
        "squared_error of h1": [],
        "squared_error of h2": [0],
    }
    for series in (PAIRS, COLUMNS, LIST):
        some = series.parse_column(series.example_cells()).stored
        assert series.better().keys() == series.scores(some, some).keys() | series.detailed_scores(some, some).keys()


def test_spread_is_that_of_draws_and_noise() -> None:
    mean, std = torch.randn(6, 1, 3).double(), torch.rand(6, 1, 3).double()
    spread = COLUMNS.spread("load", COLUMNS.joined(distributions.Normal(mean, std)), 3)
    of_row = (std[1::2, 0, 2] ** 2).mean() + mean[1::2, 0, 2].var(correction=0)  # row 1 of 2, draw-major
    assert spread["h2"]["std"][1].item() == pytest.approx(of_row.sqrt().item())
    assert LIST.spread("load", LIST.joined(distributions.Normal(torch.zeros(2, 1, 4), 1.0)), 1) == {}


# Writing and showing.


def summary(cells: list[Any], text_format: bool = False, name: str = "load") -> ColumnSummary:
    return ColumnSummary(name, len(cells), 0, tuple(cells), (1,) * len(cells), text_format=text_format)


def test_cells_come_back_with_null_where_unknown() -> None:
    assert LIST.cell(LIST.parse([1, None, 3.5])) == [1, None, 3.5, None]
    assert PAIRS.cell(PAIRS.parse([[1, None], [2, 3]])) == [[1, None], [2, 3], [None, None]]


def test_predictions_are_written_as_the_table_writes_its_own() -> None:
    series = LIST.with_options(decimals=1)
    cell = [1.26, None, -0.01, 3.0]
    assert series.style(summary([[1.5, 2]]))(cell) == [1.3, None, 0.0, 3.0]
    assert series.style(summary([[1.255]]))(cell) == [1.26, None, -0.01, 3.0]
    assert json.loads(series.style(summary(["[1.5]", "[2]"]))(cell)) == [1.3, None, 0.0, 3.0]
    assert json.loads(series.style(summary([], text_format=True))(cell)) == [1.3, None, 0.0, 3.0]
    assert series.style(summary([]))(cell) == [1.3, None, 0.0, 3.0]
    assert LIST.style(summary([[1]]))(cell) == cell  # nobody learned decimals
    whole = PAIRS.with_options(decimals=0).style(summary([[[1, 2]]]))([[1.6, None]])
    assert json.dumps(whole) == "[[2, null]]"
    assert COLUMNS.with_options(decimals=1).style(summary([1, 2.25], name="h1"))(1.2567) == 1.26


@pytest.mark.parametrize(
    ("numbers", "decimals"),
    [
        ([1.0, 2.0, -300.0], 0),
        ([1.5, 2.25], 2),
        ([0.001, 5.0], 3),
        (np.array([0.1, 12.3], dtype=np.float32), 1),
        ([1234567.1, 1234567.9], 1),
        ([1e-9, 3e-9], 9),
        ([1 / 3, 2 / 3, 40.0], 5),
    ],
)
def test_fit_counts_decimals(numbers: Any, decimals: int) -> None:
    assert SeriesModality().fit(iter([[np.asarray(numbers)]])).decimals == decimals


def test_text_and_drawing() -> None:
    assert LIST.text(LIST.parse([1, None, 3.5])) == "2 of 4 numbers, 1 to 3.5"
    assert LIST.text(LIST.parse([1, 2, 3, 4])) == "4 numbers, 1 to 4"
    assert LIST.text(torch.zeros(2, 4)) == "unknown"
    axes = Figure().subplots()
    PAIRS.draw(PAIRS.parse([[1, 9], [None, 8], [2, 7]]), axes)
    first, second = (np.asarray(line.get_ydata(), dtype=float) for line in axes.lines)
    assert np.array_equal(first, [1, NAN, 2], equal_nan=True)
    assert second.tolist() == [9, 8, 7]
    assert axes.get_ylim()[1] > 9
    assert {line.get_marker() for line in axes.lines} == {"o"}  # a number between two gaps is a dot


# A first schema.


@pytest.mark.parametrize(
    ("cells", "options", "about"),
    [
        ([[1, 2, None], [3, 4, 5]], {}, ["lists of 3 numbers", "17%"]),
        (["[1, 2]", "[3, 4, 5]"], {}, ["2-3 numbers"]),
        ([[[1, 2], [3, 4]], [None, [5, 6]]], {"channels": 2}, ["2 numbers, 2 at each time"]),
        ([np.array([1.0, 2.0]), [3.0, 4.0]], {}, ["2 numbers"]),
        ([[1, 2], [3, 4], "mended by hand"], {}, ["2 numbers", "33%", "none"]),
    ],
    ids=lambda case: repr(case)[:30],
)
def test_lists_of_numbers_are_proposed(cells: list[Any], options: dict[str, Any], about: list[str]) -> None:
    proposal = SeriesModality.propose(summary(cells))
    assert proposal is not None
    assert dict(proposal.options) == options
    assert proposal.use
    assert_facts(proposal.about, *about)
    fitted = SeriesModality(**options).fit(iter([cells]))
    assert fitted.parse_column(cells).present.sum() >= 2


@pytest.mark.parametrize(
    "cells",
    [
        [["a", "b"], ["c"]],
        ["1", "2"],
        ["red [new]", "blue"],
        [1.5, 2.5],
        [[], [None]],
        [b"[1]", b"[2]"],
        [{"a": 1}, {"a": 2}],
        [[[1, 2], [3]], [[4], [5, 6]]],
        ["[1]", "many", "words", "here"],
    ],
    ids=repr,
)
def test_other_columns_are_not(cells: list[Any]) -> None:
    assert SeriesModality.propose(summary(cells)) is None
