"""The measure by which training selects weights where it hides cells: how well it fills these in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Network
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.schema.train import HideOptions, TrainOptions
from mmtoolkit.training.devices import resident
from mmtoolkit.training.validation import VALIDATION_ROWS, Validation, validation_rows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_DRAWS = 8


class FillingValidation(Validation):
    """Computes how well a network fills in hidden validation cells: 1 less the mean of their relative errors.

    The error of a cell is the first score of its modality, of the point of some draws of z together; of a score that
    is better high, such as an accuracy, what is missing to 1. It counts relative to the mean error of the modality's
    training mean or mode on the same cells. So 1 is perfect, and 0 is as good as the mean and mode.

    Unlike the bound, it asks for no calibrated densities: a model that fills in better and better may be surer of
    itself than it should.

    Args:
        split: from `validation_rows`, on any device.
        network: any of the networks that are measured; it says which rows are usable.
        seed: of the noise and of what is hidden.
        fabric: with device and precision.
        hide: what to hide from the encoders.
        baselines: name -> the training mean or mode of the modality, (*event).
    """

    def __init__(
        self,
        split: Split,
        network: Network,
        seed: int,
        fabric: Fabric,
        hide: HideOptions,
        baselines: Mapping[str, Tensor],
    ) -> None:
        super().__init__(split, network, seed, fabric, hide)
        self.baselines = baselines
        self._base = self._base_errors(network)

    @torch.no_grad()
    def measure(self, network: Network) -> float:
        """The measure. It leaves the network in evaluation mode."""
        network.eval()
        generator = torch.Generator(self.fabric.device).manual_seed(self.seed)
        errors: dict[str, list[Tensor]] = {}
        for batch, hidden in self._hidden(network):
            visible = batch.where(~hidden)
            with self.fabric.autocast():
                q = network.infer_all(visible)
                shape = (_DRAWS, batch.size, network.latent_dim)
                z = q.rsample(torch.randn(shape, generator=generator, device=batch.device)).flatten(0, 1)
                for name, p in network.decode(z, visible, network.targets).items():
                    modality = network.modalities[name]
                    if len(rows := _rows(batch, hidden, name)):
                        point = modality.pooled(p, _DRAWS).index_select(0, sent(rows, batch.device))
                        errors.setdefault(name, []).append(_error(modality, point, _truth(batch, hidden, name)))
        relative = [torch.cat(parts).double().cpu() / self._base[name] for name, parts in errors.items()]
        return 1 - float(torch.cat(relative).mean()) if relative else 0.0

    def _hidden(self, network: Network) -> list[tuple[Batch, Tensor]]:
        """The rows in batches, and the same cells of them each time: (B, M) bool, on the host."""
        hiding = torch.Generator().manual_seed(seed_for("hiding", self.seed))
        batches = list(self.split.batches(VALIDATION_ROWS, self.fabric.device))
        return [(batch, batch.present & ~self.visible(network, batch, hiding)) for batch in batches]

    def _base_errors(self, network: Network) -> dict[str, float]:
        """The mean error of the training mean or mode of each modality; 1 if it makes none."""
        parts: dict[str, list[Tensor]] = {}
        for batch, hidden in self._hidden(network):
            for name in network.targets:
                truth = _truth(batch, hidden, name)
                if len(truth):
                    point = self.baselines[name].to(truth.device).expand_as(truth)
                    parts.setdefault(name, []).append(_error(network.modalities[name], point, truth))
        means = {name: float(torch.cat(errors).double().mean()) for name, errors in parts.items()}
        return {name: mean or 1.0 for name, mean in means.items()}


def _rows(batch: Batch, hidden: Tensor, name: str) -> Tensor:
    """The rows whose cell of a modality is hidden: (n,) int64, on the host."""
    return hidden[:, batch.names.index(name)].nonzero().squeeze(1)


def _truth(batch: Batch, hidden: Tensor, name: str) -> Tensor:
    """The hidden values of a modality: (n, *event)."""
    places = hidden[batch.rows(name), batch.names.index(name)].nonzero().squeeze(1)
    return batch.value(name).index_select(0, sent(places, batch.device))


def _error(modality: Modality, point: Tensor, x: Tensor) -> Tensor:
    name, scores = next(iter(modality.scores(point, x).items()))
    return 1 - scores if modality.better().get(name) == "high" else scores


def validation_of(network: Network, dataset: Dataset, options: TrainOptions, fabric: Fabric) -> Validation | None:
    """What `train.select` asks for; None if the model can use no validation row."""
    if (valid := validation_rows(network, dataset)) is None:
        return None
    rows = resident(valid, fabric.device)
    if options.select == "bound" or options.hide is None:
        return Validation(rows, network, options.seed, fabric, options.hide)
    return FillingValidation(rows, network, options.seed, fabric, options.hide, dataset.baselines())
