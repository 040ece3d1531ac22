"""The base classes of everything that a schema names by `kind`, and the types that they exchange."""

from mmtoolkit.base.better import Better
from mmtoolkit.components.architecture import Architecture, Conditioned, WrittenDecoder
from mmtoolkit.components.by_name import ByName
from mmtoolkit.components.component import Component, DataPath
from mmtoolkit.components.evaluator import Evaluator, Run, Scores
from mmtoolkit.components.faults import Faults
from mmtoolkit.components.form import Classes, Form, Grid, Numbers, Series, Tokens
from mmtoolkit.components.known_numbers import Entries, split_entries
from mmtoolkit.components.likelihood import Feedback, Likelihood, ScaledHead, Writer
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.model import ManyDraws, Model
from mmtoolkit.components.network import Network
from mmtoolkit.components.number_codec import NumberCodec
from mmtoolkit.components.numbers import NumberModality
from mmtoolkit.components.pairs import Pairs, plan_pairs
from mmtoolkit.components.part import Part
from mmtoolkit.components.parted import Parted
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.private import PrivateLatents, PrivateNetwork
from mmtoolkit.components.proposal import Proposal
from mmtoolkit.components.records import Records
from mmtoolkit.components.source import Columns, Source, Table
from mmtoolkit.components.supervision import Supervision
from mmtoolkit.components.symbols import lengths, stopped
from mmtoolkit.components.terms import Divergence, Step, Terms
from mmtoolkit.components.terms_network import Gradient, TermsNetwork
from mmtoolkit.components.unit import JointDistribution, Unit
from mmtoolkit.components.watcher import BasicListener, Listener, RunEnd, RunSchema, TrainingStart, Watcher
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.summary import ColumnSummary

FAMILIES: tuple[type[Component], ...] = (
    Unit,
    Architecture,
    Likelihood,
    Prior,
    Model,
    Source,
    Evaluator,
    Watcher,
)

__all__ = [
    "FAMILIES",
    "Architecture",
    "BasicListener",
    "Better",
    "ByName",
    "Cells",
    "Classes",
    "ColumnSummary",
    "Columns",
    "Component",
    "Conditioned",
    "DataPath",
    "Divergence",
    "Entries",
    "Evaluator",
    "Faults",
    "Feedback",
    "Form",
    "Gradient",
    "Grid",
    "JointDistribution",
    "Likelihood",
    "Listener",
    "ManyDraws",
    "Modality",
    "Model",
    "Network",
    "NumberCodec",
    "NumberModality",
    "Numbers",
    "Pairs",
    "Parsed",
    "Part",
    "Parted",
    "Picture",
    "Prior",
    "PrivateLatents",
    "PrivateNetwork",
    "Proposal",
    "Records",
    "Run",
    "RunEnd",
    "RunSchema",
    "ScaledHead",
    "Scores",
    "Series",
    "Source",
    "Step",
    "Supervision",
    "Table",
    "Terms",
    "TermsNetwork",
    "Tokens",
    "TrainingStart",
    "Unit",
    "Watcher",
    "Writer",
    "WrittenDecoder",
    "lengths",
    "plan_pairs",
    "split_entries",
    "stopped",
]
