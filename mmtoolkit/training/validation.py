"""The bound by which training selects weights, and weights that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.schema.train import HideOptions, TrainOptions
from mmtoolkit.training.hiding import draw_visible, visible_part

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VALIDATION_ROWS = 1000


def validation_rows(network: Network, dataset: Dataset) -> Split | None:
    """The split that selects the weights; None if the model can use none of its rows."""
    valid = dataset.splits["valid"].modelled if "valid" in dataset.splits else None
    return valid if valid is not None and network.usable(valid.present).any() else None


def check_schedule(options: TrainOptions, valid: Split | None, place: str = "train.schedule") -> None:
    """Raise if the step size is to follow validations that there are not.

    Args:
        options: how to train.
        valid: from `validation_rows`.
        place: where the schedule stands, for the error.
    """
    if options.schedule.follows_bound and valid is None:
        raise UserError(
            f"{place}: {options.schedule.kind} follows the {options.validation_measure}, and there are no usable "
            "validation rows; add some to the split valid, or choose another schedule, such as cosine"
        )


def validation_notes(options: TrainOptions, valid: Split | None, steps: int) -> list[str]:
    """Notes if options ask in vain for validation rows, or rarely look at them; `steps` is the number of all steps."""
    if valid is None and options.calibrate:
        return ["train.calibrate: there are no usable validation rows, so scales stay as training learns them"]
    if valid is None or options.validate_every is None or options.validate_every <= steps:
        return []
    return [
        f"train.validate_every is {options.validate_every:,} and training has {steps:,} steps: no validation selects "
        "the weights"
    ]


class Validation:
    """Computes the mean bound of the usable validation rows, with the same noise each time.

    Args:
        split: from `validation_rows`, on any device.
        network: any of the networks whose bound is asked for; it says which rows are usable.
        seed: of the noise and of what is hidden.
        fabric: with device and precision.
        hide: what to hide from the encoders.
    """

    def __init__(
        self, split: Split, network: Network, seed: int, fabric: Fabric, hide: HideOptions | None = None
    ) -> None:
        self.split, self.seed, self.fabric = split, seed_for("validation", seed), fabric
        self.hide = hide
        self.rows = int(network.usable(split.present).sum())

    @torch.no_grad()
    def measure(self, network: Network) -> float:
        """The bound, in nats. It leaves the network in evaluation mode."""
        network.eval()
        device = self.fabric.device
        generator = torch.Generator(device).manual_seed(self.seed)
        hiding = torch.Generator().manual_seed(seed_for("hiding", self.seed))
        total = torch.zeros((), dtype=torch.float64, device=device)
        for batch in self.split.batches(VALIDATION_ROWS, device):
            noise = torch.randn(batch.size, network.latent_dim, generator=generator, device=device)
            visible = visible_part(network, batch, self.hide, hiding)
            with self.fabric.autocast():
                bound = network.bound(batch, noise, **visible)
            total += bound[network.usable(batch.present).to(device)].double().sum()
        return float(total) / self.rows

    def visible(self, network: Network, batch: Batch, generator: torch.Generator) -> Tensor:
        """Which cells of a batch stay visible: (B, M) bool, on the host."""
        if self.hide is None:
            return batch.present
        return draw_visible(network, batch.present, self.hide, generator)


@torch.no_grad()
def broken_networks(network: Network, parameters: Mapping[str, Tensor]) -> list[str]:
    """The networks with weights that are not finite, named by their modality.

    Args:
        network: the networks.
        parameters: name -> parameter, as `named_parameters` gives them, which takes longer than to look at them.
    """
    if torch.nn.utils.get_total_norm(parameters.values(), norm_type=float("inf")).isfinite():
        return []
    networks = {"encoders": network.encoders.names, "decoders": network.decoders.names}
    texts: dict[str, None] = {}
    for name in [name for name, parameter in parameters.items() if not parameter.isfinite().all()]:
        part, place, *_ = [*name.split("."), ""]
        texts[f"the networks of {networks[part][int(place)]}" if part in networks else name] = None
    return list(texts)
