"""Proposals for importance sampling that are refined for each row by gradient steps on its bound."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Gaussian, Posterior, point_of

_RATE = 0.1  # of the first step
_BETAS = (0.9, 0.95)  # the usual 0.999 would keep steps small for long after the large gradients of a far start
_STEP_DRAWS = 4
_JUDGING_DRAWS = 16


@torch.no_grad()
def refine(model: Network, batch: Batch, q: Posterior, targets: Collection[str], steps: int, seed: int) -> Gaussian:
    """Fit a Gaussian to each row by Adam steps on its mean and log-variance, from the point and variance of q: (B, D).

    Each step raises an estimate of the row's evidence lower bound E[log p(targets, z) - log q(z)] (Kim, Wiseman,
    Miller, Sontag & Rush 2018, "Semi-Amortized Variational Autoencoders"). Its draws are the same for all rows, so that
    the result for a row depends neither on the others nor on their number. Its gradient leaves out that of log q(z) in
    the parameters of q, whose mean is 0, and so has no variance at the true posterior (Roeder, Wu & Duvenaud 2017). A
    row whose bound did not rise stays where it started. The networks and their gradients stay as they are.

    Args:
        model: in evaluation mode.
        batch: B rows; a row's missing targets are left out.
        q: of these rows, of any family.
        targets: modalities that the model decodes.
        steps: of Adam; their size falls to 0.
        seed: of the draws.
    """
    start = Gaussian(point_of(q), q.variance.log())
    generator = torch.Generator().manual_seed(seed)  # of the host, so that every device takes the same steps

    def noise(draws: int) -> Tensor:
        shape = (draws, 1, start.mean.shape[-1])
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(start.mean)

    mean, logvar = (x.detach().clone().requires_grad_() for x in (start.mean, start.logvar))
    optimiser = torch.optim.Adam([mean, logvar], lr=_RATE, betas=_BETAS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with _recurrence_with_gradient(model):
        for _ in range(steps):
            with torch.enable_grad():
                bounds = _bounds(model, batch, Gaussian(mean, logvar), targets, noise(_STEP_DRAWS))
                mean.grad, logvar.grad = torch.autograd.grad(-bounds.sum(), [mean, logvar])
            optimiser.step()
            schedule.step()
    end, judging = Gaussian(mean, logvar).detached(), noise(_JUDGING_DRAWS)
    rose = _bounds(model, batch, end, targets, judging) > _bounds(model, batch, start, targets, judging)  # no NaN has
    rose = rose.unsqueeze(-1)
    return Gaussian(torch.where(rose, end.mean, start.mean), torch.where(rose, end.logvar, start.logvar))


def _bounds(model: Network, batch: Batch, q: Gaussian, targets: Collection[str], noise: Tensor) -> Tensor:
    """An estimate of the evidence lower bound of each row, the mean over draws by noise (K, 1, D): (B,), nats."""
    z = q.rsample(noise)
    bounds = model.need_prior().log_prob(z) - q.detached().log_prob(z)
    for log_prob in model.log_prob(z.flatten(0, 1), batch, targets).values():
        bounds = bounds + log_prob.view(bounds.shape)
    return bounds.mean(0)


def _recurrence_with_gradient(model: Network) -> AbstractContextManager[None]:
    """Have PyTorch compute recurrent layers: cuDNN would give them no gradient in evaluation mode."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
