"""The likelihood of a text, symbol by symbol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from mmt_text.symbols import START, STOP, stopped

Feedback = Literal["teacher", "argmax"]


class Writer(Protocol):
    """The networks that a distribution of texts asks for the next symbol."""

    length: int
    min_length: int
    feedback: Feedback

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the symbols that follow (N, T, V), in float32 or better, and the state after them.

        Args:
            before: (N, T) int64, the symbol before each place.
            z: (N, size).
            state: after the places before; by default that of the first place.
        """


class TextDistribution(Distribution):
    """p(s_1 … s_n | z) = prod_t p(s_t | s_1 … s_t-1, z), t = 1 … min(n + 1, L), s_n+1 the stop symbol.

    Stop is certain after L symbols and impossible before min_length, start is impossible everywhere: the
    probabilities of all texts of min_length to L symbols sum to one. What is fed back to the decoder is the true
    symbol in `log_prob` and the drawn one in `sample` (teacher forcing, Williams & Zipser 1989); with `feedback:
    argmax` it is always the decoder's own most probable symbol, and given z the symbols are then independent.

    Args:
        decoder: its networks are run when they are asked, in the mode that they are then in.
        z: (N, size).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, decoder: Writer, z: Tensor) -> None:
        self.decoder, self.z = decoder, z
        self._mode: Tensor | None = None
        super().__init__(torch.Size([len(z)]), torch.Size([decoder.length]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-probability of texts (..., N, L), in float32 or better: (..., N), nats; whatever follows a stop."""
        x = stopped(x)[..., :-1].expand(*x.shape[:-2], len(self.z), -1)
        before = F.pad(x, (1, -1), value=START)
        if self.decoder.feedback == "argmax":
            log_p = self._unaided().expand(*x.shape, -1)
        else:
            z = self.z.expand(*x.shape[:-1], -1).flatten(0, -2)
            logits, _ = self.decoder.logits(before.flatten(0, -2), z)
            log_p = self._log_softmax(logits, 0).view(*x.shape, -1)
        chosen = log_p.gather(-1, x.unsqueeze(-1)).squeeze(-1)
        return torch.where(before == STOP, 0.0, chosen).sum(-1)  # what follows a stop is no part of the text

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Texts (*sample_shape, N, L) drawn symbol by symbol, from PyTorch's default generator."""
        shape = torch.Size(sample_shape)
        z = self.z.expand(*shape, *self.z.shape)
        drawn = self._generated(z.flatten(0, -2), lambda log_p: torch.multinomial(log_p.exp(), 1).squeeze(1))
        return drawn.view(*shape, *self.batch_shape, -1)

    @property
    @torch.no_grad()
    def mode(self) -> Tensor:
        """The greedy text (N, L): each symbol the most probable after those before. It need not be the likeliest."""
        if self._mode is None:
            self._mode = self._generated(self.z, lambda log_p: log_p.argmax(-1))
        return self._mode

    def _log_softmax(self, logits: Tensor, first: int) -> Tensor:
        """Log-probabilities (N, T, V) of the symbols at the places from `first` on."""
        symbols = torch.arange(logits.shape[2], device=logits.device)
        places = torch.arange(first, first + logits.shape[1], device=logits.device).unsqueeze(1)
        barred = (symbols == START) | ((symbols == STOP) & (places < self.decoder.min_length))
        return torch.where(barred, -torch.inf, logits).log_softmax(-1)

    def _generated(self, z: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Texts (N, L) of which `choose` takes each symbol (N,) by its log-probabilities (N, V)."""
        before = torch.full((len(z),), START, device=z.device)
        going = torch.ones(len(z), dtype=torch.bool, device=z.device)
        text = torch.full((len(z), self.decoder.length), STOP, device=z.device)
        state = None
        for place in range(self.decoder.length):
            logits, state = self.decoder.logits(before.unsqueeze(1), z, state)
            log_p = self._log_softmax(logits, place).squeeze(1)
            text[:, place] = torch.where(going, choose(log_p), STOP)
            before = log_p.argmax(-1) if self.decoder.feedback == "argmax" else text[:, place]
            going = text[:, place] != STOP
            if not going.any():
                break
        return text

    def _unaided(self) -> Tensor:
        """Log-probabilities (N, L, V) where the decoder is fed its own most probable symbols, whatever the text."""
        before = torch.full((len(self.z),), START, device=self.z.device)
        state, found = None, []
        for place in range(self.decoder.length):
            logits, state = self.decoder.logits(before.unsqueeze(1), self.z, state)
            found.append(self._log_softmax(logits, place).squeeze(1))
            before = found[-1].argmax(-1)
        return torch.stack(found, dim=1)
