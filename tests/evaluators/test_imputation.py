"""Cells that are hidden and filled in, against loops over rows and against scikit-learn's neighbours."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from facts import assert_facts
from mmt_attributes import Attributes, Label, Numeric
from mmt_binary import Binary
from mmt_text import Text
from mmtoolkit import CVAE, JMVAE, MVAE, VAE, BiVCCA, Network, TrainedRun, UserError, build, read_schema
from mmtoolkit.evaluators import Imputation
from mmtoolkit.evaluators.hiding import Hiding
from mmtoolkit.evaluators.neighbours import Neighbours
from mmtoolkit.models.mvae import MVAENetwork, SubsetOptions
from readings import Readings
from toys import EXAMPLES, Vector, batch_of, bools, seeded
from untrained import untrained

MODALITIES = {
    "size": Numeric(),
    "word": Text(length=3, alphabet=("a", "b")),
    "pet": Label(classes=("cat", "dog", "owl")),
    "male": Binary(values=("0", "1")),
    "face": Attributes(columns=("old", "rare"), values=("0", "1")),
    "body": Numeric(columns=("height", "weight")),
}


def table(rows: int, seed: int) -> dict[str, Any]:
    """Columns that tell of each other, a quarter of their cells missing."""
    draw = np.random.default_rng(seed)
    size = draw.normal(size=rows)
    columns: dict[str, list[Any]] = {
        "size": [float(x) for x in size],
        "word": ["ab" if x > 0.5 else "b" if x > -0.5 else "aaa" for x in size + draw.normal(size=rows) / 3],
        "pet": [("cat", "dog", "owl")[int(np.clip(x + 1.5, 0, 2))] for x in size],
        "male": [str(int(x > 0)) for x in size + draw.normal(size=rows)],
        "old": [str(int(x > 0)) for x in draw.normal(size=rows)],
        "rare": [str(int(x > 1)) for x in size],
        "height": [1.7 + float(x) / 10 for x in size + draw.normal(size=rows) / 2],
        "weight": [70 + 10 * float(x) for x in draw.normal(size=rows)],
    }
    return {
        name: [None if missing else cell for cell, missing in zip(cells, draw.random(rows) < 0.25, strict=True)]
        for name, cells in columns.items()
    }


TRAIN, TEST = table(60, 0), table(40, 1)


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    run = untrained(MODALITIES, tmp_path, train=TRAIN, test=TEST)
    for decoder in run.model.decoders:  # far from zero, so that predictions differ
        for parameter in decoder.parameters():
            parameter.requires_grad_(False).mul_(2.0)
    return run


def scores_of(run: TrainedRun, split: str = "test", **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """(target, metric) -> result."""
    (score,) = run.evaluate([Imputation(**options)], split)
    return {(result["target"][0], result["metric"]): result for result in score["results"]}


def hidden_cells(present: Tensor, shares: dict[str, float], model: Network, generator: torch.Generator) -> Tensor:
    """The cells that are hidden as a whole, (B, M)."""
    values = {name: torch.zeros(len(present), *m.event_shape()) for name, m in model.modalities.items()}
    hiding = Hiding(model, shares, torch.arange(len(present)), present, generator, whole=True)
    return hiding.of(batch_of(values, present), 0).cells


def draw_hidden(run: TrainedRun, split: str = "test", share: float = 0.2) -> tuple[Tensor, Tensor]:
    """What the evaluator hides of a split that it takes whole, and the order of the training rows."""
    generator, present = run.generator, run.present[split]
    torch.randperm(len(present), generator=generator)
    hidden = hidden_cells(present, dict.fromkeys(run.modalities, share), run.model, generator)
    return hidden, torch.randperm(len(run.present["train"]), generator=generator)


def hidden_values(
    run: TrainedRun, split: str = "test", whole: bool = False, share: float = 0.2
) -> tuple[list[dict[str, Tensor]], dict[tuple[int, str], Tensor], Tensor]:
    """What is left of each row, what is hidden by (row, modality), and the order of the training rows."""
    generator, present = run.generator, run.present[split]
    torch.randperm(len(present), generator=generator)
    rows = torch.arange(len(present))
    hiding = Hiding(run.model, dict.fromkeys(run.modalities, share), rows, present, generator, whole)
    (batch,) = run.batches(split)
    hidden = hiding.of(batch, 0)
    left: list[dict[str, Tensor]] = [{} for _ in rows]
    truth = {}
    for name in run.modalities:
        for row, value in zip(batch.rows(name).tolist(), batch.value(name), strict=True):
            place = batch.rows(name).tolist().index(row)
            if name not in hidden.parts:
                if hidden.cells[row, batch.names.index(name)]:
                    truth[row, name] = value
                else:
                    left[row][name] = value
                continue
            parts = hidden.parts[name][place]
            if parts.any():
                truth[row, name] = torch.where(parts, value, torch.zeros_like(value))
            if (value[1].bool() & ~parts).any():
                left[row][name] = torch.where(parts, torch.zeros_like(value), value)
    return left, truth, torch.randperm(len(run.present["train"]), generator=generator)


def cells(columns: dict[str, Any], row: int, names: list[str]) -> dict[str, Any]:
    """A row as `TrainedRun.infer` takes it: the named modalities alone."""
    row_cells = {}
    for name in names:
        several = getattr(MODALITIES[name], "columns", None)
        row_cells[name] = {c: columns[c][row] for c in several} if several else columns[name][row]
    return row_cells


def values(run: TrainedRun, split: str) -> list[dict[str, Tensor]]:
    """What each row has, as it is prepared."""
    (batch,) = run.batches(split)
    rows: list[dict[str, Tensor]] = [{} for _ in range(batch.size)]
    for name in batch.names:
        for row, value in zip(batch.rows(name).tolist(), batch.value(name), strict=True):
            rows[row][name] = value
    return rows


# The model's predictions.


def test_each_hidden_cell_is_predicted_from_what_is_left_of_its_row(run: TrainedRun) -> None:
    results, (hidden, _) = scores_of(run, whole=True), draw_hidden(run)
    names, rows = list(run.modalities), values(run, "test")
    assert 20 < hidden.sum() < 60
    for m, (name, modality) in enumerate(run.modalities.items()):
        model: dict[str, list[float]] = {}
        base: dict[str, list[float]] = {}
        for row in hidden[:, m].nonzero().squeeze(1).tolist():
            left = [other for k, other in enumerate(names) if other in rows[row] and not hidden[row, k]]
            assert left
            z = run.infer([cells(TEST, row, left)]).mean
            point = modality.point(run.decode(z, [name])[name])
            for by_metric, value in ((model, point), (base, run.baselines[name][None])):
                for metric, score in modality.scores(value, rows[row][name][None]).items():
                    by_metric.setdefault(metric, []).append(float(score))
        assert model
        for metric, scores in model.items():
            result = results[name, metric]
            assert result["given"] == [other for other in names if other != name]
            assert result["examples"] == len(scores)
            assert result["better"] == modality.better()[metric]
            assert result["value"] == pytest.approx(np.mean(scores), rel=1e-5, abs=1e-7)
            assert result["stderr"] == pytest.approx(
                np.std(scores, ddof=1) / math.sqrt(len(scores)), rel=1e-4, abs=1e-7
            )
            assert result["baseline"] == pytest.approx(np.mean(base[metric]), rel=1e-5, abs=1e-7)


class Witness(Vector):
    """A vector that records the predictions that it scores, and the true values."""

    kind: Literal["witness"] = "witness"  # type: ignore[assignment]
    calls: ClassVar[list[tuple[Tensor, Tensor]]] = []

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        self.calls.append((point.clone(), x.clone()))
        return super().scores(point, x)


@pytest.mark.parametrize("samples", [None, 3])
def test_what_was_hidden_changes_no_prediction(samples: int | None, own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    modalities = {name: Witness() for name in ("a", "b", "c")}
    train, test = ({name: draw.normal(size=(30, 2)).tolist() for name in modalities} for _ in range(2))
    run = untrained(modalities, tmp_path, train=train, test=test)
    hidden, _ = draw_hidden(run, share=0.4)
    other = {
        name: [[99.0, -99.0] if hidden[row, m] else cell for row, cell in enumerate(test[name])]
        for m, name in enumerate(modalities)
    }
    changed = untrained(modalities, tmp_path, train=train, test=other)
    calls = []
    for one in (run, changed):
        Witness.calls.clear()
        scores_of(one, hide=0.4, samples=samples)
        calls.append(list(Witness.calls))
    assert len(calls[0]) == len(calls[1]) > 0
    for (point, truth), (again, changed_truth) in zip(*calls, strict=True):
        assert torch.equal(point, again)
        assert (changed_truth.abs() == 99).all()  # what is scored is what was hidden
        assert not (truth.abs() == 99).any()


def test_scores_of_several_draws_are_averaged(run: TrainedRun) -> None:
    results, (hidden, _) = scores_of(run, samples=4, neighbours=0, whole=True), draw_hidden(run)
    generator = run.generator
    torch.randperm(40, generator=generator)
    torch.rand(2, 40, 6, generator=generator)
    (batch,) = run.batches("test")
    left = batch.where(~hidden)
    with torch.no_grad():
        z = run.model.infer_all(left).rsample(torch.randn(4, 40, 3, generator=generator))
        points = [run.modalities["size"].point(run.model.decode(draw, left, ["size"])["size"]) for draw in z]
    rows = hidden[:, 0].nonzero().squeeze(1).tolist()
    errors = [np.mean([abs(float(p[row]) - TEST["size"][row]) for p in points]) for row in rows]
    assert results["size", "absolute_error"]["value"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_scores_are_the_same_again_and_in_any_company(run: TrainedRun) -> None:
    once = scores_of(run)
    assert once == scores_of(run)
    torch.manual_seed(3)
    assert once == scores_of(run)
    assert {key: {**result, "neighbours": None} for key, result in once.items() if result["baseline"] is not None} == {
        key: {**result, "neighbours": None}
        for key, result in scores_of(run, neighbours=0).items()
        if result["baseline"] is not None
    }


def test_each_hidden_part_is_predicted_from_all_that_is_left(run: TrainedRun) -> None:
    results, (left, truth, _) = scores_of(run, details=True), hidden_values(run)
    errors: dict[tuple[str, str], list[float]] = {}
    for (row, name), x in truth.items():
        cells_left = {other: run.modalities[other].cell(value) for other, value in left[row].items()}
        point = run.modalities[name].point(run.decode(run.infer([cells_left]).mean, [name])[name])[0]
        if name not in ("body", "face"):
            continue
        metric = "absolute_error" if name == "body" else "accuracy"
        columns = [(k, column) for k, column in enumerate(MODALITIES[name].source_columns(name)) if x[1, k]]
        scores = {
            column: float((point[0, k] - x[0, k]).abs() if name == "body" else point[0, k] == x[0, k])
            for k, column in columns
        }
        errors.setdefault((name, metric), []).append(float(np.mean([*scores.values()])))
        for column, score in scores.items():
            errors.setdefault((name, f"{metric} of {column}"), []).append(score)
    assert len(errors) == 6
    for key, of in errors.items():
        assert results[key]["examples"] == len(of) > 2
        assert results[key]["value"] == pytest.approx(np.mean(of), rel=1e-5)
    part_known = [row for row, name in truth if name == "body" and name in left[row]]
    assert part_known  # so that z is inferred from a part of the target itself


def test_modalities_without_parts_have_the_same_cells_hidden_and_the_same_scores(
    run: TrainedRun, own_cache: Path, tmp_path: Path
) -> None:
    _, truth, order = hidden_values(run)
    cells_alone, whole_order = draw_hidden(run)
    single = [m for m, name in enumerate(MODALITIES) if name not in ("face", "body")]
    assert {key for key in truth if key[1] not in ("face", "body")} == {
        (row, list(MODALITIES)[m]) for row, m in cells_alone.nonzero().tolist() if m in single
    }
    assert torch.equal(order, whole_order)
    alone = untrained({"size": Numeric(), "pet": MODALITIES["pet"]}, tmp_path, train=TRAIN, test=TEST)
    assert scores_of(alone) == scores_of(alone, whole=True)


# What is hidden.


@EXAMPLES
@given(present=bools(12, 4), share=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 99))
def test_a_row_keeps_something_and_what_is_missing_is_not_hidden(present: Tensor, share: float, seed: int) -> None:
    network = build(MVAE(latent_dim=2), {name: Vector() for name in "abcd"}, seed=0)
    hidden = hidden_cells(present, dict.fromkeys("abcd", share), network, seeded(seed))
    assert not (hidden & ~present).any()
    assert ((present & ~hidden).any(1) | ~present.any(1)).all()
    if share == 1:
        assert ((present & ~hidden).sum(1) == present.any(1)).all()


def test_cells_are_hidden_as_often_as_is_asked_for_and_given_back_evenly() -> None:
    network = build(MVAE(latent_dim=2), {name: Vector() for name in "abc"}, seed=0)
    present = torch.ones(20_000, 3, dtype=torch.bool)
    hidden = hidden_cells(present, {"a": 0.3, "b": 0.1}, network, seeded(1))
    assert hidden.double().mean(0).tolist() == pytest.approx([0.3, 0.1, 0.0], abs=0.01)
    everything = hidden_cells(present, dict.fromkeys("abc", 1.0), network, seeded())
    assert everything.double().mean(0).tolist() == pytest.approx([2 / 3] * 3, abs=0.01)


@EXAMPLES
@given(present=bools(12, 3), seed=st.integers(0, 99))
def test_what_is_left_is_a_set_that_the_model_infers_from(present: Tensor, seed: int) -> None:
    modalities = {name: Vector() for name in "abc"}
    shares = dict.fromkeys("abc", 0.8)
    vae = build(VAE(latent_dim=2, modality="b"), modalities, seed=0)
    hidden = hidden_cells(present, shares, vae, seeded(seed))
    left = present & ~hidden
    assert (left[:, 1] | ~hidden.any(1)).all()
    jmvae = build(JMVAE(latent_dim=2), modalities, seed=0)
    assert ((present & ~hidden_cells(present, shares, jmvae, seeded(seed))).any(1) | ~present.any(1)).all()


def test_what_a_model_decodes_given_stays(own_cache: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns = {name: [x if draw.random() < 0.7 else None for x in draw.normal(size=50).tolist()] for name in "abc"}
    run = untrained({name: Numeric() for name in "abc"}, tmp_path, train=columns)
    network = build(CVAE(latent_dim=2, target="b"), run.modalities, seed=0).eval()
    (score,) = replace(run, model=network).evaluate([Imputation(hide=1.0)], "train")
    result = score["results"][0]
    whole = int(run.present["train"].all(1).sum())
    assert (result["target"], result["given"], result["examples"]) == (["b"], ["a", "c"], whole)
    for note, name in zip(score["notes"], "ac", strict=False):
        assert_facts(note, f"left out: {name}: ", f"not decode {name}")
    with pytest.raises(UserError) as raised:
        replace(run, model=network).evaluate([Imputation(hide={"c": 0.5, "b": 0.5})], "train")
    (fault,) = raised.value.faults
    assert_facts(fault, "evaluate, imputation: hide.c: ", "not decode c", "; remove")


class Conditional(MVAENetwork):
    """Infers z from whatever there is, and decodes given `a`."""

    conditions = ("a",)


def test_nothing_is_hidden_of_a_row_that_lacks_what_its_cells_are_decoded_given() -> None:
    network = Conditional({name: Vector() for name in "abc"}, 2, SubsetOptions())
    present = torch.tensor([[True, True, True], [False, True, True]]).repeat(100, 1)
    hidden = hidden_cells(present, {"b": 0.5, "c": 0.5}, network, seeded())
    assert hidden[::2].any(0).tolist() == [False, True, True]
    assert not hidden[1::2].any()


@pytest.mark.parametrize(
    ("model", "notes"),
    [
        (VAE(latent_dim=2), {"a": "only from a", "b": "not decode b"}),
        (BiVCCA(latent_dim=2), {}),
        (JMVAE(latent_dim=2), {}),
        (MVAE(latent_dim=2), {}),
    ],
)
def test_every_model_is_asked_what_it_can_fill_in(
    model: Any, notes: dict[str, str], own_cache: Path, tmp_path: Path
) -> None:
    modalities = {"a": Vector(), "b": Vector()}
    columns = {name: np.random.default_rng(m).normal(size=(30, 2)).tolist() for m, name in enumerate(modalities)}
    run = replace(untrained(modalities, tmp_path, train=columns), model=build(model, modalities, seed=0).eval())
    (score,) = run.evaluate([Imputation(hide=0.5)], "train")
    *left_out, hidden = score["notes"]
    for note, (name, fault) in zip(left_out, notes.items(), strict=True):
        assert_facts(note, f"left out: {name}: ", fault)
    assert_facts(hidden, "60 observed cells", "30 rows", "hidden")
    expected = [([name], [other]) for name, other in ("ab", "ba") if name not in notes]
    assert [(result["target"], result["given"]) for result in score["results"]] == expected
    for name, fault in notes.items():
        with pytest.raises(UserError, match=f"hide.{name}: .*{fault}; remove"):
            Imputation(hide={name: 0.1}).check_model(run.model)


def test_named_modalities_alone_are_hidden_and_no_more_rows_than_asked_for(run: TrainedRun) -> None:
    results = scores_of(run, hide={"pet": 1.0, "male": 0.5}, rows=20)
    assert {target for target, _ in results} == {"pet", "male"}
    assert 5 < results["pet", "accuracy"]["examples"] <= 20
    all_rows = scores_of(run, hide={"pet": 1.0})["pet", "accuracy"]
    assert all_rows["examples"] > 20


def test_a_modality_of_which_nothing_was_hidden_has_no_score(own_cache: Path, tmp_path: Path) -> None:
    train = {"a": [[0.0, 1.0]] * 4, "b": [[1.0, 0.0]] * 4}
    run = untrained({"a": Vector(), "b": Vector()}, tmp_path, train=train, test={"a": train["a"], "b": [None] * 4})
    assert {result["value"] for result in scores_of(run, hide=1.0).values()} == {None}


def _draw_parts(known: Tensor, share: float, model: Any = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Known flags (B, 2, 3) of two vectors a and b: what is left of them, and which rows are informed."""
    modalities = {"a": Readings(), "b": Readings()}
    network = build(model or MVAE(latent_dim=2), modalities, seed=0)
    present = known.any(2)
    values = {name: torch.stack([known[:, m].float()] * 2, 1) for m, name in enumerate("ab")}
    batch = batch_of(values, present)
    hiding = Hiding(network, dict.fromkeys("ab", share), torch.arange(len(known)), present, seeded(seed))
    hidden = hiding.of(batch, 0)
    observed = hidden.observed(batch, modalities)
    left = torch.zeros_like(known)
    for m, name in enumerate("ab"):
        left[observed.rows(name), m] = observed.value(name)[:, 1] > 0.5
    assert torch.equal(observed.present, left.any(2))
    assert torch.equal(hidden.targets(batch), (known & ~left).any(2))
    for m, name in enumerate("ab"):
        rows = hidden.targets(batch)[:, m]
        truth = hidden.truth(batch, name, modalities[name])
        assert torch.equal(truth[:, 1] > 0.5, (known & ~left)[rows, m])
    assert hiding.hidden.total() == int((known & ~left).sum())
    return left, network.informed(left.any(2))


