"""The schema that `fit` trains: a given one or a first one, with what the parameters of the estimator change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtoolkit.components.plugins import Plugins
from mmtoolkit.first_schema import first_schema_of, sizes
from mmtoolkit.schema.schema import Schema, parse_schema, read_schema
from mmtoolkit.sources import Arrays
from mmtoolkit.tables.frames import frame_of


@dataclass(frozen=True)
class Plan:
    """What `fit` trains.

    Attributes:
        schema: with the table as its data.
        constants: columns that the schema leaves out since they have only one value -> that value.
        copies: columns that the schema leaves out since they equal another column -> that column.
    """

    schema: Schema
    constants: Mapping[str, Any]
    copies: Mapping[str, str]


def plan_first(data: Any, plugins: Plugins, changes: Changes, say: Callable[[str], None]) -> Plan:
    """Plan the training of a first schema for a table, as `mmt init` proposes it.

    Raises:
        UserError: no column can be used, or a change does not fit.
    """
    first = first_schema_of(data, plugins, say)
    for note in first.notes:
        say(note)
    alone = [choice.column for choice in first.choices if not choice.used]
    constants = {column.name: column.cells[0] for column in alone if len(column.cells) == 1 and not column.more}
    return Plan(changes.made_in(first.schema, data, plugins), constants, first.copies)


def read_given(given: Schema | str | Path | Mapping[str, Any], plugins: Plugins) -> Schema:
    """The schema that the user gives: itself, a file's, one of the catalogue, or one of plain data.

    Raises:
        UserError: there is no such file, or the schema has faults.
    """
    if isinstance(given, Schema):
        return given
    return read_schema(given, (), plugins) if isinstance(given, (str, Path)) else parse_schema(given, plugins=plugins)


@dataclass(frozen=True)
class Changes:
    """What the parameters of an estimator change in a schema; None changes nothing.

    Attributes:
        model: the kind of the model, or a mapping with its options.
        latent_dim: the size of z.
        steps: how many steps training takes, at most.
        evaluate: whether to keep the evaluators.
        seed: fixes the training.
    """

    model: str | Mapping[str, Any] | None
    latent_dim: int | None
    steps: int | None
    evaluate: bool
    seed: int

    def made_in(self, schema: Schema, data: Any, plugins: Plugins) -> Schema:
        """The schema with these changes and with a table as its data, of which all rows are for training.

        Of the schema's own source, only the signs for missing cells and the policy for bad cells stay.

        Raises:
            UserError: the model has no such kind or option.
        """
        reading = schema.data.reading()
        source = Arrays.of(
            data,
            split=sizes.split(len(frame_of(data))),
            missing=None if reading is None else reading.missing,
            on_bad_cell=schema.data.on_bad_cell,
        )
        declared = schema.model_dump(mode="json", by_alias=True) | {"data": source.model_dump(mode="json")}
        if not self.evaluate:
            declared["evaluate"] = []
        if isinstance(self.model, Mapping):
            declared["model"] = dict(self.model)
        parsed = parse_schema(declared, overrides=[*self._of_model(), *self._of_training(schema)], plugins=plugins)
        return parsed.model_copy(update={"data": source})

    def _of_model(self) -> Sequence[str]:
        kind = [f"model.kind={self.model}"] if isinstance(self.model, str) else []
        return kind if self.latent_dim is None else [*kind, f"model.latent_dim={self.latent_dim}"]

    def _of_training(self, schema: Schema) -> Sequence[str]:
        seed = f"train.seed={self.seed}"
        if self.steps is None:
            return [seed]
        train = schema.train
        epochs = min(train.epochs, self.steps)  # of at least one step each
        return [
            seed,
            f"train.epochs={epochs}",
            f"train.sampling.rows={self.steps // epochs * train.batch_size * train.accumulate}",
            f"train.warmup_epochs={train.warmup_epochs * epochs // train.epochs}",
        ]
