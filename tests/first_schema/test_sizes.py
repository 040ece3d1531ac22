"""How large a first model is and how long it trains: by the table, or by the minutes that it may take."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facts import assert_facts
from mmtoolkit import read_schema
from mmtoolkit.components import ColumnSummary, Proposal
from mmtoolkit.first_schema import Choice, sizes
from runs import mmt

COST = 0.8  # ms a row, as of a text


def columns(rows: int, scalars: int, alone: int = 0) -> list[Choice]:
    """Columns of a record, and others that stand beside it; half of the cells are missing."""
    names = [(f"n{k}", "record") for k in range(scalars)] + [(f"t{k}", None) for k in range(alone)]
    return [
        Choice(
            ColumnSummary(name, rows, rows // 2, (1, 2), (1, 1)), "numeric", Proposal(0.8, {}, "", cost=COST), record
        )
        for name, record in names
    ]


def steps(options: dict[str, Any]) -> float:
    return float(options["epochs"] * options["sampling"]["rows"] / options["batch_size"])


@pytest.mark.parametrize(
    ("rows", "expected", "beta", "rate"),
    [
        (100, 500, 0.5, 0.7),  # the fewest steps
        (300, 250 * 270 / 128, 0.5, 0.7),  # 250 passes over nine tenths of the rows
        (1_000, 250 * 900 / 128, 0.17, 0.4),
        (3_000, 3_000, 0.1, 0.4),
        (20_000, 3_000 * (18_000 / 5_000) ** 0.5, 0.1, 0.4),
        (10_000_000, 15_000, 0.1, 0.4),  # the most
    ],
)
def test_a_record_trains_as_long_as_its_table_needs(rows: int, expected: float, beta: float, rate: float) -> None:
    options = sizes.train(columns(rows, 6), rows)
    assert steps(options) == pytest.approx(expected, rel=0.05)
    assert (options["beta"], options["hide"]) == (beta, {"rate": rate, "whole": 0.2})
    assert (options["epochs"], options["early_stopping"], options["select"]) == (30, 10, "imputation")


@pytest.mark.parametrize("rows", [100, 5_000, 10_000_000])
def test_texts_and_pictures_train_for_three_minutes_at_most(rows: int) -> None:
    beside = columns(rows, 6, alone=8)
    milliseconds = 3 + 0.06 * 14 + 128 * 8 * COST / 2
    assert steps(sizes.train(beside, rows)) * milliseconds <= 1.1 * 3 * 60_000
    assert steps(sizes.train(beside, rows)) <= steps(sizes.train(columns(rows, 14), rows))


@pytest.mark.parametrize("alone", [0, 2])
def test_steps_grow_and_fall_with_the_minutes(alone: int) -> None:
    choices = columns(1_000, 6, alone)
    counts = [steps(sizes.train(choices, 1_000, minutes)) for minutes in (0.5, 1, 2, 20)]
    assert [count / counts[1] for count in counts] == pytest.approx([0.5, 1, 2, 20], rel=0.06)
    assert steps(sizes.train(choices, 1_000, 0.05)) < steps(sizes.train(choices, 1_000)) < counts[-1]
    options = [sizes.train(choices, 1_000, minutes) for minutes in (0.5, None)]
    for option in {*options[0]} - {"sampling"}:
        assert options[0][option] == options[1][option]  # the minutes change nothing else
    assert steps(sizes.train(choices, 1_000, 0.01)) >= 90  # fewer learn nothing


@pytest.mark.parametrize(
    ("scalars", "alone", "model"),
    [
        (1, 0, {"latent_dim": 8, "subsets": {"k": 0}}),
        (5, 0, {"latent_dim": 16, "subsets": {"k": 0}}),
        (40, 0, {"latent_dim": 32, "subsets": {"k": 0}}),
        (40, 2, {"latent_dim": 32, "subsets": {"k": 1}}),
        (40, 3, {"latent_dim": 32, "subsets": {"k": 3}}),
    ],
)
def test_a_record_counts_as_one_where_subsets_are_drawn(scalars: int, alone: int, model: dict[str, Any]) -> None:
    assert sizes.model(columns(100, scalars, alone)) == {"kind": "mvae", **model}


def test_each_is_predicted_from_each_where_there_are_few() -> None:
    kinds = [entry["kind"] for entry in sizes.evaluate(columns(100, 8))]
    assert kinds == ["imputation", "elbo", "prediction"]
    assert [entry["kind"] for entry in sizes.evaluate(columns(100, 9))] == kinds[:2]


# The option.


def table(folder: Path) -> Path:
    draw = random.Random(0)
    lines = [f"{draw.gauss(170, 10):.1f},{draw.gauss(70, 9):.1f},{draw.choice('abc')}" for _ in range(2_000)]
    (folder / "t.csv").write_text("\n".join(["height,weight,town", *lines]) + "\n")
    return folder / "t.csv"


def rows_trained_on(folder: Path, options: Sequence[str]) -> int:
    done = mmt("init", folder / "t.csv", "--overwrite", *options)
    assert done.status == 0, done.err
    train = read_schema(folder / "t.yaml").train
    assert isinstance(train.sampling.rows, int)
    return train.epochs * train.sampling.rows


def test_init_takes_minutes(tmp_path: Path) -> None:
    table(tmp_path)
    without, *budgets = (
        rows_trained_on(tmp_path, options) for options in ([], ["--minutes", "0.05"], ["--minutes", "5"])
    )
    assert budgets[0] < without < budgets[1]
    assert budgets[1] == pytest.approx(100 * budgets[0], rel=0.05)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "1e9", "ten", ""])
def test_other_minutes_are_refused(tmp_path: Path, minutes: str) -> None:
    done = mmt("init", table(tmp_path), "--minutes", minutes)
    assert done.status == 2
    assert_facts(" ".join(done.err.split()), "'--minutes'", "Input should be")
    assert "Traceback" not in done.err
    assert not (tmp_path / "t.yaml").exists()
