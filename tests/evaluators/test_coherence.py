"""Coherence of models that copy the class, or ignore it: the scores are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from copying import CLASSES, Copying, Ignoring, cells, copying_run
from facts import assert_facts
from mmt_attributes import Numeric
from mmtoolkit import Coherence, TrainedRun, UserError
from mmtoolkit.evaluators.given_sets import sets_of_size, sizes_up_to
from untrained import untrained

pytestmark = pytest.mark.usefixtures("own_cache")

Score = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a run, so that judges of the same data are trained once."""
    path = tmp_path_factory.mktemp("run")
    (path / "schema.yaml").touch()
    return path


def scored(run: TrainedRun, **options: Any) -> tuple[dict[tuple[str, str], Score], list[str]]:
    """(targets, metric) -> result, and the notes."""
    (score,) = run.evaluate([Coherence(label="truth", **{"draws": 400, **options})], "test")
    results = {(" ".join(r["target"]), r["metric"]): r for r in score["results"]}
    assert len(results) == len(score["results"])
    return results, score["notes"]


def values(results: Mapping[tuple[str, str], Score]) -> dict[tuple[str, str], float]:
    return {key: result["value"] for key, result in results.items()}


def test_a_model_that_copies_the_class_is_coherent(folder: Path) -> None:
    results, notes = scored(copying_run(folder))
    targets = ("a b c", "a", "b", "c")
    cross = set(itertools.product(targets, ("coherence_1_given", "coherence_2_given")))
    assert results.keys() == cross | {("a b c", "joint_coherence")}
    assert set(values(results).values()) == {1.0}
    assert notes == []
    for result in results.values():
        assert (result["better"], result["stderr"], result["judge"]) == ("high", 0.0, 1.0)
    assert results["b", "coherence_2_given"]["given"] == ["a", "c"]
    assert results["a b c", "coherence_1_given"]["given"] == ["a", "b", "c"]
    assert results["b", "coherence_1_given"]["examples"] == 300
    assert results["a b c", "joint_coherence"]["examples"] == 400
    most = max(cells(300, seed=1)["truth"].count(name) for name in CLASSES) / 300
    assert results["b", "coherence_1_given"]["chance"] == pytest.approx(most)


def test_a_model_that_ignores_what_is_given_has_the_coherence_of_chance(folder: Path) -> None:
    results, _ = scored(copying_run(folder, Ignoring, apart=True), samples=4)
    for (targets, metric), result in results.items():
        chance = 1 / 3 if metric.startswith("coherence") else 1 / 9  # three draws that agree
        assert abs(result["value"] - chance) < 4 * result["stderr"], (targets, metric)
        assert 0 < result["stderr"] < 0.03


def test_draws_of_one_z_agree_whatever_class_it_has(folder: Path) -> None:
    results, _ = scored(copying_run(folder, Ignoring))
    assert results["a b c", "joint_coherence"]["value"] == 1.0
    assert abs(results["a", "coherence_1_given"]["value"] - 1 / 3) < 4 * results["a", "coherence_1_given"]["stderr"]


def test_scores_and_errors_are_those_of_a_loop_over_rows_and_sets(folder: Path) -> None:
    test = cells(80, seed=1)
    for row in range(80):
        if row % 3 == 0:
            test["a"][row] = None
        if row % 5 == 0:
            test["b"][row] = None
        if row % 7 == 0:
            test["c"][row] = None
        if row % 11 == 0:
            test["truth"][row] = None
    # Given b alone, z is 0 for sure, and each decoder takes its first class.
    results, _ = scored(copying_run(folder, test=test, reads=("a", "c")))
    expected: dict[tuple[str, str], list[float]] = {}
    for row in range(80):
        if (truth := test["truth"][row]) is None:
            continue
        over_targets: dict[int, list[float]] = {}
        for target in "abc":
            for size in (1, 2):
                sets = list(itertools.combinations("abc".replace(target, ""), size))
                sets = [of for of in sets if all(test[name][row] is not None for name in of)]
                if hits := [float(bool({"a", "c"} & {*of}) or truth == "x") for of in sets]:
                    mean = sum(hits) / len(hits)
                    expected.setdefault((target, f"coherence_{size}_given"), []).append(mean)
                    over_targets.setdefault(size, []).append(mean)
        for size, means in over_targets.items():
            expected.setdefault(("a b c", f"coherence_{size}_given"), []).append(sum(means) / len(means))
    for key, each in expected.items():
        mean = sum(each) / len(each)
        error = math.sqrt(sum((x - mean) ** 2 for x in each) / (len(each) - 1) / len(each))
        assert results[key]["value"] == pytest.approx(mean), key
        assert results[key]["stderr"] == pytest.approx(error), key
        assert results[key]["examples"] == len(each)
    assert any(0.3 < sum(each) / len(each) < 0.95 for each in expected.values())


