"""Options whose kind chooses their class among a few, and which a word stands for: `schedule: cosine`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from mmtoolkit.base.described import describe
from mmtoolkit.base.words import did_you_mean, shorten
from mmtoolkit.components.part import expanded

_LONGEST = 60  # characters of a value in a fault


class Options(NamedTuple):
    """What a kind stands for.

    Attributes:
        cls: the class of the options.
        keys: the keys that the kind has, `kind` among them.
    """

    cls: type[BaseModel]
    keys: tuple[str, ...]


class Choice:
    """Validates options by their kind; it stands in an annotation, `Annotated[Base, Choice(...)]`.

    Unlike a component, no plugin adds a kind. In a schema, a word stands for the kind with its defaults, and a mapping
    has a `kind` and options. In Python, an instance of one of the classes is taken as it is.

    Args:
        name: what the options are, in an error: `schedule`.
        kinds: gives kind -> its options. It is called when the first value is read.
    """

    def __init__(self, name: str, kinds: Callable[[], Mapping[str, Options]]) -> None:
        self.name, self.kinds = name, kinds

    def options(self, value: Any) -> Options | None:
        """What stands for a value of a schema; None if its kind is unknown or it has none."""
        mapping = expanded(value)
        return self.kinds().get(str(mapping.get("kind"))) if isinstance(mapping, dict) else None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Without a schema of its own, the serialiser writes all options of whichever class the value has.
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kinds = self.kinds()
        classes = list(dict.fromkeys(options.cls for options in kinds.values()))
        mappings = [handler(cls.__pydantic_core_schema__) for cls in classes]
        for mapping, cls in zip(mappings, classes, strict=True):
            describe(mapping, cls)
        return {"anyOf": [{"enum": list(kinds)}, *({**mapping, "required": ["kind"]} for mapping in mappings)]}

    def _validate(self, value: Any, info: ValidationInfo) -> BaseModel:
        kinds = self.kinds()
        if isinstance(value, BaseModel) and type(value) in {options.cls for options in kinds.values()}:
            return value
        names = ", ".join(kinds)
        if not isinstance(value, (str, Mapping)):
            text = (
                f"must be a kind of {self.name}, or a mapping such as {{kind: …}}, not {shorten(repr(value), _LONGEST)}"
            )
            raise fault(f"{text}; the kinds are {names}", (), value)
        options = dict(expanded(value))
        if options.get("kind") is None:
            raise fault(f"has no kind; add kind: one of {names}", (), value)
        kind = str(options["kind"])
        if kind not in kinds:
            hint = did_you_mean(kind, kinds)
            text = f"there is no {self.name} of kind {shorten(repr(kind), _LONGEST)}{hint}; the kinds are {names}"
            raise fault(text, ("kind",) if isinstance(value, Mapping) else (), value)
        return kinds[kind].cls.model_validate(options, context=info.context)


def fault(text: str, place: tuple[str, ...], value: object) -> ValidationError:
    """A fault with our text in pydantic's form.

    Args:
        text: the fault and, after a semicolon, the remedy.
        place: the keys below the value that is validated.
        value: what stands there.
    """
    kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
    return ValidationError.from_exception_data("options", [InitErrorDetails(type=kind, loc=place, input=value)])
