"""Options that are components themselves: `prior: Part[Prior] = NormalPrior()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from mmtoolkit.components.component import Component

if TYPE_CHECKING:
    from mmtoolkit.components.plugins import Plugins

F = TypeVar("F", bound=Component)

MISSING, UNKNOWN, TYPE = "part_missing", "part_unknown", "part_type"
"""The types of a part's own faults: it has no kind, its kind is unknown, it is no component of the family at all."""

FAMILY_KEY = "x-family"
"""The key of a JSON Schema that stands for any component of a family."""


class PartOf:
    """Validates a component of a family; `Part[Family]` puts it into an annotation.

    The classes to choose from are those of the validation context, `context={"plugins": Plugins}`; without it, those
    that are installed. Those of the components in `context={"own": [...]}` go before them.

    Args:
        family: the base class of the family.
    """

    def __init__(self, family: type[Component]) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Without a schema of its own, the serialiser writes all options of whichever class the part has.
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {FAMILY_KEY: self.family.family}

    def _validate(self, value: Any, info: ValidationInfo) -> Component:
        if isinstance(value, self.family):
            return value
        if isinstance(value, Component):
            raise self._fault(TYPE, "must be of the family {family}, not " + value.family, value)
        if not isinstance(value, (str, Mapping)):
            raise self._fault(TYPE, "must be a kind of {family}, or a mapping such as {kind: …}", value)
        plugins = self._plugins(info)
        kinds = {**plugins.of_family(self.family.family), **self._own(info)}
        names = ", ".join(kinds) or "none"
        options = expanded(value)
        if options.get("kind") is None:
            raise self._fault(MISSING, "has no kind; add kind: one of {kinds}", value, kinds=names)
        kind = str(options["kind"])
        if kind not in kinds:
            place = ("kind",) if isinstance(value, Mapping) else ()
            text = "there is no {family} of kind {kind}; the kinds are {kinds}"
            raise self._fault(UNKNOWN, text, value, place, kind=kind, kinds=names)
        cls = kinds[kind]
        return cls.model_validate(options, context={**(info.context or {}), "plugins": plugins})

    def _own(self, info: ValidationInfo) -> dict[str, type[Component]]:
        """Kind -> class of the parts that the component has already, which may come from a file."""
        own: Sequence[Component] = (info.context or {}).get("own", ())
        return {part.kind: type(part) for part in own if part.family == self.family.family}

    def _plugins(self, info: ValidationInfo) -> Plugins:
        plugins: Plugins | None = (info.context or {}).get("plugins")
        if plugins is None:
            from mmtoolkit.components.plugins import load_plugins  # it imports the families, and they import this

            plugins = load_plugins()
        return plugins

    def _fault(self, fault: Any, text: Any, value: Any, place: tuple[str, ...] = (), **facts: str) -> ValidationError:
        """A fault in pydantic's form, whose context holds the family beside the facts."""
        error = PydanticCustomError(fault, text, {"family": self.family.family, **facts})
        return ValidationError.from_exception_data(
            self.family.__name__, [InitErrorDetails(type=error, loc=place, input=value)]
        )


if TYPE_CHECKING:
    Part = Annotated[F, "a component of the family F"]
else:

    class Part:
        """The annotation of an option that is a component: `prior: Part[Prior] = NormalPrior()`.

        In a schema, a word stands for the kind with its defaults (`prior: mixture`), and a mapping has a `kind` and
        options. In Python, an instance of the family is taken as it is. The saved schema lists all options.
        """

        def __class_getitem__(cls, family: type[F]) -> Any:
            """The annotation for a family, which its base class stands for."""
            return Annotated[family, PartOf(family)]


def expanded(value: Any) -> Any:
    """A part with its kind in a mapping: the word `mixture` becomes {kind: mixture}; all else is returned as it is."""
    return {"kind": value} if isinstance(value, str) else value


def family_of(annotation: Any) -> str | None:
    """The family of the component that an annotation asks for; None if it asks for none."""
    if get_origin(annotation) is Annotated:
        return next((mark.family.family for mark in annotation.__metadata__ if isinstance(mark, PartOf)), None)
    return next((family for inner in get_args(annotation) if (family := family_of(inner))), None)
