"""Choose the modality that reads each column of a table: the kind that is surest of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from mmtoolkit.base.words import error_with_class, one_line
from mmtoolkit.components import ColumnSummary, Modality, Proposal, Unit
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.first_schema.look import Markers
from mmtoolkit.first_schema.remarks import remarks_on

_MOST = 32  # modalities; every one is an expert with networks of its own

Report = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """The modality chosen for a column.

    Attributes:
        column: its summary.
        kind: of the modality; None if no modality can read it.
        proposal: the options of the modality, and the reason.
        gathered_by: the kind of record that can have it as a column; None if it stands for itself.
    """

    column: ColumnSummary
    kind: str | None
    proposal: Proposal
    gathered_by: str | None = None

    @property
    def name(self) -> str:
        """That of the column and of the modality."""
        return self.column.name

    @property
    def about(self) -> str:
        """What its comment says: the reason, then the remarks."""
        return "; ".join([self.proposal.about, *self.proposal.remarks])

    @property
    def missing(self) -> float:
        """The share of missing cells."""
        return self.column.missing / max(self.column.rows, 1)

    @property
    def gathered(self) -> bool:
        """Whether the schema has it as a column of a record."""
        return self.used and self.gathered_by is not None

    @property
    def used(self) -> bool:
        """Whether the schema uses the modality."""
        return self.kind is not None and self.proposal.use

    def leave_out(self, why: str) -> Choice:
        """The same choice, but the schema leaves it out."""
        return replace(self, proposal=replace(self.proposal, about=why, use=False))


def choose(
    columns: Sequence[ColumnSummary], copies: Mapping[str, str], markers: Markers, plugins: Plugins, report: Report
) -> list[Choice]:
    """Choose a modality for each column.

    Args:
        columns: their summaries.
        copies: column -> an earlier column with the same cells.
        markers: texts that mean a missing cell; the summaries are without them.
        plugins: their modalities propose how to read a column.
        report: receives a line for each plugin that fails.
    """
    kinds = _proposing_kinds(plugins)
    records = {
        kind: cls
        for kind, cls in plugins.of_family("modality").items()
        if issubclass(cls, Unit) and "gathers" in vars(cls)
    }
    choices = [_choose_one(column, kinds, records, report) for column in columns]
    choices = [c.leave_out(f"equals column {copies[c.name]} in every row") if c.name in copies else c for c in choices]

    def read(column: ColumnSummary) -> dict[str, Any] | None:
        choice = _choose_one(column, kinds, records, lambda line: None)
        return {"kind": choice.kind, **choice.proposal.options} if choice.used else None

    choices = [_with_remarks(choice, markers, read) for choice in choices]
    used = [choice for choice in choices if choice.used and not choice.gathered_by]
    beyond = {choice.name for choice in used[_MOST:]}
    why = f"{len(used)} modalities are possible, and the first {_MOST} are enough to begin with: "
    choices = [c.leave_out(why + c.proposal.about) if c.name in beyond else c for c in choices]
    # A record of one column has nothing to join.
    alone = sum(choice.gathered for choice in choices) < 2
    return [replace(choice, gathered_by=None) for choice in choices] if alone else choices


def _proposing_kinds(plugins: Plugins) -> dict[str, type[Modality]]:
    """The kinds whose class defines `propose` itself.

    A class that inherits `propose` would be as sure as its parent, and the order in which plugins load would decide
    between the two.
    """
    modalities = plugins.of_family("modality").items()
    return {kind: cls for kind, cls in modalities if issubclass(cls, Modality) and "propose" in vars(cls)}


def _choose_one(
    column: ColumnSummary, kinds: Mapping[str, type[Modality]], records: Mapping[str, type[Unit]], report: Report
) -> Choice:
    if why := _no_information(column):
        return Choice(column, None, Proposal(1.0, {}, why, use=False))
    proposals: dict[str, Proposal] = {}
    modalities: dict[str, Modality] = {}
    for kind, cls in kinds.items():
        try:
            proposal = cls.propose(column)
            if proposal is not None:
                modalities[kind] = cls.model_validate(dict(proposal.options))
                proposals[kind] = proposal
        except Exception as error:  # one broken plugin must not stop the others
            report(_plugin_fault(kind, column.name, error))
    if not proposals:
        why = f"no modality can read it ({_types(column)})"
        return Choice(column, None, Proposal(0.0, {}, why, use=False))
    kind = max(proposals, key=lambda kind: proposals[kind].sure)
    gathered_by = next((record for record, cls in records.items() if cls.gathers(modalities[kind])), None)
    return Choice(column, kind, proposals[kind], gathered_by)


def _types(column: ColumnSummary) -> str:
    """The type of a column's cells with examples; and a cell of another type, with its row."""
    types: Counter[type] = Counter()
    for cell, count in zip(column.cells, column.counts, strict=True):
        types[type(cell)] += count
    usual = max(types, key=lambda kind: types[kind])
    examples = [column.example(cell) for cell in column.cells if type(cell) is usual]
    listed = f"{usual.__name__}: {', '.join(examples[:2])}{', …' if len(examples) > 2 else ''}"
    odd = next((place for place, cell in enumerate(column.cells) if type(cell) is not usual), None)
    if odd is None:
        return listed
    cell, where = column.cells[odd], f"row {column.first_rows[odd] + 1} has " if column.first_rows else ""
    return f"{listed}; but {where}the {type(cell).__name__} {column.example(cell)}"


def _plugin_fault(kind: str, column: str, error: Exception) -> str:
    text = one_line(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else error_with_class(error)
    return f"the modality {kind} cannot propose how to read column {column}: {text}; mend its plugin"


def _no_information(column: ColumnSummary) -> str:
    """Why a model can learn nothing from a column, whatever its modality; empty if it may learn something."""
    if not column.name:
        return "has no name; to use it, name it in the head of the table"
    if not column.cells:
        return "all cells are missing"
    if len(column.cells) == 1 and not column.more:
        return f"has only one value, {column.example(column.cells[0])}"
    return ""


def _with_remarks(choice: Choice, markers: Markers, read: Callable[[ColumnSummary], dict[str, Any] | None]) -> Choice:
    entry = {"kind": choice.kind, **choice.proposal.options} if choice.used else None
    remarks = (*choice.proposal.remarks, *remarks_on(choice.column, entry, markers, read))
    return replace(choice, proposal=replace(choice.proposal, remarks=remarks))
