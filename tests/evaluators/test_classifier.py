"""The supervised baseline: its heads against slow formulas, what it learns from, and that it learns."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from facts import assert_facts
from mmt_attributes import Attributes, Label, Numeric
from mmt_binary import Binary
from mmt_image import Image
from mmt_text import Text
from mmtoolkit import GaussianLikelihood, Modality, TrainedRun, UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators import Classifier
from mmtoolkit.evaluators.classifier import LinearClassifier, Task
from mmtoolkit.evaluators.complete import steps_of_rows
from rows import parameters
from runs import SMALL, mmt, sets
from toys import EXAMPLES, Vector, randn
from untrained import untrained

NUMERIC = {"mean": (3.0,), "std": (2.0,)}
SEVERAL: dict[str, Any] = {"columns": ("a", "b"), "mean": (3.0, -1.0), "std": (2.0, 0.5)}
TEXT = Text(length=2, alphabet=("a", "b"))


# Heads.


def linear(head: nn.Module, z: Tensor) -> list[list[float]]:
    """Each row's outputs of the one linear layer, in plain sums."""
    weight, bias = (p.detach() for name, p in head.named_parameters() if name.endswith(("weight", "bias")))
    return [
        [float(bias[k]) + sum(float(weight[k, i]) * float(row[i]) for i in range(len(row))) for k in range(len(bias))]
        for row in z
    ]


def softmax_log(scores: list[float], chosen: int, barred: tuple[int, ...] = ()) -> float:
    return scores[chosen] - math.log(sum(math.exp(s) for k, s in enumerate(scores) if k not in barred))


def of_label(out: list[float], x: Tensor) -> float:
    return softmax_log(out, int(x))


def of_binary(out: list[float], x: Tensor) -> float:
    return -math.log1p(math.exp(-out[0] if x else out[0]))


def of_attributes(out: list[float], x: Tensor) -> float:
    return sum(of_binary([logit], x[0, k]) for k, logit in enumerate(out) if x[1, k])


def gaussian(location: float, scale: float, value: float) -> float:
    return -0.5 * ((value - location) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)


def of_number(out: list[float], x: Tensor) -> float:
    return gaussian(3.0 + 2.0 * out[0], 0.7, float(x))


def of_numbers(out: list[float], x: Tensor) -> float:
    return sum(
        gaussian(SEVERAL["mean"][k] + SEVERAL["std"][k] * out[k], 0.7, float(x[0, k])) for k in range(2) if x[1, k]
    )


def of_text(out: list[float], x: Tensor) -> float:
    """Symbol by symbol to the stop, 0, or the bound; the start symbol, 1, never."""
    total = 0.0
    for place in range(2):
        total += softmax_log(out[place::2], int(x[place]), barred=(1,))
        if x[place] == 0:
            break
    return total


NUMBERS = torch.tensor([[[1.5, -2.0], [1.0, 0.0]], [[4.0, -1.0], [1.0, 1.0]], [[0.0, 0.3], [0.0, 1.0]]]).double()
SCALED = GaussianLikelihood(scale=0.7)
HEADS: list[tuple[Modality, Tensor, Callable[[list[float], Tensor], float], int]] = [
    (Label(classes=("a", "b", "c")), torch.tensor([2, 0, 1]), of_label, 3),
    (Binary(values=("0", "1")), torch.tensor([1.0, 0.0, 1.0]).double(), of_binary, 1),
    (Attributes(columns=("a", "b"), values=("0", "1")), (NUMBERS > 0).double(), of_attributes, 2),
    (
        Numeric(**NUMERIC, likelihood=SCALED),
        torch.tensor([3.1, -2.0, 5.5]).double(),
        of_number,
        1,
    ),
    (Numeric(**SEVERAL, likelihood=SCALED), NUMBERS, of_numbers, 2),
    (TEXT, torch.tensor([[2, 3], [0, 0], [3, 0]]), of_text, 8),
]


@pytest.mark.parametrize(("modality", "x", "slow", "outputs"), HEADS, ids=lambda value: getattr(value, "kind", ""))
def test_a_head_is_one_linear_layer_to_the_likelihood(
    modality: Modality, x: Tensor, slow: Callable[[list[float], Tensor], float], outputs: int
) -> None:
    head, z = modality.head(5), randn(3, 5)
    assert head is not None
    assert parameters(head) == 6 * outputs
    head.double()
    with torch.no_grad():
        p = head(z)
        assert (p.batch_shape, p.event_shape) == ((3,), modality.event_shape())
        expected = [slow(out, value) for out, value in zip(linear(head, z), x, strict=True)]
        assert p.log_prob(x).tolist() == pytest.approx(expected, rel=1e-9)
        assert modality.point(p).shape == x.shape
        assert set(modality.scores(modality.point(p), x))