@EXAMPLES
@given(flags=bools(12, 6), share=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 99))
def test_a_row_keeps_a_part_and_unknown_parts_are_not_hidden(flags: Tensor, share: float, seed: int) -> None:
    known = flags.reshape(12, 2, 3)
    left, informed = _draw_parts(known, share, seed=seed)
    assert not (left & ~known).any()
    assert torch.equal(informed, known.flatten(1).any(1))
    if share == 1:
        assert (left.flatten(1).sum(1) == known.flatten(1).any(1)).all()
    left, informed = _draw_parts(known, share, VAE(latent_dim=2, modality="b"), seed)
    assert torch.equal(informed, known[:, 1].any(1))
    assert torch.equal(left[~informed], known[~informed])  # a row without b says nothing, so nothing of it is hidden


def test_parts_are_hidden_as_often_as_is_asked_for_and_return_evenly() -> None:
    known = torch.ones(20_000, 2, 3, dtype=torch.bool)
    left, _ = _draw_parts(known, 0.2)
    assert (1 - left.double().mean(0)).flatten().tolist() == pytest.approx([0.2] * 6, abs=0.01)
    both = ~left[:, 0, 0] & ~left[:, 1, 1]
    assert float(both.double().mean()) == pytest.approx(0.04, abs=0.01)
    left, _ = _draw_parts(known, 1.0)
    assert left.double().mean(0).flatten().tolist() == pytest.approx([1 / 6] * 6, abs=0.01)


