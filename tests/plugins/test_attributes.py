"""Attributes: how yes and no are written, cells there and back, what is unknown, networks of the paper, scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributions

from mmt_attributes import Attributes
from mmt_attributes.classes import word
from mmtoolkit.components import Entries, Records
from mmtoolkit.data.dataset import prepare
from rows import faults_of, parameters, refused, results, rows_of, with_garbage
from toys import EXAMPLES, bools, randn

NAN = float("nan")
FACE = Attributes(columns=("Male", "Smiling", "Bald"), values=("-1", "1"))
EIGHTEEN = Attributes(columns=tuple(f"c{k}" for k in range(18)), values=("0", "1"))


def attributes(values: list[list[float]]) -> Tensor:
    """Rows of 0, 1 and NaN where unknown, as networks read them."""
    x = torch.tensor(values)
    return torch.stack([x.nan_to_num(0), (~x.isnan()).float()], dim=1)


# How no and yes are written.


def learned(*columns: Any) -> tuple[str, str]:
    names = tuple(f"c{k}" for k in range(len(columns)))
    modality = Attributes(columns=names)
    records = Records(dict(zip(names, columns, strict=True)))
    whole = modality.fit([records])
    assert modality.fit([[row] for row in records if row is not None]) == whole  # row by row, in chunks of one
    return whole.values or ("", "")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ([1, 0, None, 1], ("0", "1")),
        (np.array([1, -1, 1]), ("-1", "1")),
        (["1", "-1"], ("-1", "1")),
        ([True, False], ("False", "True")),
        (np.array([True, False]), ("False", "True")),
        (["true", "false"], ("false", "true")),
        (["No", "Yes"], ("No", "Yes")),
        (["NO", "yes"], ("NO", "yes")),
        (["yes", "Yes", "no"], ("no", "Yes")),
        (["Y", "N"], ("N", "Y")),
        (["t", "f"], ("f", "t")),
        ([1.0, 0.0, NAN], ("0", "1")),
        (np.array([1.0, 0.0, NAN]), ("0", "1")),
        (["0.0", "1.0"], ("0", "1")),
        (["0.0", "1", " 1.0"], ("0", "1")),
        (["YES ", "no"], ("no", "YES")),
        ([1, "0", np.int8(1)], ("0", "1")),
        # Only one of the two is seen.
        ([0], ("0", "1")),
        ([-1], ("-1", "1")),
        (["YES"], ("NO", "YES")),
        (["No"], ("No", "Yes")),
        ([True], ("False", "True")),
        (["n"], ("n", "y")),
    ],
)
def test_the_spelling_is_learned(cells: Any, values: tuple[str, str]) -> None:
    assert learned(cells) == values


def test_the_spelling_is_that_of_all_columns() -> None:
    assert learned(["yes", "yes", None], [None, "no", None]) == ("no", "yes")


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (
            ["alive", "dead"],
            "the values are 'alive', 'dead', and which is no and which is yes is not plain; name them ",
        ),
        ([0, "yes"], "the values are '0', 'yes', and which is no and which is yes is not plain; name them by values: "),
        (["1", "true"], "the values are '1', 'true', and which is no and which is yes is not plain"),
        ([-1, 0, 1], "there are 3 values, '-1', '0', '1', and a binary modality has two; name them by values: "),
        (list("abcdefg"), "there are 7 values, 'a', 'b', 'c', 'd', 'e', …, and a binary modality has two; name them"),
        ([1, 1], 'the one value is \'1\', whose other may be 0 or -1; name both by values: ["0", "1"] or ["-1", "1"]'),
        (["x"], "the one value is 'x', which is no usual way to write no or yes; name them by values: [NO, YES]"),
        ([NAN], "there is no value to learn from how no and yes are written; name them by values: [NO, YES], or mend"),
    ],
)
def test_a_spelling_that_cannot_be_learned(cells: Any, text: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        learned(cells)
    assert str(raised.value).startswith(text)


def test_a_given_spelling_is_kept_and_no_cell_read() -> None:
    cells = iter([["never read"]])
    assert FACE.fit(cells) is FACE
    assert next(cells) == ["never read"]
    assert Attributes(columns=("a",), values=[0, 1]).values == ("0", "1")
    assert Attributes(columns=("a",), values=[False, True]).values == ("False", "True")


def test_what_is_learned_survives_json() -> None:
    fitted = Attributes(columns=("a", "b"), weight=3).fit([[{"a": "Yes"}, {"b": "No"}]])
    assert fitted == Attributes(columns=("a", "b"), weight=3, values=("No", "Yes"))
    assert Attributes.model_validate_json(fitted.model_dump_json()) == fitted


def test_options_that_cannot_be() -> None:
    assert refused(Attributes) == (
        "attributes needs columns; name them, as columns: [Male, Smiling], or use kind: binary"
    )
    assert refused(Attributes, column="Male").startswith("attributes needs columns")
    same = "no and yes are both written '1'; give two spellings, as values: [NO, YES]"
    assert refused(Attributes, columns=("a",), values=("1", 1)) == same


def test_a_spelling_that_is_not_known_yet() -> None:
    with pytest.raises(
        ValueError, match="how no and yes are written is not known yet; name values, or let `fit` learn"
    ):
        Attributes(columns=("a",)).parse({"a": 1})


# Cells.


@pytest.mark.parametrize("cell", [1, "1", 1.0, np.int64(1), True, "true", "YES", "y", "T", np.float32(1), np.bool_(1)])
def test_where_the_spelling_is_usual_any_usual_one_is_read(cell: Any) -> None:
    assert FACE.parse({"Male": cell}).tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("cell", [-1, "-1", False, "no", "N", "False", -1.0, "f"])
def test_a_usual_no(cell: Any) -> None:
    assert FACE.parse({"Bald": cell, "Male": 1}).tolist() == [[1, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("values", "cell"), [(("-1", "1"), 0), (("-1", "1"), "0.0"), (("0", "1"), -1), (("no", "yes"), -1)]
)
def test_the_no_of_other_data_stands_for_unknown_and_is_a_fault(values: tuple[str, str], cell: Any) -> None:
    parsed = Attributes(columns=("a", "b"), values=values).parse_column([{"a": cell, "b": values[1]}])
    assert parsed.faults == {0: "a: " + fault(cell, *values)}
    assert parsed.stored[0].tolist() == [[0, 1], [0, 1]]


def test_other_spellings_are_read_as_they_are() -> None:
    pulse = Attributes(columns=("a", "b"), values=("dead", "alive"))
    assert pulse.parse({"a": "alive", "b": "dead"}).tolist() == [[1, 0], [1, 1]]
    assert pulse.parse_column([{"a": "yes", "b": "alive"}]).faults == {0: "a: " + fault("yes", "dead", "alive")}
    reversed_ = Attributes(columns=("a",), values=("1", "0"))
    assert reversed_.parse({"a": 0}).tolist() == [[1], [1]]
    assert reversed_.parse_column([{"a": "yes"}]).faults  # it would be guessed


def fault(cell: Any, no: str = "-1", yes: str = "1") -> str:
    return f"{cell!r} is neither {no!r} nor {yes!r}; write one of these, or name others by values: [NO, YES]"


@pytest.mark.parametrize("cell", [2, "maybe", "", "01", 0.5, "nan", [1], {"x": 1}, float("inf"), 10**400])
def test_a_bad_cell_is_told_and_the_rest_of_the_row_kept(cell: Any) -> None:
    found = FACE.parse_column(Records({"Male": [cell, 1], "Smiling": [1, 1], "Bald": [None, cell]}))
    assert found.faults == {0: "Male: " + fault(cell), 1: "Bald: " + fault(cell)}
    assert found.stored.tolist() == [[[0, 1, 0], [0, 1, 0]], [[1, 1, 0], [1, 1, 0]]]
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        FACE.number(cell, 0)
    assert str(raised.value) == fault(cell)


def test_bad_cells_of_an_array() -> None:
    found = FACE.parse_column(Records({n: np.array([1, 7, -1]) for n in FACE.names}))
    assert found.present.tolist() == [True, False, True]
    assert found.faults == {1: ". ".join(f"{n}: {fault(np.int64(7))}" for n in FACE.names)}


def test_typed_text() -> None:
    assert FACE.parse(FACE.typed("{Male: 1, Bald: no}")).tolist() == [[1, 0, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match="there is no column 'Mael'; the columns are Male, Smiling, Bald"):
        FACE.parse(FACE.typed("{Mael: 1}"))


@EXAMPLES
@given(bools(3), bools(3), st.sampled_from([("-1", "1"), ("No", "Yes"), ("dead", "alive"), ("1", "0")]))
def test_a_cell_goes_there_and_back(on: Tensor, known: Tensor, values: tuple[str, str]) -> None:
    modality = FACE.model_copy(update={"values": values})
    x = torch.stack([(on & known).float(), known.float()])
    cell = modality.cell(x)
    assert cell == {n: values[int(on[k])] for k, n in enumerate(FACE.names) if known[k]}
    if known.any():
        assert torch.equal(modality.prepare(modality.parse(cell)[None], None, None)[0], x)


def test_stored_small_and_prepared_for_networks() -> None:
    stored = FACE.parse_column([{"Male": 1}, None]).stored
    assert stored.dtype == torch.uint8
    assert FACE.prepare(stored, None, None).dtype == torch.float32


def test_many_are_read_fast() -> None:
    draw = np.random.default_rng(0)
    table = {n: draw.choice([-1, 1], 46_715) for n in EIGHTEEN.names}
    start = time.process_time()
    fitted = Attributes(columns=EIGHTEEN.names).fit([Records(table)])
    found = fitted.parse_column(Records(table))
    assert time.process_time() - start < 2  # 0.05 s on an idle core
    assert torch.equal(found.stored[:, 0, 5] == 1, torch.from_numpy(table["c5"] == 1))
    words = draw.choice(["yes", "no"], 200_000).tolist()
    start = time.process_time()
    assert Attributes(columns=("a",), values=("no", "yes")).parse_column(Records({"a": words})).present.all()
    assert time.process_time() - start < 2  # 0.05 s


def test_words() -> None:
    assert [word(cell) for cell in (1, 1.0, "1", np.float64(1), True, "1.0", 0.5, " Yes")] == [
        "1", "1", "1", "1", "True", "1", "0.5", "Yes",
    ]  # fmt: skip


# Networks.

X = attributes([[1, 0, 1], [NAN, 1, 0], [0, NAN, NAN], [1, 1, NAN]]).double()


def test_networks_have_the_paper_s_size() -> None:
    assert parameters(EIGHTEEN.encoder(200)) == 377_032
    assert parameters(EIGHTEEN.encoder(200, extra=7)) == 377_032 + 7 * 512
    assert EIGHTEEN.condition_size == 18
    assert parameters(EIGHTEEN.branch(512)) == 19 * 512
    layers = (100 + 1) * 512 + 2 * 513 * 512 + 3 * 2 * 512 + 513 * 18
    assert parameters(EIGHTEEN.decoder(100)) == layers


def test_the_encoder_is_the_paper_s() -> None:
    encoder = FACE.encoder(6, extra=2).double().eval()
    c = randn(4, 2)
    state = encoder.state_dict()
    signs = torch.tensor([[1, -1, 1], [0, 1, -1], [-1, 0, 0], [1, 1, 0]], dtype=torch.float64)

    def layer(x: Tensor, linear: str, norm: str) -> Tensor:
        x = x @ state[f"{linear}.weight"].T + state[f"{linear}.bias"]
        x = (x - state[f"{norm}.running_mean"]) / (state[f"{norm}.running_var"] + 1e-5).sqrt()
        x = x * state[f"{norm}.weight"] + state[f"{norm}.bias"]
        return x * torch.sigmoid(x)

    hidden = layer(
        torch.cat([layer(signs, "network.first.0", "network.first.1"), c], 1), "network.dense.0", "network.dense.1"
    )
    expected = hidden @ state["network.dense.3.weight"].T + state["network.dense.3.bias"]
    torch.testing.assert_close(encoder(X, c), expected)
    torch.testing.assert_close(FACE.condition(X).double(), signs)


def test_the_branch_has_no_normalisation() -> None:
    branch = FACE.branch(6).double()
    expected = F.silu(
        F.linear(
            FACE.condition(X).double(), branch.get_parameter("network.0.weight"), branch.get_parameter("network.0.bias")
        )
    )
    torch.testing.assert_close(branch(X), expected)


def test_log_prob_is_the_sum_over_what_is_known() -> None:
    decoder = FACE.decoder(5).double()
    z = randn(4, 5) * 20
    p = decoder(z)
    assert (p.batch_shape, p.event_shape) == ((4,), (2, 3))
    yes = torch.sigmoid(decoder.get_submodule("network.raw")(z)[:, 0])
    expected = torch.zeros(4, dtype=torch.float64)
    for n in range(4):
        for k in range(3):
            if X[n, 1, k] == 1:
                expected[n] += (yes[n, k] if X[n, 0, k] == 1 else 1 - yes[n, k]).log()
    torch.testing.assert_close(p.log_prob(X), expected)


def test_what_stands_where_nothing_is_known_changes_nothing() -> None:
    encoder, decoder, branch = FACE.encoder(6), FACE.decoder(5), FACE.branch(6)
    z, x = randn(4, 5).float(), X.float()
    for module, run in (
        (encoder, lambda x: encoder(x)),
        (branch, lambda x: branch(x)),
        (decoder, lambda x: decoder(z).log_prob(x)),
    ):
        expected = results(module, lambda run=run: run(x))  # type: ignore[misc]
        assert len(expected) > 2
        for garbage in with_garbage(x):
            found = results(module, lambda run=run, garbage=garbage: run(garbage))  # type: ignore[misc]
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for garbage in with_garbage(x):
        assert torch.equal(FACE.condition(garbage), FACE.condition(x))


def test_unknown_differs_from_no() -> None:
    encoder = FACE.encoder(6).eval()
    unknown, no, yes = (encoder(attributes([[1, 1, value]])) for value in (NAN, 0, 1))
    assert not torch.equal(unknown, no)
    assert not torch.equal(unknown, yes)


def test_every_parameter_gets_a_gradient() -> None:
    encoder, decoder = FACE.encoder(10, extra=2), FACE.decoder(5)
    z = encoder(X.float(), randn(4, 2).float()).chunk(2, dim=1)[0]
    decoder(z).log_prob(X.float()).sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()
            assert parameter.grad.any(), name


def test_half_precision_is_raised_for_densities() -> None:
    decoder = FACE.decoder(5).bfloat16()
    assert decoder(torch.randn(4, 5, dtype=torch.bfloat16)).log_prob(X.float()).dtype == torch.float32


# Scores.


def entries(probabilities: list[list[float]]) -> Entries:
    return FACE.distribution(distributions.Bernoulli(probs=torch.tensor(probabilities), validate_args=False))


def test_the_point_is_what_is_more_probable() -> None:
    assert FACE.point(entries([[0.9, 0.4, 0.6]])).tolist() == [[[1, 0, 1], [1, 1, 1]]]
    assert FACE.point(entries([[1.0, 0.0, 0.5]])).tolist() == [[[1, 0, 0], [1, 1, 1]]]


def test_accuracy_is_the_share_of_what_is_known() -> None:
    point = attributes([[1, 1, 1], [1, 1, 1]])
    assert FACE.scores(point, attributes([[1, 0, NAN], [NAN, NAN, 1]]))["accuracy"].tolist() == [0.5, 1]


def test_probabilities_are_averaged_over_draws() -> None:
    p = entries([[0.2, 0.5, 0.9], [0.1, 0.1, 0.1], [0.4, 0.5, 0.1], [0.3, 0.1, 0.5]])  # 2 draws of 2 rows
    torch.testing.assert_close(FACE.average(p, 2), torch.tensor([[0.3, 0.5, 0.5], [0.2, 0.1, 0.3]]))


def test_the_baseline_is_what_is_more_frequent_where_known() -> None:
    chunks = [attributes([[1, 0, NAN], [NAN, 0, NAN]]), attributes([[1, 1, NAN], [0, 0, NAN]])]
    assert FACE.baseline(iter(chunks)).tolist() == [[1, 0, 0], [1, 1, 1]]


def test_calibration_reads_what_is_known() -> None:
    metric = FACE.metrics()["calibration_error"]
    metric.update(torch.tensor([[0.8, 0.3, 0.1], [0.8, 0.9, 0.9]]), attributes([[1, NAN, NAN], [0, NAN, NAN]]))
    assert float(metric.compute()) == pytest.approx(0.3)  # 0.8 said, 0.5 so
    metric.update(torch.tensor([[0.0, 1.0, 0.1]]), attributes([[0, 1, NAN]]))
    assert float(metric.compute()) == pytest.approx(0.15)


def test_text_names_what_is_on() -> None:
    assert FACE.text(attributes([[1, 1, 0]])[0]) == "Male, Smiling"
    assert FACE.text(attributes([[0, NAN, 0]])[0]) == "none"
    assert FACE.text(torch.tensor([[1.0, 1, 1], [1, 0, 1]])) == "Male, Bald"


# From a source.


def test_a_source_of_attributes(own_cache: Path) -> None:
    table = {"Male": ["yes", None, "no", None], "Smiling": [None, "no", "YES?", None]}
    modality = Attributes(columns=("Male", "Smiling"), values=("no", "yes"))
    assert faults_of(rows_of(table), face=modality) == [
        f"train row 2, columns Male, Smiling: Smiling: {fault('YES?', 'no', 'yes')}; mend the cell, list it "
        "in missing if it means a missing cell, or set data.on_bad_cell to missing"
    ]
    train = prepare(rows_of(table, on_bad_cell="missing"), {"face": modality}).split("train")
    assert train.present[:, 0].tolist() == [True, True, True, False]
    (x,) = train.values("face")
    assert torch.equal(x, attributes([[1, NAN], [NAN, 0], [0, NAN]]))


def test_what_a_source_cannot_teach(own_cache: Path) -> None:
    (line,) = faults_of(rows_of({"a": ["x", "y"]}), face=Attributes(columns=("a",)))
    assert line == (
        "modalities.face: cannot learn from column a: the values are 'x', 'y', and which is no and which is yes is "
        "not plain; name them by values: [NO, YES], or use kind: label"
    )
    learned = prepare(rows_of({"a": [1, -1], "b": [None, 1]}), {"face": Attributes(columns=("a", "b"))})
    assert learned.modalities["face"] == Attributes(columns=("a", "b"), values=("-1", "1"))