def test_the_head_of_numbers_learns_their_scale_too() -> None:
    head = Numeric(**NUMERIC).head(5)
    assert head is not None
    head(randn(3, 5).float()).log_prob(torch.tensor([3.1, -2.0, 5.5])).sum().backward()
    gradients = {name: p.grad for name, p in head.named_parameters()}
    assert len(gradients) == 3
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("least", [0, 1])
def test_the_head_of_texts_sums_to_one_and_points_at_each_place_s_best(least: int) -> None:
    text = Text(length=3, min_length=least, alphabet=("a", "b"))
    head, z = text.head(5), 3 * randn(20, 5).float()
    assert head is not None
    every = ["".join(s) for n in range(least, 4) for s in itertools.product("ab", repeat=n)]
    with torch.no_grad():
        p = head(z)
        total = torch.stack([p.log_prob(text.parse(cell).expand(20, -1)) for cell in every]).exp().sum(0)
        torch.testing.assert_close(total, torch.ones(20))
        out = torch.tensor(linear(head, z)).view(20, 4, 3).transpose(1, 2)
    out[:, :, 1] = -math.inf  # start
    out[:, :least, 0] = -math.inf
    for row, value in enumerate(text.point(p)):
        best = out[row].argmax(-1).tolist()
        assert text.cell(value) == "".join("ab"[i - 2] for i in itertools.takewhile(bool, best))
    torch.manual_seed(0)
    drawn = [text.cell(value) for value in p.sample((4000,))[:, 0]]
    for cell in every:
        share = float(p.log_prob(text.parse(cell).expand(20, -1))[0].detach().exp())
        assert drawn.count(cell) / 4000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("modality", [Image(shape=(1, 8, 8), network="mlp"), Vector()])
def test_a_modality_without_a_linear_head_has_none(modality: Modality) -> None:
    assert modality.head(4) is None


# The classifier.

PETS = Label(classes=("cat", "dog"))
MODALITIES = {
    "number": Numeric(),
    "other": Numeric(),
    "pet": PETS,
    "face": Attributes(columns=("male", "old"), values=("0", "1")),
    "word": TEXT,
    "double": Numeric(),
}


def table(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Columns that the number, or for `pet` the two numbers together, tell."""
    number, other = randn(rows, seed=seed).tolist(), randn(rows, seed=seed + 100).tolist()
    return {
        "number": number,
        "other": other,
        "pet": ["dog" if x + y > 0 else "cat" for x, y in zip(number, other, strict=True)],
        "male": ["1" if x > 0 else "0" for x in number],
        "old": ["1" if x > 1 else "0" if i % 2 else None for i, x in enumerate(number)],
        "word": ["ab" if x > 0.5 else "b" if x > -0.5 else "" for x in number],
        "double": [2 * x + 1 for x in number],
    }


@pytest.fixture
def run(own_cache: Path, tmp_path: Path) -> TrainedRun:
    return untrained(MODALITIES, tmp_path, train=table(400), valid=table(100, 1), test=table(200, 2))


def classifier(target: str, *given: str, **options: Any) -> Classifier:
    return Classifier(entries=[{"target": [target], "given": list(given)}], **{"steps": 60, **options})


def classify(
    run: TrainedRun, evaluator: Classifier, split: str = "test"
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Metric -> result, and the notes."""
    (score,) = run.evaluate([evaluator], split)
    return {result["metric"]: result for result in score["results"]}, score["notes"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "metric", "sign"),
    [
        ("face", "accuracy", 1),
        ("word", "exact_match", 1),
        ("double", "squared_error", -1),
    ],
)
def test_it_learns_every_kind_of_target(target: str, metric: str, sign: int, run: TrainedRun) -> None:
    result = classify(run, classifier(target, "number"))[0][metric]
    assert sign * result["value"] > sign * result["baseline"] + 8 * result["stderr"]
    assert (result["target"], result["given"]) == ([target], ["number"])
    assert (result["examples"], result["rows"]) == (200, 400)
    assert result["better"] == ("high" if sign > 0 else "low")


