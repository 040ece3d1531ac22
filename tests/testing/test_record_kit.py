"""The kit finds what is wrong with a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn

from facts import assert_facts
from mmt_record import Record
from mmt_record.decoder import RecordDecoder, RecordDistribution
from mmtoolkit import Modality, Unit
from mmtoolkit.testing import check_record, examine
from runs import mmt

(SOUND,) = Record.examples()


class Reading(nn.Module):
    """An encoder that reads other values than it is given."""

    def __init__(self, encoder: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.encoder, self.change = encoder, change

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.change(x)
        features: Tensor = self.encoder(x) if condition is None else self.encoder(x, condition)
        return features


class Reads(Record):
    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return Reading(super().encoder(width, extra), self.change)

    def change(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class SkipsColumn(Reads):
    def change(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :, 2] = 0
        return x


class SkipsValues(Reads):
    def change(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(x[:, 0]), x[:, 1]], dim=1)


class IgnoresFlags(Reads):
    """It reads zeros as known values."""

    def change(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], torch.ones_like(x[:, 1])], dim=1)


class OtherRows(Reads):
    def change(self, x: Tensor) -> Tensor:
        return torch.cat([x[:1] if len(x) == 1 else x[1:2], x[1:]])


class Decoder(RecordDecoder):
    def __init__(self, columns: Any, network: Any, size: int, distribution: type[RecordDistribution]) -> None:
        super().__init__(columns, network, size)
        self.distribution = distribution

    def forward(self, z: Tensor) -> RecordDistribution:
        return self.distribution(self, self.raw(z).squeeze(1))


class Unmasked(RecordDistribution):
    """It scores what stands in unknown cells."""

    def log_probs(self, x: Tensor) -> Tensor:
        return super().log_probs(torch.stack([x[:, 0], torch.ones_like(x[:, 1])], dim=1))


class Doubled(RecordDistribution):
    def log_prob(self, x: Tensor) -> Tensor:
        return 2 * super().log_prob(x)


class Mixed(RecordDistribution):
    """Columns of the same likelihood have the parameters of each other."""

    def column(self, name: str) -> Any:
        return super().column({"town": "town", "height": "born", "born": "height"}.get(name, name))


class Unknown(RecordDistribution):
    def sample(self, sample_shape: Any = ()) -> Tensor:
        return super().sample(sample_shape) * torch.tensor([[1.0], [0.0]])


class Alone(Record):
    """Its decoder has the distribution of a vector."""

    def decoder(self, size: int) -> nn.Module:
        return Normal(size, 2 * len(self.columns))


class Normal(nn.Linear):
    def forward(self, z: Tensor) -> Any:
        raw = super().forward(z).unflatten(1, (2, -1))
        return torch.distributions.Independent(
            torch.distributions.Normal(raw, 1.0, validate_args=False), 2, validate_args=False
        )


class KeepsAll(Record):
    def with_members(self, members: Mapping[str, Modality]) -> Self:
        return super().with_members({**self.columns, **members})


class RefusesCounts(Record):
    @classmethod
    def gathers(cls, column: Any) -> bool:
        return bool(column.kind != "count")


def decodes(distribution: type[RecordDistribution]) -> type[Record]:
    class Decodes(Record):
        def decoder(self, size: int) -> nn.Module:
            return Decoder(self._columns, self.network, size, distribution)

    Decodes.__name__ = distribution.__name__
    return Decodes


def of(cls: type[Record]) -> Record:
    return cls.model_construct(**{name: getattr(SOUND, name) for name in Record.model_fields})


@pytest.mark.slow
def test_a_sound_record_keeps_every_promise() -> None:
    check_record(SOUND)
    assert len([*examine(SOUND)]) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("record", "facts"),
    [
        (SkipsColumn, ("must read column town, but its value changed nothing",)),
        (SkipsValues, ("must read column height, but its value changed nothing",)),
        (IgnoresFlags, ("must read whether column height is known", "unknown entry must change nothing, but 1.0 did")),
        (OtherRows, ("encoder(width): must read each row on its own",)),
        (decodes(Unmasked), ("log_probs: must return finite (N, K), (", "0 where a column is unknown")),
        (decodes(Doubled), ("log_prob: must be the sum of log_probs",)),
        (decodes(Mixed), ("column: must give height the density of log_probs",)),
        (decodes(Unknown), ("sample: must return finite", "all known")),
        (Alone, ("JointDistribution",)),
        (KeepsAll, ("with_members: must return the record of the given modalities",)),
        (RefusesCounts, ("gathers: must accept each column, but refuses visits of kind count",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_record_is_found(record: type[Record], facts: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError) as raised:
        check_record(of(record))
    assert_facts(str(raised.value), *facts)


@pytest.mark.slow
def test_the_command_checks_the_record() -> None:
    done = mmt("plugins", "check", "record")
    assert (done.status, done.err) == (0, "")
    assert_facts(done.out, "modality record (mmt_record.record.Record)", "kept", "JointDistribution", "unknown cell")
    assert "not tried" not in done.out
    assert isinstance(SOUND, Unit)
