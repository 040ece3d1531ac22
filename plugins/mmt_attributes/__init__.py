"""Modalities of vectors and labels."""

from collections.abc import Iterable

from mmt_attributes.label import Label
from mmtoolkit.hookspecs import hookimpl

__all__ = ["Label"]


@hookimpl
def mmt_components() -> Iterable[type[Label]]:
    """Register the components of this plugin."""
    return [Label]
