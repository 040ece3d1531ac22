"""Checks of a record: its columns, its networks, and a model over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from mmtoolkit.components import Modality, Network, Unit
from mmtoolkit.components.unit import JointDistribution
from mmtoolkit.core.batch import Batch
from mmtoolkit.models import MVAE
from mmtoolkit.testing.networks import unknown_faults
from mmtoolkit.testing.promises import close, finite, gradient_faults, round_trip, shape
from mmtoolkit.testing.stand_ins import Point, batch_of, stand_in_values, with_holes
from mmtoolkit.testing.subjects import SIZE, Networked
from mmtoolkit.training.networks import build

_ROWS = 16
_NAME = "it"


class Subject(Networked):
    """A record under test, with rows of its columns and of a modality beside it.

    Args:
        record: as a schema would make it; its columns have `example_cells`, from which they learn their open options.
    """

    def __init__(self, record: Unit) -> None:
        self.original = record

    @property
    def members(self) -> Mapping[str, Modality]:
        """The columns, with nothing left open."""
        return self.unit.members(_NAME)

    @cached_property
    def unit(self) -> Unit:
        """The record of fitted columns."""
        members = self.original.members(_NAME)
        return self.original.with_members({name: m.fit(iter([list(m.example_cells())])) for name, m in members.items()})

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Prepared values of the columns, and of the modality beside the record: (16, *event) each."""
        return stand_in_values({**self.members, "beside": Point()}, _ROWS)

    @cached_property
    def complete(self) -> Batch:
        """Rows that have everything."""
        return batch_of(self.values, torch.ones(_ROWS, len(self.values), dtype=torch.bool))

    @cached_property
    def holes(self) -> Batch:
        """Rows that lack some; the last has nothing."""
        return with_holes(self.values)

    @cached_property
    def x(self) -> Tensor:
        """What the networks read of the rows that have a column, with holes: (N, *event)."""
        return self.network().value(_NAME, self.holes)

    @cached_property
    def full(self) -> Tensor:
        """What they read of rows that have every column: (16, *event)."""
        return self.network().value(_NAME, self.complete)

    def network(self) -> Network:
        """An MVAE over the record and the modality beside it, untrained, in evaluation mode."""
        network = build(MVAE(latent_dim=SIZE), {_NAME: self.unit, "beside": Point()}, seed=0)
        network.eval()
        return network

    def known(self, x: Tensor) -> Tensor:
        """Which columns of x (N, 2, K) are known: (N, K) bool."""
        return x[:, 1] > 0.5


