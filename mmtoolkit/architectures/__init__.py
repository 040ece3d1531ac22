"""The architectures that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.architectures.conv import Conv
from mmtoolkit.architectures.mlp import MLP
from mmtoolkit.architectures.resnet import ResNet
from mmtoolkit.architectures.transformer import Transformer
from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl

__all__ = ["MLP", "Conv", "ResNet", "Transformer"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The architectures that ship with mmtoolkit."""
    return [MLP, Conv, ResNet, Transformer]
