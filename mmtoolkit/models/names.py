"""Names of modalities among the options of a model."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from mmtoolkit.base.errors import UserError


def known(name: str, modalities: Collection[str], option: str) -> str:
    """The name, where it is that of a modality.

    Raises:
        UserError: it is not; the line names the model's option.
    """
    if name not in modalities:
        close = get_close_matches(name, list(modalities), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(
            f"model.{option}: there is no modality {name!r}{hint}; the modalities are {', '.join(modalities)}"
        )
    return name
