"""The image modality of mmtoolkit."""

from collections.abc import Iterable

from mmt_image.image import Image
from mmtoolkit import hookimpl

__all__ = ["Image"]


@hookimpl
def mmt_components() -> Iterable[type[Image]]:
    """Register the components of this plugin."""
    return [Image]
