"""Names of scores, as tables of a run's scores show them."""

from __future__ import annotations

import pytest

from mmtoolkit.base.score_names import entry_name, names_in, names_in_table

COLUMNS = ["age", "dose", "height", "stage", "ward", "weight"]
OTHERS = COLUMNS[1:]


@pytest.mark.parametrize(
    ("target", "given", "name"),
    [
        (["age"], OTHERS, "age from all others: accuracy"),
        (["age"], OTHERS[:-1], "age from dose, height, stage, ward: accuracy"),
        (["age", "dose"], COLUMNS[2:], "age, dose from height, stage, ward, weight: accuracy"),
        (COLUMNS, COLUMNS, "all from all: accuracy"),
        (COLUMNS, [], "all from nothing: accuracy"),
        (OTHERS, ["age"], "dose, height, stage, … (5) from age: accuracy"),
    ],
)
def test_a_long_listing_of_all_or_all_others_says_so(target: list[str], given: list[str], name: str) -> None:
    assert entry_name({"target": target, "given": given, "metric": "accuracy"}, COLUMNS) == name


def test_without_the_other_names_a_long_listing_is_shortened() -> None:
    assert entry_name({"target": ["age"], "given": OTHERS}) == "age from dose, height, stage, … (5)"


def test_a_proposal_of_everything_is_all() -> None:
    result = {"target": ["age"], "given": [], "proposal": COLUMNS, "refine": 50}
    assert entry_name(result, COLUMNS) == "log p(age), z from all, refined in 50 steps"


def test_names_are_those_of_targets_and_givens_in_their_order() -> None:
    results = [{"target": ["b"], "given": ["c", "a"]}, {"target": ["a"], "given": ["b", "d"]}]
    assert names_in(results) == ["b", "c", "a", "d"]


def test_the_heading_says_once_that_all_rows_are_from_all_others() -> None:
    results = [
        {"target": [name], "given": [other for other in COLUMNS if other != name], "metric": metric}
        for name in COLUMNS
        for metric in ("accuracy", "f1")
    ]
    given, names = names_in_table(results)
    assert (given, names[:3]) == (", each from all others", ["age: accuracy", "age: f1", "dose: accuracy"])
    given, names = names_in_table([*results, {"target": ["age"], "given": ["dose"]}])
    assert (given, names[0], names[-1]) == ("", "age from all others: accuracy", "age from dose")
    assert names_in_table(results[:1]) == ("", ["age from all others: accuracy"])
