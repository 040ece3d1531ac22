"""The standard normal prior."""

from __future__ import annotations

from typing import Literal

from mmtoolkit.components import Prior
from mmtoolkit.core.prior import StandardNormal


class NormalPrior(Prior):
    """N(0, I). It learns nothing."""

    kind: Literal["normal"] = "normal"

    def build(self, latent_dim: int) -> StandardNormal:
        """N(0, I) over D latent variables."""
        return StandardNormal(latent_dim)