def test_the_features_of_several_are_read_together(run: TrainedRun) -> None:
    alone = classify(run, classifier("pet", "number"))[0]["accuracy"]
    both = classify(run, classifier("pet", "other", "number"))[0]["accuracy"]
    assert both["given"] == ["number", "other"]
    assert alone["value"] < 0.85 < 0.93 < both["value"]


def test_an_entry_of_several_targets_is_one_classifier_each(run: TrainedRun) -> None:
    entries = [{"target": ["double", "pet"], "given": ["number"]}]
    (score,) = run.evaluate([Classifier(entries=entries, steps=20)], "test")
    (pet,), (double,) = (run.evaluate([classifier(name, "number", steps=20)], "test") for name in ("pet", "double"))
    assert score["results"] == pet["results"] + double["results"]  # whatever else is scored, in the schema's order
    assert score["notes"] == pet["notes"] + double["notes"]


def test_it_is_the_same_again_and_leaves_the_generator_alone(run: TrainedRun) -> None:
    before = torch.get_rng_state()
    first = classify(run, classifier("double", "number", steps=20))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert classify(run, classifier("double", "number", steps=20)) == first
    assert seed_for("evaluation", 0) == run.generator.initial_seed()
    run.schema = run.schema.model_copy(update={"train": run.schema.train.model_copy(update={"seed": 1})})
    assert classify(run, classifier("double", "number", steps=20)) != first


@pytest.mark.slow
def test_rows_that_lack_one_are_not_touched(own_cache: Path, tmp_path: Path) -> None:
    complete = table(120)
    splits = {"valid": table(40, 1), "test": table(50, 2)}
    holes: dict[str, list[Any]] = {name: [] for name in complete}
    for row in range(120):
        for name, cells in complete.items():  # two rows before each that has both, one of them without each
            holes[name] += [None if name == "double" else 1e9 if name == "number" else cells[row]]
            holes[name] += [None if name == "number" else -1e9 if name == "double" else cells[row]]
            holes[name] += [cells[row]]
    modalities = {**MODALITIES, "number": Numeric(mean=(0.0,), std=(1.0,)), "double": Numeric(mean=(1.0,), std=(2.0,))}
    small = classify(untrained(modalities, tmp_path, train=complete, **splits), classifier("double", "number"))
    large = classify(untrained(modalities, tmp_path, train=holes, **splits), classifier("double", "number"))
    assert large[1] == small[1]
    for metric, result in small[0].items():
        assert large[0][metric] == {**result, "baseline": large[0][metric]["baseline"]}
    assert small[0]["squared_error"]["rows"] == 120
    lacking = classify(untrained(modalities, tmp_path, train=complete, test=holes), classifier("double", "number"))
    assert lacking[0]["squared_error"]["examples"] == 120  # nor are they scored


def test_the_gradient_is_that_of_the_cross_entropy_and_reaches_everything(run: TrainedRun) -> None:
    torch.manual_seed(0)
    network = LinearClassifier(run.modalities, Task(target=("pet",), given=("number", "other")), 6)
    batch = next(run.batches("train", [torch.arange(9)]))
    loss = network.loss(batch)
    features = torch.cat([network.encoders[i](batch.value(name)) for i, name in enumerate(("number", "other"))], dim=1)
    assert features.shape == (9, 12)
    rows = zip(linear(network.head, features.detach()), batch.value("pet"), strict=True)
    assert float(loss.detach()) == pytest.approx(-sum(of_label(out, x) for out, x in rows) / 9, rel=1e-5)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert not any(parameter.grad is not None for parameter in run.model.parameters())


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_are_no_crash(rows: int, own_cache: Path, tmp_path: Path) -> None:
    train = table(6)
    train["pet"] = [cell if row < 3 else None for row, cell in enumerate(train["pet"])]
    train["number"] = [cell if row >= 3 - rows else None for row, cell in enumerate(train["number"])]
    results, notes = classify(untrained(MODALITIES, tmp_path, train=train, test=table(5)), classifier("pet", "number"))
    nothing = dict.fromkeys(("metric", "better", "value", "stderr", "baseline")) | {"examples": 0, "rows": rows}
    assert results == {None: {"target": ["pet"], "given": ["number"], **nothing}}
    (note,) = notes
    assert_facts(note, "pet from number: ", ("no", "one")[rows], "training row", "needs 2")