def test_parts_are_the_same_whatever_the_batches(run: TrainedRun) -> None:
    whole: list[Tensor] = []
    halves: list[Tensor] = []
    rows, present = torch.arange(40), run.present["test"]
    for into, size in ((whole, 40), (halves, 8)):
        hiding = Hiding(run.model, {"body": 0.5}, rows, present, run.generator)
        for place, batch in enumerate(run.batches("test", rows.split(size))):
            into.append(hiding.of(batch, place * size).parts["body"])
    assert torch.equal(torch.cat(whole), torch.cat(halves))


def test_a_model_of_one_vector_fills_it_in_from_its_own_parts(own_cache: Path, tmp_path: Path) -> None:
    modalities = {"face": MODALITIES["face"], "body": MODALITIES["body"]}
    run = untrained(modalities, tmp_path, train=TRAIN, test=TEST)
    run = replace(run, model=build(VAE(latent_dim=2, modality="body"), run.modalities, seed=0).eval())
    (score,) = run.evaluate([Imputation()], "test")
    assert {(*result["target"], *result["given"]) for result in score["results"]} == {("body", "body")}
    assert_facts(score["notes"][-1], "observed cells", "known parts (body)", "40 rows")
    (score,) = run.evaluate([Imputation(whole=True)], "test")
    assert not score["results"]


