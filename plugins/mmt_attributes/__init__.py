"""Modalities of labels, of binary attributes together, and of numbers."""

from collections.abc import Iterable

from mmt_attributes.attributes import Attributes
from mmt_attributes.label import Label
from mmt_attributes.numeric import Numeric
from mmtoolkit import Modality, hookimpl

__all__ = ["Attributes", "Label", "Numeric"]


@hookimpl
def mmt_components() -> Iterable[type[Modality]]:
    """Register the components of this plugin."""
    return [Attributes, Label, Numeric]
