"""The record: columns that share one expert and one decoder trunk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator
from torch import Tensor, nn

from mmt_record.decoder import RecordDecoder
from mmt_record.reader import RecordReader
from mmtoolkit import (
    MLP,
    Architecture,
    Classes,
    Component,
    FormEncoder,
    Modality,
    Numbers,
    Part,
    Parted,
    Unit,
)


class Record(Unit):
    """Columns that one network reads together, and that one network predicts.

    The columns are modalities like any other: what is given, predicted, scored and filled names them, and the name of
    the record stands for all of them in a list. Together they have one encoder, which reads what is known of them and
    which they are, one expert, and one decoder whose last layer has outputs for each column. So the columns of a record
    can interact, where a product of an expert a column only adds up what each says.

    A column is a modality of one number or one class, such as numeric, label or binary. Its own `network` has no use
    here.
    """

    kind: Literal["record"] = "record"

    columns: Annotated[dict[str, Part[Modality]], Field(min_length=1)]
    """Name -> modality. `each: [a, b]` in a column makes one such column for each name."""
    network: Part[Architecture] = MLP(width=128, depth=2, decoder_depth=2, norm="layer", dropout=0.3, residual=True)
    """The architecture of encoder and decoder, which read and write numbers."""

    @field_validator("columns")
    @classmethod
    def _scalar(cls, columns: dict[str, Modality]) -> dict[str, Modality]:
        for name, column in columns.items():
            if not cls.gathers(column):
                raise ValueError(
                    f"{name} is of kind {column.kind}, and a column of a record has one number or one class, such as "
                    "numeric without columns, label or binary; move it out of the record"
                )
        return columns

    @field_validator("network")
    @classmethod
    def _reads_numbers(cls, network: Architecture) -> Architecture:
        if not issubclass(Numbers, network.reads):
            raise ValueError(f"{network.kind} has no networks for numbers, which those of a record are; choose mlp")
        return network

    @classmethod
    def gathers(cls, column: Component) -> bool:
        """Whether a modality has one number or one class, and a network and a likelihood that are parts."""
        return isinstance(column, Parted) and issubclass(column.gives, (Numbers, Classes)) and not column.event_shape()

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Columns of each form and likelihood that share heads or have their own, for a narrow network."""
        columns = {
            "height": {"kind": "numeric"},
            "weight": {"kind": "numeric", "likelihood": "student_t"},
            "town": {"kind": "label", "classes": ["Bonn", "Kiel", "Ulm"]},
            "smokes": {"kind": "binary"},
            "visits": {"kind": "count"},
            "born": {"kind": "date"},
        }
        network = {"kind": "mlp", "width": 16, "depth": 1, "norm": "layer", "residual": True}
        return (cls.model_validate({"columns": columns, "network": network}),)

    def members(self, name: str) -> Mapping[str, Modality]:
        """The columns."""
        return self.columns

    def with_members(self, members: Mapping[str, Modality]) -> Self:
        """The record of these columns."""
        return self.model_copy(update={"columns": dict(members)})

    @property
    def _columns(self) -> dict[str, Parted]:
        return {name: column for name, column in self.columns.items() if isinstance(column, Parted)}

    # Networks.

    def event_shape(self) -> tuple[int, ...]:
        """(2, K): a number for each column, and a flag for each, 1 if known, else 0."""
        return (2, len(self.columns))

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """The reader, and the network's encoder."""
        reader = RecordReader(self._columns)
        return FormEncoder(reader, self.network.encoder(Numbers(reader.size), width, extra))

    def branch(self, width: int) -> nn.Module:
        """The reader, and the network's branch."""
        reader = RecordReader(self._columns)
        return FormEncoder(reader, self.network.branch(Numbers(reader.size), width))

    @property
    def condition_size(self) -> int:
        """The number of features that the encoder reads."""
        return RecordReader(self._columns).size

    def condition(self, x: Tensor) -> Tensor:
        """What the encoder reads."""
        features: Tensor = RecordReader(self._columns).to(x.device)(x)
        return features.float()

    def decoder(self, size: int) -> nn.Module:
        """The network to the outputs for all columns, and the likelihood of each."""
        return RecordDecoder(self._columns, self.network, size)
