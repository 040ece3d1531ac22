"""The calibration of probabilities of yes; a module of its own, as torchmetrics takes seconds to import."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.classification import BinaryCalibrationError

from mmtoolkit.components import split_entries


class KnownCalibrationError(BinaryCalibrationError):
    """The expected calibration error of what is known, taken together (Guo et al. 2017)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Probabilities of yes, (N,) or (N, K), and values, (N,) or (N, 2, K)."""
        values, known = split_entries(target)
        super().update(preds.reshape(values.shape)[known], values[known].long())
