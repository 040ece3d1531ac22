"""What every component is: a frozen, validated set of options with a kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Component(BaseModel):
    """A plugin class *is* its options: a frozen pydantic model that refuses unknown keys.

    A concrete class states `kind: Literal["name"] = "name"`; the pair (family, kind) is unique. Validation, the
    JSON Schema and the saved schema come from the class alone. The docstring under a field is its description.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # `classes: [0, 1, 2]` are names
        protected_namespaces=(),
        use_attribute_docstrings=True,
        validate_default=True,
    )

    family: ClassVar[str]
    """Which of the families of components the class belongs to: modality, source, model or evaluator."""

    kind: str
    """The name by which a schema asks for this class."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Instances by which the class can be tried, as `mmt plugins check` does: small and quick, a usual one first.

        Default: the one with all defaults; none where an option has no default.
        """
        return () if any(option.is_required() for option in cls.model_fields.values()) else (cls.model_validate({}),)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    try:
        resolved = (Path(folder) / path.expanduser()).resolve()
        str(resolved).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path}: lies in a folder whose name is not UTF-8; rename that folder") from None
    except (RuntimeError, OSError) as error:  # ~name of a user who is not there, a loop of links
        raise ValueError(f"{path}: is no path here: {error}; correct it") from error
    return resolved


DataPath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a schema: relative to the schema file, kept absolute."""
