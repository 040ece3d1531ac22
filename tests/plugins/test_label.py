"""Labels: classes named or learned, cells there and back, networks of the paper, scores."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import distributions

from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit.components import Parsed

DIGITS = Label(classes=tuple("0123456789"))
PETS = Label(classes=("dog", "cat", "Ünk"))


def learned(*chunks: Any) -> tuple[str, ...]:
    return Label().fit(iter(chunks)).names


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        Label(**options)
    (error,) = raised.value.errors()
    return error["msg"].removeprefix("Value error, ")


# Classes.


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["cat", "dog", "cat", "Ant"], ("Ant", "cat", "dog")),
        (["10", "9", "-1", "2.5"], ("-1", "2.5", "9", "10")),
        ([10, 9, 1], ("1", "9", "10")),
        ([True, False], ("False", "True")),
        (["b", "10", "9", "a"], ("9", "10", "a", "b")),
        (["nan", "3", "inf", "20", "-inf"], ("3", "20", "-inf", "inf", "nan")),
        (["1", "1.0", "01", "1.1", "1.10", "+1", "-0"], ("0", "+1", "01", "1", "1.1", "1.10")),
        (["a b", "", " a"], ("", "a", "a b")),
        (np.array([3, 1, 3, 20]), ("1", "3", "20")),
        (np.array(["b", "a", "b"]), ("a", "b")),
    ],
)
def test_classes_are_learned_sorted(cells: Any, classes: tuple[str, ...]) -> None:
    assert learned(cells) == classes
    shuffled = list(cells)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert learned(*[[cell] for cell in shuffled]) == classes


def test_named_classes_stay_as_they_are() -> None:
    cells = iter([["x", "y"]])
    assert PETS.fit(cells) is PETS
    assert next(cells) == ["x", "y"]  # was not read
    assert Label(classes=[1, 0]).classes == ("1", "0")
    assert Label(classes=[True, "x"]).classes == ("True", "x")


def test_fit_keeps_the_other_options() -> None:
    assert Label(weight=3, column="x").fit([["a", "b"]]) == Label(weight=3, column="x", classes=("a", "b"))


def test_what_is_no_list_of_classes() -> None:
    few = "a label needs two classes or more; name them, or remove the modality"
    assert refused(classes=["a"]) == few
    assert refused(classes=[]) == few
    assert refused(classes=["a", "b", "a"]) == "the class 'a' is named twice; name each once"
    assert refused(classes=[1, "1"]) == "the class '1' is named twice; name each once"
    with pytest.raises(ValueError, match="the one class is 'a', and a label needs two classes or more"):
        learned(["a", "a"], ["a"])
    with pytest.raises(ValueError, match="a label needs two classes or more"):
        learned()


def test_classes_that_are_not_known_yet() -> None:
    with pytest.raises(ValueError, match="the classes are not known yet; name them, or let `fit` learn them"):
        Label().encoder(4)


# Cells.


def test_a_cell_goes_there_and_back() -> None:
    for cell in PETS.names:
        x = PETS.prepare(PETS.parse(cell).unsqueeze(0), None, None)
        assert PETS.cell(x[0]) == cell
        assert torch.equal(PETS.parse(PETS.cell(x[0])), x[0])
    assert PETS.text(torch.tensor(1)) == "cat"


@pytest.mark.parametrize(
    "cells", [[3, 0, 9], ["3", "0", "9"], np.array([3, 0, 9]), np.array(["3", "0", "9"]), np.array([3, 0, 9], np.uint8)]
)
def test_numbers_are_names_too(cells: Any) -> None:
    column = DIGITS.parse_column(cells)
    assert column.stored.tolist() == [3, 0, 9]
    assert column.stored.dtype == torch.int64
    assert column.present.all()
    assert not column.faults


def stranger(name: str, hint: str = "") -> str:
    return f"{name!r} is none of the 3 classes{hint}; the classes are dog, cat, Ünk"


def test_strangers_and_blanks_are_told_apart() -> None:
    column: Parsed = PETS.parse_column(["cat", None, "cta", "Dog", 7])
    assert column.present.tolist() == [True, False, False, True, False]
    assert column.stored[0] == 1
    assert column.faults == {
        2: stranger("cta", "; did you mean 'cat'?"),
        4: stranger("7"),
    }
    assert PETS.parse_column([None, None]).present.tolist() == [False, False]
    assert PETS.parse_column([None, None]).stored.dtype == torch.int64


def test_parse_says_what_parse_column_says() -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        PETS.parse("cta")
    assert str(raised.value) == stranger("cta", "; did you mean 'cat'?")


def test_many_classes_are_not_all_shown() -> None:
    many = Label(classes=tuple(map(str, range(100))))
    with pytest.raises(
        ValueError,
        match=r"'x' is none of the 100 classes; the classes are 0, 1, .*, 11, …$",
    ):
        many.parse("x")


def test_the_text_of_a_fault_is_composed_when_it_is_read() -> None:
    many = Label(classes=tuple(f"T{n}" for n in range(8000)))
    start = time.process_time()
    column = many.parse_column([f"X{n}" for n in range(3000)])
    assert (len(column.faults), list(column.faults)[:2]) == (3000, [0, 1])
    assert "'X7' is none of the 8000 classes" in column.faults[7]
    assert time.process_time() - start < 2  # 0.02 s; 26 s with all texts


def test_a_cell_of_several_values_is_named() -> None:
    column = PETS.parse_column(["dog", ["cat"], {"a": 1}, b"cat"])
    assert column.present.tolist() == [True, False, False, False]
    assert_facts(column.faults[1], "['cat']", "list", "give a text or a number")
    assert learned(["a", ["a", "b"], "b"]) == ("a", "b")
    with pytest.raises(ValueError, match=r"no cell can be read; first, \['a'\] is no name of a class but list"):
        learned([["a"], ["b"]])


# Networks.


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_networks_have_the_paper_s_size() -> None:
    assert parameters(DIGITS.encoder(128)) == 333_440
    assert parameters(DIGITS.encoder(128, extra=10)) == 333_440 + 10 * 512
    assert parameters(DIGITS.decoder(64)) == (64 + 1) * 512 + 2 * (512 + 1) * 512 + (512 + 1) * 10


def test_the_branch_is_the_embedding_alone() -> None:
    branch = DIGITS.branch(512)
    assert parameters(branch) == 10 * 512
    assert branch(torch.tensor([3, 3, 4])).shape == (3, 512)


def test_a_conditional_network_is_told_the_class() -> None:
    assert PETS.condition_size == 3
    assert PETS.condition(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("rows", [1, 7])
def test_shapes(rows: int) -> None:
    x = torch.randint(10, (rows,))
    assert DIGITS.encoder(6)(x).shape == (rows, 6)
    assert DIGITS.encoder(6, extra=3)(x, torch.randn(rows, 3)).shape == (rows, 6)
    p = DIGITS.decoder(5)(torch.randn(rows, 5))
    assert (p.batch_shape, p.event_shape) == ((rows,), ())


def test_a_condition_counts() -> None:
    encoder = DIGITS.encoder(6, extra=3)
    x = torch.zeros(1, dtype=torch.int64)
    assert not torch.equal(encoder(x, torch.zeros(1, 3)), encoder(x, torch.ones(1, 3)))


def test_log_prob_is_that_of_a_softmax() -> None:
    decoder = DIGITS.decoder(5).double()
    z = torch.randn(20, 5, dtype=torch.float64) * 50
    x = torch.arange(20) % 10
    weights = decoder.get_submodule("network.raw")(z).exp()
    column = decoder(z).log_prob(x)
    assert torch.allclose(column, (weights[torch.arange(20), x] / weights.sum(1)).log())
    assert column.isfinite().all()


def test_every_parameter_gets_a_gradient() -> None:
    encoder, decoder = DIGITS.encoder(10, extra=2), DIGITS.decoder(5)
    x = torch.arange(10)
    z = encoder(x, torch.randn(10, 2)).chunk(2, dim=1)[0]
    decoder(z).log_prob(x).sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0, name


# Scores.


def categorical(*probabilities: list[float]) -> distributions.Categorical:
    return distributions.Categorical(probs=torch.tensor(probabilities), validate_args=False)


def test_the_point_is_the_most_probable_class() -> None:
    assert PETS.point(categorical([0.2, 0.5, 0.3], [0.9, 0.1, 0.0])).tolist() == [1, 0]


def test_accuracy_is_one_number_a_row() -> None:
    scores = PETS.scores(torch.tensor([0, 1, 2]), torch.tensor([0, 2, 2]))
    assert {name: values.tolist() for name, values in scores.items()} == {"accuracy": [1, 0, 1]}


def test_probabilities_are_averaged_over_draws() -> None:
    draws = categorical([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5])  # 2 draws of 2 rows
    assert torch.allclose(PETS.average(draws, 2), torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.75, 0.25]]))


def test_the_baseline_is_the_most_frequent_class() -> None:
    assert PETS.baseline(iter([torch.tensor([0, 2]), torch.tensor([2, 1, 2])])) == 2
    assert PETS.baseline(iter([])).shape == ()


def test_calibration_error_reads_averaged_probabilities() -> None:
    metric = PETS.metrics()["calibration_error"]
    metric.update(PETS.average(categorical([0.8, 0.1, 0.1], [0.8, 0.1, 0.1]), 1), torch.tensor([0, 1]))
    assert float(metric.compute()) == pytest.approx(0.3)  # sure by 0.8, right by 0.5


def test_the_calibration_error_is_that_of_torchmetrics_batch_by_batch() -> None:
    from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

    from mmt_attributes.calibration import ClassCalibrationError, KnownCalibrationError

    draw = torch.Generator().manual_seed(0)
    probabilities = torch.rand(500, 3, generator=draw).softmax(1)
    probabilities[:3] = torch.eye(3)
    classes = torch.randint(3, (500,), generator=draw)
    ours, theirs = ClassCalibrationError(), MulticlassCalibrationError(3, n_bins=15)
    yes, answers = torch.rand(500, generator=draw), torch.randint(2, (500,), generator=draw).float()
    yes[:2] = torch.tensor([0.0, 1.0])
    known, binary = KnownCalibrationError(single=True), BinaryCalibrationError(n_bins=15)
    for rows in torch.arange(500).split(70):
        ours.update(probabilities[rows], classes[rows])
        theirs.update(probabilities[rows], classes[rows])
        known.update(yes[rows], answers[rows])
        binary.update(yes[rows], answers[rows].long())
    assert float(ours.compute()) == pytest.approx(float(theirs.compute()), abs=1e-6)
    assert float(known.compute()) == pytest.approx(float(binary.compute()), abs=1e-6)
    several = KnownCalibrationError(single=False)  # of the same, every third unknown
    seen = torch.arange(500) % 3 > 0
    several.update(yes.reshape(250, 2), torch.stack([answers, seen.float()]).reshape(2, 250, 2).transpose(0, 1))
    binary.reset()
    binary.update(yes[seen], answers[seen].long())
    assert float(several.compute()) == pytest.approx(float(binary.compute()), abs=1e-6)
    assert sum(getattr(ours, name).numel() for name in ours._defaults) == 48  # whatever the number of rows
