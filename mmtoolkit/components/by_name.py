"""One network for each unit, under any name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


class ByName(nn.ModuleList):
    """One network for each unit, stored by position, so that a unit may have any name.

    Args:
        modules: name of the unit -> its network, in schema order.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(modules.values())
        self.names = tuple(modules)
        self._places = {name: str(place) for place, name in enumerate(modules)}

    def of(self, name: str) -> nn.Module:
        """The network of a unit."""
        network = self._modules[self._places[name]]  # many times quicker than by an index
        assert network is not None
        return network
