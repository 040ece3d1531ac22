"""The base classes of everything that a schema names by `kind`, and the types that they exchange."""

from mmtoolkit.base.better import Better
from mmtoolkit.components.bank import Banked
from mmtoolkit.components.component import Component, DataPath
from mmtoolkit.components.evaluator import Evaluator, Run, Scores
from mmtoolkit.components.faults import Faults
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.model import Model
from mmtoolkit.components.network import ByName, Network
from mmtoolkit.components.numbers import Entries, NumberModality, split_entries
from mmtoolkit.components.part import Part
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.proposal import Proposal
from mmtoolkit.components.records import Records
from mmtoolkit.components.source import Columns, Source, Table
from mmtoolkit.components.supervision import Supervision
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.summary import ColumnSummary

FAMILIES: tuple[type[Component], ...] = (Modality, Source, Model, Prior, Evaluator)

__all__ = [
    "FAMILIES",
    "Banked",
    "Better",
    "ByName",
    "Cells",
    "ColumnSummary",
    "Columns",
    "Component",
    "DataPath",
    "Entries",
    "Evaluator",
    "Faults",
    "Modality",
    "Model",
    "Network",
    "NumberModality",
    "Parsed",
    "Part",
    "Picture",
    "Prior",
    "Proposal",
    "Records",
    "Run",
    "Scores",
    "Source",
    "Supervision",
    "Table",
    "split_entries",
]
