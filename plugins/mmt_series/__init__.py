"""The modality of time series."""

from collections.abc import Iterable

from mmt_series.series import SeriesModality
from mmtoolkit import Component, hookimpl

__all__ = ["SeriesModality"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """Register the components of this plugin."""
    return [SeriesModality]