def columns_are_modalities(subject: Subject) -> Iterator[str]:
    """`members` gives modalities that `gathers` accepts, and `with_members` the record of the given ones."""
    record, members = subject.original, subject.original.members(_NAME)
    for name, member in members.items():
        if not isinstance(member, Modality):
            yield f"members: must give modalities, but {name} is a {type(member).__name__}; give those of the columns"
        elif not record.gathers(member):
            yield f"gathers: must accept each column, but refuses {name} of kind {member.kind}; make the two agree"
    first = dict(list(members.items())[:1])
    for chosen in (dict(subject.members), first):
        again = record.with_members(chosen)
        if type(again) is not type(record) or dict(again.members(_NAME)) != chosen:
            yield (
                f"with_members: must return the record of the given modalities, {', '.join(chosen)}, but did not; copy "
                "the record with them"
            )
    if tuple(subject.unit.event_shape()) != (2, len(members)):
        yield f"event_shape: must be (2, K), {(2, len(members))}, but got {subject.unit.event_shape()}; return that"


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged, before columns are fitted and after it."""
    yield from round_trip(subject.original)
    yield from round_trip(subject.unit, "after fit")


def encoders_read_every_column(subject: Subject) -> Iterator[str]:
    """The value of each known column changes the features, and so does whether it is known."""
    encoder, x = subject.encoder(), subject.full
    with torch.no_grad():
        features = encoder(x)
        for k, name in enumerate(subject.members):
            values = x[:, 0, k]
            other, zero, hidden = x.clone(), x.clone(), x.clone()
            other[:, 0, k] = values.flip(0)
            zero[:, 0, k] = 0
            hidden[:, :, k] = 0
            differ = values != values.flip(0)
            if differ.any() and torch.equal(encoder(other)[differ], features[differ]):
                yield f"encoder(width): must read column {name}, but its value changed nothing; read it"
            if torch.equal(encoder(hidden), encoder(zero)):
                yield f"encoder(width): must read whether column {name} is known, but that changed nothing; read flags"


def decoders_return_joint_distributions(subject: Subject) -> Iterator[str]:
    """`decoder` returns a `JointDistribution` of the known columns, with the distribution of each column."""
    p, x = subject.decoder()(subject.z), subject.x
    if not isinstance(p, JointDistribution):
        raise TypeError(f"decoder returns {type(p).__name__}, which is no mmtoolkit.JointDistribution")
    rows, size, known = len(x), len(subject.members), subject.known(x)
    if tuple(p.batch_shape) != (rows,) or tuple(p.event_shape) != (2, size):
        yield (
            f"decoder(size): must return batch (N,), {(rows,)}, of events (2, K), {(2, size)}, but got "
            f"{tuple(p.batch_shape)} of {tuple(p.event_shape)}; correct its shapes"
        )
    with torch.no_grad():
        columns, total = p.log_probs(x), p.log_prob(x)
        if tuple(columns.shape) != (rows, size) or not finite(columns) or columns[~known].any():
            yield (
                f"log_probs: must return finite (N, K), {(rows, size)}, 0 where a column is unknown, but got "
                f"{shape(columns)}, or other numbers; mask it with the flags"
            )
        if not close(total, columns.sum(1)):
            yield "log_prob: must be the sum of log_probs, but is not; add them up"
        z = torch.randn(_ROWS, SIZE)
        whole = subject.decoder()(z)
        together = whole.log_probs(subject.full)
        for k, (name, member) in enumerate(subject.members.items()):
            alone = whole.column(name)
            if tuple(alone.batch_shape) != (_ROWS,) or tuple(alone.event_shape) != tuple(member.event_shape()):
                got = tuple(alone.batch_shape), tuple(alone.event_shape)
                yield f"column: must return batch (N,) of {name}'s events, but got {got}; reshape it"
            elif not close(alone.log_prob(subject.values[name]), together[:, k]):
                yield f"column: must give {name} the density of log_probs, but does not; use the same parameters"
        for what, drawn in (("sample", whole.sample((3,))), ("mean", whole.mean)):
            leading = (3, _ROWS) if what == "sample" else (_ROWS,)
            if tuple(drawn.shape) != (*leading, 2, size) or not finite(drawn) or not (drawn[..., 1, :] == 1).all():
                yield (
                    f"{what}: must return finite {(*leading, 2, size)} with all known, but got {shape(drawn)}, or "
                    "other numbers; correct it"
                )


def decoders_treat_rows_alone(subject: Subject) -> Iterator[str]:
    """`decoder` treats each row on its own, and all its parameters learn."""
    decoder, z = subject.decoder(), torch.randn(_ROWS, SIZE)
    with torch.no_grad():
        every, first = decoder(z).log_prob(subject.full), decoder(z[:1]).log_prob(subject.full[:1])
    if not close(first, every[:1]):
        yield "decoder(size): must treat each row on its own, but a row alone gave another density; use no other rows"
    yield from gradient_faults("decoder(size)", decoder, partial(_score, z, subject.full))


def _score(z: Tensor, x: Tensor, decoder: nn.Module) -> Tensor:
    log_prob: Tensor = decoder(z).log_prob(x)
    return log_prob.sum()


def unknown_columns_do_not_matter(subject: Subject) -> Iterator[str]:
    """The value in an unknown cell changes no feature, likelihood or gradient."""
    yield from unknown_faults(subject, subject.x, (1.0,))  # a number, and a class


def models_join_it_as_one(subject: Subject) -> Iterator[str]:
    """A model infers z from any of its columns, by their names or all by the record's own, and decodes each."""
    network, names = subject.network(), tuple(subject.members)
    with torch.no_grad():
        if not close(network.infer(subject.holes, [_NAME]).mean, network.infer(subject.holes, names).mean, 1e-6):
            yield "the record's name must stand for all its columns, but gave another posterior; give all in members"
        prior = network.infer(subject.holes.only({"beside"}), names).mean
        for name in names:
            q = network.infer(subject.complete, [name])
            if not (finite(q.mean) and finite(q.variance)) or torch.equal(q.mean, prior):
                yield f"z must be inferred from column {name} alone, but was not; let the encoder read it"
        z = torch.randn(_ROWS, SIZE)
        decoded = network.decode(z, subject.complete, names)
        for name, member in subject.members.items():
            point = member.point(decoded[name])
            if not finite(point) or point.shape != subject.values[name].shape:
                yield f"column {name}: must have a finite prediction of its shape, but got {shape(point)}; correct it"


REQUIRED = (decoders_return_joint_distributions,)
CHECKS = (
    columns_are_modalities,
    options_come_back,
    decoders_return_joint_distributions,
    decoders_treat_rows_alone,
    encoders_read_every_column,
    unknown_columns_do_not_matter,
    models_join_it_as_one,
)
