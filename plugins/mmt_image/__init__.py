"""The image modality of mmtoolkit, and its convolutions."""

from collections.abc import Iterable

from mmt_image.dcgan import DCGAN
from mmt_image.image import Image
from mmtoolkit import Component, hookimpl

__all__ = ["DCGAN", "Image"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """Register the components of this plugin."""
    return [DCGAN, Image]
