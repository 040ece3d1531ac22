"""The distribution of texts, symbol by symbol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from mmtoolkit.components import Tokens, Writer, stopped
from mmtoolkit.core.posterior import at_least_float32


class TokensDistribution(Distribution):
    """p(s_1 … s_n | z) = prod_t p(s_t | s_1 … s_t-1, z), t = 1 … min(n + 1, L), s_n+1 being STOP.

    STOP is certain after L symbols and impossible before min_length, START is impossible everywhere: the
    probabilities of all texts of min_length to L symbols sum to one. The writer reads the true symbol before each place
    in `log_prob` and the drawn one in `sample` (teacher forcing, Williams & Zipser 1989); with the feedback `argmax` it
    reads its own most probable symbol, and given z the symbols are then independent.

    Args:
        writer: its networks are run when they are asked, in the mode that they are then in.
        z: (N, size), or (N, …) if the writer reads something else.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, writer: Writer, z: Tensor) -> None:
        self.writer, self.z = writer, z
        self.length, self.min_length = writer.form.length, writer.form.min_length
        self._mode: Tensor | None = None
        super().__init__(z.shape[:1], torch.Size([self.length]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-probability of texts (..., N, L), in float32 or better: (..., N), nats; whatever follows a STOP."""
        x = stopped(x)[..., :-1].expand(*x.shape[:-2], self.z.shape[0], -1)
        chosen = self.log_probs(x).gather(-1, x.unsqueeze(-1)).squeeze(-1)
        return torch.where(_before(x) == Tokens.STOP, 0.0, chosen).sum(-1)  # what follows a STOP is no part of the text

    def log_probs(self, x: Tensor) -> Tensor:
        """The log-probability of each symbol at each place, given those of texts (..., N, L) before: (..., N, L, V)."""
        if self.writer.feedback == "argmax":
            return self._unaided().expand(*x.shape, -1)
        logits, _ = self.writer.logits(_before(x).flatten(0, -2), self._repeated(x.shape[:-2]))
        return self._log_softmax(logits, 0).view(*x.shape, -1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Texts (*sample_shape, N, L) drawn symbol by symbol, from PyTorch's default generator."""
        shape = torch.Size(sample_shape)
        z = self._repeated(shape)
        drawn = self._generated(z, lambda log_p: torch.multinomial(log_p.exp(), 1).squeeze(1))
        return drawn.view(*shape, *self.batch_shape, -1)

    @property
    @torch.no_grad()
    def mode(self) -> Tensor:
        """The greedy text (N, L): each symbol the most probable after those before. It need not be the likeliest."""
        if self._mode is None:
            self._mode = self._generated(self.z, lambda log_p: log_p.argmax(-1))
        return self._mode

    def _repeated(self, shape: torch.Size) -> Tensor:
        """Z for a text in each entry of (*shape, N), as one batch."""
        return self.z.expand(*shape, *self.z.shape).flatten(0, len(shape))

    def _log_softmax(self, logits: Tensor, first: int) -> Tensor:
        """Log-probabilities (N, T, V) of the symbols at the places from `first` on."""
        symbols = torch.arange(logits.shape[2], device=logits.device)
        places = torch.arange(first, first + logits.shape[1], device=logits.device).unsqueeze(1)
        barred = (symbols == Tokens.START) | ((symbols == Tokens.STOP) & (places < self.min_length))
        return torch.where(barred, -torch.inf, logits).log_softmax(-1)

    def _generated(self, z: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Texts (N, L) of which `choose` takes each symbol (N,) by its log-probabilities (N, V)."""
        before = torch.full((len(z),), Tokens.START, device=z.device)
        going = torch.ones(len(z), dtype=torch.bool, device=z.device)
        text = torch.full((len(z), self.length), Tokens.STOP, device=z.device)
        state = None
        for place in range(self.length):
            logits, state = self.writer.logits(before.unsqueeze(1), z, state)
            log_p = self._log_softmax(logits, place).squeeze(1)
            text[:, place] = torch.where(going, choose(log_p), Tokens.STOP)
            before = log_p.argmax(-1) if self.writer.feedback == "argmax" else text[:, place]
            going = text[:, place] != Tokens.STOP
            if not going.any():
                break
        return text

    def _unaided(self) -> Tensor:
        """Log-probabilities (N, L, V) where the writer reads its own most probable symbols, whatever the text."""
        before = torch.full((self.z.shape[0],), Tokens.START, device=self.z.device)
        state, by_place = None, []
        for place in range(self.length):
            logits, state = self.writer.logits(before.unsqueeze(1), self.z, state)
            by_place.append(self._log_softmax(logits, place).squeeze(1))
            before = by_place[-1].argmax(-1)
        return torch.stack(by_place, dim=1)


def _before(x: Tensor) -> Tensor:
    """The symbol before each place of texts (..., L)."""
    return F.pad(x, (1, -1), value=Tokens.START)


class TokensHead(Writer):
    """From logits (N, V, L) to a distribution of texts whose places are independent given z."""

    def forward(self, raw: Tensor) -> TokensDistribution:
        """Batch (N,), event (L,)."""
        return TokensDistribution(self, raw)

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the next T places (N, T, V), whatever stands before them; the state is those after them."""
        left = at_least_float32(z).transpose(1, 2) if state is None else state
        return left[:, : before.shape[1]], left[:, before.shape[1] :]