def test_two_rows_are_enough_also_with_batch_normalisation(own_cache: Path, tmp_path: Path) -> None:
    run = untrained(MODALITIES, tmp_path, train=table(2), test=table(5))
    result = classify(run, classifier("number", "face", steps=5, batch_size=1))[0]["squared_error"]
    assert (result["rows"], result["examples"]) == (2, 5)
    assert math.isfinite(result["value"])


def test_a_split_without_a_complete_row_has_no_score(own_cache: Path, tmp_path: Path) -> None:
    test = {**table(5), "pet": [None] * 5}
    run = untrained(MODALITIES, tmp_path, train=table(20), test=test)
    (result,) = classify(run, classifier("pet", "number", steps=2))[0].values()
    assert (result["value"], result["examples"], result["rows"]) == (None, 0, 20)


def test_the_validation_rows_choose_the_step(own_cache: Path, tmp_path: Path) -> None:
    contrary = table(50, 1)
    contrary["pet"] = ["cat" if pet == "dog" else "dog" for pet in contrary["pet"]]
    tables = {"train": table(100), "test": table(50, 2)}
    first = classify(untrained(MODALITIES, tmp_path, valid=contrary, **tables), classifier("pet", "number", steps=40))
    last = classify(untrained(MODALITIES, tmp_path, **tables), classifier("pet", "number", steps=40))
    for (note,), step in ((first[1], 2), (last[1], 40)):  # steps grow worse on contrary rows, better on training rows
        assert_facts(note, "pet from number: ", "100 rows", f"step: {step} of 40")
    assert first[0]["accuracy"]["value"] < last[0]["accuracy"]["value"]


