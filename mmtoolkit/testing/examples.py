"""Trying a class by the instances that it gives of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import find_data_set
from mmtoolkit.components import Component, Source
from mmtoolkit.testing import examine
from mmtoolkit.testing.promises import Outcome, raised


@dataclass(frozen=True)
class Trial:
    """A component tried.

    Attributes:
        cls: its class.
        options: those of the instance that differ from the defaults, as they are written in JSON.
        outcomes: one for each promise, each tried when it is asked for.
        untried: why there are none, where there are none.
    """

    cls: type[Component]
    options: dict[str, Any]
    outcomes: Iterable[Outcome]
    untried: str = ""

    @property
    def title(self) -> str:
        """`modality image (mmt_image.image.Image), shape: [1, 8, 8]`."""
        said = f"{self.cls.family} {_kind(self.cls)} ({self.cls.__module__}.{self.cls.__qualname__})"
        return ", ".join([said, *(f"{name}: {value}" for name, value in self.options.items())])

    def document(self) -> dict[str, Any]:
        """The same as plain data."""
        promises = [{"promise": outcome.promise, "faults": list(outcome.faults)} for outcome in self.outcomes]
        said = {"family": self.cls.family, "kind": _kind(self.cls), "options": self.options, "promises": promises}
        return {**said, "untried": self.untried or None}


def tried(cls: type[Component]) -> Iterator[Trial]:
    """Each instance that `examples` gives, tried against all that it promises."""
    try:
        examples = list(cls.examples())
    except Exception as error:
        promise = "examples gives instances to try the class with"
        yield Trial(cls, {}, [Outcome(promise, (raised(error, f"examples: {promise}"),))])
        return
    if not examples:
        yield Trial(cls, {}, [], "it has no examples, as an option has no default; write `examples` to have it tried")
    for example in examples:
        options = example.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
        try:
            here = _with_data(example) if isinstance(example, Source) else example
        except UserError as error:
            yield Trial(cls, options, [], str(error))
            continue
        yield Trial(cls, options, examine(here))


def _with_data(source: Source) -> Source:
    """The source with its data found.

    Raises:
        UserError: it is not here.
    """
    here = source.located(find_data_set)
    here.load(here.splits()[0])
    return here


def _kind(cls: type[Component]) -> str:
    return str(cls.model_fields["kind"].default)
