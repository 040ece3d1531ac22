"""The base classes of everything a schema names by `kind`, and what they are handed."""

from mmtoolkit.components.component import Cells, Component, DataPath
from mmtoolkit.components.evaluator import Evaluator, Run, Scores
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.model import Model, Network
from mmtoolkit.components.source import Columns, Source, Table
from mmtoolkit.components.supervision import Supervision

FAMILIES: tuple[type[Component], ...] = (Modality, Source, Model, Evaluator)

__all__ = [
    "FAMILIES",
    "Cells",
    "Columns",
    "Component",
    "DataPath",
    "Evaluator",
    "Modality",
    "Model",
    "Network",
    "Parsed",
    "Run",
    "Scores",
    "Source",
    "Supervision",
    "Table",
]