def test_it_trains_in_training_mode_and_scores_in_evaluation_mode(own_cache: Path, tmp_path: Path) -> None:
    run = untrained(MODALITIES, tmp_path, train=table(100), test=table(5))
    task = Task(target=("number",), given=("face",))  # whose encoder has batch normalisation
    network, note = Classifier(entries=[task], steps=20)._train(run, task, torch.arange(100))
    assert network is not None
    assert not any(module.training for module in network.modules())
    counted = [int(value) for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")]
    assert_facts(note, f"step: {counted[0]} of 20")
    assert counted[0] == counted[1] > 1  # it is looked at after every step


def test_what_training_draws_anew_is_drawn_anew(own_cache: Path, tmp_path: Path) -> None:
    grey = torch.randint(256, (50, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    cells = {"image": grey, "bright": grey.mean((1, 2)).tolist()}
    results = []
    for binarize in ("static", "dynamic"):  # the rows that are scored are drawn alike
        image = Image(shape=(1, 8, 8), network="mlp", binarize=binarize)
        run = untrained({"image": image, "bright": Numeric()}, tmp_path, train=cells, test=cells)
        results.append(classify(run, classifier("bright", "image", steps=5))[0]["squared_error"])
    static, dynamic = results
    assert static["value"] != dynamic["value"]
    assert static["baseline"] == dynamic["baseline"]


def test_training_that_diverges_is_reported(run: TrainedRun) -> None:
    results, notes = classify(run, classifier("double", "number", steps=5, learning_rate=1e30))
    (note,) = notes
    assert_facts(note, "double from number: ", "400 rows", "diverged", "lower learning_rate")
    assert results[None]["value"] is None  # type: ignore[index]


def test_progress_names_the_task_and_its_rows(own_cache: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    run = untrained(MODALITIES, tmp_path, lines.append, train=table(20), test=table(5))
    classify(run, classifier("pet", "number", steps=3))
    (line,) = lines
    assert_facts(line, "classifier: pet from number: ", "3 steps", "20 training rows")


@EXAMPLES
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 30))
def test_every_row_comes_once_before_any_again(count: int, size: int, steps: int) -> None:
    rows = torch.arange(count) * 3
    parts = [part.tolist() for part in steps_of_rows(rows, size, steps)]
    assert len(parts) == steps
    assert all(0 < len(part) <= size for part in parts)
    seen = list(itertools.chain.from_iterable(parts))
    for start in range(0, len(seen), count):
        epoch = seen[start : start + count]
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(rows.tolist())


# What a run offers for it.


def test_a_run_gives_the_rows_that_are_asked_for(run: TrainedRun) -> None:
    (all_rows,) = run.batches("train")
    first, second = run.batches("train", [torch.tensor([7, 3]), torch.tensor([399])])
    for name in MODALITIES:
        assert torch.equal(first.value(name), all_rows.value(name)[[7, 3]])
        assert torch.equal(second.value(name), all_rows.value(name)[[399]])
    assert {split: tuple(present.shape) for split, present in run.present.items()} == {
        "train": (400, 6),
        "valid": (100, 6),
        "test": (200, 6),
    }
    with pytest.raises(UserError, match="there is no split 'tset'; did you mean 'test'"):
        next(iter(run.batches("tset", [torch.tensor([0])])))


def test_draws_are_made_anew_where_asked(own_cache: Path, tmp_path: Path) -> None:
    grey = torch.full((6, 8, 8), 128, dtype=torch.uint8).numpy()
    modalities = {"image": Image(shape=(1, 8, 8), network="mlp", binarize="dynamic")}
    run = untrained(modalities, tmp_path, train={"image": grey})

    def read(redraw: bool) -> Tensor:
        batch: Batch = next(run.batches("train", [torch.arange(6)], redraw))
        return batch.value("image")

    assert torch.equal(read(False), read(False))
    assert not torch.equal(read(True), read(True))


# From the command line, on real images.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier") / "run"
    asked = "evaluate=[{kind: classifier, steps: 100, entries: [{target: [label], given: [image]}]}]"
    rows = "data.rows={train: 1500, valid: 200, test: 300}"
    done = mmt("run", "fashion_mini", "--out", out, *sets(*SMALL[1:], rows, "data.supervision={paired: 0.4}", asked))
    assert done.status == 0, done.err
    assert "classifier: label from image: 100 steps on 600 training rows" in done.err.splitlines()
    return out


@pytest.mark.slow
def test_it_classifies_garments(folder: Path) -> None:
    (score,) = json.loads((folder / "results.json").read_text())["scores"]
    accuracy, calibration = score["results"]
    assert accuracy["metric"] == "accuracy"
    assert accuracy["value"] > 0.65 > 0.2 > accuracy["baseline"]
    assert (accuracy["examples"], accuracy["rows"]) == (300, 600)  # what weak supervision leaves
    assert (calibration["metric"], calibration["baseline"]) == ("calibration_error", None)
    assert 0 <= calibration["value"] < 0.35
    assert_facts(score["notes"][0], "label from image: ", "600 rows", "step")


@pytest.mark.slow
def test_a_loaded_run_trains_the_same_classifier(folder: Path) -> None:
    done = mmt("evaluate", folder, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["scores"] == json.loads((folder / "results.json").read_text())["scores"]


HEADLESS = ("image from label: ", "image has no linear head")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (
            "entries: [{target: [image], given: [label]}]",
            ("evaluate, classifier: ", *HEADLESS, "; change or remove"),
        ),
        (
            "entries: [{target: [lable], given: [image]}]",
            ("--set evaluate.0: ", "'lable'", "; ", "image, label"),
        ),
        (
            "entries: [{target: [label], given: [image, label]}]",
            ("--set evaluate.0: ", "'label'", "target", "given", "; remove"),
        ),
        (
            "entries: [{target: [label], given: []}]",
            ("--set evaluate.0: ", "no given", "; name", "label"),
        ),
        (
            "entries: [{target: [], given: [image]}]",
            ("--set evaluate.0: ", "no target", "; name", "image, label"),
        ),
        ("steps: 10", ("--set evaluate.0.entries: ", "missing", "; add")),
        (
            "steps: 0, entries: [{target: [label], given: [image]}]",
            ("--set evaluate.0.steps: ", "greater than 0", "not 0", "; "),
        ),
    ],
)
def test_bad_entries_are_refused_before_training_and_after(
    options: str, facts: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    option = f"evaluate=[{{kind: classifier, {options}}}]"
    for done in (
        mmt("run", "fashion_mini", *sets(*SMALL, option), "--out", tmp_path / "run"),
        mmt("check", "fashion_mini", *sets(*SMALL, option)),
        mmt("evaluate", folder, *sets(option)),
    ):
        assert done.status == 2
        assert_facts(done.err.splitlines()[-1], *facts)
    assert not (tmp_path / "run" / "schema.yaml").exists()


@pytest.mark.slow
def test_an_entry_without_a_head_may_be_left_out(folder: Path) -> None:
    entries = "[{target: [image], given: [label]}]"
    option = f"evaluate=[{{kind: classifier, unsupported: leave_out, entries: {entries}}}]"
    done = mmt("evaluate", folder, "--json", *sets(option))
    assert done.status == 0, done.err
    (score,) = json.loads(done.out)["scores"]
    assert score["results"] == []
    (note,) = score["notes"]
    assert_facts(note, "left out: ", *HEADLESS)
