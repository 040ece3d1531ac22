"""Check a component class with its own example instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import find_data_set
from mmtoolkit.components import Architecture, Component, Likelihood, Prior, Source, Watcher
from mmtoolkit.testing import examine
from mmtoolkit.testing.forms import forms_read, forms_scored
from mmtoolkit.testing.promises import Outcome, error_fault


@dataclass(frozen=True)
class Trial:
    """An example of a component with the outcome of each promise.

    Attributes:
        cls: the component's class.
        options: the example's options that differ from the defaults, as JSON writes them.
        outcomes: one for each promise; each check runs when its outcome is requested.
        untried: why the example was not checked; empty if it was.
    """

    cls: type[Component]
    options: dict[str, Any]
    outcomes: Iterable[Outcome]
    untried: str = ""

    @property
    def title(self) -> str:
        """`modality image (mmt_image.image.Image), shape: [1, 8, 8]`."""
        name = f"{self.cls.family} {_kind(self.cls)} ({self.cls.__module__}.{self.cls.__qualname__})"
        return ", ".join([name, *(f"{option}: {value}" for option, value in self.options.items())])

    def document(self) -> dict[str, Any]:
        """The trial as plain data."""
        promises = [{"promise": outcome.promise, "faults": list(outcome.faults)} for outcome in self.outcomes]
        return {
            "family": self.cls.family,
            "kind": _kind(self.cls),
            "options": self.options,
            "promises": promises,
            "untried": self.untried or None,
        }


def try_examples(cls: type[Component]) -> Iterator[Trial]:
    """Check each instance that `examples` returns."""
    try:
        examples = list(cls.examples())
    except Exception as error:
        promise = "examples returns instances to check the class with"
        yield Trial(cls, {}, [Outcome(promise, (error_fault(error, f"examples: {promise}"),))])
        return
    if not examples:
        yield Trial(cls, {}, [], "it has no examples, as an option has no default; write `examples` to have it checked")
    for example in examples:
        options = example.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
        try:
            located = _with_data(example) if isinstance(example, Source) else example
            if (untried := _formless(example)) is not None:
                raise UserError(untried)
            if isinstance(example, Prior):  # these raise if a package that they need is not installed
                example.build(1)
            if isinstance(example, Watcher):
                example.build()
        except UserError as error:
            yield Trial(cls, options, [], str(error))
            continue
        yield Trial(cls, options, examine(located))


def _formless(example: Component) -> str | None:
    """Why the kit has no form for an architecture or a likelihood; None if it has, or needs none."""
    if isinstance(example, Architecture) and not forms_read(example):
        return "it reads none of the kit's own forms; pass yours to check_architecture in a test"
    if isinstance(example, Likelihood) and not forms_scored(example):
        return "it scores none of the kit's own forms; pass yours to check_likelihood in a test"
    return None


def _with_data(source: Source) -> Source:
    """The source with its folder filled in.

    Raises:
        UserError: its data is not on this machine.
    """
    located = source.located(find_data_set)
    located.load(located.splits()[0])
    return located


def _kind(cls: type[Component]) -> str:
    return str(cls.model_fields["kind"].default)
