"""The base class of numbers: cells of several columns, unknown entries, and likelihoods of the known ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributions, nn

from facts import assert_facts
from lines import assert_lines
from mmtoolkit.components import Entries, NumberModality, Records, split_entries
from mmtoolkit.data.dataset import prepare
from rows import faults_of, refused, rows_of, with_garbage
from toys import EXAMPLES, randn

NAN = math.nan


class Raw(NumberModality):
    """Numbers as they are: the smallest subclass."""

    kind: Literal["raw"] = "raw"

    def number(self, cell: Any, place: int) -> float:
        try:
            return float(cell)
        except (TypeError, ValueError):
            raise ValueError(f"{cell!r} is no number; mend it") from None

    def entry(self, number: float, place: int) -> float:
        return number

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return nn.Identity()

    def decoder(self, size: int) -> nn.Module:
        return nn.Identity()


ONE, TWO = Raw(), Raw(columns=("a", "b"))


# Columns.


def test_a_number_has_one_column_or_several() -> None:
    assert (ONE.event_shape(), ONE.size, ONE.source_columns("x")) == ((), 1, ("x",))
    assert Raw(column="y").source_columns("x") == ("y",)
    assert (TWO.event_shape(), TWO.size, TWO.source_columns("x")) == ((2, 2), 2, ("a", "b"))
    assert Raw(columns=("a",)).event_shape() == (2, 1)  # one that may be unknown


def test_faults_of_columns() -> None:
    assert_facts(refused(Raw, columns=("a", "b", "a")), "'a'", "twice", "name each once")
    assert "at least 1 item" in refused(Raw, columns=())
    assert_facts(
        refused(Raw, columns=("a",), column="b"), "column and columns", "columns for several", "column for one"
    )


def test_records_are_columns_seen_row_by_row() -> None:
    records = Records({"a": [1, None, None, 0], "b": np.array([5, 6, 7, 8]), "c": [None, None, None, "x"]})
    assert len(records) == 4
    assert list(records) == [{"a": 1, "b": 5}, {"b": 6}, {"b": 7}, {"a": 0, "b": 8, "c": "x"}]
    part = records[1:3]
    assert isinstance(part, Records)
    assert list(part) == [{"b": 6}, {"b": 7}]
    assert Records({"a": [None, 1]})[0] is None  # nothing of it is known
    assert isinstance(TWO.assembled("x", {"a": [1], "b": [2], "c": [3]}), Records)
    assert list(TWO.assembled("x", {"a": [1], "b": [2], "c": [3]})) == [{"a": 1, "b": 2}]
    assert ONE.assembled("x", {"x": [1]}) == [1]


# Cells.


def test_a_row_is_present_if_any_of_its_numbers_is() -> None:
    parsed = TWO.parse_column(Records({"a": [1, None, None, NAN], "b": [2, 3, None, None]}))
    assert parsed.present.tolist() == [True, True, False, False]
    assert parsed.stored.tolist() == [[[1, 2], [1, 1]], [[0, 3], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    assert parsed.stored.dtype == torch.float64
    assert not parsed.faults
    single = ONE.parse_column([1, None, NAN, 0])
    assert single.present.tolist() == [True, False, False, True]
    assert single.stored.tolist() == [1, 0, 0, 0]


def test_an_entry_at_fault_is_unknown_and_the_rest_stays() -> None:
    parsed = TWO.parse_column(Records({"a": ["x", 1, "y"], "b": [2, "z", []]}))
    assert parsed.present.tolist() == [True, True, False]
    assert parsed.stored[:, 0].tolist() == [[0, 2], [1, 0], [0, 0]]
    assert parsed.stored[:, 1].tolist() == [[0, 1], [1, 0], [0, 0]]
    assert parsed.faults == {
        0: "a: 'x' is no number; mend it",
        1: "b: 'z' is no number; mend it",
        2: "a: 'y' is no number; mend it. b: [] is no number; mend it",
    }


def test_a_cell_that_is_no_mapping_or_names_another_column_is_a_fault() -> None:
    parsed = TWO.parse_column([{"a": 1, "c": 2}, 7, None, {"b": 3}, {}])
    assert parsed.present.tolist() == [True, False, False, True, False]
    assert parsed.faults.keys() == {0, 1}
    assert_facts(parsed.faults[0], "no column 'c'", "a, b")
    assert_facts(parsed.faults[1], "7", "mapping", "write {a: VALUE}")


def test_parse_reports_the_fault_that_parse_column_reports() -> None:
    assert TWO.parse({"b": 3}).tolist() == [[0, 3], [0, 1]]
    cases: list[tuple[Any, ...]] = [
        ({"a": "x", "b": 1}, "a: 'x' is no number; mend it"),
        ({"c": 1}, "no column 'c'", "a, b"),
        ({}, "known", "give", "leave the cell empty"),
        ({"a": None}, "known", "give", "leave the cell empty"),
    ]
    for cell, *facts in cases:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            TWO.parse(cell)
        assert_facts(str(raised.value), *facts)


NUMBERS = st.none() | st.floats(-100, 100) | st.sampled_from([NAN, "x", "2", True])


@EXAMPLES
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_columns_rows_and_single_cells_are_read_alike(table: list[tuple[Any, Any]]) -> None:
    a, b = zip(*table, strict=True)
    whole = TWO.parse_column(Records({"a": list(a), "b": list(b)}))
    rows = TWO.parse_column(list(Records({"a": list(a), "b": list(b)})))
    assert torch.equal(whole.stored, rows.stored)
    assert torch.equal(whole.present, rows.present)
    assert whole.faults == rows.faults
    for k, column in enumerate((a, b)):
        single = ONE.parse_column(list(column))
        assert torch.equal(single.stored, whole.stored[:, 0, k])
        assert torch.equal(single.present, whole.stored[:, 1, k] == 1)
    for row, x in enumerate(whole.stored):
        if whole.present[row]:
            assert torch.equal(TWO.parse(TWO.cell(x)), x)


def test_text_typed_for_several_numbers_is_yaml() -> None:
    assert ONE.typed("3") == "3"
    assert TWO.typed("{a: 1, b: yes}") == {"a": 1, "b": "yes"}
    assert TWO.typed("{a: 1, b: null}") == {"a": 1, "b": None}
    for text, *facts in [("7", "7", "mapping"), ("", "''", "mapping"), ("{a: 1", "it:1: ", "not YAML")]:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            TWO.typed(text)
        assert_facts(str(raised.value), *facts, "write {a: VALUE}")


def test_a_cell_holds_the_known_numbers() -> None:
    assert TWO.cell(torch.tensor([[5.0, 7.0], [0.0, 1.0]])) == {"b": 7.0}
    assert ONE.cell(torch.tensor(0.1, dtype=torch.float64)) == 0.1


# Likelihoods.

X = torch.stack([randn(6, 3), torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 1, 0]])], 1)


def test_known_entries_are_split_from_unknown() -> None:
    for garbage in with_garbage(X):
        values, known = split_entries(garbage, single=False)
        assert torch.equal(known, X[:, 1] == 1)
        assert torch.equal(values, X[:, 0] * X[:, 1])
    values, known = split_entries(X[:, 0, 0], single=True)
    assert torch.equal(values, X[:, 0, :1])
    assert known.all()


def test_log_prob_is_the_sum_over_known_numbers() -> None:
    loc, scale = randn(6, 3, seed=1).requires_grad_(), randn(6, 3, seed=2).exp().requires_grad_()
    p = Entries(distributions.Normal(loc, scale, validate_args=False), single=False)
    expected = [
        sum(
            -0.5 * ((X[n, 0, k].item() - loc[n, k].item()) / scale[n, k].item()) ** 2
            - math.log(scale[n, k].item() * math.sqrt(2 * math.pi))
            for k in range(3)
            if X[n, 1, k] == 1
        )
        for n in range(6)
    ]
    assert p.log_prob(X).tolist() == pytest.approx(expected, rel=1e-12)
    assert (p.batch_shape, p.event_shape) == ((6,), (2, 3))
    gradients = torch.autograd.grad(p.log_prob(X).sum(), (loc, scale))
    for gradient in gradients:
        assert torch.equal(gradient != 0, X[:, 1] == 1)
    for garbage in with_garbage(X):
        assert torch.equal(p.log_prob(garbage), p.log_prob(X))
        again = torch.autograd.grad(p.log_prob(garbage).sum(), (loc, scale))
        assert all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))


def test_a_density_that_overflows_at_zero_leaves_gradients_finite() -> None:
    loc = torch.full((6, 3), 1.5e308, dtype=torch.float64, requires_grad=True)
    p = Entries(distributions.Normal(loc, 1.0, validate_args=False), single=False)
    x = torch.stack([torch.zeros(6, 3), torch.zeros(6, 3)], 1).double()
    p.log_prob(x).sum().backward()
    assert loc.grad is not None
    assert torch.equal(loc.grad, torch.zeros_like(loc))


def test_a_single_number_is_scored_as_it_is() -> None:
    base = distributions.Normal(randn(6, 1), torch.ones(6, 1), validate_args=False)
    p = ONE.distribution(base)
    assert (p.batch_shape, p.event_shape) == ((6,), ())
    assert torch.equal(p.log_prob(X[:, 0, 0]), base.log_prob(X[:, 0, :1])[:, 0])
    assert torch.equal(p.mean, base.mean[:, 0])
    assert p.sample((4,)).shape == (4, 6)


def test_all_numbers_of_a_sample_are_known() -> None:
    base = distributions.Normal(randn(6, 2), torch.full((6, 2), 1e-9), validate_args=False)
    p = TWO.distribution(base)
    for value in (p.sample(), p.mean, TWO.point(p), p.sample((3,))[2]):
        assert torch.allclose(value[:, 0], base.mean)
        assert torch.equal(value[:, 1], torch.ones(6, 2))
    assert p.sample((3,)).shape == (3, 6, 2, 2)


# Scores.

PART = torch.tensor([[[1.0, 5.0], [1, 0]], [[3.0, 7.0], [1, 1]]])
WHOLE = torch.tensor([[[2.0, 9.0], [1, 1]], [[0.0, 5.0], [1, 1]]])


def test_scores_are_means_over_known_numbers() -> None:
    assert TWO.scores(WHOLE, PART)["squared_error"].tolist() == [1.0, (9 + 4) / 2]
    assert ONE.scores(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 5.0]))["squared_error"].tolist() == [1, 0]


def test_scores_of_columns_have_the_direction_of_their_mean() -> None:
    assert ONE.better() == {"squared_error": "low"}
    assert TWO.better() == {"squared_error": "low"} | {f"squared_error of {name}": "low" for name in TWO.columns or ()}
    assert TWO.better().keys() == TWO.scores(WHOLE, PART).keys() | TWO.detailed_scores(WHOLE, PART).keys()


def test_scores_without_a_stated_direction_have_none() -> None:
    """A class written for 0.1.0 overrides `entry_scores` alone."""

    class Old(Raw):
        def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
            return {"absolute_error": super().entry_scores(point, x)["squared_error"].sqrt()}

    assert not Old(columns=("a", "b")).better().keys() & {"absolute_error", "absolute_error of a"}


def test_the_baseline_is_the_mean_of_known_numbers() -> None:
    assert TWO.baseline(iter([PART[:1], PART[1:]])).tolist() == [[2, 7], [1, 1]]
    assert ONE.baseline(iter([torch.tensor([1.0, 2.0]), torch.tensor([6.0])])) == 3
    assert TWO.baseline(iter([])).shape == (2, 2)


def test_unknown_numbers_can_be_filled_in() -> None:
    assert TWO.filled(PART, WHOLE).tolist() == [[[1, 9], [1, 1]], [[3, 7], [1, 1]]]
    assert torch.equal(ONE.filled(PART[:, 0, 0], WHOLE[:, 0, 0]), PART[:, 0, 0])


def test_a_condition_says_which_numbers_are_known() -> None:
    assert (ONE.condition_size, TWO.condition_size) == (1, 4)
    for garbage in with_garbage(PART):
        assert TWO.condition(garbage).tolist() == [[1, 0, 1, 0], [3, 7, 1, 1]]
    assert ONE.condition(torch.tensor([4.0, 5.0])).tolist() == [[4], [5]]


# From a source.

TABLE = {"a": [1, None, None, "x"], "b": [2, 3, None, 4], "c": [1, None, 3, 4]}


def test_several_columns_become_one_modality(own_cache: Path) -> None:
    data = prepare(rows_of(TABLE, on_bad_cell="missing"), {"ab": TWO, "n": Raw(column="c")})
    train = data.split("train")
    assert train.present.tolist() == [[True, True], [True, False], [False, True], [True, True]]
    assert train.stored["ab"][3].tolist() == [[0, 4], [0, 1]]
    assert_lines(data.notes, ("train, columns a, b: ", "1 of 4 cells", "missing", "train row 3: a: 'x' is no number"))
    batch = train.batch(torch.tensor([3, 2]), torch.device("cpu"))
    assert batch.value("ab").tolist() == [[[0, 4], [0, 1]]]


def test_faults_name_row_and_columns(own_cache: Path) -> None:
    assert_lines(
        faults_of(rows_of(TABLE), ab=TWO),
        ("train row 3, columns a, b: a: 'x' is no number; mend it", "mend the cell", "data.on_bad_cell", "missing"),
    )
    assert_lines(
        faults_of(rows_of(TABLE), ab=Raw(columns=("a", "bb"))),
        ("modalities.ab: ", "no column 'bb'", "did you mean 'b'", "a, b, c", "set columns"),
    )


# The codec.


@pytest.mark.parametrize("modality", [Raw(), Raw(columns=("x",)), Raw(columns=("x", "y", "z"))], ids=["1", "x", "xyz"])
def test_a_codec_packs_what_it_splits(modality: Raw) -> None:
    codec = modality.codec
    numbers = torch.randn(4, codec.size, dtype=torch.float64)
    known = torch.ones(4, codec.size, dtype=torch.bool) if codec.single else torch.rand(4, codec.size) < 0.5
    x = codec.packed(numbers, known)
    assert x.shape == (4, *codec.event_shape())
    values, mask = codec.split(x)
    assert torch.equal(mask, known)
    assert torch.equal(values, numbers * known)
    assert codec.features(values, mask).shape == (4, codec.feature_count)
    assert torch.equal(codec.split(codec.packed(numbers))[1], torch.ones_like(known))
    for row in range(4):
        expected = [float(n) if there else None for n, there in zip(numbers[row], known[row], strict=True)]
        assert codec.numbers_of(x[row]) == expected


def test_a_codec_takes_cells_apart_and_puts_them_together() -> None:
    one, several = Raw().codec, Raw(columns=("x", "y")).codec
    assert one.columns([1, None, 3]) == (([1, None, 3],), {})
    assert one.assembled([[1, None, 3]]) == [1, None, 3]
    columns, faults = several.columns([{"x": 1}, None, 7, {"z": 1, "y": 2}])
    assert columns == [[1, None, None, None], [None, None, None, 2]]
    assert faults.keys() == {2, 3}
    assert list(several.assembled(columns)) == [{"x": 1}, None, None, {"y": 2}]
    assert (one.names("m"), several.names("m")) == (("m",), ("x", "y"))
    assert (one.cell([5]), several.cell([None, 5])) == (5, {"y": 5})
