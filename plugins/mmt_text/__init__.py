"""The text modality of mmtoolkit."""

from collections.abc import Iterable

from mmt_text.text import Text
from mmtoolkit import hookimpl

__all__ = ["Text"]


@hookimpl
def mmt_components() -> Iterable[type[Text]]:
    """Register the components of this plugin."""
    return [Text]
