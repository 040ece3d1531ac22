"""A normalising flow, learned with the model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.core.prior import PriorModule, StandardNormal

_START = 0.1  # how far from the identity a flow starts, as a share of zuko's own start


class FlowPrior(Prior):
    """A masked autoregressive flow: N(0, I) bent by learned monotone functions of each number, given those before it.

    It starts close to N(0, I).
    Its density is quick to compute; a draw takes D passes, one for each latent variable. It needs the package zuko:
    `pip install 'mmtoolkit[flows]'`.

    Sources: Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", NeurIPS 2017; Durkan,
    Bekasov, Murray & Papamakarios, "Neural Spline Flows", NeurIPS 2019.
    """

    kind: Literal["flow"] = "flow"

    transform: Literal["spline", "affine"] = "spline"
    """The functions: `spline` is a rational-quadratic spline from -5 to 5 and the identity beyond; `affine` scales and
    shifts."""
    transforms: Annotated[int, Field(gt=0, le=100)] = 3
    """The number of transforms, one after another, with the order of the numbers reversed in between."""
    width: Annotated[int, Field(gt=0, le=65_536)] = 64
    """The number of features of each hidden layer, of which a transform has two."""

    def build(self, latent_dim: int) -> PriorModule:
        """The flow over D latent variables.

        Raises:
            UserError: zuko is not installed.
        """
        try:
            from zuko import flows
        except ImportError:
            raise UserError(
                "model.prior: a flow needs the package zuko; install it with pip install 'mmtoolkit[flows]'"
            ) from None
        flow = {"spline": flows.NSF, "affine": flows.MAF}[self.transform]
        return Flow(latent_dim, flow(latent_dim, transforms=self.transforms, hidden_features=[self.width] * 2))


class Flow(PriorModule):
    """A flow of zuko, whose base is N(0, I).

    Args:
        latent_dim: D.
        flow: a `zuko.flows.Flow` over D features; its transform goes from z to the base.
    """

    def __init__(self, latent_dim: int, flow: Any) -> None:
        super().__init__(latent_dim)
        self.transform = flow.transform
        with torch.no_grad():
            for step in self.transform.transforms:
                # The last layer of a network, or, for a single number, the parameters themselves.
                for parameter in step.phi if latent_dim == 1 else step.hyper[-1].parameters():
                    parameter.mul_(_START)
        self.base = StandardNormal(latent_dim)

    def log_prob(self, z: Tensor) -> Tensor:
        """The base's log-density where the flow takes z, and the logarithm of the volume that it stretches: (...,)."""
        if not z.numel():  # zuko needs a row
            return z.sum(-1)
        with torch.autocast(device_type=z.device.type, enabled=False):  # it would round to half precision
            base, volume = self.transform().call_and_ladj(at_least_float32(z))
        log_prob: Tensor = self.base.log_prob(base) + volume
        return log_prob

    def sample(self, noise: Tensor) -> Tensor:
        """The inverse of the flow: (..., D)."""
        if not noise.numel():
            return noise
        with torch.autocast(device_type=noise.device.type, enabled=False):
            z: Tensor = self.transform().inv(at_least_float32(noise))
        return z
