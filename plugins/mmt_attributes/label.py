"""The label modality: one of K classes."""

from __future__ import annotations

from typing import ClassVar, Literal

from mmt_attributes.one_of_classes import OneOfClasses
from mmt_attributes.proposals import label_proposal
from mmt_attributes.spellings import Spellings
from mmtoolkit import CategoricalLikelihood, ColumnSummary, Likelihood, Part, Proposal


class Label(OneOfClasses):
    """One of K classes.

    A cell is the name of a class; numbers are names too. A cell that is not exactly a name may differ from one in
    spaces at the ends, doubled spaces, Unicode's form, or as 1.0 from 1, and in case where one name alone fits. The
    networks are those of the labels of MNIST in Wu & Goodman 2018, section 4.1: an embedding of 512 and a two-layer
    MLP.
    """

    kind: Literal["label"] = "label"
    called: ClassVar[str] = "a label"

    likelihood: Part[Likelihood] = CategoricalLikelihood()
    """The distribution of the class given z."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, in order. By default learned from the training cells, and sorted: yes, Yes and YES are
    one class, and so are all words of three letters or more that differ in lower case, Title Case and UPPER CASE alone;
    Aa and aa are two. List spellings to keep them apart, or one of them to join them."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of few distinct cells. It lists all classes: training rows may lack a rare one."""
        spellings = Spellings()
        spellings.add(zip(column.cells, column.counts, strict=True))
        return label_proposal(column, spellings)