# Neighbours.


Features = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def features_of(run: TrainedRun, row: dict[str, Tensor]) -> dict[str, Features]:
    """Each value as numbers and which are known: all of a single number, picture, text or class."""
    features = {}
    for name, value in row.items():
        numbers = run.modalities[name].condition(value[None])[0].double().numpy()
        known = value[1].bool().numpy() if name in ("face", "body") else np.ones(1, dtype=bool)
        features[name] = (numbers[: len(known)], known) if len(known) > 1 else (numbers, known)
    return features


def apart(x: Features, y: Features) -> float:
    """The squared distance by the parts that both know, times P over their number; inf if there is none."""
    both = x[1] & y[1]
    squares = ((x[0] - y[0]) ** 2)[both] if len(both) > 1 else (x[0] - y[0]) ** 2
    return float(squares.sum()) * len(both) / int(both.sum()) if both.any() else math.inf


def slow_neighbours(
    run: TrainedRun, left: list[dict[str, Tensor]], targets: list[tuple[int, str]], order: Tensor, split: str, k: int
) -> dict[tuple[int, str], Tensor]:
    """(row, modality) -> the prediction from the k nearest rows that know each part, by loops."""
    train = values(run, "train")
    rows, features = [features_of(run, row) for row in left], [features_of(run, row) for row in train]
    spread = {}
    for name in run.modalities:
        those = [features[row][name] for row in order.tolist() if name in train[row]]
        next_ones = [those[-1], *those[:-1]]
        parted = len(those[0][1]) > 1
        pairs = [*zip(those, next_ones, strict=True)] if parted else [(x, y) for x in those for y in those]
        spread[name] = np.mean([distance for x, y in pairs if (distance := apart(x, y)) < math.inf])
    predictions = {}
    for row, target in targets:
        modality, ranked = run.modalities[target], []
        for place, other in enumerate(order.tolist()):
            shared = rows[row].keys() & features[other].keys()
            distances = [apart(rows[row][n], features[other][n]) / spread[n] for n in run.modalities if n in shared]
            finite = [distance for distance in distances if distance < math.inf]
            if target in train[other] and finite and not (split == "train" and other == row):
                ranked.append((round(float(np.mean(finite)), 12), place, train[other][target]))
        nearest = [value for *_, value in sorted(ranked, key=lambda entry: entry[:2])]
        point = run.baselines[target].clone()
        if target not in ("face", "body"):
            point = modality.baseline([torch.stack(nearest[:k])]) if nearest else point
        else:
            for part in range(2):
                if those := [value for value in nearest if value[1, part] > 0.5][:k]:
                    point[:, part] = modality.baseline([torch.stack(those)])[:, part]
        predictions[row, target] = point
    return predictions


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("split", "k"), [("test", 1), ("train", 1), ("test", 5), ("train", 1000)])
def test_neighbours_are_those_of_a_loop(split: str, k: int, whole: bool, run: TrainedRun) -> None:
    results = scores_of(run, split, neighbours=k, whole=whole)
    left, truth, order = hidden_values(run, split, whole)
    slow = slow_neighbours(run, left, list(truth), order, split, k)
    scores: dict[tuple[str, str], list[float]] = {}
    for (row, name), point in slow.items():
        for metric, score in run.modalities[name].scores(point[None], truth[row, name][None]).items():
            scores.setdefault((name, metric), []).append(float(score))
    compared = {key: result["neighbours"] for key, result in results.items() if "neighbours" in result}
    assert compared == {key: pytest.approx(np.mean(of), rel=1e-6, abs=1e-9) for key, of in scores.items()}


