"""Gated recurrent units (Cho et al. 2014), as Wu & Goodman 2018 have them for the texts of MultiMNIST."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmtoolkit import (
    Architecture,
    Conditioned,
    Feedback,
    Form,
    Likelihood,
    Tokens,
    Writer,
    WrittenDecoder,
    at_least_float32,
    lengths,
    stopped,
)


class GRU(Architecture):
    """Gated recurrent units (Cho et al. 2014): they read and write a text one symbol after the other.

    With the defaults they are the networks of MultiMNIST's texts in Wu & Goodman 2018, section 4.
    """

    kind: Literal["gru"] = "gru"
    reads: ClassVar[tuple[type[Form], ...]] = (Tokens,)

    width: PositiveInt = 200
    """Units of each layer, and numbers of a symbol's embedding."""
    layers: PositiveInt = 2
    """Layers of the decoder; the encoder has one in each direction."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The share of the features between two layers of the decoder that a step of training drops."""
    feedback: Feedback = "teacher"
    """The symbol that the decoder reads at each step: the true or drawn one before (`teacher`, for teacher forcing), or
    its own most probable one (`argmax`), as in the code that Wu & Goodman released."""
    state: Literal["last", "last_position"] = "last"
    """The summary that the encoder uses: the `last` state of each direction, or, as in the released code, the output at
    the `last_position` of the padded text, where the backward direction has read one symbol."""

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        """A GRU in each direction and a linear layer, after a hidden one if there is a condition."""
        reader = GRUReader(form, self.width, self.state)
        hidden = [nn.Linear(self.width + extra, self.width), nn.SiLU()] if extra else []
        return Conditioned(reader, nn.Sequential(*hidden, nn.Linear(self.width, width)))

    def branch(self, form: Form, width: int) -> nn.Module:
        """A GRU in each direction, a linear layer and SiLU."""
        return nn.Sequential(GRUReader(form, self.width, self.state), nn.Linear(self.width, width), nn.SiLU())

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        """A GRU that reads z at each place, and START instead of the symbol before."""
        return Unread(self._writer(form, size, numbers))

    def decoder(self, form: Form, size: int, likelihood: Likelihood) -> nn.Module:
        """A GRU that writes a text symbol by symbol, if the likelihood can score it; else as `raw`."""
        if not likelihood.writes:
            return super().decoder(form, size, likelihood)
        return WrittenDecoder(self._writer(form, size, likelihood.numbers(form)), likelihood)

    def _writer(self, form: Form, size: int, numbers: int) -> GRUWriter:
        return GRUWriter(form, size, numbers, self.width, self.layers, self.dropout, self.feedback)


class GRUReader(nn.Module):
    """From texts x (N, L) to a summary (N, width): the last states of a GRU in each direction, summed.

    Args:
        form: of the texts.
        width: of the embedding, of each GRU and of the summary.
        state: `last`, each direction's state after the whole text and its STOP; or `last_position`, the outputs at
            place L of the padded text, where the backward direction has read one symbol.
    """

    def __init__(self, form: Form, width: int = 200, state: str = "last") -> None:
        super().__init__()
        assert isinstance(form, Tokens)
        self.state = state
        self.embedding = nn.Embedding(form.vocabulary, width)
        # Two plain GRUs equal a packed bidirectional one, and need no lengths on the host.
        self.onward = nn.GRU(width, width, batch_first=True)
        self.reverse = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """The summary (N, width)."""
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


class GRUWriter(Writer):
    """Writes a text: layers of GRU read the symbol before and z; z sets their first state, and the output reads it too.

    The state is that of all layers (layers, N, width).

    Args:
        form: of the texts.
        size: of z.
        numbers: how many for each place, such as a logit for each symbol.
        width: of the embedding and of each layer.
        layers: how many.
        dropout: the share of the features between two layers that training drops.
        feedback: the symbol that it reads: the one before, or its own most probable one.
    """

    def __init__(
        self,
        form: Form,
        size: int,
        numbers: int,
        width: int = 200,
        layers: int = 2,
        dropout: float = 0.1,
        feedback: Feedback = "teacher",
    ) -> None:
        assert isinstance(form, Tokens)
        super().__init__(form)
        self.feedback = feedback
        self.embedding = nn.Sequential(nn.Embedding(form.vocabulary, width), nn.SiLU())
        self.initial = nn.Linear(size, width)
        between = dropout if layers > 1 else 0.0  # PyTorch warns of a dropout that has no place
        self.gru = nn.GRU(width + size, width, num_layers=layers, dropout=between, batch_first=True)
        self.out = nn.Linear(width + size, numbers)

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the symbols that follow (N, T, V), and the state after them; z sets the first one."""
        beside = z.unsqueeze(1).expand(-1, before.shape[1], -1)
        embedded = self.embedding(before)
        read = torch.cat([embedded, beside.to(embedded)], dim=2)
        if state is None:
            state = self.initial(z).expand(self.gru.num_layers, -1, -1)  # all layers begin with it
        outputs, state = self.gru(read, state.to(read).contiguous())  # under autocast they may differ
        return at_least_float32(self.out(torch.cat([outputs, beside.to(outputs)], dim=2))), state


class Unread(nn.Module):
    """From z (N, size) to numbers (N, numbers, L): what a writer gives where it reads no symbol but START.

    Args:
        writer: is asked for all places at once.
    """

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    def forward(self, z: Tensor) -> Tensor:
        """Numbers (N, numbers, L)."""
        before = torch.full((1, self.writer.form.length), Tokens.START, device=z.device).expand(z.shape[0], -1)
        numbers, _ = self.writer.logits(before, z)
        return numbers.transpose(1, 2)
