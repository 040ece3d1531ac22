"""Names of modalities among the options of a model."""

from __future__ import annotations

from collections.abc import Collection

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean


def known(name: str, modalities: Collection[str], option: str) -> str:
    """The name, where it is that of a modality.

    Raises:
        UserError: it is not; the line names the model's option.
    """
    if name not in modalities:
        hint = did_you_mean(name, modalities)
        raise UserError(
            f"model.{option}: there is no modality {name!r}{hint}; the modalities are {', '.join(modalities)}"
        )
    return name
