"""The record: columns of a table that share one expert and one decoder."""

from collections.abc import Iterable

from mmt_record.record import Record
from mmtoolkit import Component, hookimpl

__all__ = ["Record"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The record."""
    return (Record,)
