"""The character error rate of texts that are tensors of symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchmetrics.text import CharErrorRate


class CharacterErrorRate(CharErrorRate):
    """Characters to insert, delete and replace in all predictions, divided by the characters of all true texts.

    Args:
        written: the text of one value (L,).
    """

    def __init__(self, written: Callable[[Tensor], str], **options: Any) -> None:
        super().__init__(**options)
        self.written = written

    def update(self, average: Tensor, x: Tensor) -> None:  # type: ignore[override]
        """Add predictions (N, L) of true texts (N, L)."""
        super().update([self.written(value) for value in average.cpu()], [self.written(value) for value in x.cpu()])
