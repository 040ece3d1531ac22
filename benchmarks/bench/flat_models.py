"""The floors of other models: their losses of complete rows, written flat in plain PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.floor import Draw, Floor
from bench.work import Work
from mmtoolkit.models import MMVAE, MVTCAE, MMVAEPlus, MoPoE


def new_floor(work: Work, device: str = "cpu") -> Floor:
    """The floor of the model of some work."""
    return _FLOORS.get(type(work.model), Floor)(work, device)


def _drawn(mean: Tensor, logvar: Tensor, draw: Draw) -> Tensor:
    return mean + torch.exp(0.5 * logvar) * draw(mean)


def _kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """The sum of KL(N(mean, exp(logvar)) || N(0, I))."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()


def _log_mixture(z: Tensor, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """For draws z (M, B, D) from each of M experts, the log-density of the mixture and of the own expert: (M, B)."""
    precision = torch.exp(-logvar)
    squares = (z.unsqueeze(1) - mean).square() * precision + logvar + math.log(2 * math.pi)
    each = -0.5 * squares.sum(-1)  # (M of z, M, B)
    return each.logsumexp(1) - math.log(len(mean)), each.diagonal(dim1=0, dim2=1).T


class _MMVAEFloor(Floor):
    """One draw from each expert, which reconstructs all."""

    def _complete(self, x: list[Tensor], subsets: Tensor, draw: Draw) -> Tensor:
        mean, logvar = self._experts(x)
        z = _drawn(mean, logvar, draw)
        mixture, own = _log_mixture(z, mean, logvar)
        loss = _kl(mean, logvar) + (mixture - own).sum()
        flat, m = z.flatten(0, 1), len(x)
        for decoder, value in zip(self.decoders, x, strict=True):
            loss = loss + decoder(flat, value.repeat(m, *[1] * (value.ndim - 1)))
        return loss / m


class _MVTCAEFloor(Floor):
    """One draw from the product of experts."""

    def __init__(self, work: Work, device: str = "cpu") -> None:
        super().__init__(work, device)
        assert isinstance(work.model, MVTCAE)
        self.alpha = work.model.alpha

    def _complete(self, x: list[Tensor], subsets: Tensor, draw: Draw) -> Tensor:
        mean, logvar = self._experts(x)
        precision = torch.exp(-logvar)
        total = precision.sum(0)
        joint, spread = (mean * precision).sum(0) / total, -torch.log(total)
        z, m = _drawn(joint, spread, draw), len(x)
        nll = z.new_zeros(())
        for decoder, value in zip(self.decoders, x, strict=True):
            nll = nll + decoder(z, value)
        apart = 0.5 * (logvar - spread + (spread.exp() + (joint - mean).square()) * precision - 1).sum()
        return (m - self.alpha) / m * nll + (1 - self.alpha) * _kl(joint, spread) + self.alpha / m * apart


class _MoPoEFloor(Floor):
    """One draw a row from the mixture of all products."""

    def __init__(self, work: Work, device: str = "cpu") -> None:
        super().__init__(work, device)
        assert isinstance(work.model, MoPoE)
        self.form = work.model.divergence
        m = len(self.columns)
        codes = torch.arange(1, 2**m, device=device).unsqueeze(1)
        self.members = (codes.bitwise_and(2 ** torch.arange(m, device=device)) > 0).float()

    def _complete(self, x: list[Tensor], subsets: Tensor, draw: Draw) -> Tensor:
        mean, logvar = self._experts(x)
        precision = torch.exp(-logvar)
        total = torch.tensordot(self.members, precision, 1)  # (S, B, D)
        mean = torch.tensordot(self.members, mean * precision, 1) / total
        logvar = -torch.log(total)
        s, b = mean.shape[:2]
        part = (torch.special.ndtr(draw(mean[0, :, 0])) * s).long().clamp(max=s - 1)
        rows = part * b + torch.arange(b, device=part.device)
        chosen_mean, chosen_logvar = (v.flatten(0, 1).index_select(0, rows) for v in (mean, logvar))
        z = _drawn(chosen_mean, chosen_logvar, draw)
        loss: Tensor = _kl(mean, logvar) / s
        if self.form == "mixture":
            each = -0.5 * ((z - mean).square() * total + logvar + math.log(2 * math.pi)).sum(-1)  # (S, B)
            own = each.gather(0, part.unsqueeze(0)).squeeze(0)
            loss = loss + (each.logsumexp(0) - math.log(s) - own).sum()
        for decoder, value in zip(self.decoders, x, strict=True):
            loss = loss + decoder(z, value)
        return loss


class _MMVAEPlusFloor(Floor):
    """One draw of the shared part from each expert, which reconstructs all with private parts."""

    def __init__(self, work: Work, device: str = "cpu") -> None:
        assert isinstance(work.model, MMVAEPlus)
        super().__init__(work, device, nn.Parameter(torch.zeros(len(work.dataset.modalities), work.model.private_dim)))
        self.shared = work.model.latent_dim

    def _complete(self, x: list[Tensor], subsets: Tensor, draw: Draw) -> Tensor:
        mean, logvar = self._experts(x)
        s, m = self.shared, len(x)
        z = _drawn(mean, logvar, draw)  # (M, B, S + P)
        shared = z[..., :s]
        mixture, own = _log_mixture(shared, mean[..., :s], logvar[..., :s])
        loss = _kl(mean, logvar) + (mixture - own).sum()
        assert self.extra is not None
        for i, (decoder, value) in enumerate(zip(self.decoders, x, strict=True)):
            private = draw(z[..., s:]) * self.extra[i].exp()
            private = torch.cat([private[:i], z[i : i + 1, :, s:], private[i + 1 :]])
            both = torch.cat([shared, private], -1).flatten(0, 1)
            loss = loss + decoder(both, value.repeat(m, *[1] * (value.ndim - 1)))
        return loss / m


_FLOORS: dict[type, type[Floor]] = {
    MMVAE: _MMVAEFloor,
    MVTCAE: _MVTCAEFloor,
    MoPoE: _MoPoEFloor,
    MMVAEPlus: _MMVAEPlusFloor,
}