def test_a_sampler_draws_where_the_training_rows_are(folder: Path) -> None:
    pytest.importorskip("sklearn")
    run = copying_run(folder, bias=25.0)  # decoders disagree unless a code stands out
    results, notes = scored(run, sampler="mixture", components=3)
    assert results["a b c", "joint_coherence"]["value"] < 0.8
    assert results["a b c", "joint_coherence_mixture"]["value"] > 0.97
    assert notes == []


def test_the_errors_of_joint_coherence_are_those_of_a_share(folder: Path) -> None:
    result = scored(copying_run(folder, bias=25.0))[0]["a b c", "joint_coherence"]
    p, n = result["value"], result["examples"]
    assert result["stderr"] == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)))


def test_a_modelled_label_is_given_and_agrees_but_is_no_target(folder: Path) -> None:
    results, _ = scored(copying_run(folder, names=("a",), modelled_truth=True, reads=("a", "truth")))
    assert set(values(results).items()) == {(("a", "coherence_1_given"), 1.0), (("a truth", "joint_coherence"), 1.0)}
    assert results["a", "coherence_1_given"]["given"] == ["truth"]


def test_options_choose_targets_and_given(folder: Path) -> None:
    results, _ = scored(copying_run(folder), target=("c", "a"), given=("a", "b"))
    assert {key: result["given"] for key, result in results.items()} == {
        ("a c", "coherence_1_given"): ["a", "b"],
        ("a", "coherence_1_given"): ["b"],
        ("c", "coherence_1_given"): ["a", "b"],
        ("c", "coherence_2_given"): ["a", "b"],
        ("a c", "joint_coherence"): [],
    }


def test_sets_that_a_model_does_not_support_are_left_out_by_name(folder: Path) -> None:
    supported = [frozenset(names) for names in ("a", "b", "abc")]
    results, notes = scored(copying_run(folder, supported=supported))
    assert {metric for _, metric in results} == {"coherence_1_given", "joint_coherence"}
    assert [note for note in notes if note.startswith("left out, 1 given")] == [
        "left out, 1 given: the model does not infer z from c"
    ]
    (two,) = [note for note in notes if note.startswith("left out, 2 given")]
    assert_facts(two, "b + c", "a + c", "a + b")


def test_what_a_decoder_needs_is_always_given(folder: Path) -> None:
    results, notes = scored(copying_run(folder, informed=("a",)))
    assert {key: result["given"] for key, result in results.items()} == {
        ("b c", "coherence_1_given"): ["a"],
        ("b c", "coherence_2_given"): ["a", "b", "c"],
        ("b", "coherence_1_given"): ["a"],
        ("b", "coherence_2_given"): ["a", "c"],
        ("c", "coherence_1_given"): ["a"],
        ("c", "coherence_2_given"): ["a", "b"],
    }
    assert any(note.startswith("left out: a: ") for note in notes)
    assert any(note.startswith("left out: joint coherence: ") for note in notes)


def test_a_model_without_a_prior_has_no_joint_coherence(folder: Path) -> None:
    run = copying_run(folder)
    run.model.prior = None
    results, notes = scored(run)
    assert {metric for _, metric in results} == {"coherence_1_given", "coherence_2_given"}
    assert "left out: joint coherence: the model has no p(z)" in notes
    with pytest.raises(UserError) as error:
        scored(run, sampler="mixture")
    assert_facts(str(error.value), "evaluate, coherence: sampler", "no p(z)", "remove")


