"""Posteriors of rows without one of the parts that z is inferred from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.components import Network, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.core.subsets import largest_supported
from mmtoolkit.using.embedding import read_by


@dataclass(frozen=True)
class Part:
    """What can be left out of a row: a modality, a record, or a column of a record.

    Attributes:
        name: of the modality, record or column.
        unit: the place of the unit that it belongs to.
        members: the modalities that go with it.
        whole: whether it is the whole unit.
    """

    name: str
    unit: int
    members: frozenset[str]
    whole: bool


def parts_of(run: Run) -> list[Part]:
    """The parts that the model can read, in schema order; a record stands before its columns."""
    model, read, parts = run.model, set(read_by(run)), []
    for place, (unit, members) in enumerate(model.members.items()):
        if not read.intersection(members):
            continue
        parts.append(Part(unit, place, frozenset(members), whole=True))
        if members != (unit,):
            parts += [Part(name, place, frozenset([name]), whole=False) for name in members]
    return parts


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The rows of a batch without one part.

    Attributes:
        part: what is left out.
        batch: the rows without it.
        q: q(z | all that a row has but the part): (B, D).
        rows: which rows have the part, (B,) bool, on the host.
        answered: which rows the model can infer z for without it, (B,) bool, on the host.
        share: the share of the part in the precision of a product of experts, (B,); None if there is no closed form.
    """

    part: Part
    batch: Batch
    q: Posterior
    rows: Tensor
    answered: Tensor
    share: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Whole:
    """The rows of a batch with all that they have.

    Attributes:
        model: infers z.
        batch: the rows.
        product: q as a product of experts; None if it is none.
        q: q(z | all that a row has): (B, D).
        informed: which rows have something to infer z from, (B,) bool, on the host.
    """

    model: Network
    batch: Batch
    product: ExpertProduct | None
    q: Posterior
    informed: Tensor

    @classmethod
    def of(cls, model: Network, batch: Batch) -> Whole:
        """Infer z for all rows, encoding each unit once."""
        product, informed = model.product(batch), model.informed(batch.present)
        q = model.infer_all(batch) if product is None else model.or_prior(product.joint, lambda: informed)
        return cls(model, batch, product, q, informed)

    def without(self, part: Part) -> LeftOut:
        """Leave out a part: of a product, its expert, or a column of the record that an expert reads."""
        model, names = self.model, set(self.model.modalities)
        rest = self.batch.only(names - part.members)
        columns = [place for place, name in enumerate(model.modalities) if name in part.members]
        rows = self.batch.present[:, columns].any(1)
        answered = is_answered(model, self.batch.present, rest.present)
        if self.product is None:
            return LeftOut(part, rest, model.infer_all(rest), rows, answered)
        if part.whole:
            joint, share = self.product.without(part.unit), self.product.shares()[part.unit]
        else:
            (unit,) = model.touched(part.members)
            others = model.product(rest.only(set(model.members[unit])))
            assert others is not None
            joint, share = self.product.replaced(part.unit, others).joint, None
        q = model.or_prior(joint, lambda: model.informed(rest.present))
        return LeftOut(part, rest, q, rows, answered, share)

    def all_without(self, parts: list[Part]) -> Iterator[LeftOut]:
        """Leave out each part that any row has, one after the other."""
        for part in parts:
            left_out = self.without(part)
            if left_out.rows.any():
                yield left_out


def is_answered(model: Network, present: Tensor, rest: Tensor) -> Tensor:
    """In which rows z can be inferred from all that remains, or does not depend on what is left out: (B,) bool.

    Nothing may remain if the model has a prior. A model that infers z from listed sets of units would otherwise drop
    more than was left out.

    Args:
        model: infers z.
        present: what the rows have, (B, M) bool, on the host.
        rest: what remains of it.
    """
    left = model.there(rest)
    subsets = model.subsets()
    if subsets is None:
        return left.any(1) | (model.prior is not None)
    readable = torch.tensor([any(unit in subset for subset in subsets) for unit in model.units])
    left = left & readable
    exact = ~left.any(1) & (model.prior is not None)
    for subset in subsets:
        exact |= (left == torch.tensor([unit in subset for unit in model.units])).all(1)
    return exact | (_read(model, model.there(present)) == _read(model, left)).all(1) & left.any(1)


def _read(model: Network, there: Tensor) -> Tensor:
    """The units of each row that the model infers z from: (B, U) bool."""
    units, read = tuple(model.units), torch.zeros_like(there)
    for subset, rows in largest_supported(there, units, units, model.subsets() or ()):
        read[rows] = torch.tensor([unit in subset for unit in units])
    return read
