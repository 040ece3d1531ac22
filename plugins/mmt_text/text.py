"""The text modality: characters or words up to a bound, and the ids by which networks and likelihoods know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_text.gru import GRU
from mmt_text.proposals import text_proposal
from mmt_text.tokens import SINGULAR, UNKNOWN, checked_alphabet, frequent, join, shown, split, text_of
from mmtoolkit import (
    Architecture,
    Better,
    CategoricalLikelihood,
    Cells,
    ColumnSummary,
    Form,
    Likelihood,
    Parsed,
    Part,
    Parted,
    Proposal,
    Tokens,
    TokensDistribution,
    lengths,
    stopped,
)

if TYPE_CHECKING:
    from torchmetrics import Metric


class Text(Parted):
    """A text of bounded length: of characters, such as the digits of a number, or of words.

    A cell is a text; numbers are texts too, and the empty text is a value, not a missing cell. Texts are converted to
    Unicode's normal form C. `network: gru` are the networks of MultiMNIST in Wu & Goodman 2018, section 4. The
    likelihood has a symbol that ends a text, so it sums to one over all texts up to the bound.
    """

    kind: Literal["text"] = "text"
    gives: ClassVar[type[Form]] = Tokens
    moved: ClassVar[Mapping[str, str]] = {"feedback": "network", "state": "network"}

    stepwise = True

    length: Annotated[int, Field(ge=1, le=4096)]
    """The most symbols of a text. Networks read this many for every text, so choose it no larger than needed."""
    min_length: Annotated[int, Field(ge=0)] = 0
    """The fewest symbols of a text. A shorter text is a bad cell and has probability zero."""
    tokens: Literal["characters", "words"] = "characters"
    """Whether a symbol is a character or a word. White space separates words."""
    unknown: bool | None = None
    """Whether a symbol outside the alphabet is read as an unknown symbol, shown as �, or makes the cell bad. By
    default, it is read as unknown if the alphabet is learned, and makes the cell bad if you give the alphabet."""
    alphabet: tuple[str, ...] | None = None
    """The symbols, in order, as a list or as one text of them. By default learned from the training cells, the most
    frequent first."""
    vocabulary_size: Annotated[int, Field(ge=1)] = 10_000
    """The most symbols to learn."""
    network: Part[Architecture] = GRU()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = CategoricalLikelihood()
    """The distribution of a text given z."""

    @field_validator("alphabet", mode="before", json_schema_input_type=str | tuple[str, ...] | None)
    @classmethod
    def _of_text(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            raise ValueError(f"{given} is a number; write its digits in quotes")
        return tuple(split(text_of(given), info.data.get("tokens", "characters"))) if isinstance(given, str) else given

    @field_validator("alphabet")
    @classmethod
    def _of_symbols(cls, alphabet: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if alphabet is None or not {"tokens", "unknown"} <= info.data.keys():  # they are wrong themselves
            return alphabet
        return checked_alphabet(alphabet, info.data["tokens"], bool(info.data["unknown"]))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min_length > self.length:
            raise ValueError(f"min_length is {self.min_length} and length {self.length}; set it to length or less")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of short texts, if their words or characters recur."""
        return text_proposal(column)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols with the ids 2, 3, …: the alphabet, then the unknown symbol if there is one.

        Raises:
            ValueError: the alphabet is not known yet.
        """
        if self.alphabet is None:
            raise ValueError("the alphabet is not known yet; give it, or let `fit` learn it")
        return (*self.alphabet, UNKNOWN) if self.unknown else self.alphabet

    @property
    def size(self) -> int:
        """V, the number of symbols with stop and start."""
        return Tokens.FIRST + len(self.symbols)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the alphabet: the most frequent symbols of the training cells that can be read."""
        if self.alphabet is not None:
            return self
        unknown = self.unknown is not False
        counts: Counter[str] = Counter()
        faults: list[str] = []
        for cells in chunks:
            counts.update(chain.from_iterable(self._readable(cells, faults)))
        if unknown:
            del counts[UNKNOWN]
        if faults and not counts:
            raise ValueError(f"no cell with a symbol can be read; first, {faults[0]}")
        if not counts:
            raise ValueError("the training cells hold no symbol to learn an alphabet from; give alphabet")
        return self.with_options(alphabet=tuple(frequent(counts, self.vocabulary_size)), unknown=unknown)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two short texts: of characters, and of words."""
        return cls(length=4), cls(length=3, tokens="words", min_length=1)

    def example_cells(self) -> Cells:
        """Texts of each allowed length, up to three symbols more than the shortest."""
        symbols = (self.alphabet or ("a", "b", "c"))[:3]
        sizes = range(self.min_length, min(self.length, self.min_length + 3) + 1)
        return [join((symbols[(n + i) % len(symbols)] for i in range(n)), self.tokens) for n in sizes]

    def form(self) -> Form:
        """Texts of the alphabet."""
        return Tokens(self.size, self.length, self.min_length)

    def event_shape(self) -> tuple[int, ...]:
        """(L,)."""
        return (self.length,)

    def parse(self, cell: Any) -> Tensor:
        """The ids of the symbols, followed by stops: (L,) int64."""
        parsed = self.parse_column([cell])
        if parsed.faults:
            raise ValueError(parsed.faults[0])
        return parsed.stored[0]

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse cells, looking up all symbols at once."""
        faults: dict[int, str] = {}
        rows: list[int] = []
        texts: list[Sequence[str]] = []
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            try:
                texts.append(self._tokens(cell))
            except ValueError as error:
                faults[row] = str(error)
            else:
                rows.append(row)
        place = {symbol: Tokens.FIRST + i for i, symbol in enumerate(self.symbols)}
        other = place.get(UNKNOWN, Tokens.STOP) if self.unknown else Tokens.STOP
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        ids = np.fromiter(map(place.get, chain.from_iterable(texts), repeat(other)), np.int64, int(sizes.sum()))
        line = np.repeat(np.arange(len(texts)), sizes)
        column = np.arange(len(ids)) - np.repeat(sizes.cumsum() - sizes, sizes)
        stored = np.full((len(cells), self.length), Tokens.STOP)
        stored[np.array(rows, dtype=np.int64)[line], column] = ids
        strange = np.flatnonzero(ids == Tokens.STOP)
        for i in strange[np.unique(line[strange], return_index=True)[1]]:  # the first of each text
            row = rows[line[i]]
            faults[row] = self._stranger(cells[row], texts[line[i]], int(column[i]))
        present = np.zeros(len(cells), dtype=bool)
        present[rows] = True
        present[list(faults)] = False
        return Parsed(torch.from_numpy(stored), torch.from_numpy(present), faults)

    def _tokens(self, cell: Any) -> Sequence[str]:
        """The symbols of a cell, as many as are allowed."""
        found = split(text_of(cell), self.tokens)
        if self.min_length <= len(found) <= self.length:
            return found
        count = f"{shown(cell)} has {len(found)} {SINGULAR[self.tokens] if len(found) == 1 else self.tokens}"
        if len(found) > self.length:
            raise ValueError(f"{count}, and length is {self.length}; shorten it, or set length to {len(found)} or more")
        raise ValueError(f"{count}, and min_length is {self.min_length}; mend it, or set min_length to {len(found)}")

    def _readable(self, cells: Cells, faults: list[str]) -> Iterator[Sequence[str]]:
        """The symbols of each cell that can be read. If `faults` is empty, it receives the first fault."""
        for cell in cells:
            try:
                yield self._tokens(cell)
            except ValueError as error:  # preparing the data reports the others
                if not faults:
                    faults.append(str(error))

    def _stranger(self, cell: Any, symbols: Sequence[str], place: int) -> str:
        return (
            f"{shown(cell)}: the {SINGULAR[self.tokens]} {shown(symbols[place])} at position {place + 1} is not in the "
            "alphabet; mend it, add it to alphabet, or set unknown: true"
        )

    def cell(self, value: Tensor) -> str:
        """The text."""
        ids = stopped(value)
        return join((self.symbols[i - Tokens.FIRST] for i in ids[: int(lengths(ids))].tolist()), self.tokens)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The most frequent text (L,), the first one in a tie."""
        counts: Counter[bytes] = Counter()
        for x in chunks:
            texts = stopped(x)
            sizes = lengths(texts).tolist()
            counts.update(text[:size].tobytes() for text, size in zip(texts.cpu().numpy(), sizes, strict=True))
        value = torch.full((self.length,), Tokens.STOP)
        if counts:
            ids = np.frombuffer(counts.most_common(1)[0][0], dtype=np.int64)
            value[: len(ids)] = torch.tensor(ids)
        return value

    @property
    def condition_size(self) -> int:
        """L V."""
        return self.length * self.size

    def condition(self, x: Tensor) -> Tensor:
        """One-hot symbols and stop, nothing after it: (N, L V)."""
        x = stopped(x)
        own = torch.arange(self.length, device=x.device) <= lengths(x).unsqueeze(1)
        return (nn.functional.one_hot(x[:, :-1], self.size) * own.unsqueeze(2)).flatten(1).float()

    def point(self, p: Distribution) -> Tensor:
        """The greedy text (N, L)."""
        return p.mode

    def layout(self) -> dict[str, Any]:
        """With the ids."""
        return {
            "values": "the id of each symbol, then stop up to the length; texts are in Unicode's normal form C",
            **super().layout(),
            "symbols": self.tokens,
            "ids": {"stop": Tokens.STOP, "start": Tokens.START, "first": Tokens.FIRST},
            "alphabet": list(self.symbols),
        }

    def not_exported(self) -> Mapping[str, str]:
        """The point, which is written symbol by symbol."""
        return {
            "the point": "write it symbol by symbol: begin with stop at all places; for each place in turn run the "
            "decoder, and put there the id of the largest of its log_probs, up to the first stop"
        }

    def exported(self, p: Distribution, x: Tensor | None) -> dict[str, Tensor]:
        """`log_probs` (N, L, V): that of each symbol at each place, given z and the symbols of x (N, L) before it."""
        if x is None or not isinstance(p, TokensDistribution):
            return super().exported(p, x)
        return {"log_probs": p.log_probs(stopped(x)[:, :-1])}

    def average(self, p: Distribution, draws: int) -> Tensor:
        """The most frequent greedy text among the draws, the earliest one in a tie: (N, L). Texts have no mean."""
        texts = self.point(p)
        _, names = texts.unique(dim=0, return_inverse=True)
        by_draw = names.unflatten(0, (draws, -1))
        votes = torch.stack([(by_draw == one).sum(0) for one in by_draw])
        rows = torch.arange(by_draw.shape[1], device=texts.device)
        return texts.index_select(0, votes.argmax(0) * len(rows) + rows)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """As `average`."""
        return self.average(p, draws)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Whether the whole text is right, and the share of right symbols among the places of the longer text."""
        point, x = stopped(point), stopped(x)
        same = point == x
        longer = torch.maximum(lengths(point), lengths(x))
        right = (same & (torch.arange(x.shape[1], device=x.device) < longer.unsqueeze(1))).sum(1)
        share = torch.where(longer == 0, 1.0, right / longer.clamp(min=1))
        return {"exact_match": same.all(1).float(), f"{SINGULAR[self.tokens]}_accuracy": share}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy at each position, counted from 1, over the texts that reach it."""
        point, x = stopped(point), stopped(x)
        reached = lengths(x).unsqueeze(1) > torch.arange(self.length, device=x.device)
        same = (point == x).float()
        return {f"accuracy at position {i + 1}": same[reached[:, i], i] for i in range(self.length)}

    def better(self) -> dict[str, Better]:
        """Matches and accuracies are better high."""
        by_position = (f"accuracy at position {i + 1}" for i in range(self.length))
        return dict.fromkeys(("exact_match", f"{SINGULAR[self.tokens]}_accuracy", *by_position), "high")

    def metrics(self) -> dict[str, Metric]:
        """The character error rate: edits needed, over characters (not a mean over rows)."""
        from mmt_text.error_rate import CharacterErrorRate

        return {"character_error_rate": CharacterErrorRate(self.cell)}

    def text(self, value: Tensor) -> str:
        """The text in quotes, which show an empty text."""
        return repr(self.cell(value))
