"""The cache of columns knows which parts of a modality bear on the data, and keeps the others as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest
from torch import Tensor

from mmt_attributes import Label
from mmtoolkit import MLP, Form, GaussianLikelihood, LaplaceLikelihood, Likelihood, Numbers, Part
from mmtoolkit.components import Architecture, Columns, Modality, Parted, Source, Table
from mmtoolkit.data.dataset import prepare
from mmtoolkit.tables.cells import Cells


class Mine(MLP):
    """An architecture that no installed plugin has."""

    kind: Literal["mine_alone"] = "mine_alone"  # type: ignore[assignment]
    inner: Part[Architecture] = MLP()


class MyLikelihood(GaussianLikelihood):
    """A likelihood that no installed plugin has."""

    kind: Literal["my_likelihood"] = "my_likelihood"  # type: ignore[assignment]
    typical: float | None = None


class Amount(Parted):
    """A number, whose likelihood learns the largest."""

    kind: Literal["amount"] = "amount"
    gives: ClassVar[type[Form]] = Numbers
    network: Part[Architecture] = MLP()
    likelihood: Part[Likelihood] = MyLikelihood()
    others: tuple[Part[Architecture], ...] = ()

    def form(self) -> Form:
        return Numbers(1)

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def parse(self, cell: Any) -> Tensor:
        return Tensor([float(cell)])[0]

    def fit(self, chunks: Iterable[Cells]) -> Self:
        if not isinstance(self.likelihood, MyLikelihood) or self.likelihood.typical is not None:
            return self
        largest = max(cell for cells in chunks for cell in cells)
        return self.with_options(likelihood=self.likelihood.with_options(typical=largest))


class Rows(Source):
    """Rows in memory, which counts how often they were read."""

    kind: Literal["rows_in_memory"] = "rows_in_memory"
    loads: ClassVar[list[str]] = []

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def files(self) -> list[Path]:
        return []

    def load(self, split: str) -> Table:
        self.loads.append(split)
        return Columns({"label": ["b", "a", "b"], "amount": [1.0, 3.0, 2.0]})


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None:
    Rows.loads.clear()


def prepared(modality: Modality) -> tuple[Any, bool]:
    """The modality after preparation, and whether the rows were read for it."""
    Rows.loads.clear()
    modalities: Mapping[str, Modality] = {modality.kind: modality}
    data = prepare(Rows(), modalities)
    return data.modalities[modality.kind], bool(Rows.loads)


def test_another_network_or_weight_neither_parses_nor_learns_again() -> None:
    assert prepared(Label()) == (Label(classes=("a", "b")), True)
    for other in (MLP(width=3), Mine(), Mine(inner=Mine(depth=1))):
        learned, read = prepared(Label(network=other, weight=2))
        assert learned == Label(classes=("a", "b"), network=other, weight=2)
        assert learned.network is other
        assert not read
    assert prepared(Amount(others=(MLP(),)))[1]
    assert not prepared(Amount(others=(MLP(width=3),), network=Mine()))[1]


def test_another_likelihood_parses_again() -> None:
    amounts = [Amount(likelihood=likelihood) for likelihood in (GaussianLikelihood(), LaplaceLikelihood())]
    assert [prepared(amount)[1] for amount in [*amounts, *amounts]] == [True, True, False, False]


def test_what_a_part_learned_comes_from_the_cache_in_its_own_class() -> None:
    for read in (True, False):
        learned, was_read = prepared(Amount(network=Mine(width=4)))
        assert was_read is read
        assert learned.likelihood == MyLikelihood(typical=3.0)
        assert type(learned.network) is Mine


def test_options_are_changed_by_kinds_of_its_own_parts() -> None:
    amount = Amount(network=Mine(inner=Mine()))
    changed = amount.with_options(network={"kind": "mine_alone", "inner": "mine_alone"}, likelihood="gaussian")
    assert changed == Amount(network=Mine(inner=Mine()), likelihood=GaussianLikelihood())
    assert amount.with_options(weight=2).network is amount.network
    with pytest.raises(ValueError, match="mine_alone"):
        Amount().with_options(network="mine_alone")