def test_neighbours_that_tell_of_a_cell_beat_the_mean(run: TrainedRun) -> None:
    result = scores_of(run, hide={"size": 1.0})["size", "squared_error"]
    assert result["neighbours"] < 0.6 * result["baseline"]


def test_no_neighbours_are_asked_for(run: TrainedRun) -> None:
    assert all("neighbours" not in result for result in scores_of(run, neighbours=0).values())


def test_one_number_a_modality_gives_the_neighbours_of_scikit_learn(own_cache: Path, tmp_path: Path) -> None:
    impute = pytest.importorskip("sklearn.impute")
    draw = np.random.default_rng(5)
    x = draw.normal(size=(120, 4)) @ draw.normal(size=(4, 4)) * [1, 10, 0.1, 3] + [0, 5, 100, -3]
    x[draw.random(x.shape) < 0.2] = np.nan
    x = x[~np.isnan(x).all(1)]
    train, test = x[:80], x[80:]
    modalities = {name: Numeric() for name in "abcd"}
    tables = {
        split: {name: [None if np.isnan(v) else float(v) for v in part[:, m]] for m, name in enumerate("abcd")}
        for split, part in (("train", train), ("test", test))
    }
    run = untrained(modalities, tmp_path, **tables)
    hidden, _ = draw_hidden(run, share=0.3)
    holed = np.where(hidden.numpy(), np.nan, test)
    std = np.nanstd(train, axis=0)
    filled = impute.KNNImputer(n_neighbors=4).fit(train / std).transform(holed / std) * std
    results = scores_of(run, hide=0.3, neighbours=4)
    for m, name in enumerate("abcd"):
        rows = hidden[:, m].numpy()
        expected = np.mean(np.abs(filled[rows, m] - test[rows, m]))
        assert results[name, "absolute_error"]["neighbours"] == pytest.approx(expected, rel=1e-5)


