"""Modalities of labels, of binary attributes together, of numbers, counts, dates and times of day."""

from collections.abc import Iterable

from mmt_attributes.attributes import Attributes
from mmt_attributes.count import Count
from mmt_attributes.date import Date
from mmt_attributes.label import Label
from mmt_attributes.numeric import Numeric
from mmt_attributes.ordinal import Ordinal
from mmt_attributes.time_of_day import TimeOfDay
from mmtoolkit import Modality, hookimpl

__all__ = ["Attributes", "Count", "Date", "Label", "Numeric", "Ordinal", "TimeOfDay"]


@hookimpl
def mmt_components() -> Iterable[type[Modality]]:
    """Register the components of this plugin."""
    return [Attributes, Count, Date, Label, Numeric, Ordinal, TimeOfDay]
