"""Which modality reads a column: the kind that is surest of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from mmtoolkit.base.words import error_with_class, one_line
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.components import ColumnSummary, Modality, Proposal

_MOST = 32  # modalities; every one is an expert with networks of its own

Report = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What becomes of a column, or of several together.

    Attributes:
        name: of the modality.
        columns: what was seen of the columns that it reads.
        kind: of the modality; None where none can read them.
        proposal: its options, and why.
    """

    name: str
    columns: tuple[ColumnSummary, ...]
    kind: str | None
    proposal: Proposal

    @property
    def used(self) -> bool:
        """Whether the schema reads it."""
        return self.kind is not None and self.proposal.use

    def left_out(self, why: str) -> Choice:
        """The same, left out after all."""
        return replace(self, proposal=replace(self.proposal, about=why, use=False))


def choose(
    columns: Sequence[ColumnSummary], copies: Mapping[str, str], plugins: Plugins, report: Report
) -> list[Choice]:
    """What becomes of each column.

    Args:
        columns: what was seen of them.
        copies: columns that are the same as another -> that one.
        plugins: the kinds that are asked.
        report: told of a plugin that does not work.
    """
    kinds = _kinds(plugins)
    choices = [_chosen(column, kinds, report) for column in columns]
    choices = [c.left_out(f"the same as {copies[c.name]} in every row") if c.name in copies else c for c in choices]
    for kind, cls in kinds.items():
        choices = _together(choices, kind, cls, report)
    used = [choice for choice in choices if choice.used]
    beyond = {choice.name for choice in used[_MOST:]}
    why = f"there are {len(used)} such columns, and the first {_MOST} are enough to begin with: "
    return [c.left_out(why + c.proposal.about) if c.name in beyond else c for c in choices]


def _kinds(plugins: Plugins) -> dict[str, type[Modality]]:
    """The kinds that take part: those whose class defines `propose` itself.

    By an inherited one a class would be as sure as its parent, and which of the two reads a column would depend on
    the order in which plugins are loaded.
    """
    modalities = plugins.of_family("modality").items()
    return {kind: cls for kind, cls in modalities if issubclass(cls, Modality) and "propose" in vars(cls)}


def _chosen(column: ColumnSummary, kinds: Mapping[str, type[Modality]], report: Report) -> Choice:
    if why := _nothing_in(column):
        return Choice(column.name, (column,), None, Proposal(1.0, {}, why, use=False))
    proposals: dict[str, Proposal] = {}
    for kind, cls in kinds.items():
        try:
            found = cls.propose(column)
            if found is not None:
                cls.model_validate(dict(found.options))
                proposals[kind] = found
        except Exception as error:  # one broken plugin shall not stop the others
            report(_broken(kind, column.name, error))
    if not proposals:
        held = type(column.cells[0]).__name__
        why = f"no kind of modality reads it ({held}: {column.examples(2)})"
        return Choice(column.name, (column,), None, Proposal(0.0, {}, why, use=False))
    kind = max(proposals, key=lambda kind: proposals[kind].sure)
    return Choice(column.name, (column,), kind, proposals[kind])


def _broken(kind: str, column: str, error: Exception) -> str:
    text = one_line(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else error_with_class(error)
    return f"the modality {kind} cannot propose to read column {column}: {text}; mend its plugin"


def _nothing_in(column: ColumnSummary) -> str:
    """Why a column says nothing, whoever reads it; empty where it may say something."""
    if not column.name:
        return "it has no name; name it in the head to use it"
    if not column.cells:
        return "all of its cells are missing"
    if len(column.cells) == 1 and not column.more:
        return f"holds one value alone, {column.example(column.cells[0])}"
    return ""


def _together(choices: Sequence[Choice], kind: str, cls: type[Modality], report: Report) -> list[Choice]:
    """The choices, those of a kind as one where it proposes that."""
    alike = [choice for choice in choices if choice.used and choice.kind == kind]
    if len(alike) < 2:
        return list(choices)
    columns = tuple(column for choice in alike for column in choice.columns)
    try:
        proposal = cls.propose_together(columns)
        if proposal is None:
            return list(choices)
        cls.model_validate(dict(proposal.options))
    except Exception as error:
        report(_broken(kind, columns[0].name, error))
        return list(choices)
    taken = {choice.name for choice in alike}
    name = _free_name(f"{kind}s", {choice.name for choice in choices})
    joined = Choice(name, columns, kind, proposal)
    first = next(place for place, choice in enumerate(choices) if choice.name in taken)
    rest = [choice for choice in choices if choice.name not in taken]
    return [*rest[:first], joined, *rest[first:]]


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
