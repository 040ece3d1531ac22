"""Numbers: cells and faults, what is learned, log-densities in the user's unit, what is unknown, scores."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmt_attributes import Numeric
from mmtoolkit import MLP, GaussianLikelihood, LaplaceLikelihood, Likelihood, StudentTLikelihood, parse_schema
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components import Entries, Records
from mmtoolkit.data.dataset import prepare
from rows import faults_of, parameters, refused, results, rows_of, with_garbage
from toys import EXAMPLES, randn

NAN, INF = math.nan, math.inf
HEIGHT = Numeric(mean=(170.0,), std=(10.0,))
BODY = Numeric(columns=("height", "weight"), mean=(170.0, 70.0), std=(10.0, 15.0))
DEFECTS = Numeric(columns=("x", "y"), mean=(1e9, -3.0), std=(1e-3, 2.0), likelihood=StudentTLikelihood())


def vectors(values: list[list[float]]) -> Tensor:
    """Rows of numbers, NaN where unknown, as networks read them."""
    x = torch.tensor(values, dtype=torch.float64)
    return torch.stack([x.nan_to_num(0), (~x.isnan()).double()], dim=1)


X = vectors([[180, 60], [NAN, 70], [150, NAN], [170.5, 71]])


# Cells.


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (3, 3),
        (-0.1, -0.1),
        ("3.5", 3.5),
        (" 1e-3 ", 0.001),
        ("+.5E+2", 50),
        ("7.", 7),
        ("007", 7),
        (np.float32(0.5), 0.5),
        (np.uint8(200), 200),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 3), 1 / 3),
        (2**60 + 1, float(2**60)),
        (1e50, 1e50),
        ("5e-324", 5e-324),
    ],
)
def test_cells_that_are_numbers(cell: Any, number: float) -> None:
    assert HEIGHT.parse(cell).item() == number
    assert HEIGHT.parse(cell).dtype == torch.float64
    # Alone, in a list of its own kind and in a mixed one.
    assert HEIGHT.parse_column([cell, cell]).stored.tolist() == [number] * 2
    assert HEIGHT.parse_column([cell, 1, "1", None]).stored.tolist() == [number, 1, 1, 0]


NO_NUMBER = "is no number; write one such as 3.5 or 1e-3, or leave the cell empty"
EMPTY = "is no number; list {!r} in data.missing too, which replaces the default signs"
BOOL = "is yes or no, no number; write 1 or 0, or use kind: binary"
LARGE = "is beyond 1e+50; give a finite number, in a larger unit if it is so large"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("abc", NO_NUMBER),
        ("1_000", NO_NUMBER),
        ("", EMPTY.format("")),
        (" ", EMPTY.format(" ")),
        ("0x10", NO_NUMBER),
        ("٣", NO_NUMBER),
        ("1e", NO_NUMBER),
        ("nano", NO_NUMBER),
        ([1], NO_NUMBER),
        (1j, NO_NUMBER),
        (np.datetime64("2020-01-01"), NO_NUMBER),
        (True, BOOL),
        (np.bool_(False), BOOL),
        (INF, LARGE),
        (-INF, LARGE),
        (np.float32(INF), LARGE),
        ("inf", LARGE),
        ("-Infinity", LARGE),
        ("1e999", LARGE),
        (1e51, LARGE),
        (-(10**60), LARGE),
        (10**400, LARGE),
    ],
)
def test_a_bad_cell_is_told(cell: Any, text: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        HEIGHT.parse(cell)
    assert str(raised.value) == f"{cell!r} {text}"
    for others in ([1.0, 2.0], ["1", "2"], [1, "2"]):
        found = HEIGHT.parse_column([*others, cell])
        assert found.faults == {2: f"{cell!r} {text}"}
        assert found.present.tolist() == [True, True, False]
    part = BODY.parse_column(Records({"height": [cell, 1], "weight": [2, cell]}))
    assert part.faults == {0: f"height: {cell!r} {text}", 1: f"weight: {cell!r} {text}"}
    assert part.stored.tolist() == [[[0, 2], [0, 1]], [[1, 0], [1, 0]]]


@pytest.mark.parametrize("cell", [NAN, "nan", "NaN", " -nan ", np.float16(NAN), None, Decimal("nan")])
def test_nan_is_unknown_and_no_fault(cell: Any) -> None:
    for others in ([], [1.0], ["1"], [1, "1"]):
        found = HEIGHT.parse_column([cell, *others])
        assert found.present.tolist() == [False, *[True] * len(others)]
        assert not found.faults


def test_columns_that_are_arrays() -> None:
    for dtype in ("int8", "uint64", "float16", "float32", "float64", "<U3", "object"):
        found = HEIGHT.parse_column(np.array([1, 0, 7]).astype(dtype))
        assert found.stored.tolist() == [1, 0, 7]
        assert found.present.all()
    found = HEIGHT.parse_column(np.array([1.5, NAN, INF, -1e60]))
    assert found.present.tolist() == [True, False, False, False]
    assert found.faults == {2: f"{np.float64(INF)!r} {LARGE}", 3: f"{np.float64(-1e60)!r} {LARGE}"}
    assert HEIGHT.parse_column(np.array([True, False])).faults.keys() == {0, 1}
    assert HEIGHT.parse_column(np.array(["2020-01-01"], dtype="datetime64[ns]")).faults.keys() == {0}
    assert len(HEIGHT.parse_column([]).stored) == 0


def test_many_are_read_fast() -> None:
    numbers = np.random.default_rng(0).normal(size=200_000)
    for cells in (numbers, numbers.tolist(), list(map(str, numbers)), [None, *numbers.tolist()]):
        start = time.process_time()
        assert HEIGHT.parse_column(cells).present.sum() == 200_000
        assert time.process_time() - start < 1.5  # 0.16 s at most on an idle core


FINITE = st.floats(-1e50, 1e50) | st.integers(-(10**9), 10**9)


@EXAMPLES
@given(FINITE, st.none() | FINITE)
def test_a_cell_goes_there_and_back(a: float, b: float | None) -> None:
    x = HEIGHT.prepare(HEIGHT.parse(a)[None], None, None)[0]
    assert HEIGHT.cell(x) == a
    assert torch.equal(HEIGHT.prepare(HEIGHT.parse(HEIGHT.cell(x))[None], None, None)[0], x)
    assert torch.equal(HEIGHT.parse(repr(a)), x)
    pair = BODY.parse({"height": a, "weight": b})
    assert BODY.cell(pair) == {"height": a} | ({} if b is None else {"weight": b})
    assert torch.equal(BODY.parse(BODY.cell(pair)), pair)


def test_numbers_are_shown_short() -> None:
    assert HEIGHT.cell(HEIGHT.parse("0.1")) == 0.1
    assert HEIGHT.text(HEIGHT.parse(1 / 3)) == "0.3333"
    assert HEIGHT.text(HEIGHT.parse(1234567)) == "1.235e+06"
    assert BODY.text(X[0]) == "height=180, weight=60"
    assert BODY.text(X[1]) == "weight=70"
    assert BODY.text(vectors([[NAN, NAN]])[0]) == "unknown"


# What is learned.


def test_mean_and_spread_are_learned_chunk_by_chunk() -> None:
    draw = np.random.default_rng(0)
    table = np.stack([draw.normal(1e9, 1e-2, 500), draw.exponential(3, 500)], 1)
    cells = [{"x": a if a > 1e9 - 1e-2 else None, "y": b} for a, b in table.tolist()]
    known = table[table[:, 0] > 1e9 - 1e-2, 0]
    for size in (1, 37, 500):
        fitted = Numeric(columns=("x", "y")).fit(cells[i : i + size] for i in range(0, 500, size))
        assert fitted.mean == pytest.approx((known.mean(), table[:, 1].mean()), rel=1e-14)
        assert fitted.std == pytest.approx((known.std(), table[:, 1].std()), rel=1e-4)
    assert Numeric().fit([[1, "3"], [NAN, "x"]]) == Numeric(mean=(2.0,), std=(1.0,), decimals=(0,))


def test_the_spread_of_equal_numbers_is_one() -> None:
    fitted = Numeric(columns=("x", "y")).fit([Records({"x": [0.1] * 7, "y": [1, 2, 3, 4, 5, 6, 7]})] * 3)
    assert fitted.mean == (0.1, 4.0)
    assert fitted.std == (1.0, 2.0)
    assert Numeric().fit([[0, 5e-324]]).std == (1.0,)
    assert Numeric().fit([[1e50, -1e50]]).std == (1e50,)


def test_only_what_is_open_is_learned() -> None:
    cells = iter([["never read"]])
    assert HEIGHT.fit(cells) is HEIGHT
    assert next(cells) == ["never read"]
    assert Numeric(std=(9.0,), weight=2).fit([[1, 3]]) == Numeric(std=(9.0,), mean=(2.0,), weight=2, decimals=(0,))
    assert Numeric(mean=(0.0,)).fit([[1, 3]]) == Numeric(mean=(0.0,), std=(1.0,), decimals=(0,))
    assert Numeric(decimals=(2,)).fit([[1, 3]]).decimals == (2,)


def test_where_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        Numeric().fit([["abc", True]])
    first = f"(the first fault: 'abc' {NO_NUMBER})"
    assert str(raised.value) == f"there is no number {first}; mend the data, or give mean and std"
    with pytest.raises(ValueError, match="there is no number in column y; mend the data, or give mean and std"):
        Numeric(columns=("x", "y")).fit([[{"x": 1}]])
    with pytest.raises(ValueError, match="mean and std are not known yet; give both, or let `fit` learn them"):
        Numeric().encoder(4)


def test_what_is_learned_survives_json_and_yaml() -> None:
    fitted = Numeric(columns=("x", "y")).fit([[{"x": 1e-20, "y": 1e22}, {"x": 1 / 3e20, "y": 0.1}]])
    assert Numeric.model_validate_json(fitted.model_dump_json()) == fitted
    schema = parse_schema(
        {
            "name": "numbers",
            "data": {"kind": "mnist"},
            "modalities": {"n": {"kind": "numeric", "columns": ["x", "y"], "likelihood": "student_t"}},
            "model": {"kind": "mvae"},
        }
    )
    learned = schema.modalities["n"].fit([[{"x": 1e-20, "y": 1e22}, {"x": 1 / 3e20, "y": 0.1}]])
    resolved = schema.with_learned(schema.data, {"n": learned})
    assert parse_schema(read_yaml(resolved.to_yaml(), "resolved").data) == resolved


def test_options_that_cannot_be() -> None:
    assert "not permitted" in refused(Numeric, degrees=4)  # of gaussian, the default
    assert "greater than 2" in refused(Numeric, degrees=2, likelihood="student_t")
    for option in ("mean", "std"):
        text = f"{option} has 1 entries and there are 2 numbers; give one each"
        assert refused(Numeric, columns=("x", "y"), **{option: (1.0,)}) == text
    assert refused(Numeric, columns=("x", "y"), scale=(1.0,)).startswith("scale has 1 entries and there are 2")


def test_options_of_0_1_move_into_the_likelihood() -> None:
    read = Numeric.model_validate({"likelihood": "student_t", "scale": 2.0, "degrees": 3.0})
    assert read == Numeric(likelihood=StudentTLikelihood(scale=2.0, degrees=3.0))
    assert Numeric.model_validate({"scale": 0.5}) == Numeric(likelihood=GaussianLikelihood(scale=0.5))
    saved = read.model_dump(mode="json")
    assert not {"scale", "degrees"} & saved.keys()
    assert Numeric.model_validate(saved) == read


# Networks.


def test_sizes() -> None:
    assert parameters(HEIGHT.encoder(6)) == 2 * 512 + 513 * 512 + 513 * 6
    assert parameters(BODY.encoder(6, extra=3)) == 5 * 512 + (513 + 3) * 512 + 513 * 6
    assert parameters(BODY.decoder(5)) == 6 * 512 + 2 * 513 * 512 + 513 * 2 + 2
    fixed = BODY.with_options(likelihood=GaussianLikelihood(scale=1.0))
    assert parameters(fixed.decoder(5)) == 6 * 512 + 2 * 513 * 512 + 513 * 2
    narrow = BODY.with_options(network=MLP(width=16, depth=1))
    assert parameters(narrow.encoder(6)) == 5 * 16 + 17 * 6
    assert parameters(narrow.decoder(5)) == 6 * 16 + 17 * 16 + 17 * 2 + 2
    assert (HEIGHT.condition_size, BODY.condition_size) == (1, 4)
    # Means stand in the options and not among the weights.
    assert not [name for name in BODY.decoder(5).state_dict() if "mean" in name or "std" in name]


def test_the_encoder_reads_standardised_numbers_and_the_mask() -> None:
    read = torch.tensor([[1, -10 / 15, 1, 1], [0, 0, 0, 1], [-2, 0, 1, 0], [0.05, 1 / 15, 1, 1]], dtype=torch.float64)
    torch.testing.assert_close(BODY.condition(X).double(), read, rtol=1e-6, atol=1e-6)
    assert BODY.condition(X).dtype == torch.float32
    encoder, c = BODY.encoder(6, extra=3).double(), randn(4, 3)
    weight, bias = (encoder.get_parameter(f"network.first.0.{name}") for name in ("weight", "bias"))
    first = F.silu(F.linear(read, weight, bias))
    torch.testing.assert_close(encoder(X, c), encoder.get_submodule("network.dense")(torch.cat([first, c], 1)))
    branch = BODY.branch(6).double()
    weight, bias = (branch.get_parameter(f"network.0.{name}") for name in ("weight", "bias"))
    torch.testing.assert_close(branch(X), F.silu(F.linear(read, weight, bias)))
    single = torch.tensor([180.0, 150.0], dtype=torch.float64)
    torch.testing.assert_close(HEIGHT.condition(single), torch.tensor([[1.0], [-2.0]]))


def test_small_differences_of_large_numbers_are_read() -> None:
    x = vectors([[1e9, 0], [1e9 + 1e-3, 0]])
    torch.testing.assert_close(DEFECTS.condition(x)[:, 0], torch.tensor([0.0, 1.0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("far", [1e50, -1e50, 5e-324])
def test_nothing_overflows(far: float) -> None:
    for modality in (
        Numeric(columns=("x",), mean=(-far,), std=(1e-50,)),
        Numeric(columns=("x",), mean=(-far,), std=(1e50,), likelihood=GaussianLikelihood(scale=1e-50)),
        Numeric(columns=("x",), mean=(far,), std=(1e-50,), likelihood=StudentTLikelihood(scale=1e-50)),
    ):
        x = torch.stack([modality.parse({"x": far}), modality.parse({"x": -far})])
        assert modality.encoder(6)(x).isfinite().all()
        assert modality.condition(x).abs().max() <= 1000
        assert modality.decoder(3)(torch.randn(2, 3)).log_prob(x).isfinite().all()


def location_and_scale(decoder: Any, z: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    location = mean + std * decoder.get_submodule("network.raw")(z)[:, 0]
    return location, std * (torch.log1p(decoder.get_parameter("network.head.raw_scale").exp()) + 1e-3)


def test_log_prob_is_a_density_in_the_user_s_unit() -> None:
    mean, std = torch.tensor(BODY.standard, dtype=torch.float64)
    for likelihood in (GaussianLikelihood(), StudentTLikelihood(), LaplaceLikelihood()):
        decoder = BODY.with_options(likelihood=likelihood).decoder(5).double()
        torch.nn.init.normal_(decoder.get_parameter("network.head.raw_scale"))
        z = randn(4, 5) * 3
        p = decoder(z)
        assert (p.batch_shape, p.event_shape) == ((4,), (2, 2))
        location, scale = location_and_scale(decoder, z, mean, std)
        y = (X[:, 0] - location) / scale
        if isinstance(likelihood, GaussianLikelihood):
            each = -0.5 * y**2 - scale.log() - 0.5 * math.log(2 * math.pi)
        elif isinstance(likelihood, LaplaceLikelihood):
            each = -y.abs() - (2 * scale).log()
        else:
            constant = math.lgamma(2.5) - math.lgamma(2) - 0.5 * math.log(4 * math.pi)
            each = constant - scale.log() - 2.5 * torch.log1p(y**2 / 4)
        expected = torch.where(X[:, 1] == 1, each, 0.0).sum(1)
        torch.testing.assert_close(p.log_prob(X), expected)
        torch.testing.assert_close(BODY.point(p)[:, 0], location)


@pytest.mark.parametrize(
    "likelihood", [GaussianLikelihood(), StudentTLikelihood(degrees=3.0), GaussianLikelihood(scale=4.0)], ids=repr
)
def test_the_density_integrates_to_one(likelihood: Likelihood) -> None:
    p = HEIGHT.with_options(likelihood=likelihood).decoder(3)(torch.randn(1, 3))
    grid = torch.linspace(-3000, 3340, 400_001, dtype=torch.float64)
    wide = Entries(type(p.base)(*_arguments(p.base, len(grid))), single=True)
    assert torch.trapezoid(wide.log_prob(grid).exp(), grid).item() == pytest.approx(1, abs=1e-5)


def _arguments(base: Any, rows: int) -> list[Tensor]:
    names = [name for name in ("df", "loc", "scale") if hasattr(base, name)]
    return [getattr(base, name).detach().expand(rows, 1) for name in names]


def test_another_unit_moves_the_density_by_its_jacobian() -> None:
    torch.manual_seed(0)
    metres = Numeric(mean=(1.7,), std=(0.1,)).decoder(3)
    centimetres = Numeric(mean=(170.0,), std=(10.0,)).decoder(3)
    centimetres.load_state_dict(metres.state_dict())
    z, x = torch.randn(6, 3), randn(6) * 10 + 170
    torch.testing.assert_close(centimetres(z).log_prob(x), metres(z).log_prob(x / 100) - math.log(100))


def test_a_scale_may_be_given() -> None:
    for scale, expected in ((3.0, [3.0, 3.0]), ((3.0, 4.0), [3.0, 4.0])):
        p = BODY.with_options(likelihood=GaussianLikelihood(scale=scale)).decoder(3)(torch.randn(2, 3))
        assert p.base.scale.tolist() == [expected] * 2
    p = BODY.with_options(likelihood=StudentTLikelihood(degrees=7.5)).decoder(3)(torch.randn(2, 3))
    assert p.base.df.unique().tolist() == [7.5]


def test_densities_are_float64_whatever_the_weights() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        p = BODY.decoder(3).to(dtype)(torch.randn(4, 3, dtype=dtype))
        assert p.log_prob(X).dtype == torch.float64
        assert BODY.point(p).isfinite().all()


def test_what_stands_where_nothing_is_known_changes_nothing() -> None:
    encoder, decoder, branch = BODY.encoder(6), BODY.decoder(5), BODY.branch(6)
    z = randn(4, 5).float()
    for module, run in (
        (encoder, lambda x: encoder(x)),
        (branch, lambda x: branch(x)),
        (decoder, lambda x: decoder(z).log_prob(x)),
    ):
        expected = results(module, lambda run=run: run(X))  # type: ignore[misc]
        assert len(expected) > 2
        for garbage in with_garbage(X):
            found = results(module, lambda run=run, garbage=garbage: run(garbage))  # type: ignore[misc]
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for garbage in with_garbage(X):
        assert torch.equal(BODY.condition(garbage), BODY.condition(X))


def test_unknown_differs_from_the_mean() -> None:
    encoder = BODY.encoder(6)
    assert not torch.equal(encoder(vectors([[170, 60]])), encoder(vectors([[NAN, 60]])))


def test_every_parameter_gets_a_gradient() -> None:
    for modality, x in ((BODY, X), (HEIGHT, X[:, 0, 0])):
        encoder, decoder = modality.encoder(10, extra=2), modality.decoder(5)
        z = encoder(x, randn(4, 2)).chunk(2, dim=1)[0]
        decoder(z).log_prob(x).sum().backward()
        for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()
            assert parameter.grad.any(), name


# Scores.


def test_errors_are_in_the_user_s_unit() -> None:
    point = vectors([[175, 60], [0, 73], [151, 0], [170.5, 70]])
    scores = BODY.scores(point, X)
    assert scores["squared_error"].tolist() == [12.5, 9, 1, 0.5]
    assert scores["absolute_error"].tolist() == [2.5, 3, 1, 0.5]
    single = HEIGHT.scores(*torch.tensor([[1, 5e40], [3, 0]], dtype=torch.float64))
    assert single["squared_error"].tolist() == [4, pytest.approx(2.5e81)]
    assert single["absolute_error"].tolist() == [2, 5e40]


def test_point_average_and_baseline() -> None:
    p = HEIGHT.decoder(3)(torch.randn(6, 3))
    assert HEIGHT.point(p).shape == (6,)
    mean, spread = HEIGHT.average(p, 2)
    torch.testing.assert_close(mean, (p.mean[:3] + p.mean[3:]) / 2)
    torch.testing.assert_close(spread, (p.mean[:3] - p.mean[3:]).abs() / 2)
    assert BODY.baseline(iter([X])).tolist() == [[pytest.approx(500.5 / 3), 67], [1, 1]]
    assert BODY.baseline(iter([X])).dtype == torch.float64


# From a source.


def test_a_source_of_numbers(own_cache: Path) -> None:
    table = {"x": [1, None, "3", "many"], "y": np.array([1.5, 2.5, NAN, 0.0])}
    options = {"both": Numeric(columns=("x", "y")), "y": Numeric()}
    assert faults_of(rows_of(table), **options) == [
        f"train row 3, columns x, y: x: 'many' {NO_NUMBER}; mend the cell, list it in missing if it "
        "means a missing cell, or set data.on_bad_cell to missing"
    ]
    data = prepare(rows_of(table, on_bad_cell="missing"), options)
    train = data.split("train")
    assert train.present.tolist() == [[True, True], [True, True], [True, False], [True, True]]
    (both,) = train.values("both")
    assert torch.equal(both, vectors([[1, 1.5], [NAN, 2.5], [3, NAN], [NAN, 0]]))
    assert data.modalities["y"].model_dump()["mean"] == (pytest.approx(4 / 3),)


def test_a_source_without_numbers(own_cache: Path) -> None:
    assert faults_of(rows_of({"x": ["a", None]}), x=Numeric()) == [
        f"modalities.x: cannot learn from column x: there is no number (the first fault: 'a' {NO_NUMBER}); mend the "
        "data, or give mean and std"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("robust", [StudentTLikelihood(), LaplaceLikelihood()], ids=lambda robust: robust.kind)
def test_robust_likelihoods_standardise_by_the_middle_half(
    robust: Likelihood, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = np.random.default_rng(0).normal(40, 15, 1000)
    table = np.stack([draws, np.where(np.arange(1000) % 50 == 0, 999999, draws)], 1)
    cells = [{"x": x, "y": y} for x, y in table.tolist()]
    fit = Numeric(columns=("x", "y"), likelihood=robust).fit
    fitted = fit(cells[i : i + size] for i in range(0, 1000, size))
    low, middle, high = np.quantile(table, (0.25, 0.5, 0.75), axis=0)
    assert fitted.mean == tuple(middle)
    assert fitted.std == pytest.approx((high - low) / (2 * 0.6744897501960817), rel=1e-12)
    assert fitted.std == pytest.approx((15, 15), rel=0.1)
    assert abs(fitted.condition(fitted.parse(cells[0])[None])[0, 1]) == 10

    half = Numeric(likelihood=robust).fit([[3.0] * 20, [1, 5]])  # its quartiles are one number
    assert (half.mean, half.std) == (Numeric().fit([[3.0] * 20, [1, 5]]).mean, Numeric().fit([[3.0] * 20, [1, 5]]).std)
    monkeypatch.setattr("mmt_attributes.moments._MOST_VALUES", 100)
    thinned = fit(cells[i : i + size] for i in range(0, 1000, size))
    assert thinned.mean == pytest.approx((40, 40), abs=6)