def test_a_vector_gives_the_neighbours_of_scikit_learn_column_by_column(own_cache: Path, tmp_path: Path) -> None:
    impute = pytest.importorskip("sklearn.impute")
    draw = np.random.default_rng(5)
    x = draw.normal(size=(120, 4)) @ draw.normal(size=(4, 4)) * [1, 10, 0.1, 3] + [0, 5, 100, -3]
    x[draw.random(x.shape) < 0.2] = np.nan
    x = x[~np.isnan(x).all(1)]
    split = {"train": x[:80], "test": x[80:]}
    tables = {
        name: {c: [None if np.isnan(v) else float(v) for v in part[:, k]] for k, c in enumerate("abcd")}
        for name, part in split.items()
    }
    run = untrained({"all": Numeric(columns=tuple("abcd"))}, tmp_path, **tables)
    _, truth, _ = hidden_values(run, share=0.3)
    holed = split["test"].copy()
    for (row, _), value in truth.items():
        holed[row, value[1].bool().numpy()] = np.nan
    std = np.nanstd(split["train"], axis=0)
    filled = impute.KNNImputer(n_neighbors=4).fit(split["train"] / std).transform(holed / std) * std
    errors = [
        np.abs(filled[row] - split["test"][row])[value[1].bool().numpy()].mean() for (row, _), value in truth.items()
    ]
    assert len(errors) > 20
    result = scores_of(run, hide=0.3, neighbours=4)["all", "absolute_error"]
    assert result["neighbours"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_a_cell_without_neighbours_is_the_baseline(own_cache: Path, tmp_path: Path) -> None:
    """No training row has both, so none has anything in common with a row of which the other is hidden."""
    train = {"a": [[0.0, 2.0], [4.0, 0.0], None], "b": [None, None, [1.0, 1.0]]}
    test = {"a": [[1.0, 1.0]] * 6, "b": [[3.0, 5.0]] * 6}
    results = scores_of(untrained({"a": Vector(), "b": Vector()}, tmp_path, train=train, test=test), hide=0.5)
    for name in "ab":
        result = results[name, "squared_error"]
        assert result["examples"]
        assert result["neighbours"] == result["baseline"]


def test_values_of_many_numbers_are_compared_by_a_projection(own_cache: Path, tmp_path: Path) -> None:
    size = 3000
    draw = np.random.default_rng(0)
    columns = {"a": draw.normal(size=(30, size)).astype(np.float32), "b": draw.normal(size=(30, 2)).tolist()}
    modalities = {"a": Vector(size=size), "b": Vector()}
    run = untrained(modalities, tmp_path, train={"a": columns["a"].tolist(), "b": columns["b"]})
    near = Neighbours(run, torch.arange(30), 3)
    (batch,) = run.batches("train")
    x = torch.from_numpy(columns["a"]).double()
    exact = torch.cdist(x, x).square() / (2 * x.var(0, correction=0).sum())
    off = (near.distances(batch.only({"a"})) - exact)[~torch.eye(30, dtype=torch.bool)]
    assert float(off.abs().max()) < 0.35
    assert abs(float(off.mean())) < 0.05
    assert float(off.std()) > 0.01  # it is a projection


# Options.


NO_PROBABILITY = ("no probability", "above 0, up to 1", "; write 0.2, or {NAME: 0.2}")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ("hide: 1.5", (".hide: ", "1.5", *NO_PROBABILITY)),
        ("hide: 0", (".hide: ", "0", *NO_PROBABILITY)),
        ("hide: {}", (".hide: ", "{}", *NO_PROBABILITY)),
        ("hide: {label: 2}", (".hide: ", "{'label': 2}", *NO_PROBABILITY)),
        ("hide: {lable: 0.5}", (": hide", "'lable'", "; ", "image, label")),
        ("neighbours: -1", (".neighbours: ", "0", "not -1", "; ")),
        ("baselines: [tree]", (".baselines.0: ", "'forest'", "'tree'", "; ")),
        ("rows: 0", (".rows: ", "greater than 0", "not 0", "; ")),
        ("entries: []", (".entries: ", "unknown key", "; ", "hide, whole, rows, samples, neighbours, neighbour_rows")),
    ],
)
def test_bad_options_are_reported(options: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as raised:
        read_schema("fashion_mini", [f"evaluate=[{{kind: imputation, {options}}}]"])
    (fault,) = raised.value.faults
    assert fault.startswith("--set evaluate.0" + facts[0])
    assert_facts(fault, *facts)