def test_of_many_sets_and_rows_some_are_drawn(folder: Path) -> None:
    names = tuple("abcd")
    run = copying_run(folder, names=names, reads=names)
    results, notes = scored(run, sets=2, rows=50)
    assert set(values(results).values()) == {1.0}
    assert "2 given: 2 of 3 sets are drawn for each target" in notes
    assert not any(note.startswith("3 given") for note in notes)
    assert results["a", "coherence_1_given"]["examples"] == 50


def test_a_judge_near_chance_is_named(folder: Path) -> None:
    torch.manual_seed(0)
    run = copying_run(folder)
    names = {"a": cells(90)["a"], "noise": torch.randn(90).tolist(), "truth": cells(90)["truth"]}
    modalities = {"a": run.modalities["a"], "noise": Numeric(), "truth": run.modalities["truth"]}
    other = untrained(modalities, folder, train=names, test=names | {"noise": torch.randn(90).tolist()})
    _, notes = scored(other)
    (note,) = [note for note in notes if "worthless" in note]
    assert_facts(note, "noise", "judge", "most frequent class", "; leave it out by `target`")


def test_the_scores_are_the_same_again(folder: Path) -> None:
    run = copying_run(folder, Ignoring, apart=True)
    first = scored(run)
    torch.manual_seed(5)
    assert scored(run) == first


FAULTS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"label": "none"}, ("label: ", "'none'", "modalities are a, b, c, truth")),
    ({"label": "truth", "target": ("truth",)}, ("target: ", "truth is the label", "; leave it out")),
    ({"label": "truth", "given": ("q",)}, ("given: ", "'q'", "modalities are")),
]


@pytest.mark.parametrize(("options", "facts"), FAULTS)
def test_names_are_checked_with_the_schema(options: dict[str, Any], facts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=":") as error:
        Coherence(**options).check(("a", "b", "c", "truth"))
    assert_facts(str(error.value), *facts)


def test_a_label_has_classes(folder: Path) -> None:
    modalities = {"number": Numeric(), "pet": copying_run(folder).modalities["a"]}
    run = untrained(modalities, folder, train={"number": [1.0, 2.0], "pet": ["x", "y"]})
    with pytest.raises(UserError) as error:
        run.evaluate([Coherence(label="number")], "train")
    assert_facts(str(error.value), "evaluate, coherence: label: number", "numeric", "no classes", "; name")


def test_the_model_is_checked(folder: Path) -> None:
    alone = copying_run(folder, names=("a",))
    with pytest.raises(UserError) as error:
        scored(alone)
    assert_facts(str(error.value), "evaluate, coherence: ", "a alone", "two modalities", "; remove")
    run = copying_run(folder)
    with pytest.raises(UserError) as error:
        scored(run, given=("truth",))
    assert_facts(str(error.value), "given: truth is not modelled", "; leave it out")


def test_one_class_is_too_few(folder: Path) -> None:
    run = copying_run(folder)
    one = {name: ["x"] * 60 for name in run.modalities}
    other = untrained(dict(run.modalities), folder, train=one, test=one)
    other.model = Copying({name: m for name, m in run.modalities.items() if m.modelled}).eval()
    with pytest.raises(UserError) as error:
        scored(other)
    assert_facts(str(error.value), "label: ", "1 classes of truth", "; name another")


def test_sizes_and_sets() -> None:
    assert sizes_up_to(0) == []
    assert sizes_up_to(8) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert sizes_up_to(20) == [1, 2, 4, 8, 16, 20]
    units = tuple("abcd")
    assert sets_of_size(units, 2, 10, None, 0) == (list(itertools.combinations(units, 2)), 6)
    many = tuple(f"u{n}" for n in range(30))
    drawn, count = sets_of_size(many, 15, 10, None, 0)
    assert count == math.comb(30, 15)
    assert len(set(drawn)) == 10
    assert all(len(of) == 15 and list(of) == [u for u in many if u in of] for of in drawn)
    assert sets_of_size(many, 15, 10, None, 0)[0] == drawn != sets_of_size(many, 15, 10, None, 1)[0]
    assert sets_of_size(units, 2, 10, [frozenset("ba"), frozenset("abc"), frozenset("aq")], 0) == ([("a", "b")], 1)
