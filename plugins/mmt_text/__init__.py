"""The text modality of mmtoolkit, and its recurrent networks."""

from collections.abc import Iterable

from mmt_text.gru import GRU
from mmt_text.text import Text
from mmtoolkit import Component, hookimpl

__all__ = ["GRU", "Text"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """Register the components of this plugin."""
    return [GRU, Text]
