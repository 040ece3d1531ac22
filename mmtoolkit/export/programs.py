"""The programs that an export holds: q(z | what is present), and the decoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtoolkit.components import Network
from mmtoolkit.export.families import Family, family_of
from mmtoolkit.export.slots import Slot, free_name

Tensors = dict[str, Tensor]


class Program(nn.Module, ABC):
    """A module of tensors alone, for any number of rows B.

    Args:
        network: in evaluation mode, on the host.
        slots: name -> slot of each modality of the network.

    Attributes:
        inputs: the tensors that it reads, in order.
    """

    inputs: Sequence[Slot]

    def __init__(self, network: Network, slots: Mapping[str, Slot]) -> None:
        super().__init__()
        self.network = network
        self.slots = dict(slots)
        self.mask = Slot(free_name("present", slots), (len(slots),), torch.bool)

    @abstractmethod
    def computed(self, *tensors: Tensor) -> Tensors:
        """What the program is for, name -> (B, ...), of `inputs` (B, *shape)."""

    def forward(self, *tensors: Tensor) -> Tensors:
        """What is computed, by names that no input has: in ONNX these would be one tensor."""
        return {self.output(name): x for name, x in self.computed(*tensors).items()}

    def output(self, name: str) -> str:
        """The name of an output."""
        return free_name(name, [slot.name for slot in self.inputs])

    def values_of(self, names: Iterable[str], tensors: Sequence[Tensor], present: Tensor) -> tuple[Tensors, Tensor]:
        """What the units of some modalities read, (B, *event), and which units are there, (B, U)."""
        whole = self.network.whole_values(dict(zip(names, tensors, strict=True)), present)
        return whole, self.network.there(present)


class PosteriorProgram(Program):
    """q(z | what is present of some modalities).

    Args:
        network: in evaluation mode, on the host.
        slots: name -> slot of each modality of the network.
        units: whose modalities it reads; by default all that the network infers z from.
    """

    read: Tensor
    prior_mean: Tensor
    prior_variance: Tensor

    def __init__(self, network: Network, slots: Mapping[str, Slot], units: Iterable[str] | None = None) -> None:
        super().__init__(network, slots)
        self.names = network.flat(_read_units(network) if units is None else tuple(units))
        self.inputs = [*(self.slots[name] for name in self.names), self.mask]
        self.places = {name: place for place, name in enumerate(network.modalities)}
        # What the mask says of other modalities counts for nothing.
        self.register_buffer("read", torch.tensor([name in self.names for name in network.modalities]))
        # Some priors compute their moments from draws, which is no part of a program.
        prior = network.prior
        self.has_prior = prior is not None
        for of in ("mean", "variance"):
            with torch.no_grad():
                moment = torch.zeros(network.latent_dim) if prior is None else getattr(prior, of).clone()
            self.register_buffer(f"prior_{of}", moment)

    def computed(self, *tensors: Tensor) -> Tensors:
        """Mean, variance and point of q (B, D), which rows are informed (B,), and what its family has besides."""
        *values, present = tensors
        present = present & self.read
        q = self.network.posterior_of_values(*self.values_of(self.names, values, present))
        informed = self.network.told(present, self.names)
        _, further = family_of(q)
        moments = {"mean": q.mean, "variance": q.variance, "point": q.point}
        if self.has_prior:
            rows = informed.unsqueeze(1)
            of_prior = {"mean": self.prior_mean, "variance": self.prior_variance, "point": self.prior_mean}
            moments = {name: torch.where(rows, x, of_prior[name]) for name, x in moments.items()}
        return {**moments, "informed": informed, **further}

    @torch.no_grad()
    def family(self) -> Family:
        """The family of q in JSON."""
        *values, present = (slot.zeros(1) for slot in self.inputs)
        return family_of(self.network.posterior_of_values(*self.values_of(self.names, values, present)))[0]


class DecoderProgram(Program):
    """p(unit | z): its parameters and its point, for each modality of the unit.

    Args:
        network: in evaluation mode, on the host.
        slots: name -> slot of each modality of the network.
        unit: with a decoder.
    """

    def __init__(self, network: Network, slots: Mapping[str, Slot], unit: str) -> None:
        super().__init__(network, slots)
        self.unit = unit
        self.members = network.members[unit]
        self.stepwise = tuple(name for name in self.members if network.modalities[name].stepwise)
        self.conditions = network.conditions
        self.inputs = [
            Slot(free_name("z", slots), (network.latent_dim,), torch.float32),
            *(self.slots[name] for name in self.stepwise),
            *((*(self.slots[name] for name in self.conditions), self.mask) if self.conditions else ()),
        ]

    def computed(self, *tensors: Tensor) -> Tensors:
        """The parameters and points: NAME of a modality, COLUMN.NAME of the columns of a record."""
        z, *others = tensors
        steps = dict(zip(self.stepwise, others, strict=False))
        whole: Tensors = {}
        there = torch.zeros(z.shape[0], len(self.network.units), dtype=torch.bool)
        if self.conditions:
            *values, present = others[len(steps) :]
            whole, there = self.values_of(self.conditions, values, present)
        p = self.network.distribution_of_values(self.unit, z, whole, there)
        outputs: Tensors = {}
        for name, own in self.network.columns(self.unit, p, self.members).items():
            tensors_of = self.network.modalities[name].exported(own, steps.get(name))
            prefix = "" if self.members == (self.unit,) else f"{name}."
            outputs |= {f"{prefix}{key}": value for key, value in tensors_of.items()}
        return outputs


def _read_units(network: Network) -> tuple[str, ...]:
    """The units that z can be inferred from, in schema order."""
    subsets = network.subsets()
    names = set(network.encoders.names) if subsets is None else {unit for subset in subsets for unit in subset}
    return tuple(unit for unit in network.units if unit in names)
