"""Recurrent networks of texts (Cho et al. 2014), as Wu & Goodman 2018 have them for MultiMNIST."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmt_text.likelihood import Feedback, TextDistribution
from mmt_text.symbols import lengths, stopped
from mmtoolkit import at_least_float32

State = Literal["last", "last_position"]
_WIDTH = 200


class TextReader(nn.Module):
    """From x (N, L) to a summary (N, 200): the last states of a GRU in each direction, summed.

    Args:
        symbols: V, how many there are, start and stop among them.
        state: `last`, each direction's state after the whole text and its stop symbol; or `last_position`, the
            outputs at place L of the padded text, where the backward direction has read one symbol.
    """

    def __init__(self, symbols: int, state: State = "last") -> None:
        super().__init__()
        self.state = state
        self.embedding = nn.Embedding(symbols, _WIDTH)
        # Two plain GRUs equal a packed bidirectional one, and need no lengths on the host.
        self.onward = nn.GRU(_WIDTH, _WIDTH, batch_first=True)
        self.reverse = nn.GRU(_WIDTH, _WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """The summary (N, 200)."""
        x = stopped(x)
        if self.state == "last_position":
            x = x[:, :-1]
            return self._outputs(self.onward, x)[:, -1] + self._outputs(self.reverse, x[:, -1:])[:, -1]
        stop = lengths(x)
        places = torch.arange(x.shape[1], device=x.device)
        flipped = x.gather(1, (stop.unsqueeze(1) - places).clamp(min=0))
        # Not len(x), by which an export would fix the number of rows.
        ends = torch.arange(x.shape[0], device=x.device) * x.shape[1] + stop
        onward, backward = (
            self._outputs(gru, read).flatten(0, 1).index_select(0, ends)
            for gru, read in ((self.onward, x), (self.reverse, flipped))
        )
        return onward + backward

    def _outputs(self, gru: nn.GRU, x: Tensor) -> Tensor:
        outputs: Tensor = gru(self.embedding(x))[0]
        return outputs


def text_branch(symbols: int, state: State, width: int) -> nn.Sequential:
    """From x (N, L) to (N, width) by a reader and one fully connected layer."""
    return nn.Sequential(TextReader(symbols, state), nn.Linear(_WIDTH, width), nn.SiLU())


class TextEncoder(nn.Module):
    """From x (N, L) and a condition (N, extra) to features (N, width); one hidden layer reads the condition."""

    def __init__(self, symbols: int, state: State, width: int, extra: int = 0) -> None:
        super().__init__()
        self.reader = TextReader(symbols, state)
        hidden = [nn.Linear(_WIDTH + extra, _WIDTH), nn.SiLU()] if extra else []
        self.dense = nn.Sequential(*hidden, nn.Linear(_WIDTH, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        features = self.reader(x)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        out: Tensor = self.dense(features)
        return out


class TextDecoder(nn.Module):
    """From z (N, size) to a distribution over texts of min_length to L symbols.

    A two-layer GRU reads the symbol before, beginning with the start symbol, and z; z sets its first state and is
    read by its output layer too.
    """

    def __init__(self, symbols: int, length: int, min_length: int, feedback: Feedback, size: int) -> None:
        super().__init__()
        self.length, self.min_length, self.feedback = length, min_length, feedback
        self.embedding = nn.Sequential(nn.Embedding(symbols, _WIDTH), nn.SiLU())
        self.initial = nn.Linear(size, _WIDTH)
        self.gru = nn.GRU(_WIDTH + size, _WIDTH, num_layers=2, dropout=0.1, batch_first=True)
        self.out = nn.Linear(_WIDTH + size, symbols)

    def forward(self, z: Tensor) -> TextDistribution:
        """Batch (N,), event (L,)."""
        return TextDistribution(self, z)

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the symbols that follow (N, T, V), in float32 or better, and the state (2, N, 200) after them.

        Args:
            before: (N, T) int64, the symbol before each place.
            z: (N, size).
            state: after the places before; by default the one that z sets.
        """
        beside = z.unsqueeze(1).expand(-1, before.shape[1], -1)
        embedded = self.embedding(before)
        read = torch.cat([embedded, beside.to(embedded)], dim=2)
        if state is None:
            state = self.initial(z).expand(2, -1, -1)  # both layers begin with it
        outputs, state = self.gru(read, state.to(read).contiguous())  # under autocast they may differ
        return at_least_float32(self.out(torch.cat([outputs, beside.to(outputs)], dim=2))), state


class TextHead(nn.Module):
    """From features (N, size) to a distribution over texts in which each place is independent of the others.

    One linear layer gives the logits of every place, those of the stop symbol among them.
    """

    feedback: Feedback = "argmax"  # no text is read back, so given the features the symbols are independent

    def __init__(self, symbols: int, length: int, min_length: int, size: int) -> None:
        super().__init__()
        self.length, self.min_length = length, min_length
        self.out = nn.Sequential(nn.Linear(size, length * symbols), nn.Unflatten(1, (length, symbols)))

    def forward(self, z: Tensor) -> TextDistribution:
        """Batch (N,), event (L,)."""
        return TextDistribution(self, z)

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the next T places (N, T, V), whatever stands before them (N, T); the state is those after them."""
        left = at_least_float32(self.out(z)) if state is None else state
        return left[:, : before.shape[1]], left[:, before.shape[1] :]
